"""The legend beside a drawn photo: a line for each face, in as many columns as it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import ImageDraw, ImageFont

from fsclient.score.answers import Face, ScoredPhoto
from fsengine.contracts.served import RECOGNISES_PEOPLE, marks_text

Colour = tuple[int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

_TEXT = (235, 235, 235)
_FAINT = (160, 160, 160)

_SCALES = (1.0, 0.85, 0.7)
"""Of the font: the smaller ones are for many faces."""
_FEW_LINES = 8
_LINE = 1.4
"""Height of a line in sizes of its font."""
_CELL_GAP = 0.9
_MOST_LETTERS = 40
"""Of a cell, and of a word of a note: longer ones are cut."""
_COLUMN_GAP = 2.0
"""Between cells and between columns of lines, in sizes of the font."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Legend:
    """What is said of the faces, laid out.

    Attributes:
        header: What the cells of a line say; the first stands for the number.
        lines: Cells of each face.
        notes: Lines below them, broken already.
        font_px: Size of the font.
        lines_per_column: The most lines of a column.
        cell_widths: Of each cell of a line, in pixels.
        width: Of the whole in pixels.
        height: The same.
    """

    header: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]
    font_px: float
    lines_per_column: int
    cell_widths: tuple[float, ...]
    width: float
    height: float

    def draw(self, draw: ImageDraw.ImageDraw, x: float, y: float, colours: Sequence[Colour]) -> None:
        """Draw it.

        Args:
            draw: On what.
            x: Left edge.
            y: Upper edge.
            colours: Of the numbers; they are used again and again.
        """
        font, line_px = ImageFont.load_default(self.font_px), self.font_px * _LINE
        column_px = sum(self.cell_widths) + _COLUMN_GAP * self.font_px
        for start in range(0, len(self.lines), self.lines_per_column):
            left = x + start // self.lines_per_column * column_px
            self._line(draw, left, y, self.header, (_FAINT,) * len(self.header), font)
            for offset, cells in enumerate(self.lines[start : start + self.lines_per_column]):
                line_colours = (colours[(start + offset) % len(colours)], *(_TEXT for _ in cells[1:]))
                self._line(draw, left, y + (1 + offset) * line_px, cells, line_colours, font)
        note_y = y + self.height - len(self.notes) * line_px
        for offset, note in enumerate(self.notes):
            draw.text((x, note_y + offset * line_px), note, font=font, fill=_FAINT)

    def _line(
        self,
        draw: ImageDraw.ImageDraw,
        x: float,
        y: float,
        cells: Sequence[str],
        colours: Sequence[Colour],
        font: Font,
    ) -> None:
        for cell, width, colour in zip(cells, self.cell_widths, colours, strict=True):
            draw.text((x, y), cell, font=font, fill=colour)
            x += width


def beside(photo: ScoredPhoto, font_px: float, height: float) -> Legend:
    """Return a legend for the right of a photo, in one column if a smaller font makes that possible.

    Args:
        photo: What was found.
        font_px: The largest size of its font.
        height: Of the photo.
    """
    legends = [_legend(photo, scale * font_px, max_height=height, max_width=None) for scale in _SCALES]
    return next((legend for legend in legends if len(legend.lines) <= legend.lines_per_column), legends[-1])


def below(photo: ScoredPhoto, font_px: float, width: float) -> Legend:
    """Return a legend for below a photo, in as many columns as have room, and in a smaller font if it is long.

    Args:
        photo: What was found.
        font_px: The largest size of its font.
        width: Of the photo.
    """
    legends = [_legend(photo, scale * font_px, max_height=None, max_width=width) for scale in _SCALES]
    return next((legend for legend in legends if legend.lines_per_column <= _FEW_LINES), legends[-1])


def _legend(photo: ScoredPhoto, font_px: float, *, max_height: float | None, max_width: float | None) -> Legend:
    """Lay a legend out, bounded by a height or by a width."""
    font, line_px = ImageFont.load_default(font_px), _LINE * font_px
    header, lines = _cells(photo.faces)
    lines = tuple(tuple(map(_cut, cells)) for cells in lines)
    columns_of_cells = zip(header, *lines, strict=True)
    widths = [max(map(font.getlength, cells)) + _CELL_GAP * font_px for cells in columns_of_cells]
    column_px, gap_px = sum(widths), _COLUMN_GAP * font_px
    if max_width is not None:
        num_columns = max(1, int((max_width + gap_px) // (column_px + gap_px)))
        lines_per_column = max(1, -(-len(lines) // num_columns))
        notes = _wrapped(_notes(photo), font, max(max_width, column_px))
    else:
        assert max_height is not None
        notes = _wrapped(_notes(photo), font, max(column_px, 14 * font_px))
        lines_per_column = max(1, int(max_height // line_px) - 1 - (len(notes) + 1 if notes else 0))
    num_columns = -(-len(lines) // lines_per_column)
    num_lines = (1 + min(lines_per_column, len(lines)) if lines else 0) + len(notes) + bool(notes and lines)
    return Legend(
        header=header,
        lines=lines,
        notes=notes,
        font_px=font_px,
        lines_per_column=lines_per_column,
        cell_widths=tuple(widths),
        width=max([num_columns * (column_px + gap_px) - gap_px if lines else 0.0, *map(font.getlength, notes)]),
        height=num_lines * line_px,
    )


def _cells(faces: Sequence[Face]) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Return what the cells of a line say, and the cells of each face: its number, and what the heads say of it."""
    columns: dict[str, list[str]] = {"": [str(number) for number in range(1, len(faces) + 1)]}
    seen = [
        ("gender", [face.gender for face in faces]),
        ("age", [None if face.age_years is None else f"{face.age_years:.0f}" for face in faces]),
        ("ethnicity", [face.ethnicity for face in faces]),
        ("attractiveness", [None if face.attractiveness is None else f"{face.attractiveness:.2f}" for face in faces]),
    ]
    columns |= {name: [text or "" for text in texts] for name, texts in seen if any(text is not None for text in texts)}
    if len(columns) == 1:
        columns["score"] = [f"{face.score:.2f}" for face in faces]
    return tuple(columns), tuple(zip(*columns.values(), strict=True))


def _notes(photo: ScoredPhoto) -> list[str]:
    """Return what is said below the faces."""
    # A picture holds no embedding.
    marks = marks_text({mark: steps for mark, steps in photo.marks.items() if mark != RECOGNISES_PEOPLE})
    notes = [] if photo.faces else ["no face found"]
    notes += ["and more faces: the limit of the models is reached"] if photo.faces_truncated else []
    return [*notes, *([marks] if marks else [])]


def _cut(text: str) -> str:
    """Return a text that is not too long for a legend; class names come from packs of anyone."""
    return text if len(text) <= _MOST_LETTERS else f"{text[: _MOST_LETTERS - 1]}…"


def _wrapped(notes: Sequence[str], font: Font, width: float) -> tuple[str, ...]:
    """Return notes broken into lines that are not wider than `width`, unless a word is."""
    lines: list[str] = []
    for note in notes:
        line = ""
        for word in map(_cut, note.split()):
            longer = f"{line} {word}".strip()
            if line and font.getlength(longer) > width:
                lines.append(line)
                line = word
            else:
                line = longer
        lines.append(line)
    return tuple(lines)
