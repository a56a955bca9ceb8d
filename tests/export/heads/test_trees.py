from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fsengine.errors import ExportError, MissingDependencyError
from fsexport.heads.trees import checkpoint_probabilities, export_trees, fold_temperature, import_lightgbm
from fstraining.fits.forest import fit_classifier

try:
    import_lightgbm()
except MissingDependencyError as error:
    pytest.skip(str(error), allow_module_level=True)
pytest.importorskip("treelite")

CLASSES = 5


@pytest.fixture
def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    features = rng.normal(size=(300, 10)).astype(np.float32)
    return features, (features[:, :CLASSES] + rng.normal(size=(300, CLASSES)) * 0.3).argmax(axis=1)


def test_the_checkpoint_gives_what_lightgbm_gives(tmp_path: Path, data: tuple[np.ndarray, np.ndarray]) -> None:
    features, labels = data
    booster = fit_classifier(features, labels, CLASSES, rounds=12, leaves=5, seed=1)
    path = export_trees(booster, tmp_path / "checkpoint.tl")
    drawn = np.random.default_rng(4).normal(size=(500, 10)).astype(np.float32)
    drawn[::7, 3] = np.nan
    found = checkpoint_probabilities(path, drawn)
    np.testing.assert_allclose(found, booster.predict(drawn), atol=1e-6)
    np.testing.assert_allclose(checkpoint_probabilities(path, drawn[:1]), found[:1], atol=1e-7)
    assert (found.argmax(axis=1) != found[0].argmax()).any()


def test_a_folded_temperature_is_the_softmax_of_cooler_scores(data: tuple[np.ndarray, np.ndarray]) -> None:
    features, labels = data
    booster = fit_classifier(features, labels, CLASSES, rounds=10, leaves=5, seed=1)
    scores = booster.predict(features, raw_score=True) / 1.7
    expected = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    fold_temperature(booster, 1.7)
    np.testing.assert_allclose(booster.predict(features), expected, atol=1e-12)
    with pytest.raises(ExportError, match="above 0"):
        fold_temperature(booster, 0.0)
