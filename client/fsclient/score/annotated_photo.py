"""A photo with what was found on it: boxes, landmarks, a number at each face, and a legend outside the photo."""

from __future__ import annotations

import math
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from fsclient.score.answers import ScoredPhoto
from fsclient.score.legend import Colour, Legend, below, beside
from fsclient.score.number_places import Rectangle, distance, number_places

_COLOURS: tuple[Colour, ...] = (
    (255, 214, 10),
    (100, 220, 255),
    (255, 150, 120),
    (150, 240, 140),
    (240, 160, 255),
    (255, 190, 90),
)
"""Of boxes and their numbers in turn, so that neighbours differ."""
_GROUND = (24, 24, 28)
_POINT = (255, 255, 255)

_SIZES_PER_PHOTO = 48
"""Sizes of the legend's font in the side of a square of a photo's area: readable where the whole photo is shown."""
_LEAST_FONT_PX = 13.0
_LEAST_NUMBER_PX = 9.0
_LONGEST_ENLARGED_PX = 4000
"""Small photos are enlarged until the least font suits them, but not beyond this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where everything lies, in pixels of the drawing.

    Attributes:
        size: Width and height of the drawing.
        enlarged: How often the photo is enlarged.
        photo: Of the photo.
        boxes: Of the faces, cut at the edges of the photo.
        numbers: Of the number of each face.
        number_px: Size of the font of each.
        legend: What stands beside the photo, or below it.
        legend_at: Its upper left corner.
        line_px: Width of lines.
    """

    size: tuple[int, int]
    enlarged: int
    photo: Rectangle
    boxes: tuple[Rectangle, ...]
    numbers: tuple[Rectangle, ...]
    number_px: tuple[float, ...]
    legend: Legend
    legend_at: tuple[float, float]
    line_px: int


def laid_out(photo: ScoredPhoto, width: int, height: int) -> Layout:
    """Return where everything lies in the drawing of a photo.

    Args:
        photo: What was found on it.
        width: Of its pixels.
        height: The same.
    """
    wanted = math.ceil(_LEAST_FONT_PX * _SIZES_PER_PHOTO / math.sqrt(width * height))
    enlarged = max(1, min(wanted, _LONGEST_ENLARGED_PX // max(width, height)))
    width, height = enlarged * width, enlarged * height
    font_px = max(_LEAST_FONT_PX, math.sqrt(width * height) / _SIZES_PER_PHOTO)
    # The frame around the photo has room for the numbers of faces at its edges.
    at = math.ceil(1.6 * font_px)
    while (placed := _numbered(photo, enlarged, (width, height), at, font_px)) is None:
        at *= 2
    boxes, numbers, number_px = placed
    framed_width, framed_height = width + 2 * at, height + 2 * at
    right, under = beside(photo, font_px, height), below(photo, font_px, width)
    right_size = (framed_width + right.width + at, max(framed_height, right.height + 2 * at))
    under_size = (max(framed_width, under.width + 2 * at), framed_height + under.height + at)
    is_beside = _extent(right_size) <= _extent(under_size)
    size = right_size if is_beside else under_size
    return Layout(
        size=(math.ceil(size[0]), math.ceil(size[1])),
        enlarged=enlarged,
        photo=(at, at, at + width, at + height),
        boxes=boxes,
        numbers=numbers,
        number_px=number_px,
        legend=right if is_beside else under,
        legend_at=(framed_width, at) if is_beside else (at, framed_height),
        line_px=max(1, round(font_px / 12)),
    )


def annotated(image: Image.Image, photo: ScoredPhoto) -> Image.Image:
    """Return a drawing of a photo; nothing but outlines and landmarks lies on a face.

    Args:
        image: The upright photo.
        photo: What was found on it.
    """
    layout = laid_out(photo, image.width, image.height)
    drawing = Image.new("RGB", layout.size, _GROUND)
    left, top, right, bottom = map(round, layout.photo)
    pixels = image.convert("RGB").resize((right - left, bottom - top), Image.Resampling.BICUBIC)
    drawing.paste(pixels, (left, top))
    draw = ImageDraw.Draw(drawing)
    for index, (box, number) in enumerate(zip(layout.boxes, layout.numbers, strict=True)):
        if not _is_beside(box, number):
            draw.line(_shortest(number, box), fill=_COLOURS[index % len(_COLOURS)], width=layout.line_px)
    for x0, y0, x1, y1 in (map(round, box) for box in layout.boxes):
        drawing.paste(pixels.crop((x0 - left, y0 - top, x1 - left, y1 - top)), (x0, y0))  # lines pass below faces
    for index, (face, box) in enumerate(zip(photo.faces, layout.boxes, strict=True)):
        draw.rectangle(box, outline=_COLOURS[index % len(_COLOURS)], width=layout.line_px)
        radius = max(1.0, min((box[2] - box[0]) / 70, 2.0 * layout.line_px))
        for x, y in ((left + layout.enlarged * x, top + layout.enlarged * y) for x, y in face.landmarks):
            if left <= x < right and top <= y < bottom:
                draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=_POINT)
    for index, (number, number_px) in enumerate(zip(layout.numbers, layout.number_px, strict=True)):
        middle = ((number[0] + number[2]) / 2, (number[1] + number[3]) / 2)
        draw.rectangle(number, fill=_GROUND)
        font = ImageFont.load_default(number_px)
        draw.text(middle, str(index + 1), font=font, fill=_COLOURS[index % len(_COLOURS)], anchor="mm")
    layout.legend.draw(draw, *layout.legend_at, _COLOURS)
    return drawing


def _numbered(
    photo: ScoredPhoto, enlarged: int, size: tuple[int, int], frame: int, font_px: float
) -> tuple[tuple[Rectangle, ...], tuple[Rectangle, ...], tuple[float, ...]] | None:
    """Return the boxes, the places of their numbers, and the sizes of these; None where the frame is too thin for them.

    In a crowd numbers are smaller, if with that all of them stand beside their boxes.
    """
    width, height = size
    boxes = tuple(_cut(face.box, enlarged, width, height, frame) for face in photo.faces)
    room = (0, 0, width + 2 * frame, height + 2 * frame)
    found = None
    for scale in (1.0, 0.75, 0.5):
        number_px = tuple(_number_px(box[2] - box[0], scale * font_px) for box in boxes)
        sizes = [_number_size(number, px) for number, px in enumerate(number_px, start=1)]
        places = number_places(boxes, sizes, room, font_px / 8)
        if places is not None:
            found = boxes, tuple(places), number_px
            if all(map(_is_beside, boxes, places)):
                break
    return found


def _is_beside(box: Rectangle, number: Rectangle) -> bool:
    """Return whether a number stands at its box, so that no line has to lead to it."""
    return distance(box, number) <= (number[3] - number[1]) / 2


def _number_px(side: float, font_px: float) -> float:
    """Return the size of a number: that of the legend's font, less at a small face."""
    return max(_LEAST_NUMBER_PX, min(font_px, max(font_px / 2, side / 2)))


def _number_size(number: int, font_px: float) -> tuple[float, float]:
    """Return width and height of a number on its ground."""
    return ImageFont.load_default(font_px).getlength(str(number)) + font_px / 2, 1.15 * font_px


def _cut(box: Rectangle, enlarged: int, width: int, height: int, offset: int) -> Rectangle:
    """Return a box in pixels of the drawing, cut at the edges of the photo."""
    x0, x1 = (min(max(enlarged * x, 0.0), width - 1.0) + offset for x in (box[0], box[2]))
    y0, y1 = (min(max(enlarged * y, 0.0), height - 1.0) + offset for y in (box[1], box[3]))
    return x0, y0, x1, y1


def _extent(size: tuple[float, float]) -> float:
    """Return how large a drawing is where it is shown whole in a landscape of 3 to 2."""
    return max(size[0] / 1.5, size[1])


def _shortest(a: Rectangle, b: Rectangle) -> tuple[float, float, float, float]:
    """Return the shortest line from one rectangle to another that it does not overlap."""
    x0, x1 = _nearest_ends(a[0], a[2], b[0], b[2])
    y0, y1 = _nearest_ends(a[1], a[3], b[1], b[3])
    return x0, y0, x1, y1


def _nearest_ends(a0: float, a1: float, b0: float, b1: float) -> tuple[float, float]:
    """Return the points of two intervals that are nearest to each other; the middle of what they share."""
    if a1 < b0:
        return a1, b0
    if b1 < a0:
        return a0, b1
    middle = (max(a0, b0) + min(a1, b1)) / 2
    return middle, middle
