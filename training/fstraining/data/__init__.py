"""Faces with labels, their splits and their groups."""
