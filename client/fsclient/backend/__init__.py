"""The seam between the client and whatever runs the models."""
