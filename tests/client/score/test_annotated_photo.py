"""Nothing of a drawing but outlines and landmarks lies on a face, and the legend says what was found."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from fsclient.score.annotated_photo import Layout, annotated, laid_out
from fsclient.score.answers import Box, Face, Point, ScoredPhoto
from fsclient.score.number_places import Rectangle, number_places
from fsdata.results.status import Status
from fsengine.contracts.served import RECOGNISES_PEOPLE, UNCERTAIN

CLASSES = ("White", "Latino_Hispanic", UNCERTAIN, "Southeast Asian")


def scored(boxes: list[Rectangle], *, landmarks: bool = True, heads: bool = True) -> ScoredPhoto:
    faces = []
    for number, (x0, y0, x1, y1) in enumerate(boxes):
        points = [(x0 + (x1 - x0) * x, y0 + (y1 - y0) * y) for x, y in ((0.3, 0.4), (0.7, 0.4), (0.5, 0.6))]
        said = {"gender": "female", "age_years": 30.6 + number, "ethnicity": CLASSES[number % 4]} if heads else {}
        faces.append(
            Face(
                box=Box(x0, y0, x1, y1),
                landmarks=tuple(Point(*point) for point in points) if landmarks else (),
                score=0.876,
                **said,  # type: ignore[arg-type]
            )
        )
    return ScoredPhoto(
        source="photo.jpg",
        status=Status.OK if faces else Status.NO_FACE,
        reason=None,
        width=None,
        height=None,
        faces=tuple(faces),
        faces_truncated=False,
        model_set_id="set-1",
        marks={"untrained weights": ["detect", "embed"], RECOGNISES_PEOPLE: ["embed"]},
    )


def crowd(seed: int, number: int, width: int, height: int, sides: tuple[float, float]) -> list[Rectangle]:
    """Return boxes that may overlap each other and the edges of the photo."""
    rng = np.random.default_rng(seed)
    side = rng.uniform(*sides, number)
    x, y = rng.uniform(-0.3, width / side - 0.7) * side, rng.uniform(-0.3, height / side - 0.7) * side
    return [(a, b, a + s, b + s) for a, b, s in zip(x.tolist(), y.tolist(), side.tolist(), strict=True)]


def tiles(width: int, height: int, side: int) -> list[Rectangle]:
    """Return boxes that leave no pixel of a photo free."""
    corners = itertools.product(range(0, width, side), range(0, height, side))
    return [(x, y, x + side, y + side) for x, y in corners]


PHOTOS = {
    "one": (640, 800, [(250.0, 90.0, 450.0, 290.0)]),
    "a close-up": (300, 300, [(2.0, 10.0, 299.0, 296.0)]),
    "larger than the photo": (300, 200, [(-40.0, -30.0, 340.0, 260.0)]),
    "tiny": (100, 80, crowd(0, 5, 100, 80, (9, 20))),
    "a pixel": (1, 1, [(0.0, 0.0, 1.0, 1.0)]),
    "a group": (3000, 2171, crowd(1, 29, 3000, 2171, (60, 110))),
    "a crowd": (1500, 1000, crowd(2, 70, 1500, 1000, (30, 120))),
    "256 faces": (2000, 1300, crowd(3, 256, 2000, 1300, (30, 60))),
    "a panorama": (8000, 900, crowd(4, 40, 8000, 900, (60, 160))),
    "a tower": (300, 3000, crowd(5, 40, 300, 3000, (30, 80))),
    "large": (6000, 4000, crowd(6, 12, 6000, 4000, (300, 900))),
    "no place free": (300, 200, tiles(300, 200, 50)),
    "no face": (600, 400, []),
}


def overlap(a: Rectangle, b: Rectangle) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def legend_of(layout: Layout) -> Rectangle:
    x, y = layout.legend_at
    return (x, y, x + layout.legend.width, y + layout.legend.height)


@pytest.mark.parametrize(("width", "height", "boxes"), PHOTOS.values(), ids=PHOTOS)
def test_no_number_and_no_legend_lies_on_a_face_or_on_another(width: int, height: int, boxes: list[Rectangle]) -> None:
    layout = laid_out(scored(boxes), width, height)
    whole, legend = (0.0, 0.0, *map(float, layout.size)), legend_of(layout)
    assert len(layout.numbers) == len(boxes)
    for number in [*layout.numbers, legend]:
        assert number[0] >= 0
        assert number[1] >= 0
        assert number[2] <= whole[2] + 1
        assert number[3] <= whole[3] + 1
        assert not any(overlap(number, box) for box in layout.boxes)
    for one, other in itertools.combinations([*layout.numbers, legend], 2):
        assert not overlap(one, other)
    assert not overlap(legend, layout.photo)
    assert min([layout.legend.font_px, *layout.number_px]) >= 9
    assert max(layout.photo[2] - layout.photo[0], layout.photo[3] - layout.photo[1]) >= max(width, height)


@pytest.mark.parametrize("name", ["one", "a close-up", "tiny", "a crowd", "no place free"])
def test_no_pixel_inside_a_box_is_painted(name: str) -> None:
    width, height, boxes = PHOTOS[name]
    pixels = np.random.default_rng(7).integers(90, 140, (height, width, 3), dtype=np.uint8)
    photo = scored(boxes, landmarks=False)
    layout = laid_out(photo, width, height)
    drawing = np.asarray(annotated(Image.fromarray(pixels), photo))
    assert drawing.shape[:2] == layout.size[::-1]
    left, top, right, bottom = (round(edge) for edge in layout.photo)
    # Nothing is painted in a colour between these but the photo itself, however it was enlarged.
    plain = ((drawing >= 60) & (drawing <= 170)).all(axis=2)
    line = layout.line_px + 1
    inside = np.zeros(plain.shape, bool)
    for x0, y0, x1, y1 in layout.boxes:
        inside[round(y0) + line : round(y1) - line, round(x0) + line : round(x1) - line] = True
    for x0, y0, x1, y1 in layout.boxes:  # outlines of others may cross a face
        for edge in (np.s_[round(y0) - line : round(y0) + line], np.s_[round(y1) - line : round(y1) + line]):
            inside[edge, round(x0) - line : round(x1) + line] = False
        for edge in (np.s_[round(x0) - line : round(x0) + line], np.s_[round(x1) - line : round(x1) + line]):
            inside[round(y0) - line : round(y1) + line, edge] = False
    assert inside[top:bottom, left:right].sum() > 100
    assert plain[inside].all()


def test_numbers_stand_at_their_boxes_where_there_is_room() -> None:
    boxes = [(100.0, 100.0, 200.0, 200.0), (100.0, 206.0, 200.0, 306.0)]
    above, below = number_places(boxes, [(20, 16)] * 2, (0, 0, 600, 600), 2) or []
    assert above == (100, 82, 120, 98)
    assert below == (100, 308, 120, 324)  # above the box it would stand at the first face
    assert number_places(boxes, [(20, 16)] * 2, (100, 100, 200, 306), 2) is None
    (alone,) = number_places([(0.0, 0.0, 600.0, 500.0)], [(20, 16)], (0, 0, 600, 600), 2) or []
    assert alone == (0, 502, 20, 518)


def test_the_legend_has_a_line_for_each_face_and_the_marks_that_concern_a_picture() -> None:
    legend = laid_out(scored(PHOTOS["one"][2] * 3), 640, 800).legend
    assert legend.header == ("", "gender", "age", "ethnicity")
    assert legend.lines == (
        ("1", "female", "31", "White"),
        ("2", "female", "32", "Latino_Hispanic"),
        ("3", "female", "33", "uncertain"),
    )
    assert " ".join(legend.notes) == "untrained weights: detect, embed"
    bare = laid_out(scored(PHOTOS["one"][2], heads=False), 640, 800).legend
    assert (bare.header, bare.lines) == (("", "score"), (("1", "0.88"),))
    none = laid_out(scored([]), 640, 800).legend
    assert none.notes[0] == "no face found"


def test_many_faces_take_several_columns() -> None:
    width, height, boxes = PHOTOS["256 faces"]
    legend = laid_out(scored(boxes), width, height).legend
    assert legend.lines_per_column < len(legend.lines) == 256


def test_long_class_names_are_cut() -> None:
    photo = scored([(10, 10, 60, 60)])
    long = replace(photo, faces=(replace(photo.faces[0], ethnicity="x" * 5000),), marks={"m" * 5000: ["embed"]})
    layout = laid_out(long, 640, 480)
    assert layout.size[0] < 4 * 640
    assert max(len(cell) for cells in layout.legend.lines for cell in cells) == 40
    assert all(len(word) <= 40 for note in layout.legend.notes for word in note.split())
