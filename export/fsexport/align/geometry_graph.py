"""Where a face crop lies in a photo, as ONNX nodes: the formulas of `crop_geometry`, complex numbers as pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fsengine.contracts.preprocessing import CropKind, CropSpec
from fsexport.align.crop_geometry import (
    ARCFACE_SIDE_PX,
    ARCFACE_TEMPLATE,
    FFHQ_CENTRE_SHIFT,
    FFHQ_EYE_FACTOR,
    FFHQ_MOUTH_FACTOR,
)
from fsexport.graphs.graph_builder import GraphBuilder


class Complex(NamedTuple):
    """Two float32 values of one shape: a complex number."""

    real: str
    imag: str


def write_crop_geometry(g: GraphBuilder, boxes: str, points: Complex, crop: CropSpec) -> tuple[Complex, Complex]:
    """Write where the crop of each face lies: `crop_geometry` as nodes.

    Args:
        g: The graph.
        boxes: float32 (F, 4) in pixels of the image.
        points: (F, 5) in the same pixels.
        crop: Which crop.

    Returns:
        (origin, step), each (F,).
    """
    match crop.kind:
        case CropKind.PORTRAIT:
            return _portrait(g, points, crop.side_px)
        case CropKind.ARCFACE:
            return _arcface(g, points, crop.side_px)
        case CropKind.BOX:
            return _box(g, boxes, crop)
    raise AssertionError(f"no geometry for {crop.kind}")


def _portrait(g: GraphBuilder, points: Complex, side: int) -> tuple[Complex, Complex]:
    marks = [_point(g, points, i) for i in range(5)]
    eye_to_eye = _plus(g, marks[1], marks[0], -1.0)
    eyes = _scaled(g, _plus(g, marks[0], marks[1]), 0.5)
    mouth = _scaled(g, _plus(g, marks[3], marks[4]), 0.5)
    eye_to_mouth = _plus(g, mouth, eyes, -1.0)
    # right = eye_to_eye - i * eye_to_mouth
    right = Complex(g.add("Add", eye_to_eye.real, eye_to_mouth.imag), g.add("Sub", eye_to_eye.imag, eye_to_mouth.real))
    half_side = g.add(
        "Max",
        g.add("Mul", magnitude(g, eye_to_eye), g.number(FFHQ_EYE_FACTOR)),
        g.add("Mul", magnitude(g, eye_to_mouth), g.number(FFHQ_MOUTH_FACTOR)),
    )
    length = g.add("Div", half_side, g.add("Max", magnitude(g, right), g.number(1e-6)))
    right = Complex(g.add("Mul", right.real, length), g.add("Mul", right.imag, length))
    centre = _plus(g, eyes, eye_to_mouth, FFHQ_CENTRE_SHIFT)
    # origin = centre - (right - step / 2) * (1 + i)
    inner = _scaled(g, right, 1 - 1 / side)
    return _minus_diagonal(g, centre, inner), _scaled(g, right, 2 / side)


def _arcface(g: GraphBuilder, points: Complex, side: int) -> tuple[Complex, Complex]:
    template = ARCFACE_TEMPLATE.astype(np.float64) * side / ARCFACE_SIDE_PX
    mean = template.mean(axis=0)
    target = (template - mean).astype(np.float32)
    p, q = points
    mean_p, mean_q = (g.add("ReduceMean", part, g.ints(1), keepdims=1) for part in (p, q))
    p, q = g.add("Sub", p, mean_p), g.add("Sub", q, mean_q)
    tx, ty = g.constant(target[:, 0]), g.constant(target[:, 1])

    def total(*products: tuple[str, str]) -> str:
        terms = [g.add("Mul", a, b) for a, b in products]
        summed = terms[0] if len(terms) == 1 else g.add("Add", *terms)
        return str(g.add("ReduceSum", summed, g.ints(1), keepdims=0))

    # to_crop = sum(conj(p) * t) / sum(|p|^2); step = 1 / to_crop = sum(|p|^2) * conj(s) / |s|^2
    power = total((p, p), (q, q))
    s = Complex(total((p, tx), (q, ty)), g.add("Sub", total((p, ty)), total((q, tx))))
    norm = g.add("Max", g.add("Add", g.add("Mul", s.real, s.real), g.add("Mul", s.imag, s.imag)), g.number(1e-6))
    ratio = g.add("Div", power, norm)
    step = Complex(g.add("Mul", s.real, ratio), g.add("Neg", g.add("Mul", s.imag, ratio)))
    mx, my = g.number(mean[0]), g.number(mean[1])
    shift = Complex(
        g.add("Sub", g.add("Mul", step.real, mx), g.add("Mul", step.imag, my)),
        g.add("Add", g.add("Mul", step.real, my), g.add("Mul", step.imag, mx)),
    )
    centre = Complex(*(g.add("Squeeze", part, g.ints(1)) for part in (mean_p, mean_q)))
    return _plus(g, centre, shift, -1.0), step


def _box(g: GraphBuilder, boxes: str, crop: CropSpec) -> tuple[Complex, Complex]:
    x0, y0, x1, y1 = (column(g, boxes, 1, i) for i in range(4))
    longer = g.add("Max", g.add("Sub", x1, x0), g.add("Sub", y1, y0))
    half = g.add("Mul", longer, g.number(crop.box_margin / 2))
    centre = _scaled(g, Complex(g.add("Add", x0, x1), g.add("Add", y0, y1)), 0.5)
    zero = g.add("Mul", half, g.number(0))
    step = Complex(g.add("Mul", half, g.number(2 / crop.side_px)), zero)
    return _minus_diagonal(g, centre, Complex(half, zero)), step


def column(g: GraphBuilder, value: str, axis: int, index: int, *, keep: bool = False) -> str:
    """Write one column of an axis; `keep` keeps the axis, of size 1."""
    position = g.ints(index) if keep else g.constant(np.int64(index).reshape(()))
    return str(g.add("Gather", value, position, axis=axis))


def _point(g: GraphBuilder, points: Complex, index: int) -> Complex:
    return Complex(column(g, points.real, 1, index), column(g, points.imag, 1, index))


def _plus(g: GraphBuilder, a: Complex, b: Complex, factor: float = 1.0) -> Complex:
    scaled = b if factor == 1.0 else _scaled(g, b, factor)
    return Complex(g.add("Add", a.real, scaled.real), g.add("Add", a.imag, scaled.imag))


def _scaled(g: GraphBuilder, a: Complex, factor: float) -> Complex:
    number = g.number(factor)
    return Complex(g.add("Mul", a.real, number), g.add("Mul", a.imag, number))


def _minus_diagonal(g: GraphBuilder, centre: Complex, half: Complex) -> Complex:
    """Return centre - half * (1 + i)."""
    return Complex(
        g.add("Sub", centre.real, g.add("Sub", half.real, half.imag)),
        g.add("Sub", centre.imag, g.add("Add", half.real, half.imag)),
    )


def magnitude(g: GraphBuilder, a: Complex) -> str:
    """Write the absolute values."""
    squares: Sequence[str] = [g.add("Mul", part, part) for part in a]
    return str(g.add("Sqrt", g.add("Add", *squares)))
