"""Triton's entry to the stand-in for the `onnxruntime` backend."""

from fsengine.backends.onnxruntime_backend import TritonPythonModel
from fsengine.backends.parent_watch import exit_with_parent

__all__ = ["TritonPythonModel"]

exit_with_parent()
