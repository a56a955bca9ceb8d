"""InsightFace's age and gender networks to the one `age_gender` contract.

Two layouts are known. v1 (2018): 112 px ArcFace crop, 202 outputs: two gender logits and a hundred pairs of
logits whose second wins count the years. `genderage` of the buffalo packs: 96 px box crop, three outputs: two
gender logits and the age in hundreds of years. In both the first gender is female, the second male.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fsengine.contracts.preprocessing import CropKind, CropSpec
from fsengine.contracts.steps import age_gender_crop, age_gender_spec
from fsengine.contracts.tensors import DType
from fsengine.errors import ExportError
from fsexport.artifact.onnx_file import save_onnx
from fsexport.graphs.contract_io import model_values
from fsexport.graphs.graph_builder import GraphBuilder
from fsexport.graphs.graph_splice import network_inputs, read_network, splice

if TYPE_CHECKING:
    import onnx

GENDER_LABELS = ["female", "male"]

V1_CROP = CropSpec(kind=CropKind.ARCFACE, side_px=112)
BUFFALO_CROP = CropSpec(kind=CropKind.BOX, side_px=96)

_V1_OUTPUTS = 202
_BUFFALO_OUTPUTS = 3
_BUFFALO_YEARS = 100.0
_LEADING_NODES = 8
_LEADING_NORM_NODES = 3
"""InsightFace looks for Sub and Mul among a network's first nodes, or `bn_data` (model_zoo/attribute.py)."""


def export_genderage(source: Path, crop: CropSpec, out_path: Path) -> Path:
    """Write the age/gender graph of an InsightFace network.

    Args:
        source: The ONNX file.
        crop: `V1_CROP` or `BUFFALO_CROP`; its side must be the network's.
        out_path: Where it shall lie.

    Raises:
        ExportError: The file has another layout.
    """
    network = read_network(source)
    spec = age_gender_spec(age_gender_crop(crop))
    gender_spec, age_spec = spec.outputs
    graph = GraphBuilder()
    pixels = graph.add("Cast", spec.inputs[0].name, to=DType.FP32.onnx)
    pixels = graph.add("Transpose", pixels, perm=[0, 3, 1, 2])  # (N, S, S, 3) -> (N, 3, S, S)
    inputs, outputs = network_inputs(network), network.graph.output
    if len(inputs) != 1 or len(outputs) != 1:
        raise ExportError(f"{source} has {len(inputs)} inputs and {len(outputs)} outputs, expected one of each")
    sides = [size.dim_value for size in inputs[0].type.tensor_type.shape.dim[2:]]
    if any(side not in (0, crop.side_px) for side in sides):
        raise ExportError(f"{source} takes {sides} px, the crop has {crop.side_px}; give the crop of this network")
    if not normalizes_itself(network):
        pixels = graph.add("Div", graph.add("Sub", pixels, graph.number(127.5)), graph.number(128.0))
    (raw,) = splice(graph, network, "network/", {inputs[0].name: pixels}, [outputs[0].name])
    width = outputs[0].type.tensor_type.shape.dim[1].dim_value
    if width == _V1_OUTPUTS:
        pairs = graph.add("Reshape", _columns(graph, raw, 2, _V1_OUTPUTS), graph.ints(-1, 100, 2))
        first, second = (graph.add("Gather", pairs, graph.constant(np.array(i, np.int64)), axis=2) for i in range(2))
        years = graph.add("ReduceSum", _to_float(graph, graph.add("Greater", second, first)), graph.ints(1))
    elif width == _BUFFALO_OUTPUTS:
        years = graph.add("Mul", _columns(graph, raw, 2, 3), graph.number(_BUFFALO_YEARS))
    else:
        raise ExportError(f"{source} gives {width} numbers a face, expected {_V1_OUTPUTS} or {_BUFFALO_OUTPUTS}")
    graph.rename(graph.add("Softmax", _columns(graph, raw, 0, 2), axis=1), gender_spec.name)
    graph.rename(years, age_spec.name)
    return save_onnx(graph.model(spec.name, *model_values(spec)), out_path)


def normalizes_itself(network: onnx.ModelProto) -> bool:
    """Return whether a network takes pixels of 0..255; others want (x - 127.5) / 128 (insightface: attribute.py)."""
    nodes = network.graph.node
    leading = {node.op_type for node in nodes[:_LEADING_NODES]}
    return {"Sub", "Mul"} <= leading or any(node.name == "bn_data" for node in nodes[:_LEADING_NORM_NODES])


def _columns(graph: GraphBuilder, value: str, start: int, end: int) -> str:
    return str(graph.add("Slice", value, graph.ints(start), graph.ints(end), graph.ints(1)))


def _to_float(graph: GraphBuilder, value: str) -> str:
    return str(graph.add("Cast", value, to=DType.FP32.onnx))
