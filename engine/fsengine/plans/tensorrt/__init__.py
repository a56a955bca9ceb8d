"""TensorRT's Python package: found, compiling graphs, running plans."""
