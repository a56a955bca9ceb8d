"""Triton's entry to the stand-in for the `tensorrt` backend."""

from fsengine.backends.parent_watch import exit_with_parent
from fsengine.backends.tensorrt_backend import TritonPythonModel

__all__ = ["TritonPythonModel"]

exit_with_parent()
