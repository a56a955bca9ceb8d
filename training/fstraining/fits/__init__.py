"""Fits: networks, and the search for their settings."""
