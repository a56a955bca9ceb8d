"""face-api's two networks as one encoder: the embed step of a small pack, compared with the networks in torch.

The embedding is the recogniser's 128 numbers beside the principal components of what the age and gender network
pools, each part of unit length, so that one vector tells people apart and shows age and gender too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fsengine.contracts.preprocessing import CropKind, CropSpec
from fsengine.contracts.steps import EMBED, embed_spec, face_embedding, portrait_crop
from fsengine.contracts.tensors import DType
from fsengine.errors import InvalidInputError
from fsengine.terminal.messages import Say
from fsexport.artifact.exported import Exported, ExportJob, ExportResult, Origin, export_artifact
from fsexport.artifact.onnx_file import run_graph, save_onnx
from fsexport.artifact.parity import compare
from fsexport.embed.face_api_graph import (
    PIXEL_MEAN,
    RECOGNISER_SIDE_PX,
    RECOGNISER_WIDTH,
    XCEPTION_SIDE_PX,
    XCEPTION_WIDTH,
    FaceApiGraph,
)
from fsexport.embed.face_api_torch import recogniser_in_torch, xception_in_torch
from fsexport.graphs.contract_io import model_values
from fsexport.graphs.graph_builder import GraphBuilder
from fsexport.inputs.real_faces import RealCrops
from fsexport.sources.tfjs_weights import Weights, read_tfjs_weights

CROP = CropSpec(kind=CropKind.PORTRAIT, side_px=218)
"""The portrait crop at the scale of dlib's chip of 150 px (padding 0.25), which lies in it without resampling."""
CHIP_TOP, CHIP_LEFT = 56, 34

# Kernels are stored with the 11 bits of float16.
EMBEDDING_LIMIT = 2e-3
COSINE_LIMIT = 0.9999

FILES = (
    "face_recognition_model-weights_manifest.json",
    "face_recognition_model.bin",
    "age_gender_model-weights_manifest.json",
    "age_gender_model.bin",
)
"""Of npm's @vladmandic/face-api 1.7.15, in `model/`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceApiWeights:
    """The weights of both networks."""

    recogniser: Weights
    xception: Weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """Principal components of the age and gender network's pooled numbers.

    Attributes:
        mean: float32 (512,).
        components: float32 (C, 512).
    """

    mean: NDArray[np.float32]
    components: NDArray[np.float32]

    @property
    def width(self) -> int:
        """Return the width of the embedding."""
        return RECOGNISER_WIDTH + len(self.components)


def read_face_api(files: Sequence[Path]) -> FaceApiWeights:
    """Read both networks.

    Args:
        files: The files named in `FILES`, in any order.

    Raises:
        InvalidInputError: One is missing or cannot be read.
        ExportError: One is damaged.
    """
    by_name = {path.name: path for path in files}
    if missing := [name for name in FILES if name not in by_name]:
        raise InvalidInputError(
            f"{', '.join(missing)} missing; expected the four files of face-api's two networks: {', '.join(FILES)}"
        )
    recogniser_manifest, recogniser, xception_manifest, xception = (by_name[name] for name in FILES)
    return FaceApiWeights(
        recogniser=read_tfjs_weights(recogniser_manifest, recogniser),
        xception=read_tfjs_weights(xception_manifest, xception),
    )


def write_chips(graph: GraphBuilder, crops: str) -> tuple[str, str]:
    """Write the chips of both networks: normalised float32 (N, 3, 150, 150) and (N, 3, 112, 112) of uint8 crops."""
    ends = graph.ints(CHIP_TOP + RECOGNISER_SIDE_PX, CHIP_LEFT + RECOGNISER_SIDE_PX)
    floats = graph.add("Cast", crops, to=DType.FP32.onnx)
    chip = graph.add("Slice", floats, graph.ints(CHIP_TOP, CHIP_LEFT), ends, graph.ints(1, 2))
    pixels = graph.add("Transpose", chip, perm=[0, 3, 1, 2])
    mean = graph.constant(np.array(PIXEL_MEAN, np.float32).reshape(1, 3, 1, 1))
    large = graph.add("Mul", graph.add("Sub", pixels, mean), graph.number(1 / 255))
    # Rounded up: Resize takes the floor of side times scale.
    scale = np.nextafter(np.float32(XCEPTION_SIDE_PX / RECOGNISER_SIDE_PX), np.float32(np.inf))
    scales = graph.constant(np.array([1, 1, scale, scale], np.float32), "scales")
    small = graph.add("Resize", large, "", scales, mode="linear", coordinate_transformation_mode="half_pixel")
    return large, small


def export_xception_features(weights: FaceApiWeights, out_path: Path) -> Path:
    """Write the graph of the pooled numbers alone, for fitting a projection: uint8 crops to `features` (N, 512)."""
    from onnx import TensorProto, helper

    graph = GraphBuilder(prefix="xception_")
    spec = portrait_crop(CROP)
    _, small = write_chips(graph, spec.name)
    graph.rename(FaceApiGraph(graph, weights.xception).xception(small), "features")
    inputs, _ = model_values(embed_spec(CROP, RECOGNISER_WIDTH))
    outputs = [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", XCEPTION_WIDTH])]
    return save_onnx(graph.model("xception_features", inputs, outputs), out_path)


def export_face_api_encoder(weights: FaceApiWeights, projection: Projection, out_path: Path) -> Path:
    """Write the embed graph.

    Raises:
        ExportError: The graph is not valid.
    """
    spec = embed_spec(CROP, projection.width)
    graph = GraphBuilder(prefix="face_api_")
    large, small = write_chips(graph, spec.inputs[0].name)
    identity = FaceApiGraph(graph, weights.recogniser).recogniser(large)
    pooled = FaceApiGraph(graph, weights.xception).xception(small)
    shift = -projection.mean @ projection.components.T
    described = graph.add("Gemm", pooled, graph.constant(projection.components.T), graph.constant(shift))
    parts = [graph.add("LpNormalization", part, axis=1, p=2) for part in (identity, described)]
    joined = graph.add("Mul", graph.add("Concat", *parts, axis=1), graph.number(np.sqrt(0.5)))
    for output in spec.outputs:
        graph.rename(joined, output.name)
    return save_onnx(graph.model(spec.name, *model_values(spec)), out_path)


def encode_in_torch(weights: FaceApiWeights, projection: Projection, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the embeddings, float32 (N, D), of uint8 (N, 218, 218, 3) crops, computed by torch and OpenCV."""
    import cv2

    chips = crops[:, CHIP_TOP : CHIP_TOP + RECOGNISER_SIDE_PX, CHIP_LEFT : CHIP_LEFT + RECOGNISER_SIDE_PX]
    large = (chips.astype(np.float32) - np.array(PIXEL_MEAN, np.float32)) / 255
    side = (XCEPTION_SIDE_PX, XCEPTION_SIDE_PX)
    small = np.stack([cv2.resize(chip, side, interpolation=cv2.INTER_LINEAR) for chip in large])
    identity = recogniser_in_torch(weights.recogniser, np.ascontiguousarray(large.transpose(0, 3, 1, 2)))
    pooled = xception_in_torch(weights.xception, np.ascontiguousarray(small.transpose(0, 3, 1, 2)))
    described = (pooled - projection.mean) @ projection.components.T
    parts = [part / np.linalg.norm(part, axis=1, keepdims=True) for part in (identity, described)]
    return np.asarray(np.concatenate(parts, axis=1) * np.sqrt(0.5), np.float32)


def export_face_api_artifact(
    files: Sequence[Path], projection: Projection, crops: RealCrops, origin: Origin, folder: Path, say: Say
) -> Exported:
    """Export the encoder.

    Args:
        files: See `read_face_api`.
        projection: Of the age and gender network's pooled numbers.
        crops: Real faces, cut as `CROP` says, on which it is compared.
        origin: Where the weights come from.
        folder: Where the artifact shall lie.
        say: Called with each line for people.

    Raises:
        InvalidInputError: A file is missing.
        ExportError: A file is damaged, or the export differs from the networks.
    """
    weights = read_face_api(files)
    digest = hashlib.sha256(projection.mean.tobytes() + projection.components.tobytes()).hexdigest()[:16]
    job = ExportJob(
        step=EMBED,
        origin=origin,
        options={"projection": digest, "components": len(projection.components), "kernels": "float16"},
        libraries=("onnx", "onnxruntime", "torch"),
    )

    def make(path: Path) -> ExportResult:
        export_face_api_encoder(weights, projection, path)
        spec = embed_spec(CROP, projection.width)
        row = compare(
            run_graph(path, {spec.inputs[0].name: crops.crops})[face_embedding(projection.width).name],
            encode_in_torch(weights, projection, crops.crops),
            quantity="embedding",
            reference="both networks in torch, fp32",
            inputs=crops.text,
            limit=EMBEDDING_LIMIT,
            cosine_limit=COSINE_LIMIT,
        )
        return ExportResult(spec=spec, crop=CROP, parity=(row,))

    return export_artifact(job, folder, make, say)
