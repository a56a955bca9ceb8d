"""Faces cut out of their photos: on demand, or once for all into a file beside the results."""
