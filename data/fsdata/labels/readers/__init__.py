"""Readers of the data sets that FaceStats knows, each into the same record."""
