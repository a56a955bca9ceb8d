"""The encoder of the `demo` pack: pooled features of MediaPipe's face mesh network, projected.

A small, real, permissively licensed description of a face.
"""

from __future__ import annotations

from pathlib import Path

from demo_pack.projection import Projection
from fsengine.contracts.preprocessing import CropSpec
from fsengine.contracts.steps import embed_spec, portrait_crop
from fsengine.contracts.tensors import DType, TensorSpec
from fsexport.artifact.onnx_file import save_onnx
from fsexport.graphs.contract_io import model_values, spec_values
from fsexport.graphs.graph_builder import GraphBuilder
from fsexport.sources.mediapipe_wheel import FACE_LANDMARK, read_wheel_model
from fsexport.sources.tflite_graph import TfliteNetwork

MESH_SIDE_PX = 192

LARGEST_MAP = 24
"""Maps of at most this side are pooled; larger ones hold edges and colours, not faces."""


def write_mesh_features(graph: GraphBuilder, wheel: Path, pixels: str) -> str:
    """Write the features of crops into a graph.

    The mean and the maximum over each channel of the network's inner maps, averaged over the crop and its
    mirror image, so that a face and its mirror image have the same features.

    Args:
        graph: The graph.
        wheel: The wheel of mediapipe.
        pixels: uint8 (N, 192, 192, 3), RGB.

    Returns:
        float32 (N, P).
    """
    network = TfliteNetwork(read_wheel_model([wheel], FACE_LANDMARK))
    maps = [name for name in network.prelu_names() if network.shape(name)[1] <= LARGEST_MAP]
    nchw = graph.add("Transpose", graph.add("Cast", pixels, to=DType.FP32.onnx), perm=[0, 3, 1, 2])
    scaled = graph.add("Mul", nchw, graph.number(1 / 255))
    backwards = graph.add("Slice", scaled, graph.ints(-1), graph.ints(-MESH_SIDE_PX - 1), graph.ints(3), graph.ints(-1))
    both = graph.add("Concat", scaled, backwards, axis=0)
    pooled = []
    for value in network.write(graph, both, maps):
        pooled += [graph.add(op, value, graph.ints(2, 3), keepdims=0) for op in ("ReduceMean", "ReduceMax")]
    features = graph.add("Concat", *pooled, axis=1)  # (2N, P)
    halves = graph.add("Split", features, axis=0, outputs=2, num_outputs=2)
    return str(graph.add("Mul", graph.add("Add", *halves), graph.number(0.5)))


def export_mesh_features(wheel: Path, crop: CropSpec, out_path: Path) -> Path:
    """Write the graph of the features alone, for fitting what comes behind them.

    Returns:
        `out_path`; uint8 (N, 192, 192, 3) to `features`, float32 (N, P).
    """
    graph = GraphBuilder(prefix="mesh_")
    spec = portrait_crop(crop)
    graph.rename(write_mesh_features(graph, wheel, spec.name), "features")
    output = TensorSpec(name="features", dtype=DType.FP32, shape=(-1,))
    inputs, outputs = spec_values([spec], batched=True), spec_values([output], batched=True)
    return save_onnx(graph.model("mesh_features", inputs, outputs), out_path)


def export_demo_encoder(wheel: Path, projection: Projection, crop: CropSpec, out_path: Path) -> Path:
    """Write the embed graph of the `demo` pack.

    Args:
        wheel: The wheel of mediapipe.
        projection: From features to the embedding.
        crop: Its input, 192 px.
        out_path: Where it shall lie.

    Raises:
        ExportError: The wheel is another one, or the graph is not valid.
    """
    spec = embed_spec(crop, projection.matrix.shape[1])
    graph = GraphBuilder(prefix="demo_")
    features = write_mesh_features(graph, wheel, spec.inputs[0].name)
    projected = graph.add(
        "Gemm", features, graph.constant(projection.matrix, "projection"), graph.constant(projection.shift, "shift")
    )
    graph.rename(graph.add("LpNormalization", projected, axis=1, p=2), spec.outputs[0].name)
    return save_onnx(graph.model(spec.name, *model_values(spec)), out_path)
