"""Composite faces: the mean of the faces that a query selects, and what they differ in."""
