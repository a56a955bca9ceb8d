"""Parts written anew: many small ones made few, folders joined, and rows of photos that are gone dropped."""
