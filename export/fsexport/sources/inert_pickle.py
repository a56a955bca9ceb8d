"""Read pickled arrays and attributes without running what a pickle asks to run.

A pickle is a program: it names functions and calls them. Here every name that is not on a list is refused, and the
names on it stand for inert records that only keep what they are given. Arrays in joblib's form, whose bytes lie
between the pickle's instructions, are read as joblib writes them (joblib: numpy_pickle.py, NumpyArrayWrapper).
"""

from __future__ import annotations

import io
import pickle
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from fsengine.errors import ExportError

LARGEST_FILE_BYTES = 64 << 20

_PLAIN = re.compile(r"[fiu][48]|b1|U[1-9]\d{0,2}")
_OBJECTS = {"O8", "O4", "O"}
_LARGEST_ELEMENTS = 1 << 24


@dataclass(slots=True, eq=False)
class Record:
    """What a pickle says of one object: the class that it names, what it was made with, and its attributes."""

    name: str
    arguments: tuple[Any, ...] = ()
    state: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class _Inert:
    """What stands for a class or function that a pickle names."""

    make: Callable[..., Any]


@dataclass(slots=True, eq=False)
class _DType:
    code: str
    order: str = "<"


_COMPRESSED = (b"\x78", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x5d\x00", b"\x04\x22\x4d\x18")
"""How zlib, gzip, bz2, xz, lzma and lz4 begin, which joblib writes with `compress`."""

_ARRAY_WRAPPER = "joblib.numpy_pickle.NumpyArrayWrapper"


def read_pickle(path: Path, classes: frozenset[str]) -> Any:
    """Return what a pickle holds: plain values, NumPy arrays, and records for the classes that are allowed.

    Args:
        path: The pickle, of Python's own form or joblib's uncompressed one.
        classes: Full names of classes whose attributes are wanted.

    Raises:
        ExportError: The file is too large or no pickle, or it names anything else.
    """
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE_BYTES:
            raise ExportError(f"{path} has {size:,} bytes, expected a pickle of at most {LARGEST_FILE_BYTES:,}")
        content = path.read_bytes()
    except OSError as exc:
        raise ExportError(f"{path} cannot be read: {exc.strerror}") from exc
    if content.startswith(_COMPRESSED):
        raise ExportError(f"{path} is compressed; save it again with joblib.dump(model, file, compress=0)")
    try:
        return _InertUnpickler(io.BytesIO(content), classes, str(path)).load()
    except ExportError:
        raise
    except Exception as exc:  # a damaged pickle can fail in any way
        raise ExportError(f"{path} is not a pickle of arrays and attributes: {exc!r}") from exc


class _InertUnpickler(pickle._Unpickler):
    """Builds records; `find_class` is the only way for a pickle to get at a callable.

    It is the unpickler that is written in Python, whose instructions can be replaced; joblib builds on the same one.
    """

    stack: list[Any]
    read: Callable[[int], bytes]
    append: Callable[[Any], None]

    def __init__(self, file: io.BytesIO, classes: frozenset[str], where: str) -> None:
        super().__init__(file)
        self._file, self._classes, self._where = file, classes, where

    def find_class(self, module: str, name: str) -> _Inert:
        """Return the inert stand-in of a name, or refuse it."""
        full = f"{module}.{name}"
        if full in _INERT:
            return _INERT[full]
        if full in self._classes:
            return _record_of(full)
        raise ExportError(
            f"{self._where} asks for {full}, which is not among {sorted({*_INERT, *self._classes})}; it is not a "
            "scikit-learn model of a kind that is read here, or it was made to run code. Nothing of it was run"
        )

    def persistent_load(self, pid: Any) -> Any:
        """Refuse references to things outside the file."""
        raise ExportError(f"{self._where} refers to {pid!r} outside the file; expected a self-contained pickle")

    def load_build(self) -> None:
        """Give an object its attributes; an array's bytes follow in the file."""
        state = self.stack.pop()
        target = self.stack[-1]
        if isinstance(target, Record) and target.name == _ARRAY_WRAPPER:
            self.stack[-1] = self._array(state)
        elif isinstance(target, Record) and isinstance(state, dict) and all(isinstance(key, str) for key in state):
            target.state.update(state)
        elif isinstance(target, _DType) and isinstance(state, tuple):
            target.order = state[1]
        elif isinstance(target, _Reconstructed) and isinstance(state, tuple):
            target.fill(state)
        else:
            raise ExportError(f"{self._where} sets attributes of a {type(target).__name__}; expected records alone")

    def load_call(self) -> None:
        """Call an inert stand-in, for the instructions that call a function or make an object."""
        arguments = self.stack.pop()
        function = self.stack[-1]
        if not isinstance(function, _Inert) or not isinstance(arguments, tuple):
            raise ExportError(f"{self._where} calls a {type(function).__name__}; nothing of it was run")
        self.stack[-1] = function.make(*arguments)

    def load_bytes(self) -> None:
        """Read bytes that pickles of protocol 5 hold; the original takes the memory that a file announces."""
        (size,) = struct.unpack("<Q", self.read(8))
        if size > LARGEST_FILE_BYTES:
            raise ExportError(f"{self._where} announces {size:,} bytes, expected at most {LARGEST_FILE_BYTES:,}")
        self.append(self.read(size))

    def load_refused(self) -> None:
        """Refuse an instruction that no pickle of arrays and attributes has."""
        raise ExportError(f"{self._where} holds an instruction that makes objects in an old way; nothing was run")

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {
        **pickle._Unpickler.dispatch,
        pickle.BUILD[0]: load_build,
        pickle.REDUCE[0]: load_call,
        pickle.NEWOBJ[0]: load_call,
        pickle.NEWOBJ_EX[0]: load_refused,
        pickle.OBJ[0]: load_refused,
        pickle.INST[0]: load_refused,
        pickle.BYTEARRAY8[0]: load_bytes,
    }

    def _array(self, state: Any) -> Any:
        """Read the array that joblib put behind its wrapper."""
        shape, dtype, order = state["shape"], state["dtype"], state["order"]
        if dtype.code in _OBJECTS:
            nested = _InertUnpickler(self._file, self._classes, self._where).load()
            return nested.value if isinstance(nested, _Reconstructed) else nested
        kind, count = _plain_type(dtype), _count(shape)
        if state.get("numpy_array_alignment_bytes") is not None:
            self._file.read(self._file.read(1)[0])
        data = self._file.read(count * kind.itemsize)
        return np.frombuffer(data, kind, count).reshape(shape, order="F" if order == "F" else "C")


class _Reconstructed:
    """An array in NumPy's own pickled form: made empty, then filled by its state."""

    def __init__(self) -> None:
        self.value: Any = None

    def fill(self, state: tuple[Any, ...]) -> None:
        """Take the state of `numpy.ndarray.__setstate__`: version, shape, dtype, Fortran order, data."""
        _, shape, dtype, fortran, data = state
        if dtype.code in _OBJECTS:
            if len(data) != _count(shape):
                raise ValueError(f"an array of shape {shape} has {len(data)} objects")
            self.value = list(data)
        else:
            kind = _plain_type(dtype)
            self.value = np.frombuffer(data, kind, _count(shape)).reshape(shape, order="F" if fortran else "C")


def plain(value: Any) -> Any:
    """Return a value with its arrays filled in, for reading; records stay as they are."""
    return value.value if isinstance(value, _Reconstructed) else value


def _plain_type(dtype: _DType) -> np.dtype[Any]:
    if not _PLAIN.fullmatch(dtype.code) or dtype.order not in ("<", ">", "|", "="):
        raise ValueError(f"an array has the type {dtype.order}{dtype.code}, expected numbers or text")
    return np.dtype(dtype.order + dtype.code)


def _count(shape: Any) -> int:
    count = int(np.prod([int(size) for size in shape], dtype=np.int64)) if len(shape) else 1
    if not 0 <= count <= _LARGEST_ELEMENTS or any(int(size) < 0 for size in shape):
        raise ValueError(f"an array has the shape {shape}")
    return count


def _record_of(full: str) -> _Inert:
    return _Inert(lambda *arguments: Record(full, arguments))


def _dtype(code: str, *_: Any) -> _DType:
    return _DType(str(code))


def _scalar(dtype: _DType, data: bytes) -> Any:
    return np.frombuffer(data, _plain_type(dtype), 1)[0].item()


def _frombuffer(data: Any, dtype: _DType, shape: Any, order: str) -> Any:
    """Stand for NumPy's own, which pickles of protocol 5 name."""
    kind = _plain_type(dtype)
    return np.frombuffer(bytes(data), kind, _count(shape)).reshape(shape, order="F" if order == "F" else "C")


def _encode(text: str, encoding: str) -> bytes:
    """Stand for the way in which pickles of protocol 2 hold bytes."""
    if encoding != "latin1":
        raise ValueError(f"bytes are held as {encoding}, expected latin1")
    return text.encode("latin1")


def _reconstruct(*_: Any) -> _Reconstructed:
    return _Reconstructed()


_NUMPY_CORE = ("numpy.core.multiarray", "numpy._core.multiarray")

_INERT: dict[str, _Inert] = {
    "_codecs.encode": _Inert(_encode),
    "numpy.dtype": _Inert(_dtype),
    "numpy.ndarray": _record_of("numpy.ndarray"),
    _ARRAY_WRAPPER: _record_of(_ARRAY_WRAPPER),
    **{f"{module}.scalar": _Inert(_scalar) for module in _NUMPY_CORE},
    **{f"{module}._reconstruct": _Inert(_reconstruct) for module in _NUMPY_CORE},
    **{f"{module}._frombuffer": _Inert(_frombuffer) for module in ("numpy.core.numeric", "numpy._core.numeric")},
}
"""What pickled arrays name, each with what stands for it."""
