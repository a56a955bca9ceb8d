"""A photo scored, shown and drawn."""
