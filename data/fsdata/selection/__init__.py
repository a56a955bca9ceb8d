"""Faces of results by an expression over their columns."""
