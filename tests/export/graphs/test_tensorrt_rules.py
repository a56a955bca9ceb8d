"""The rules for TensorRT: graphs wrong in one way, graphs that look like them and are right, and the table itself."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper  # noqa: E402

from built_full_size_pack import built_full_size_pack  # noqa: E402
from fsengine.packs.pack import read_pack  # noqa: E402
from fsengine.packs.shipped import shipped_folder  # noqa: E402
from fsexport.graphs.graph_builder import HALF_QUANTIZED_OPSET, OPSET, GraphBuilder  # noqa: E402
from fsexport.graphs.onnx_rules import broken_rules  # noqa: E402
from fsexport.graphs.tensorrt_operators import OPERATORS, REFUSED, Operator  # noqa: E402
from tiny_graphs import PHOTO, Write, node, tiny_graph  # noqa: E402

FLOAT, HALF, BOOL = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BOOL
UINT8, INT8, INT32, INT64 = TensorProto.UINT8, TensorProto.INT8, TensorProto.INT32, TensorProto.INT64
PIXELS = {"x": (UINT8, (1, 8, 8, 3))}
COUNTS = {"x": (INT32, (4, 4))}
GRID = {**PHOTO, "grid": (FLOAT, (1, 5, 5, 2))}
BOXES = {"boxes": (FLOAT, (1, 9, 4)), "scores": (FLOAT, (1, 1, 9)), "limit": (FLOAT, ())}
TABLE = {"x": (FLOAT, (4, 4)), "at": (INT64, (2, 1)), "rows": (FLOAT, (2, 4))}
LENGTH = {**PHOTO, "n": (INT64, (1,))}


def cast_first(g: GraphBuilder) -> str:
    return str(g.add("Transpose", g.add("Cast", "x", to=FLOAT), perm=[0, 3, 1, 2]))


def cast_last(g: GraphBuilder) -> str:
    return str(g.add("Cast", g.add("Transpose", "x", perm=[0, 3, 1, 2]), to=FLOAT))


def pixels_renamed(g: GraphBuilder) -> str:
    return str(g.add("Identity", g.add("Cast", "x", to=UINT8)))


def top(k: int, **attributes: int) -> Write:
    def write(g: GraphBuilder) -> str:
        return str(g.add("TopK", g.add("Reshape", "x", g.ints(-1)), g.ints(k), outputs=2, **attributes)[0])

    return write


def computed_top(g: GraphBuilder) -> str:
    return str(g.add("TopK", "x", "n", outputs=2)[0])


def suppressed(threshold: Callable[[GraphBuilder], str]) -> Write:
    def write(g: GraphBuilder) -> str:
        return str(g.add("NonMaxSuppression", "boxes", "scores", g.ints(5), threshold(g), g.number(0.0)))

    return write


def resized(**attributes: Any) -> Write:
    def write(g: GraphBuilder) -> str:
        return str(g.add("Resize", "x", "", g.constant(np.array([1, 1, 2, 2], np.float32)), **attributes))

    return write


def first_rows(count: Callable[[GraphBuilder], str]) -> Write:
    def write(g: GraphBuilder) -> str:
        return str(g.add("Slice", "x", g.ints(0), count(g), g.ints(2)))

    return write


def counted(g: GraphBuilder) -> str:
    """Write how many numbers of x are positive: a size that the host cannot know."""
    found = g.add("Cast", g.add("Greater", "x", g.number(0)), to=INT64)
    return str(g.add("Reshape", g.add("ReduceSum", found, keepdims=0), g.ints(1)))


def pads_from_a_shape(g: GraphBuilder) -> str:
    width = g.add("Shape", "x", start=3, end=4)
    return str(g.add("Pad", "x", g.add("Concat", g.ints(0, 0, 0, 0, 0, 0, 0), width, axis=0), mode="edge"))


def pads_from_data(g: GraphBuilder) -> str:
    return str(g.add("Pad", "x", g.add("Concat", g.ints(0, 0, 0, 0, 0, 0, 0), counted(g), axis=0)))


def gathered(g: GraphBuilder) -> str:
    flat = g.add("Reshape", "x", g.ints(-1))
    return str(g.add("Gather", flat, g.add("Squeeze", g.add("NonZero", flat), g.ints(0))))


def nonzero_of_bools(g: GraphBuilder) -> str:
    return str(g.add("NonZero", g.add("Greater", "x", g.number(0))))


def running_sum(g: GraphBuilder) -> str:
    return str(g.add("CumSum", "x", g.constant(np.int64(0).reshape(()))))


def clipped(g: GraphBuilder) -> str:
    return str(g.add("Clip", "x", g.constant(np.int32(0).reshape(()))))


def normalized(outputs: int = 1, **attributes: int) -> Write:
    def write(g: GraphBuilder) -> str:
        scale = g.constant(np.ones(8, np.float32))
        found = g.add("LayerNormalization", "x", scale, outputs=outputs, **attributes)
        return str(found if outputs == 1 else found[0])

    return write


def batch_normalized(g: GraphBuilder) -> str:
    three = [g.constant(np.full(3, value, np.float32)) for value in (1, 2, 3, 4)]
    return str(g.add("BatchNormalization", "x", *three, outputs=3, training_mode=1)[0])


def branched(g: GraphBuilder) -> str:
    branch = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["same"])], "b", [], [helper.make_tensor_value_info("same", FLOAT, None)]
    )
    condition = g.constant(np.array(True))
    return str(g.add("If", condition, then_branch=branch, else_branch=branch))


# Name: the graph, and what is said of it.
WRONG: dict[str, tuple[Any, str]] = {
    "uint8 before its cast": (tiny_graph(cast_last, PIXELS), "Transpose has x in uint8"),
    "uint8 after its cast": (tiny_graph(pixels_renamed, output=UINT8), "Identity has .* in uint8"),
    "shape of uint8": (tiny_graph(node("Shape", "x"), PIXELS, INT64), "Shape has x in uint8"),
    "double input": (tiny_graph(node("Cast", "x", to=FLOAT), {"x": (TensorProto.DOUBLE, (2,))}), "x is double"),
    "int8 input": (tiny_graph(node("Identity", "x"), {"x": (INT8, (2,))}, INT8), "x is int8"),
    "cast to double": (tiny_graph(node("Cast", "x", to=TensorProto.DOUBLE)), "Cast has to double"),
    "text": (tiny_graph(node("Constant", value_string="a"), output=TensorProto.STRING), "Constant gives string"),
    "nonzero of bools": (tiny_graph(nonzero_of_bools, output=INT64), "NonZero is on bool, expected float, float16$"),
    "running sum": (tiny_graph(running_sum), "operator CumSum is used: TensorRT makes a loop of it"),
    "clip of int32": (tiny_graph(clipped, COUNTS, INT32), "Clip is on int32"),
    "product of int32": (tiny_graph(node("MatMul", "x", "x"), COUNTS, INT32), "MatMul is on int32"),
    "modulus of int8": (tiny_graph(node("Mod", "x", "x"), {"x": (INT8, (2,))}, INT8), "Mod is on int8"),
    "axes of a mean": (tiny_graph(node("ReduceMean", "x", "n"), LENGTH), "ReduceMean has a computed axes"),
    "squeeze of anything": (tiny_graph(node("Squeeze", "x")), "Squeeze has no axes"),
    "sampling like opset 20": (
        tiny_graph(node("GridSample", "x", "grid", mode="linear"), GRID),
        "mode linear: .*near",
    ),
    "sampling volumes": (
        tiny_graph(node("GridSample", "x", "grid"), {"x": (FLOAT, (1, 1, 4, 4, 4)), "grid": (FLOAT, (1, 2, 2, 2, 3))}),
        "GridSample is on 5 dimensions, expected 4",
    ),
    "antialias": (tiny_graph(resized(antialias=1)), "Resize has antialias 1"),
    "cubic": (tiny_graph(resized(mode="cubic")), "Resize has mode cubic"),
    "crop and resize": (tiny_graph(resized(coordinate_transformation_mode="tf_crop_and_resize")), "tf_crop_and_resize"),
    "aspect ratio": (tiny_graph(resized(keep_aspect_ratio_policy="not_larger")), "not_larger"),
    "large k": (tiny_graph(top(3840)), "K 3840, expected less than 3840"),
    "unsorted": (tiny_graph(top(5, sorted=0)), "TopK has sorted 0"),
    "computed k": (tiny_graph(computed_top, LENGTH), "TopK has a computed K"),
    "computed threshold": (tiny_graph(suppressed(lambda _: "limit"), BOXES, INT64), "computed IoU threshold"),
    "dilated pool": (
        tiny_graph(node("MaxPool", "x", kernel_shape=[2, 2], dilations=[1, 2])),
        "MaxPool has dilations 2",
    ),
    "places of maxima": (tiny_graph(node("MaxPool", "x", outputs=2, kernel_shape=[2, 2])), "MaxPool has 2 outputs"),
    "pool of a row": (
        tiny_graph(node("AveragePool", "x", kernel_shape=[2]), {"x": (FLOAT, (1, 3, 8))}),
        "AveragePool is on 3 dimensions, expected 4 or 5",
    ),
    "counting what hangs over": (
        tiny_graph(node("AveragePool", "x", kernel_shape=[2, 2], ceil_mode=1, count_include_pad=1)),
        "ceil_mode and count_include_pad",
    ),
    "pad mode": (tiny_graph(lambda g: str(g.add("Pad", "x", g.ints(*[1] * 8), mode="mirror"))), "Pad has mode mirror"),
    "pads from data": (tiny_graph(pads_from_data), "Pad has a size from data"),
    "rows by their count": (tiny_graph(first_rows(counted)), "Slice has a size from data"),
    "adding scatter": (tiny_graph(node("ScatterND", "x", "at", "rows", reduction="add"), TABLE), "reduction add"),
    "largest of a scatter": (
        tiny_graph(node("ScatterElements", "x", "at", "rows", reduction="max"), TABLE),
        "ScatterElements has reduction max",
    ),
    "einsum of capitals": (tiny_graph(node("Einsum", "x", equation="ABCD->AC")), "Einsum has equation"),
    "einsum with an ellipsis": (tiny_graph(node("Einsum", "x", equation="...c->c")), "Einsum has equation"),
    "deviations of a norm": (tiny_graph(normalized(outputs=3)), "LayerNormalization has 3 outputs"),
    "norm in fp16": (tiny_graph(normalized(stash_type=int(HALF))), "its mean and deviation stay in fp32"),
    "training": (tiny_graph(batch_normalized), "training_mode 1"),
    "norm of cubes": (tiny_graph(node("LpNormalization", "x", p=3)), "LpNormalization has p 3"),
    "depth of a row": (
        tiny_graph(node("DepthToSpace", "x", blocksize=2), {"x": (FLOAT, (4, 8, 8))}),
        "DepthToSpace is on 3 dimensions",
    ),
    "branches": (tiny_graph(branched), "operator If is used: control flow"),
    "an operator of no table": (tiny_graph(node("Hardmax", "x")), "operator Hardmax is used: it is not in"),
    "another opset": (tiny_graph(node("Relu", "x"), opset=HALF_QUANTIZED_OPSET), "opset is 21, expected 18"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_tensorrt_does_not_import_is_said(name: str) -> None:
    graph, message = WRONG[name]
    assert re.search(message, "; ".join(broken_rules(graph)))


RIGHT: dict[str, Any] = {
    "uint8 into a cast": tiny_graph(cast_first, PIXELS),
    "uint8 out of a cast": tiny_graph(node("Cast", "x", to=UINT8), output=UINT8),
    "a bool output": tiny_graph(lambda g: str(g.add("Greater", "x", g.number(0))), output=BOOL),
    "int64 in and out": tiny_graph(node("Add", "x", "x"), {"x": (INT64, (2,))}, INT64),
    "a modulus": tiny_graph(node("Mod", "x", "x"), COUNTS, INT32),
    "rounding": tiny_graph(node("Round", "x")),
    "gelu": tiny_graph(node("Gelu", "x")),
    "nonzero of floats": tiny_graph(gathered),
    "bilinear sampling": tiny_graph(node("GridSample", "x", "grid", mode="bilinear", padding_mode="border"), GRID),
    "resize": tiny_graph(resized(mode="linear", coordinate_transformation_mode="pytorch_half_pixel")),
    "top": tiny_graph(top(3839)),
    "suppression": tiny_graph(suppressed(lambda g: g.number(0.4)), BOXES, INT64),
    "pool with a rest": tiny_graph(node("AveragePool", "x", kernel_shape=[2, 2], ceil_mode=1, count_include_pad=0)),
    "pads from a shape": tiny_graph(pads_from_a_shape),
    "rows by a shape": tiny_graph(first_rows(lambda g: str(g.add("Shape", "x", start=2, end=3)))),
    "scatter": tiny_graph(node("ScatterND", "x", "at", "rows"), TABLE),
    "einsum": tiny_graph(node("Einsum", "x", equation="abcd->ac")),
    "layer norm": tiny_graph(normalized()),
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_tensorrt_imports_passes(name: str) -> None:
    assert not list(broken_rules(RIGHT[name]))


def test_refused_operators_are_refused_with_the_reason() -> None:
    for op_type, reason in REFUSED.items():
        assert list(broken_rules(tiny_graph(node(op_type, "x")))) == [f"operator {op_type} is used: {reason}"]


@pytest.mark.parametrize(("op_type", "operator"), OPERATORS.items(), ids=list(OPERATORS))
def test_the_table_is_about_onnx_operators_and_states_their_defaults(op_type: str, operator: Operator) -> None:
    schema = onnx.defs.get_schema(op_type, max(OPSET, 20))  # Gelu is of opset 20
    places = (operator.data, *operator.constants, *operator.needed, *operator.sizes)
    assert max(places, default=0) < max(len(schema.inputs), 1)
    assert operator.most_outputs <= len(schema.outputs)
    for name, limit in operator.attributes.items():
        default = schema.attributes[name].default_value
        stated = helper.get_attribute_value(default) if default.name else limit.default
        # GridSample's default has another name from opset 20 on, and Cast's target has none.
        assert limit.default in limit.allowed
        assert stated in (limit.default, str(limit.default).encode(), b"linear")


def quantized(zero_point: Any, scale: float | str = 0.1, op_type: str = "QuantizeLinear", half: bool = False) -> Any:
    """Return a graph of one quantizing node; a text as scale names an input."""

    def write(g: GraphBuilder) -> str:
        step = scale if isinstance(scale, str) else g.constant(np.asarray(scale, np.float16 if half else np.float32))
        points = () if zero_point is None else (g.constant(zero_point),)
        if op_type == "QuantizeLinear":
            return str(g.add("DequantizeLinear", g.add(op_type, "x", step, *points), step, *points))
        assert zero_point is not None
        return str(g.add(op_type, g.constant(np.ones(4, zero_point.dtype)), step, *points))

    kind = HALF if half else FLOAT
    inputs = {"x": (kind, (4,)), "step": (FLOAT, ())}
    return tiny_graph(write, inputs, kind, HALF_QUANTIZED_OPSET if half else OPSET)


FLOAT8 = helper.tensor_dtype_to_np_dtype(TensorProto.FLOAT8E4M3FN)

ASYMMETRIC: dict[str, tuple[Any, str]] = {
    "uint8": (quantized(np.uint8(0)), "QuantizeLinear quantizes to uint8, expected int8, float8e4m3fn"),
    "uint8, unsaid": (quantized(None), "QuantizeLinear quantizes to uint8"),
    "a zero point": (quantized(np.int8(3)), "zero point other than 0"),
    "a scale of 0": (quantized(np.int8(0), 0.0), "scale that is not above 0"),
    "a computed scale": (quantized(np.int8(0), "step"), "computed scale"),
    "a bias in int32": (quantized(np.int32(0), op_type="DequantizeLinear"), "quantizes to int32"),
}


@pytest.mark.parametrize("name", ASYMMETRIC)
def test_quantization_for_a_cpu_is_refused_in_graphs_for_tensorrt_alone(name: str) -> None:
    graph, message = ASYMMETRIC[name]
    assert re.search(message, "; ".join(broken_rules(graph)))
    assert not list(broken_rules(graph, tensorrt=False))


def test_symmetric_quantization_passes_in_the_opset_that_its_types_need() -> None:
    assert not list(broken_rules(quantized(np.int8(0))))
    for zero_point in (np.int8(0), np.zeros((), FLOAT8)):
        graph = quantized(zero_point, half=True)
        assert not list(broken_rules(graph))
        graph.opset_import[0].version = OPSET
        assert list(broken_rules(graph)) == ["opset is 18, expected 21"]


def pack_graphs(folder: Path) -> list[Path]:
    return [folder / model.file for model in read_pack(folder).models.values() if model.file.endswith(".onnx")]


def test_every_graph_of_the_demo_pack_keeps_to_the_rules() -> None:
    graphs = pack_graphs(shipped_folder("packs") / "lite")
    assert len(graphs) == 4
    for path in graphs:
        assert not list(broken_rules(onnx.load(path))), path


def test_every_graph_of_the_full_size_pack_keeps_to_the_rules(shared: Path) -> None:
    graphs = pack_graphs(built_full_size_pack(shared))
    assert len(graphs) == 5
    for path in graphs:
        assert not list(broken_rules(onnx.load(path))), path


def test_no_graph_is_written_past_the_rules() -> None:
    """`save_onnx` checks what it writes; nothing else writes a graph."""
    root = Path(__file__).resolve().parents[3]
    ways = (".write_bytes(", "save_model(")
    sources = [*(root / "export" / "fsexport").rglob("*.py"), *(root / "tools").rglob("*.py")]
    writers = {path.name for path in sources if any(way in path.read_text() for way in ways)}
    # The last two write a forest's text.
    assert writers == {"onnx_file.py", "full_size_pack.py", "parity_tables.py"}
