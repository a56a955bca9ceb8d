"""Draw what was found on copies of the photos."""

from __future__ import annotations

import io
import os
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from PIL import Image

from fsclient.score.annotated_photo import annotated
from fsclient.score.answers import ScoredPhoto
from fsdata.results.source import source_path, source_text
from fsengine.errors import FaceStatsError, InvalidInputError
from fsengine.files.output_path import OutputPaths
from fsengine.files.writing_errors import unwritable
from fsengine.photo.convert import read_pixels
from fsengine.terminal.messages import printable


class Drawings:
    """Copies of photos with what was found on them: where each lies is settled before anything is scored."""

    def __init__(self, photos: Sequence[bytes], out: Path, *, overwrite: bool) -> None:
        """Choose a file for each photo.

        Args:
            photos: Paths of the photos.
            out: A file for one photo; a folder for several.
            overwrite: Whether files that are there may be replaced; the photos never are.

        Raises:
            InvalidInputError: A drawing would replace one of the photos, or a file without `overwrite`, or cannot be
                written there.
        """
        self._outputs = OutputPaths(photos, overwrite=overwrite)
        named = len(photos) == 1 and not out.is_dir()
        if named:
            _check_format(out)
        targets = [out] if named else [out / name for name in _names(photos)]
        for target in targets:
            self._outputs.check(target, named=named)
        self._targets = {source_text(photo): target for photo, target in zip(photos, targets, strict=True)}

    def draw(self, photos: Iterable[ScoredPhoto]) -> Iterator[tuple[Path, str | None]]:
        """Draw every photo that was decoded; one that cannot be drawn stops no other.

        Args:
            photos: What was found on some of the photos.

        Returns:
            Each drawing, and why it could not be made; None where it was.
        """
        for photo in photos:
            if photo.width is None or photo.source is None:
                continue
            target = self._targets[photo.source]
            try:
                self._outputs.write(target, partial(draw_photo(photo).save, format=_format_of(target)))
            except FaceStatsError as exc:
                yield target, str(exc)
            except OSError as exc:
                yield target, unwritable(target, exc, "choose another place")
            except Exception as exc:  # noqa: BLE001 - Pillow raises nearly anything; no drawing costs the scores
                yield target, f"{photo.source} cannot be drawn: {exc or type(exc).__name__}; leave --draw out"
            else:
                yield target, None


def draw_photo(photo: ScoredPhoto) -> Image.Image:
    """Return a copy of a photo with what was found on it, see `fsclient.score.annotated_photo`.

    Args:
        photo: One that was scored from a file.

    Raises:
        InvalidInputError: The photo cannot be read any more.
    """
    assert photo.source is not None
    try:
        image = Image.fromarray(read_pixels(Path(os.fsdecode(source_path(photo.source))).read_bytes()))
    except (OSError, InvalidInputError) as exc:
        raise InvalidInputError(
            f"{photo.source} was scored, but cannot be read for drawing: {exc}; leave --draw out"
        ) from exc
    return annotated(image, photo)


def _names(photos: Sequence[bytes]) -> list[str]:
    """Return a file's name for each photo, no two alike even where a file system does not tell capitals."""
    names: list[str] = []
    taken: set[str] = set()
    for photo in photos:
        stem = Path(os.path.basename(photo).decode("utf-8", "replace")).stem
        number = 0
        while (key := _alike(name := f"{stem}{f'-{number}' if number else ''}.png")) in taken:
            number += 1
        taken.add(key)
        names.append(name)
    return names


def _alike(name: str) -> str:
    """Return what is the same for names that some file system takes for one."""
    return unicodedata.normalize("NFC", name).casefold()


def _format_of(target: Path) -> str:
    Image.init()
    return Image.EXTENSION[target.suffix.lower()]


def _check_format(target: Path) -> None:
    """Refuse a name that no format to draw in belongs to."""
    Image.init()
    name = Image.EXTENSION.get(target.suffix.lower())
    try:
        if name is None:
            raise ValueError("no suffix of a picture")
        Image.new("RGB", (16, 16)).save(io.BytesIO(), format=name)  # Pillow lists formats that it cannot write
    except Exception as exc:  # each format has errors of its own
        raise InvalidInputError(
            f"{printable(str(target))} has no suffix of a picture that can be written; give a .png or .jpg file, or a "
            "folder"
        ) from exc
