"""Results as one page: what was found, how sure it is, and what it was made with."""
