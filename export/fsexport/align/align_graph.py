"""The align graph: one photo and its detections to faces in its own pixels, and their crops.

One GridSample over one picture, the grids of all faces one below the other: repeating the picture for each
face would cost gigabytes on a group photo. The picture is an atlas of the photo and its halvings, so that each
face is sampled from the level that suits its size. Points are as in `fsexport.align.crop_geometry`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fsengine.contracts.preprocessing import CropKind, CropSpec
from fsengine.contracts.steps import align_spec
from fsengine.contracts.tensors import DType
from fsexport.align import crop_geometry as geometry
from fsexport.align.pyramid import LEVEL_BIAS, NUM_LEVELS
from fsexport.artifact.onnx_file import save_onnx
from fsexport.graphs.contract_io import spec_values
from fsexport.graphs.graph_builder import GraphBuilder


class _Complex(NamedTuple):
    """Two float32 values of one shape: a complex number."""

    real: str
    imag: str


class _Atlas(NamedTuple):
    """The pyramid in one picture, level below level.

    Attributes:
        pixels: float32 (1, 3, A, W).
        size: float32 (1, 2), W and A.
        levels: float32 (NUM_LEVELS, 3): width, height and first row of each level.
        photo: float32 (1, 2), width and height of the photo.
    """

    pixels: str
    size: str
    levels: str
    photo: str


def export_align(out_path: Path, max_faces: int, portrait: CropSpec, age_gender: CropSpec | None) -> Path:
    """Write the align graph of a pack.

    Args:
        out_path: Where it shall lie.
        max_faces: Rows of the detections.
        portrait: The encoder's crop.
        age_gender: The age/gender model's crop, or None.

    Returns:
        `out_path`.

    Raises:
        ExportError: The graph is not valid.
    """
    spec = align_spec(max_faces, portrait, age_gender)
    builder = _AlignBuilder(max_faces)
    atlas = builder.atlas()
    faces = builder.faces(atlas)
    values = [faces.box, faces.landmarks, faces.score]
    for crop in (portrait, age_gender):
        if crop is not None:
            values.append(builder.crops(atlas, faces, crop))
    for value, tensor in zip(values, spec.outputs, strict=True):
        pixels = tensor.dtype.onnx if tensor.dtype is DType.UINT8 else None
        builder.graph.rename(value, tensor.name, to=pixels)
    model = builder.graph.model("align", spec_values(spec.inputs), spec_values(spec.outputs))
    return save_onnx(model, out_path)


class _Faces(NamedTuple):
    """The F >= 1 faces of the photo.

    Attributes:
        box: float32 (F, 4) in pixels of the full-size photo, clipped to it.
        landmarks: float32 (F, 5, 2) in the same pixels.
        score: float32 (F, 1).
        image_box: float32 (F, 4) in pixels of the image at hand, not clipped.
        image_points: (F, 5) in pixels of the image at hand.
    """

    box: str
    landmarks: str
    score: str
    image_box: str
    image_points: _Complex


class _AlignBuilder:
    def __init__(self, max_faces: int) -> None:
        self.max_faces = max_faces
        self.graph = GraphBuilder()

    def faces(self, atlas: _Atlas) -> _Faces:
        """Select the faces and map them to the full-size photo and to the image at hand."""
        g = self.graph
        found = g.add("Greater", g.add("Squeeze", "detected_score", g.ints(0)), g.number(0))  # (1, K) -> (K,)
        # The first row stays where nothing was found. Rows are gathered and not cut off by their count, which would be
        # a size from data: ONNX Runtime copies it to the host, and TensorRT computes sizes there.
        first = g.constant(np.eye(1, self.max_faces, dtype=np.float32)[0])
        kept = g.add("Max", g.add("Cast", found, to=DType.FP32.onnx), first)
        kept = g.add("Squeeze", g.add("NonZero", kept), g.ints(0))  # (1, F) -> (F,)

        def rows(name: str) -> str:
            return str(g.add("Gather", g.add("Squeeze", name, g.ints(0)), kept, axis=0))  # (1, K, ...) -> (F, ...)

        score = g.add("Unsqueeze", rows("detected_score"), g.ints(1))
        size = g.add("Cast", "image_size", to=DType.FP32.onnx)  # (1, 2)
        landmarks = g.add("Div", rows("detected_landmarks"), "detector_scale")
        scale4 = g.add("Concat", "detector_scale", "detector_scale", axis=1)  # (1, 4)
        size4 = g.add("Concat", size, size, axis=1)
        box = g.add("Div", rows("detected_box"), scale4)
        clipped = g.add("Min", g.add("Max", box, g.number(0)), size4)
        shrunk = g.add("Div", atlas.photo, size)  # (1, 2), image pixels per full-size pixel
        points = g.add("Mul", landmarks, shrunk)
        image_box = g.add("Mul", box, g.add("Concat", shrunk, shrunk, axis=1))
        return _Faces(
            box=clipped,
            landmarks=landmarks,
            score=score,
            image_box=image_box,
            image_points=_Complex(self._column(points, 2, 0), self._column(points, 2, 1)),
        )

    def atlas(self) -> _Atlas:
        """Stack the photo and its halvings, each padded to the photo's width."""
        g = self.graph
        # TensorRT reads uint8 in a Cast alone, so that comes first; (1, H, W, 3) -> (1, 3, H, W).
        pixels = g.add("Cast", "image", to=DType.FP32.onnx)
        level = g.add("Transpose", pixels, perm=[0, 3, 1, 2])
        width = self._axis(level, 3)
        padded, sizes = [level], [self._size_of(level)]
        for _ in range(NUM_LEVELS - 1):
            level = g.add("AveragePool", level, kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1, count_include_pad=0)
            sizes.append(self._size_of(level))
            missing = g.add("Sub", width, self._axis(level, 3))
            pads = g.add("Concat", g.ints(0, 0, 0, 0, 0, 0, 0), missing, axis=0)
            padded.append(g.add("Pad", level, pads))
        pixels = g.add("Concat", *padded, axis=2)
        # The host knows shapes, the GPU uses numbers: one table of them goes over; (NUM_LEVELS, 2): width, height.
        table = g.add("Cast", g.add("Concat", *sizes, axis=0), to=DType.FP32.onnx)
        heights = self._column(table, 1, 1, keep=True)
        photo = g.add("Gather", table, g.ints(0), axis=0)  # (1, 2)
        total = g.add("ReduceSum", heights, g.ints(0), keepdims=1)
        first_rows = g.add("CumSum", heights, g.constant(np.int64(0).reshape(())), exclusive=1)
        return _Atlas(
            pixels=pixels,
            size=g.add("Concat", self._column(photo, 1, 0, keep=True), total, axis=1),
            levels=g.add("Concat", table, first_rows, axis=1),
            photo=photo,
        )

    def crops(self, atlas: _Atlas, faces: _Faces, crop: CropSpec) -> str:
        """Sample one kind of crop: float32 (F, S, S, 3), whole numbers of 0 to 255."""
        g, side = self.graph, crop.side_px
        origin, step = self._geometry(faces, crop)
        x, y = self._grid(origin, step, side)
        inside = self._inside(x, y, atlas)
        x, y = self._in_atlas(x, y, step, atlas)
        grid = self._normalized(x, y, atlas)  # (F, S, S, 2)
        grid = g.add("Reshape", grid, g.ints(1, -1, side, 2))  # (1, F*S, S, 2)
        sampled = g.add("GridSample", atlas.pixels, grid, align_corners=0, mode="bilinear", padding_mode="border")
        sampled = g.add("Reshape", sampled, g.ints(3, -1, side, side))  # (1, 3, F*S, S) -> (3, F, S, S)
        sampled = g.add("Mul", sampled, inside)
        rounded = g.add("Clip", g.add("Round", sampled), g.number(0), g.number(255))
        return str(g.add("Transpose", rounded, perm=[1, 2, 3, 0]))  # -> (F, S, S, 3)

    def _geometry(self, faces: _Faces, crop: CropSpec) -> tuple[_Complex, _Complex]:
        """Return (origin, step), each (F,); see `crop_geometry`."""
        match crop.kind:
            case CropKind.PORTRAIT:
                return self._portrait(faces, crop.side_px)
            case CropKind.ARCFACE:
                return self._arcface(faces, crop.side_px)
            case CropKind.BOX:
                return self._box(faces, crop)
        raise AssertionError(f"no geometry for {crop.kind}")

    def _portrait(self, faces: _Faces, side: int) -> tuple[_Complex, _Complex]:
        g = self.graph
        points = [self._point(faces.image_points, i) for i in range(5)]
        eye_to_eye = self._plus(points[1], points[0], -1.0)
        eyes = self._scaled(self._plus(points[0], points[1]), 0.5)
        mouth = self._scaled(self._plus(points[3], points[4]), 0.5)
        eye_to_mouth = self._plus(mouth, eyes, -1.0)
        # right = eye_to_eye - i * eye_to_mouth
        right = _Complex(
            g.add("Add", eye_to_eye.real, eye_to_mouth.imag), g.add("Sub", eye_to_eye.imag, eye_to_mouth.real)
        )
        half_side = g.add(
            "Max",
            g.add("Mul", self._abs(eye_to_eye), g.number(geometry.FFHQ_EYE_FACTOR)),
            g.add("Mul", self._abs(eye_to_mouth), g.number(geometry.FFHQ_MOUTH_FACTOR)),
        )
        length = g.add("Div", half_side, g.add("Max", self._abs(right), g.number(1e-6)))
        right = _Complex(g.add("Mul", right.real, length), g.add("Mul", right.imag, length))
        centre = self._plus(eyes, eye_to_mouth, geometry.FFHQ_CENTRE_SHIFT)
        # origin = centre - (right - step / 2) * (1 + i)
        inner = self._scaled(right, 1 - 1 / side)
        return self._minus_diagonal(centre, inner), self._scaled(right, 2 / side)

    def _arcface(self, faces: _Faces, side: int) -> tuple[_Complex, _Complex]:
        g = self.graph
        template = geometry.ARCFACE_TEMPLATE.astype(np.float64) * side / geometry.ARCFACE_SIDE_PX
        mean = template.mean(axis=0)
        target = (template - mean).astype(np.float32)
        p, q = faces.image_points
        mean_p, mean_q = (g.add("ReduceMean", part, g.ints(1), keepdims=1) for part in (p, q))
        p, q = g.add("Sub", p, mean_p), g.add("Sub", q, mean_q)
        tx, ty = g.constant(target[:, 0]), g.constant(target[:, 1])

        def total(*products: tuple[str, str]) -> str:
            terms = [g.add("Mul", a, b) for a, b in products]
            summed = terms[0] if len(terms) == 1 else g.add("Add", *terms)
            return str(g.add("ReduceSum", summed, g.ints(1), keepdims=0))

        # to_crop = sum(conj(p) * t) / sum(|p|^2); step = 1 / to_crop = sum(|p|^2) * conj(s) / |s|^2
        power = total((p, p), (q, q))
        s = _Complex(total((p, tx), (q, ty)), g.add("Sub", total((p, ty)), total((q, tx))))
        norm = g.add("Max", g.add("Add", g.add("Mul", s.real, s.real), g.add("Mul", s.imag, s.imag)), g.number(1e-6))
        ratio = g.add("Div", power, norm)
        step = _Complex(g.add("Mul", s.real, ratio), g.add("Neg", g.add("Mul", s.imag, ratio)))
        mx, my = g.number(mean[0]), g.number(mean[1])
        shift = _Complex(
            g.add("Sub", g.add("Mul", step.real, mx), g.add("Mul", step.imag, my)),
            g.add("Add", g.add("Mul", step.real, my), g.add("Mul", step.imag, mx)),
        )
        centre = _Complex(*(g.add("Squeeze", part, g.ints(1)) for part in (mean_p, mean_q)))
        return self._plus(centre, shift, -1.0), step

    def _box(self, faces: _Faces, crop: CropSpec) -> tuple[_Complex, _Complex]:
        g = self.graph
        x0, y0, x1, y1 = (self._column(faces.image_box, 1, i) for i in range(4))
        longer = g.add("Max", g.add("Sub", x1, x0), g.add("Sub", y1, y0))
        half = g.add("Mul", longer, g.number(crop.box_margin / 2))
        centre = self._scaled(_Complex(g.add("Add", x0, x1), g.add("Add", y0, y1)), 0.5)
        zero = g.add("Mul", half, g.number(0))
        step = _Complex(g.add("Mul", half, g.number(2 / crop.side_px)), zero)
        return self._minus_diagonal(centre, _Complex(half, zero)), step

    def _grid(self, origin: _Complex, step: _Complex, side: int) -> _Complex:
        """Return the photo's points of every crop pixel, each part (F, S, S)."""
        g = self.graph
        index = np.arange(side, dtype=np.float32)
        u, v = g.constant(index.reshape(1, 1, side)), g.constant(index.reshape(1, side, 1))
        ox, oy, sx, sy = (g.add("Unsqueeze", part, g.ints(1, 2)) for part in (*origin, *step))
        x = g.add("Add", g.add("Add", g.add("Mul", sx, u), ox), g.add("Neg", g.add("Mul", sy, v)))
        y = g.add("Add", g.add("Add", g.add("Mul", sy, u), oy), g.add("Mul", sx, v))
        return _Complex(x, y)

    def _inside(self, x: str, y: str, atlas: _Atlas) -> str:
        """Return float32 (F, S, S): 1 inside the photo, 0 outside."""
        g = self.graph
        flags = []
        for axis, part in enumerate((x, y)):
            size = self._column(atlas.photo, 1, axis)
            half = g.add("Mul", size, g.number(0.5))
            centre = g.add("Sub", half, g.number(0.5))
            distance = g.add("Abs", g.add("Sub", part, centre))
            flags.append(g.add("LessOrEqual", distance, half))
        return str(g.add("Cast", g.add("And", *flags), to=DType.FP32.onnx))

    def _in_atlas(self, x: str, y: str, step: _Complex, atlas: _Atlas) -> tuple[str, str]:
        """Move points of the photo to the level of their face, clamped so that levels do not bleed."""
        g = self.graph
        log2 = g.add("Div", g.add("Log", g.add("Max", self._abs(step), g.number(1e-6))), g.number(float(np.log(2))))
        level = g.add("Floor", g.add("Add", log2, g.number(LEVEL_BIAS)))
        level = g.add("Clip", level, g.number(0), g.number(NUM_LEVELS - 1))
        row = g.add("Gather", atlas.levels, g.add("Cast", level, to=DType.INT64.onnx), axis=0)  # (F, 3)
        inverse = g.add("Pow", g.number(0.5), level)
        inverse = g.add("Unsqueeze", inverse, g.ints(1, 2))
        moved = []
        for axis, part in enumerate((x, y)):
            scaled = g.add("Mul", g.add("Add", part, g.number(0.5)), inverse)
            last = g.add("Sub", self._column(row, 1, axis), g.number(1.0))
            last = g.add("Unsqueeze", last, g.ints(1, 2))
            clamped = g.add("Min", g.add("Max", g.add("Sub", scaled, g.number(0.5)), g.number(0)), last)
            moved.append(clamped)
        first_row = g.add("Unsqueeze", self._column(row, 1, 2), g.ints(1, 2))
        return moved[0], str(g.add("Add", moved[1], first_row))

    def _normalized(self, x: str, y: str, atlas: _Atlas) -> str:
        """Return GridSample's coordinates, (F, S, S, 2): -1 and 1 are the outer edges of the atlas."""
        g = self.graph
        parts = []
        for axis, part in enumerate((x, y)):
            doubled = g.add("Add", g.add("Mul", part, g.number(2)), g.number(1))
            ratio = g.add("Div", doubled, self._column(atlas.size, 1, axis))
            parts.append(g.add("Unsqueeze", g.add("Sub", ratio, g.number(1)), g.ints(3)))
        return str(g.add("Concat", *parts, axis=3))

    def _size_of(self, pixels: str) -> str:
        """Return int64 (1, 2): width and height of (1, 3, H, W)."""
        g = self.graph
        size = g.add("Concat", self._axis(pixels, 3), self._axis(pixels, 2), axis=0)
        return str(g.add("Unsqueeze", size, g.ints(0)))

    def _axis(self, value: str, axis: int) -> str:
        return str(self.graph.add("Shape", value, start=axis, end=axis + 1))

    def _column(self, value: str, axis: int, index: int, *, keep: bool = False) -> str:
        position = self.graph.ints(index) if keep else self.graph.constant(np.int64(index).reshape(()))
        return str(self.graph.add("Gather", value, position, axis=axis))

    def _point(self, points: _Complex, index: int) -> _Complex:
        return _Complex(self._column(points.real, 1, index), self._column(points.imag, 1, index))

    def _plus(self, a: _Complex, b: _Complex, factor: float = 1.0) -> _Complex:
        scaled = b if factor == 1.0 else self._scaled(b, factor)
        return _Complex(self.graph.add("Add", a.real, scaled.real), self.graph.add("Add", a.imag, scaled.imag))

    def _scaled(self, a: _Complex, factor: float) -> _Complex:
        number = self.graph.number(factor)
        return _Complex(self.graph.add("Mul", a.real, number), self.graph.add("Mul", a.imag, number))

    def _minus_diagonal(self, centre: _Complex, half: _Complex) -> _Complex:
        """Return centre - half * (1 + i)."""
        g = self.graph
        return _Complex(
            g.add("Sub", centre.real, g.add("Sub", half.real, half.imag)),
            g.add("Sub", centre.imag, g.add("Add", half.real, half.imag)),
        )

    def _abs(self, a: _Complex) -> str:
        g = self.graph
        squares: Sequence[str] = [g.add("Mul", part, part) for part in a]
        return str(g.add("Sqrt", g.add("Add", *squares)))
