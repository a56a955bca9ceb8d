"""Triton's entry to the stand-in for the `fil` backend."""

from fsengine.backends.fil_backend import TritonPythonModel

__all__ = ["TritonPythonModel"]
