"""The align step: faces cut out of a photo."""
