"""One photo from disk to its upright pixels, or a word why not."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fsengine.errors import InvalidInputError
from fsengine.files.regular_file import open_regular
from fsengine.photo.convert import read_pixels
from fsengine.photo.gate import too_many_bytes


def pixels_of(path: Path) -> NDArray[np.uint8] | str:
    """Return the pixels of a photo as they are scored, uint8 (H, W, 3), RGB, upright, or why there are none."""
    try:
        with open_regular(path) as file:
            if (reason := too_many_bytes(os.fstat(file.fileno()).st_size)) is not None:
                return reason
            return read_pixels(file.read())
    except FileNotFoundError:
        return "missing"
    except (OSError, ValueError) as exc:
        return f"cannot be read: {getattr(exc, 'strerror', exc)}"
    except InvalidInputError as exc:
        return str(exc)
