"""Triton's entry to the stand-in for the `dali` backend."""

from fsengine.backends.dali_backend import TritonPythonModel
from fsengine.backends.parent_watch import exit_with_parent

__all__ = ["TritonPythonModel"]

exit_with_parent()
