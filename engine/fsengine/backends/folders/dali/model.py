"""Triton's entry to the stand-in for the `dali` backend."""

from fsengine.backends.dali_backend import TritonPythonModel

__all__ = ["TritonPythonModel"]
