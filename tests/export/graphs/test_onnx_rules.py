from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fsengine.errors import ExportError

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper  # noqa: E402

from fsengine.files.atomic import temporary_file  # noqa: E402
from fsexport.artifact.onnx_file import save_onnx  # noqa: E402
from fsexport.graphs.graph_builder import GraphBuilder  # noqa: E402


def model(write: Callable[[GraphBuilder], str], shape: tuple[int, ...] = (1, 1, 4, 4)) -> Any:
    graph = GraphBuilder()
    graph.rename(write(graph), "y")
    nodes = graph.nodes
    made = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        graph.initializers,
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def resized(graph: GraphBuilder, antialias: int) -> str:
    scales = graph.constant(np.array([1, 1, 0.5, 0.5], np.float32))
    return str(graph.add("Resize", "x", "", scales, mode="linear", antialias=antialias))


def top(graph: GraphBuilder, k: int) -> str:
    values, _ = graph.add("TopK", graph.add("Reshape", "x", graph.ints(-1)), graph.ints(k), outputs=2)
    return str(values)


def test_a_graph_within_the_rules_is_written(tmp_path: Path) -> None:
    path = save_onnx(model(lambda g: resized(g, 0)), tmp_path / "deep" / "model.onnx")
    assert onnx.load(path).ir_version == 10


WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "antialias": (lambda: model(lambda g: resized(g, 1)), "antialias"),
    "large k": (lambda: model(lambda g: top(g, 3840)), "K 3840"),
    "compress": (
        lambda: model(lambda g: str(g.add("Compress", "x", g.constant(np.array([True])), axis=0))),
        "Compress",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_graph_that_breaks_a_rule_is_refused_and_not_written(tmp_path: Path, name: str) -> None:
    make, message = WRONG[name]
    with pytest.raises(ExportError, match=message):
        save_onnx(make(), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_newer_versions_are_refused(tmp_path: Path) -> None:
    newer = model(lambda g: resized(g, 0))
    newer.ir_version = 11
    with pytest.raises(ExportError, match="IR version is 11"):
        save_onnx(newer, tmp_path / "model.onnx")
    newer = model(lambda g: resized(g, 0))
    newer.opset_import[0].version = 19
    with pytest.raises(ExportError, match="opset is 19"):
        save_onnx(newer, tmp_path / "model.onnx")


def test_a_file_is_whole_or_absent(tmp_path: Path) -> None:
    def fail() -> None:
        with temporary_file(tmp_path / "artifact") as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert not list(tmp_path.iterdir())
