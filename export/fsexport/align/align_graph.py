"""The align graph: one photo and its detections to faces in its own pixels, and their crops.

One GridSample over one picture, the grids of all faces one below the other: repeating the picture for each
face would cost gigabytes on a group photo. The picture is an atlas of the photo and its halvings, so that each
face is sampled from the level that suits its size. Points are as in `fsexport.align.crop_geometry`.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from fsengine.contracts.preprocessing import LEAST_SIDE_PX, MAX_SIDE_PX, CropSpec
from fsengine.contracts.steps import align_spec
from fsengine.contracts.tensors import DType
from fsexport.align.crop_geometry import LEVEL_BIAS, NUM_LEVELS
from fsexport.align.geometry_graph import Complex, column, magnitude, write_crop_geometry
from fsexport.artifact.onnx_file import save_onnx
from fsexport.graphs.contract_io import spec_values
from fsexport.graphs.graph_builder import GraphBuilder


class _Atlas(NamedTuple):
    """The pyramid in one picture, level below level.

    Attributes:
        pixels: float32 (1, 3, A, W).
        size: float32 (1, 2), W and A.
        levels: float32 (NUM_LEVELS, 3): width, height and first row of each level; the first level's size is `photo`.
        photo: float32 (1, 2), width and height of the photo without its padding.
        unpadded: float32 (1,): 1, or 0 where the photo has padding, which the levels after the first then hold too.
    """

    pixels: str
    size: str
    levels: str
    photo: str
    unpadded: str


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
    values = [faces.num_faces, faces.box, faces.landmarks, faces.score]
    values += [builder.crops(atlas, faces, crop) for crop in (portrait, age_gender) if crop is not None]
    for value, tensor in zip(values, spec.outputs, strict=True):
        builder.graph.rename(value, tensor.name, to=None if tensor.dtype is DType.FP32 else tensor.dtype.onnx)
    model = builder.graph.model("align", spec_values(spec.inputs), spec_values(spec.outputs))
    return save_onnx(model, out_path)


class _Faces(NamedTuple):
    """The F >= 1 faces of the photo.

    Attributes:
        num_faces: float32 (1,): F, or 0 where the one row stands for no face.
        box: float32 (F, 4) in pixels of the full-size photo, clipped to it.
        landmarks: float32 (F, 5, 2) in the same pixels.
        score: float32 (F, 1).
        image_box: float32 (F, 4) in pixels of the image at hand, not clipped.
        image_points: (F, 5) in pixels of the image at hand.
    """

    num_faces: str
    box: str
    landmarks: str
    score: str
    image_box: str
    image_points: Complex


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
        flags = g.add("Cast", found, to=DType.FP32.onnx)
        kept = g.add("Max", flags, first)
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
            num_faces=g.add("ReduceSum", flags, g.ints(0), keepdims=1),
            box=clipped,
            landmarks=landmarks,
            score=score,
            image_box=image_box,
            image_points=Complex(column(g, points, 2, 0), column(g, points, 2, 1)),
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
        heights = column(g, table, 1, 1, keep=True)
        image = g.add("Gather", table, g.ints(0), axis=0)  # (1, 2)
        photo = self._photo_in(image)
        total = g.add("ReduceSum", heights, g.ints(0), keepdims=1)
        # Running sums by a product: TensorRT makes a loop of CumSum. Whole numbers up to 2,048 are exact in TF32 too.
        above = g.constant(np.tri(NUM_LEVELS, k=-1, dtype=np.float32))
        first_rows = g.add("MatMul", above, heights)
        same = g.add("Cast", g.add("Equal", photo, image), to=DType.FP32.onnx)
        return _Atlas(
            pixels=pixels,
            size=g.add("Concat", column(g, image, 1, 0, keep=True), total, axis=1),
            levels=g.add("Concat", g.add("Min", table, photo), first_rows, axis=1),
            photo=photo,
            unpadded=g.add("ReduceMin", same, g.ints(1), keepdims=0),
        )

    def _photo_in(self, image: str) -> str:
        """Return the photo's share of the image at hand, float32 (1, 2): decode pads sides below `LEAST_SIDE_PX`."""
        g = self.graph
        size = g.add("Cast", "image_size", to=DType.FP32.onnx)  # (1, 2)
        shrunk = g.add("Div", g.number(MAX_SIDE_PX), g.add("ReduceMax", size, g.ints(1), keepdims=1))
        scaled = g.add("Mul", size, g.add("Min", shrunk, g.number(1)))
        # As "not_larger" rounds in the decode step.
        rounded = g.add("Max", g.add("Floor", g.add("Add", scaled, g.number(0.5))), g.number(1))
        # A longer side is all photo, whichever way a half was rounded.
        is_longer = g.add("Greater", image, g.number(LEAST_SIDE_PX))
        return str(g.add("Where", is_longer, image, g.add("Min", image, rounded)))

    def crops(self, atlas: _Atlas, faces: _Faces, crop: CropSpec) -> str:
        """Sample one kind of crop: float32 (F, S, S, 3), whole numbers of 0 to 255."""
        g, side = self.graph, crop.side_px
        origin, step = write_crop_geometry(g, faces.image_box, faces.image_points, crop)
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

    def _grid(self, origin: Complex, step: Complex, side: int) -> Complex:
        """Return the photo's points of every crop pixel, each part (F, S, S)."""
        g = self.graph
        index = np.arange(side, dtype=np.float32)
        u, v = g.constant(index.reshape(1, 1, side)), g.constant(index.reshape(1, side, 1))
        ox, oy, sx, sy = (g.add("Unsqueeze", part, g.ints(1, 2)) for part in (*origin, *step))
        x = g.add("Add", g.add("Add", g.add("Mul", sx, u), ox), g.add("Neg", g.add("Mul", sy, v)))
        y = g.add("Add", g.add("Add", g.add("Mul", sy, u), oy), g.add("Mul", sx, v))
        return Complex(x, y)

    def _inside(self, x: str, y: str, atlas: _Atlas) -> str:
        """Return float32 (F, S, S): 1 inside the photo, 0 outside."""
        g = self.graph
        flags = []
        for axis, part in enumerate((x, y)):
            size = column(g, atlas.photo, 1, axis)
            half = g.add("Mul", size, g.number(0.5))
            centre = g.add("Sub", half, g.number(0.5))
            distance = g.add("Abs", g.add("Sub", part, centre))
            flags.append(g.add("LessOrEqual", distance, half))
        return str(g.add("Cast", g.add("And", *flags), to=DType.FP32.onnx))

    def _in_atlas(self, x: str, y: str, step: Complex, atlas: _Atlas) -> tuple[str, str]:
        """Move points of the photo to the level of their face, clamped so that neither levels nor padding bleed."""
        g = self.graph
        log2 = g.add("Div", g.add("Log", g.add("Max", magnitude(g, step), g.number(1e-6))), g.number(float(np.log(2))))
        level = g.add("Floor", g.add("Add", log2, g.number(LEVEL_BIAS)))
        level = g.add("Mul", g.add("Clip", level, g.number(0), g.number(NUM_LEVELS - 1)), atlas.unpadded)
        row = g.add("Gather", atlas.levels, g.add("Cast", level, to=DType.INT64.onnx), axis=0)  # (F, 3)
        inverse = g.add("Pow", g.number(0.5), level)
        inverse = g.add("Unsqueeze", inverse, g.ints(1, 2))
        moved = []
        for axis, part in enumerate((x, y)):
            scaled = g.add("Mul", g.add("Add", part, g.number(0.5)), inverse)
            last = g.add("Sub", column(g, row, 1, axis), g.number(1.0))
            last = g.add("Unsqueeze", last, g.ints(1, 2))
            clamped = g.add("Min", g.add("Max", g.add("Sub", scaled, g.number(0.5)), g.number(0)), last)
            moved.append(clamped)
        first_row = g.add("Unsqueeze", column(g, row, 1, 2), g.ints(1, 2))
        return moved[0], str(g.add("Add", moved[1], first_row))

    def _normalized(self, x: str, y: str, atlas: _Atlas) -> str:
        """Return GridSample's coordinates, (F, S, S, 2): -1 and 1 are the outer edges of the atlas."""
        g = self.graph
        parts = []
        for axis, part in enumerate((x, y)):
            doubled = g.add("Add", g.add("Mul", part, g.number(2)), g.number(1))
            ratio = g.add("Div", doubled, column(g, atlas.size, 1, axis))
            parts.append(g.add("Unsqueeze", g.add("Sub", ratio, g.number(1)), g.ints(3)))
        return str(g.add("Concat", *parts, axis=3))

    def _size_of(self, pixels: str) -> str:
        """Return int64 (1, 2): width and height of (1, 3, H, W)."""
        g = self.graph
        size = g.add("Concat", self._axis(pixels, 3), self._axis(pixels, 2), axis=0)
        return str(g.add("Unsqueeze", size, g.ints(0)))

    def _axis(self, value: str, axis: int) -> str:
        return str(self.graph.add("Shape", value, start=axis, end=axis + 1))
