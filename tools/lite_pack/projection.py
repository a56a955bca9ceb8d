"""Fit the projection of the age and gender network's pooled numbers, which the encoder of the `lite` pack holds."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fsengine.terminal.messages import Say
from fsexport.embed.face_api_artifact import CROP, FaceApiWeights, Projection, export_xception_features
from fsexport.inputs.real_faces import faces_by_photo

COMPONENTS = 64


def fit_projection(weights: FaceApiWeights, photos: Sequence[Path], detector: Path, say: Say) -> Projection:
    """Return the first principal components over the faces of some photos.

    Args:
        weights: Of face-api.
        photos: Photos with faces.
        detector: A detect graph.
        say: Called with each line for people.
    """
    import onnxruntime as ort
    from sklearn.decomposition import PCA

    say(f"projection: {COMPONENTS} principal components over the faces of {len(photos)} photos")
    with tempfile.TemporaryDirectory(prefix="facestats-") as folder:
        graph = export_xception_features(weights, Path(folder) / "features.onnx")
        session = ort.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
        features = [
            session.run(["features"], {"portrait_crop": crops})[0]
            for crops in faces_by_photo(photos, CROP, detector)
            if len(crops)
        ]
    fitted = PCA(COMPONENTS, svd_solver="full").fit(np.concatenate(features).astype(np.float64))
    return Projection(
        mean=fitted.mean_.astype(np.float32), components=np.ascontiguousarray(fitted.components_, np.float32)
    )
