"""Data of FaceStats: the photos that ship with the project."""
