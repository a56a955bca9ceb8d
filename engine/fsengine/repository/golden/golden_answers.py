"""Answers of a server to the golden questions, and the file that keeps those of the CPU."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fsengine.contracts.served import ServedModels
from fsengine.errors import InferenceError, PackError
from fsengine.files.atomic import temporary_file
from fsengine.files.writing_errors import unwritable
from fsengine.repository.golden.sample_inputs import Arrays

_SERVED = "served"

_DAMAGED = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
    RuntimeError,  # an unknown compression, or JSON that nests too deep
    MemoryError,
)
"""What NumPy, zip and JSON raise of a file that was altered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What a server answered.

    Attributes:
        served: What it serves.
        of: Model to the name of a photo to its outputs; pictures are kept as the means of their blocks.
    """

    served: ServedModels
    of: Mapping[str, Mapping[str, Arrays]] = field(default_factory=dict)


def write_answers(answers: Answers, path: Path) -> None:
    """Write answers as a file of NumPy arrays, whole or not at all.

    Raises:
        PackError: It cannot be written.
    """
    arrays = {
        f"{model}/{photo}/{name}": array
        for model, photos in answers.of.items()
        for photo, outputs in photos.items()
        for name, array in outputs.items()
    }
    served = np.array(json.dumps(answers.served.to_parameters(), sort_keys=True))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary_file(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **{_SERVED: served}, **arrays)
    except OSError as exc:
        raise PackError(unwritable(path, exc, "set FACESTATS_MODELS")) from exc


def read_answers(path: Path) -> Answers:
    """Read a file of `write_answers`.

    Raises:
        PackError: It is not there, or something else.
    """
    of: dict[str, dict[str, Arrays]] = {}
    try:
        with np.load(path, allow_pickle=False) as stored:
            served = ServedModels.from_parameters(json.loads(str(stored[_SERVED])))
            for name in stored.files:
                if name != _SERVED:
                    model, photo, tensor = name.split("/")
                    of.setdefault(model, {}).setdefault(photo, {})[tensor] = stored[name]
    except (*_DAMAGED, InferenceError) as exc:
        raise PackError(
            f"{path} holds no golden answers ({type(exc).__name__}: {exc}); expected the file that "
            "`fsclient models build` writes"
        ) from exc
    return Answers(served=served, of=of)
