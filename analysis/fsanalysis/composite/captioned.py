"""Composites as PNG: the picture, below it in words what it is made of, and the same in the file's metadata."""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsdata.results.schema import PartInfo
from fsengine.terminal.messages import counted, printable

_PANEL_PX = 384
_GAP_PX = 12
_TEXT_PX = 14
_LINE_PX = 19
_WHITE, _INK, _FAINT = (255, 255, 255), (20, 20, 20), (90, 90, 90)
_MOST_LINES = 14


def panels(pictures: Sequence[Sequence[NDArray[np.uint8]]], titles: Sequence[Sequence[str]]) -> Any:
    """Return rows of pictures on white, each with a title above it, as a PIL image."""
    from PIL import Image, ImageDraw

    columns = max(map(len, pictures))
    cell = _PANEL_PX if columns <= 3 else _PANEL_PX // 2
    width = columns * (cell + _GAP_PX) + _GAP_PX
    sheet = Image.new("RGB", (width, len(pictures) * (cell + _LINE_PX + _GAP_PX) + _GAP_PX), _WHITE)
    draw = ImageDraw.Draw(sheet)
    for row, (images, names) in enumerate(zip(pictures, titles, strict=True)):
        top = _GAP_PX + row * (cell + _LINE_PX + _GAP_PX)
        for column, (image, name) in enumerate(zip(images, names, strict=True)):
            left = _GAP_PX + column * (cell + _GAP_PX)
            draw.text((left, top), name, fill=_INK, font=_font())
            shown = Image.fromarray(image).resize((cell, cell), Image.Resampling.LANCZOS)
            sheet.paste(shown, (left, top + _LINE_PX))
    return sheet


def with_caption(sheet: Any, lines: Sequence[str]) -> Any:
    """Return a sheet with lines of text below it, wrapped to its width."""
    from PIL import Image, ImageDraw

    font = _font()
    wrapped: list[str] = []
    for line in lines:
        wrapped += _wrapped(printable(line), sheet.width - 2 * _GAP_PX, font)
    if len(wrapped) > _MOST_LINES:
        wrapped = [*wrapped[: _MOST_LINES - 1], "... the whole text stands in the file's metadata"]
    captioned = Image.new("RGB", (sheet.width, sheet.height + len(wrapped) * _LINE_PX + _GAP_PX), _WHITE)
    captioned.paste(sheet, (0, 0))
    draw = ImageDraw.Draw(captioned)
    for number, line in enumerate(wrapped):
        draw.text((_GAP_PX, sheet.height + number * _LINE_PX), line, fill=_FAINT, font=font)
    return captioned


def save_png(image: Any, path: Path, said: Mapping[str, str]) -> None:
    """Write a picture with texts in its metadata (iTXt), under `facestats:` and their names.

    Raises:
        OSError: It cannot be written.
    """
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_itxt("Software", "FaceStats")
    for name, text in said.items():
        info.add_itxt(f"facestats:{name}", text)
    image.save(path, "PNG", pnginfo=info)


def cohort_lines(where: str | None, num_found: int, num_used: int, left_out: Mapping[str, int]) -> list[str]:
    """Return what is said of one query."""
    lines = [
        f"{where or 'all faces'}",
        f"{counted(num_used, 'face')} used of {num_found} found",
    ]
    if left_out:
        lines.append("left out: " + "; ".join(f"{number} {reason}" for reason, number in left_out.items()))
    return lines


def model_line(info: PartInfo) -> str:
    """Return which models the faces were found with, and their marks."""
    models = info.models
    marks = "; ".join(f"{mark}: {', '.join(steps)}" for mark, steps in models.marks.items()) or "no marks"
    return f"pack {models.pack}, {models.model_set_id} ({marks})"


def _wrapped(text: str, width: float, font: Any) -> list[str]:
    """Return a text as lines that are no wider than a picture, in its font; a longer word is broken."""
    lines, line = [], ""
    for word in text.split(" "):
        longer = f"{line} {word}" if line else word
        if font.getlength(longer) <= width:
            line = longer
            continue
        if line:
            lines.append(line)
        line = word
        while font.getlength(line) > width and len(lines) <= _MOST_LINES:
            fitting = bisect.bisect_right(range(len(line)), width, key=lambda end: font.getlength(line[:end])) - 1
            lines.append(line[: max(fitting, 1)])
            line = line[max(fitting, 1) :]
    return [*lines, line]


def _font() -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(_TEXT_PX)
