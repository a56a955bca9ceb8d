"""CLIP's graph against open_clip itself, on real crops."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fsdata.sample_photos import sample_folder
from fsengine.errors import ExportError
from fsengine.preprocessing import CropKind, CropSpec

torch = pytest.importorskip("torch", reason="torch exports CLIP")
from fsexport.open_clip_loader import ClipSource, import_open_clip, load_visual_tower  # noqa: E402

try:
    import_open_clip()
except ImportError as error:
    pytest.skip(f"open_clip needs {error.name}", allow_module_level=True)
open_clip = pytest.importorskip("open_clip", reason="open_clip is what this test compares with")
ort = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript", reason="torch's exporter needs onnxscript")

from fsexport.clip import export_clip  # noqa: E402

CROP = CropSpec(kind=CropKind.PORTRAIT, side_px=224)


@pytest.fixture(scope="module")
def crops() -> NDArray[np.uint8]:
    """Sixteen crops of real photos."""
    images = [Image.open(sample_folder() / name).convert("RGB") for name in ("obama.jpg", "astronaut.jpg", "gauss.jpg")]
    boxes = [(x, y, x + 224, y + 224) for x in (0, 60, 120) for y in (0, 100)]
    return np.stack([np.asarray(image.crop(box)) for image in images for box in boxes])[:16]


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> object:
    path = tmp_path_factory.mktemp("clip") / "model.onnx"
    assert export_clip(ClipSource(seed=7), CROP, path) == 512
    return ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def test_the_graph_is_open_clips_own_encoder(session: ort.InferenceSession, crops: NDArray[np.uint8]) -> None:
    transform = open_clip.image_transform(224, is_train=False)
    pixels = torch.stack([transform(Image.fromarray(crop)) for crop in crops])
    with torch.no_grad():
        expected = torch.nn.functional.normalize(load_visual_tower(ClipSource(seed=7))(pixels), dim=-1).numpy()
    (found,) = session.run(None, {"portrait_crop": crops})
    assert np.abs(found - expected).max() <= 1e-4
    assert (found * expected).sum(axis=1).min() >= 0.99999
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert np.abs(found[0] - found[6]).max() > 1e-3


def test_a_crop_has_the_same_embedding_alone_and_in_a_batch(
    session: ort.InferenceSession, crops: NDArray[np.uint8]
) -> None:
    (batch,) = session.run(None, {"portrait_crop": crops})
    for index in (0, 9, 15):
        (alone,) = session.run(None, {"portrait_crop": crops[index : index + 1]})
        np.testing.assert_allclose(alone[0], batch[index], atol=1e-5)


def test_an_unknown_architecture_is_refused() -> None:
    with pytest.raises(ExportError, match="ViT-Z-1"):
        load_visual_tower(ClipSource(architecture="ViT-Z-1"))
