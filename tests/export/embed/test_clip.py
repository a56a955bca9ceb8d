"""CLIP's graph against open_clip itself, on real crops."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fsdata.sample_photos import sample_photos
from fsengine.contracts.preprocessing import CropKind, CropSpec
from fsengine.errors import ExportError, InvalidInputError
from fsengine.packs.pack import HALF_PRECISIONS, PRECISIONS

torch = pytest.importorskip("torch", reason="torch exports CLIP")
from fsexport.embed.open_clip_loader import (  # noqa: E402
    Activation,
    ClipSource,
    architecture_activation,
    fetch_tag,
    import_open_clip,
    load_visual_tower,
)
from fsexport.inputs.real_faces import all_faces  # noqa: E402

try:
    import_open_clip()
except ImportError as error:
    pytest.skip(f"open_clip needs {error.name}", allow_module_level=True)
open_clip = pytest.importorskip("open_clip", reason="open_clip is what this test compares with")
ort = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript", reason="torch's exporter needs onnxscript")

from fsexport.artifact.exported import Origin  # noqa: E402
from fsexport.artifact.origins import StatedLicence  # noqa: E402
from fsexport.artifact.precision import Precision  # noqa: E402
from fsexport.embed.clip_artifact import export_clip_artifact  # noqa: E402
from fsexport.embed.clip_source import clip_given  # noqa: E402
from fsexport.embed.static_int8 import quantize_encoder  # noqa: E402
from fsexport.embed.symmetric_qdq import FP8, INT8_SYMMETRIC, Quantization, quantize_half_encoder  # noqa: E402
from fsexport.embed.vit_graph import clip_crop, embed_with_torch, export_clip  # noqa: E402
from long_tests import LONG  # noqa: E402
from seeded_weights import openai_archive  # noqa: E402

CROP = CropSpec(kind=CropKind.PORTRAIT, side_px=224)
SMALL = "ViT-S-32-alt"
"""open_clip's smallest ViT of 224 px, with embeddings of 256 numbers."""
ARCHITECTURE, WIDTH = ("ViT-B-32", 512) if LONG else (SMALL, 256)
"""What does not depend on size is tested on the small one; tests of packs export ViT-B/32, which compares it too."""
ORIGIN = Origin(source="a test", licence="MIT", commercial_use=True)


@pytest.fixture(scope="module")
def crops() -> NDArray[np.uint8]:
    """Real faces."""
    return all_faces([photo.path for photo in sample_photos()], CROP).crops


@pytest.fixture(scope="module")
def tower() -> Any:
    return load_visual_tower(ClipSource(architecture=ARCHITECTURE, seed=7))


@pytest.fixture(scope="module")
def graph(tower: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "model.onnx"
    assert export_clip(tower, path) == WIDTH
    return path


@pytest.fixture(scope="module")
def half_graph(tower: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("half") / "model.onnx"
    export_clip(tower, path, half=True)
    return path


@pytest.fixture(scope="module")
def session(graph: Path) -> object:
    return ort.InferenceSession(str(graph), providers=["CPUExecutionProvider"])


def test_the_graph_is_open_clips_own_encoder(session: Any, tower: Any, crops: NDArray[np.uint8]) -> None:
    transform = open_clip.image_transform(224, is_train=False)
    pixels = torch.stack([transform(Image.fromarray(crop)) for crop in crops])
    with torch.no_grad():
        expected = torch.nn.functional.normalize(tower(pixels), dim=-1).numpy()
    (found,) = session.run(None, {"portrait_crop": crops})
    assert np.abs(found - expected).max() <= 1e-4
    assert (found * expected).sum(axis=1).min() >= 0.99999
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert np.abs(found[0] - found[6]).max() > 1e-3


def test_a_crop_has_the_same_embedding_alone_and_in_a_batch(session: Any, crops: NDArray[np.uint8]) -> None:
    (batch,) = session.run(None, {"portrait_crop": crops})
    for index in (0, 9, 15):
        (alone,) = session.run(None, {"portrait_crop": crops[index : index + 1]})
        np.testing.assert_allclose(alone[0], batch[index], atol=1e-5)


def test_an_unknown_architecture_is_refused() -> None:
    with pytest.raises(ExportError, match="ViT-Z-1"):
        load_visual_tower(ClipSource(architecture="ViT-Z-1"))


def run_level(path: Path, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Run a graph one level below ONNX Runtime's highest, at which its CPU provider crashes on fp16."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"portrait_crop": crops})
    return np.asarray(found)


def test_fp16_keeps_the_embedding_and_normalizes_in_fp32(
    tower: Any, half_graph: Path, crops: NDArray[np.uint8]
) -> None:
    import onnx

    found, expected = run_level(half_graph, crops), embed_with_torch(tower, crops)
    assert (found * expected).sum(axis=1).min() >= 0.9995
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    model = onnx.load(half_graph)
    weights = [tensor.data_type for tensor in model.graph.initializer if np.prod(tensor.dims) > 10_000]
    assert set(weights) == {onnx.TensorProto.FLOAT16}
    inferred = onnx.shape_inference.infer_shapes(model).graph.value_info
    types = {value.name: value.type.tensor_type.elem_type for value in inferred}
    (division,) = [node for node in model.graph.node if "face_embedding" in node.output]
    (norm,) = [node for node in model.graph.node if node.op_type == "ReduceL2"]
    assert norm.input[0] == division.input[0]
    assert {types[name] for name in (*division.input, *norm.output)} == {onnx.TensorProto.FLOAT}


def test_int8_is_static_so_a_crop_is_the_same_alone_and_among_sixteen(
    tower: Any, graph: Path, crops: NDArray[np.uint8], tmp_path: Path
) -> None:
    import onnx

    path = quantize_encoder(graph, crops[::2], tmp_path / "model.onnx")
    operators = {node.op_type for node in onnx.load(path).graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= operators
    assert not operators & {"DynamicQuantizeLinear", "MatMulInteger"}
    assert path.stat().st_size < 0.3 * graph.stat().st_size
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (batch,) = session.run(None, {"portrait_crop": crops[:16]})
    for index in (0, 7, 15):
        (alone,) = session.run(None, {"portrait_crop": crops[index : index + 1]})
        np.testing.assert_allclose(alone[0], batch[index], atol=1e-6)
    # Of seeded weights; a broken conversion is far below.
    assert (batch * embed_with_torch(tower, crops[:16])).sum(axis=1).min() > 0.99


@pytest.mark.parametrize("to", [INT8_SYMMETRIC, FP8], ids=["int8-symmetric", "fp8"])
def test_for_tensorrt_every_constant_product_is_quantized_around_zero(
    to: Quantization, tower: Any, half_graph: Path, crops: NDArray[np.uint8], tmp_path: Path
) -> None:
    import onnx

    path = quantize_half_encoder(half_graph, crops[::2], tmp_path / "model.onnx", to)
    model = onnx.load(path)
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    made_by = {name: node for node in model.graph.node for name in node.output}
    steps = [node for node in model.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    for node in steps:
        zero_point = constants[node.input[2]]
        assert zero_point.dtype == to.dtype
        assert not zero_point.astype(np.float32).any()
    weights = [node.input[0] for node in steps if node.input[0] in constants]
    # Twelve blocks of four products, and the last projection.
    assert len(weights) == 49
    assert {constants[name].dtype for name in weights} == {to.dtype}
    assert max(np.abs(constants[name].astype(np.float32)).max() for name in weights) == to.largest
    for node in model.graph.node:
        if node.op_type in ("MatMul", "Gemm"):
            kinds = {made_by[name].op_type for name in node.input}
            assert kinds == {"DequantizeLinear"} or "DequantizeLinear" not in kinds
    found = run_level(path, crops[:16])
    expected = embed_with_torch(tower, crops[:16])
    # Of seeded weights; a broken conversion is far below.
    assert (found * expected).sum(axis=1).min() > 0.99
    np.testing.assert_allclose(run_level(path, crops[7:8])[0], found[7], atol=1e-3)


def test_int8_asks_for_enough_photos(graph: Path, crops: NDArray[np.uint8], tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="calibrated on 3 face crops, expected at least 8"):
        quantize_encoder(graph, crops[:3], tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small state_dict, of weights that nothing knows."""
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("checkpoint") / "mine.pt"
    torch.save(open_clip.create_model(SMALL, load_weights=False).state_dict(), path)
    return path


def test_a_checkpoint_of_ones_own_is_exported_with_its_record_and_not_twice(checkpoint: Path, tmp_path: Path) -> None:
    photos = [photo.path for photo in sample_photos()]
    origin, source = clip_given(str(checkpoint), SMALL, "gelu", StatedLicence(text="mine", commercial_use=True))
    lines: list[str] = []
    made = export_clip_artifact(source, origin, Precision.FP32, photos, tmp_path / "embed", lines.append)
    assert made.sources == {"mine.pt": hashlib.sha256(checkpoint.read_bytes()).hexdigest()}
    assert (made.licence, made.commercial_use) == ("mine", True)
    assert made.options["architecture"] == SMALL
    assert "torch" in made.libraries
    assert made.crop == clip_crop(load_visual_tower(source))
    (row,) = made.parity
    assert row.least_cosine is not None
    assert row.least_cosine > 0.99999
    before = (tmp_path / "embed" / "model.onnx").stat().st_mtime_ns
    again = export_clip_artifact(source, origin, Precision.FP32, photos, tmp_path / "embed", lines.append)
    assert again == made
    assert lines[-1].startswith("embed: unchanged")
    assert (tmp_path / "embed" / "model.onnx").stat().st_mtime_ns == before
    for precision in (Precision.INT8, *([Precision.FP8] if LONG else [])):
        other = export_clip_artifact(source, origin, precision, photos, tmp_path / "embed", lines.append)
        assert other.precision == precision.value
        assert "not known" in other.parity[0].note


def test_packs_know_every_precision() -> None:
    assert tuple(precision.value for precision in Precision) == PRECISIONS
    assert {precision.value for precision in Precision if precision.half} == HALF_PRECISIONS


@pytest.mark.parametrize(
    ("architecture", "activation", "message"),
    [
        ("ViT-B-32", None, "state it with --activation"),
        ("ViT-B-32", "quickgelu", "Use --architecture ViT-B-32-quickgelu"),
        ("ViT-B-32-quickgelu", "gelu", "Use --architecture ViT-B-32"),
        (None, "gelu", "is in no table; say what it is"),
    ],
)
def test_weights_whose_activation_does_not_match_are_refused(
    checkpoint: Path, architecture: str | None, activation: str | None, message: str
) -> None:
    with pytest.raises(InvalidInputError, match=message):
        load_visual_tower(clip_given(str(checkpoint), architecture, activation, StatedLicence())[1])


def test_the_activation_of_open_clips_tags_is_matched_too() -> None:
    assert architecture_activation("ViT-B-32") is Activation.GELU
    with pytest.raises(InvalidInputError, match="Use --architecture ViT-B-32-quickgelu"):
        fetch_tag("ViT-B-32", "openai")
    with pytest.raises(InvalidInputError, match=r"it knows: .*laion2b_s34b_b79k"):
        fetch_tag("ViT-B-32", "nothing")


def test_a_checkpoint_of_another_architecture_is_refused(checkpoint: Path) -> None:
    with pytest.raises(ExportError, match="open_clip cannot make ViT-B-32 from"):
        load_visual_tower(ClipSource(architecture="ViT-B-32", checkpoint=checkpoint, activation=Activation.GELU))


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "was_run",))

    path = tmp_path / "evil.pt"
    torch.save({"state_dict": Evil()}, path)
    with pytest.raises(ExportError):
        load_visual_tower(ClipSource(architecture=SMALL, checkpoint=path, activation=Activation.GELU))
    assert not (tmp_path / "was_run").exists()


def test_an_archive_as_openais_is_loaded_where_its_hash_is_known_and_refused_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "archive.pt"
    openai_archive(SMALL, path)
    with pytest.raises(InvalidInputError, match="TorchScript archive, which holds code"):
        load_visual_tower(ClipSource(architecture=SMALL, checkpoint=path, activation=Activation.GELU))
    row = {
        "name": "mine",
        "task": "embed",
        "about": "seeded",
        "file": "archive.pt",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "hash_source": "this test",
        "licence": "MIT",
        "licence_url": "https://licence.example",
        "commercial_use": True,
        "reference": "https://paper.example",
        "settings": {"architecture": SMALL},
    }
    (tmp_path / "own.json").write_text(json.dumps([row]))
    monkeypatch.setenv("FACESTATS_REGISTRY", str(tmp_path / "own.json"))
    origin, source = clip_given(str(path), None, None, StatedLicence())
    assert (origin.licence, origin.source) == ("MIT", "seeded")
    visual: Any = load_visual_tower(source)
    torch.manual_seed(5)
    expected = open_clip.create_model(SMALL, load_weights=False).visual.conv1.weight.half().float()
    assert torch.equal(visual.conv1.weight, expected)
    with pytest.raises(InvalidInputError, match="leave it out"):
        clip_given(str(path), None, "quickgelu", StatedLicence())
