"""A contact sheet: many small photos on one picture, upright, in cells of one size, with their names below."""

from __future__ import annotations

import importlib.util
import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fsdata.preparing.reading_photos import pixels_of
from fsengine.terminal.messages import counted, printable

if TYPE_CHECKING:
    from PIL import Image, ImageFont

MOST_PHOTOS = 2000
MOST_CELL_PX = 512
MOST_COLUMNS = 40

_GAP_PX = 6
_TEXT_PX = 11
_LINE_PX = 15
_NOTE_PX = 14
_WHITE, _CELL, _INK, _FAINT, _BAD = (255,) * 3, (238,) * 3, (34,) * 3, (90,) * 3, (160, 40, 20)
_ELLIPSIS = "..."
_FONT_FILE = "DejaVuSans.ttf"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactSheet:
    """How a sheet looks.

    Attributes:
        cell_px: Side of a cell; the longer side of a photo fills it, and no photo is enlarged.
        columns: Cells in a row; None for about as many as there are rows.
    """

    cell_px: int = 160
    columns: int | None = None

    def draw(
        self, paths: Sequence[Path], note: str, on_photo: Callable[[], object] | None = None
    ) -> tuple[Image.Image, list[tuple[Path, str]]]:
        """Draw photos in their order.

        Args:
            paths: Of 1 to `MOST_PHOTOS` photos.
            note: What stands below them all; may be empty.
            on_photo: Called after each photo.

        Returns:
            The sheet, and each photo that could not be read with the reason.
        """
        from PIL import Image, ImageDraw

        columns = min(len(paths), self.columns or math.ceil(math.sqrt(1.4 * len(paths))))
        rows = math.ceil(len(paths) / columns)
        across, down = self.cell_px + _GAP_PX, self.cell_px + _LINE_PX + _GAP_PX
        below = _NOTE_PX + 2 * _GAP_PX if note else 0
        sheet = Image.new("RGB", (columns * across + _GAP_PX, rows * down + _GAP_PX + below), _WHITE)
        pen, font = ImageDraw.Draw(sheet), _font(_TEXT_PX)
        failed: list[tuple[Path, str]] = []
        for number, small in enumerate(self._small(paths)):
            left, top = _GAP_PX + number % columns * across, _GAP_PX + number // columns * down
            pen.rectangle((left, top, left + self.cell_px - 1, top + self.cell_px - 1), fill=_CELL)
            if isinstance(small, str):
                failed.append((paths[number], small))
                _write_reason(pen, (left, top, self.cell_px), small, font)
            else:
                height, width = small.shape[:2]
                place = left + (self.cell_px - width) // 2, top + (self.cell_px - height) // 2
                sheet.paste(Image.fromarray(small), place)
            name = fitted(paths[number].name, self.cell_px, font.getlength)
            pen.text((left + self.cell_px / 2, top + self.cell_px + 2), name, fill=_INK, font=font, anchor="ma")
            if on_photo is not None:
                on_photo()
        if note:
            font = _font(_NOTE_PX - 2)
            line = fitted(note, sheet.width - 2 * _GAP_PX, font.getlength)
            pen.text((_GAP_PX, sheet.height - below + _GAP_PX), line, fill=_FAINT, font=font)
        return sheet, failed

    def _small(self, paths: Sequence[Path]) -> Any:
        """Yield each photo, shrunk to fit a cell, or why it cannot be read."""
        pool = ThreadPoolExecutor(len(os.sched_getaffinity(0)))
        try:
            yield from pool.map(self._shrunk, paths)
        finally:
            pool.shutdown(cancel_futures=True)

    def _shrunk(self, path: Path) -> NDArray[np.uint8] | str:
        from PIL import Image

        pixels = pixels_of(path)
        if isinstance(pixels, str):
            return pixels
        image = Image.fromarray(pixels)
        image.thumbnail((self.cell_px, self.cell_px), Image.Resampling.LANCZOS, reducing_gap=2.0)
        return np.asarray(image, np.uint8)


def cap_text(num_shown: int, num_photos: int) -> str:
    """Return in words how many of the photos are shown."""
    if num_shown == num_photos:
        return counted(num_photos, "photo")
    return f"the first {num_shown:,} of {counted(num_photos, 'photo')}"


def fitted(text: str, width_px: float, length_of: Callable[[str], float]) -> str:
    """Return a text for one line of a picture, shortened in its middle where it is wider than there is room.

    Args:
        text: A name or a sentence, of anybody.
        width_px: The room.
        length_of: Gives the width of a text.
    """
    # No font draws a thousand characters in a cell, and measuring takes time.
    text = printable(text)[:1000]
    if length_of(text) <= width_px:
        return text
    least, most = 0, len(text)
    while least < most:
        kept = (least + most + 1) // 2
        if length_of(_shortened(text, kept)) <= width_px:
            least = kept
        else:
            most = kept - 1
    return _shortened(text, least)


def _shortened(text: str, kept: int) -> str:
    """Return a text with some characters of both ends: names differ at their end as often as at their beginning."""
    tail = kept // 2
    return text[: kept - tail] + _ELLIPSIS + (text[-tail:] if tail else "")


def _font(px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return DejaVu where matplotlib or the system has it: Pillow's own font knows no letters but those of English."""
    from PIL import ImageFont

    found = importlib.util.find_spec("matplotlib")
    folders = (found.submodule_search_locations if found else None) or []
    for name in [*(os.path.join(folder, "mpl-data", "fonts", "ttf", _FONT_FILE) for folder in folders), _FONT_FILE]:
        with suppress(OSError):
            return ImageFont.truetype(name, px)
    return ImageFont.load_default(px)


def _write_reason(pen: Any, cell: tuple[int, int, int], reason: str, font: Any) -> None:
    import textwrap

    left, top, side = cell
    characters = max(8, int((side - 8) / font.getlength("n")))
    lines = textwrap.wrap(printable(reason), characters)[: max(1, side // _LINE_PX - 1)]
    pen.text((left + 4, top + 4), "\n".join(lines), fill=_BAD, font=font)
