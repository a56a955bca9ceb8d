"""Draw what was found on copies of the photos."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from fsclient.score.answer_text import face_values
from fsclient.score.answers import ScoredPhoto
from fsdata.results.source import source_path
from fsengine.contracts.served import marks_text
from fsengine.errors import InvalidInputError
from fsengine.photo.convert import read_pixels

_BOX_COLOUR = (255, 214, 10)
_POINT_COLOUR = (0, 229, 255)
_SHADE = (0, 0, 0)


def draw_all(photos: Sequence[ScoredPhoto], out: Path) -> list[Path]:
    """Draw every photo that was decoded.

    Args:
        photos: Photos and what was found on them.
        out: A file for one photo; a folder for several.

    Returns:
        The drawings.

    Raises:
        InvalidInputError: The drawing cannot be written there.
    """
    single = len(photos) == 1 and not out.is_dir()
    written: list[Path] = []
    for photo in photos:
        if photo.width is None:
            continue
        target = out if single else _free_name(out, photo, written)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            draw_photo(photo).save(target)
        except (OSError, ValueError) as exc:
            raise InvalidInputError(
                f"{target} cannot be written: {exc}; give a .png or .jpg file, or a folder"
            ) from exc
        written.append(target)
    return written


def draw_photo(photo: ScoredPhoto) -> Image.Image:
    """Return a copy of a photo with boxes, landmarks, values and the marks of the models on it.

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
    draw = ImageDraw.Draw(image)
    scale = max(image.size) / 1000
    for face in photo.faces:
        side = face.box.x1 - face.box.x0
        font = ImageFont.load_default(max(9.0, min(side / 9, 22 * scale)))
        draw.rectangle(face.box, outline=_BOX_COLOUR, width=max(1, round(2 * scale)))
        radius = max(1.0, side / 50)
        for x, y in face.landmarks:
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=_POINT_COLOUR)
        below = (face.box.x0, face.box.y1 + 2)
        _text(draw, below, "\n".join([f"face {face.score:.2f}", *face_values(face)]), font)
    if photo.marks:
        font = ImageFont.load_default(max(9.0, 20 * scale))
        _text(draw, (6 * scale, 6 * scale), marks_text(photo.marks), font)
    return image


def _text(
    draw: ImageDraw.ImageDraw,
    at: tuple[float, float],
    text: str,
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
) -> None:
    """Write text on a dark ground, moved so that it stays inside the picture."""
    left, top, right, bottom = draw.textbbox(at, text, font=font)
    width, height = draw._image.size
    shift_x = min(0.0, width - right - 2) - min(0.0, left)
    shift_y = min(0.0, height - bottom - 2)
    draw.rectangle((left + shift_x - 2, top + shift_y - 2, right + shift_x + 2, bottom + shift_y + 2), fill=_SHADE)
    draw.text((at[0] + shift_x, at[1] + shift_y), text, font=font, fill=_BOX_COLOUR)


def _free_name(folder: Path, photo: ScoredPhoto, written: list[Path]) -> Path:
    """Return a name in a folder that no earlier photo of this run took."""
    stem = Path(source_path(photo.source or "photo").decode("utf-8", "replace")).stem
    number = 0
    while (path := folder / f"{stem}{f'-{number}' if number else ''}.png") in written:
        number += 1
    return path
