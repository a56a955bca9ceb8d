"""Triton's entry to the stand-in for the `onnxruntime` backend."""

from fsengine.backends.onnxruntime_backend import TritonPythonModel

__all__ = ["TritonPythonModel"]
