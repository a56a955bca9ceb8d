"""The detect step: one graph for each family of detectors."""
