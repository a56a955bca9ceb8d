"""Real inputs of exports: what a photo that does not decode does to the others, and how large values are found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnxruntime")
pytest.importorskip("nvidia.dali", reason="DALI decodes photos")
onnx = pytest.importorskip("onnx")

from fsengine.errors import ExportError  # noqa: E402
from fsexport.align.face_crops import decoded, shipped_photos  # noqa: E402
from fsexport.embed.calibration import largest_magnitudes  # noqa: E402
from fsexport.graphs.graph_builder import GraphBuilder  # noqa: E402
from tiny_graphs import tiny_graph  # noqa: E402


def test_a_photo_that_does_not_decode_does_not_take_the_next_with_it(tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(shipped_photos()[0].read_bytes()[:3000])
    good = shipped_photos()[1]
    found = [photo is not None for photo in decoded([good, broken, good])]
    assert found == [True, False, True]


def doubled(g: GraphBuilder) -> str:
    pixels = g.add("Cast", "crop", to=onnx.TensorProto.FLOAT)
    g.add("Mul", pixels, g.number(-2.0))
    return str(g.add("Add", pixels, pixels))


def test_the_largest_magnitude_is_that_of_all_crops_and_of_either_sign() -> None:
    graph = tiny_graph(doubled, {"crop": (onnx.TensorProto.UINT8, ("n", 4, 4, 3))})
    (product,) = [node.output[0] for node in graph.graph.node if node.op_type == "Mul"]
    crops = np.zeros((9, 4, 4, 3), np.uint8)
    crops[8, 1, 2, 0] = 200
    assert largest_magnitudes(graph, [product], onnx.TensorProto.FLOAT, crops) == {product: 400.0}
    with pytest.raises(ExportError, match="calibrated on 7 face crops, expected at least 8"):
        largest_magnitudes(graph, [product], onnx.TensorProto.FLOAT, crops[:7])
