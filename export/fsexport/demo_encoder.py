"""The encoder of the `demo` pack: pooled features of the face mesh network, projected; real, though small."""

from __future__ import annotations

from pathlib import Path

from fsengine.contracts.preprocessing import CropSpec
from fsengine.contracts.steps import embed_spec
from fsexport.artifact.onnx_file import save_onnx
from fsexport.demo_projection import Projection
from fsexport.graphs.contract_io import model_values
from fsexport.graphs.graph_builder import GraphBuilder
from fsexport.sources.mesh_features import write_mesh_features


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
