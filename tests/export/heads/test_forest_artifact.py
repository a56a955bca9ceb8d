"""LightGBM's text form to a Treelite checkpoint: numbers, categories and missing values, drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fsengine.errors import ExportError, InvalidInputError, MissingDependencyError
from fsexport.artifact.exported import Exported, Origin
from fsexport.heads.forest_artifact import export_forest_artifact, random_rows, read_labels
from fsexport.heads.trees import checkpoint_probabilities, import_lightgbm

try:
    import_lightgbm()
except MissingDependencyError as error:
    pytest.skip(str(error), allow_module_level=True)
pytest.importorskip("treelite")
import lightgbm

ORIGIN = Origin(source="a test", licence="MIT", commercial_use=True)


def train(seed: int, classes: int, categorical: list[int], path: Path, **settings: Any) -> None:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(600, 8))
    for column in categorical:
        features[:, column] = rng.integers(0, 12, 600)
    features[rng.random(features.shape) < 0.15] = np.nan
    score = np.nan_to_num(features[:, :classes])
    score[:, 0] += 2 * (np.nan_to_num(features[:, 7]) % 3 == 1)
    labels = (score + rng.normal(size=(600, classes)) * 0.3).argmax(axis=1)
    parameters = {
        "objective": "multiclass",
        "num_class": classes,
        "num_leaves": 9,
        "min_data_in_leaf": 5,
        "max_cat_to_onehot": 1,
        "min_data_per_group": 5,
        "verbose": -1,
        "num_threads": 1,
        "seed": seed,
        **settings,
    }
    data = lightgbm.Dataset(features, labels, categorical_feature=categorical)
    lightgbm.train(parameters, data, 12).save_model(str(path))


def export(path: Path, labels: list[str], folder: Path) -> Exported:
    return export_forest_artifact(path, labels, ORIGIN, folder, lambda _: None)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("categorical", [[], [7], [2, 5, 7]], ids=["numbers", "a category", "categories"])
def test_the_checkpoint_gives_what_lightgbm_gives(seed: int, categorical: list[int], tmp_path: Path) -> None:
    classes = 3 + seed % 3
    train(seed, classes, categorical, tmp_path / "forest.txt")
    booster = lightgbm.Booster(model_file=str(tmp_path / "forest.txt"))
    if categorical:
        assert any("==" in str(tree) for tree in booster.dump_model()["tree_info"])
    exported = export(tmp_path / "forest.txt", list("abcdef"[:classes]), tmp_path / "ethnicity")
    assert exported.labels == {"ethnicity": list("abcdef"[:classes])}
    rng = np.random.default_rng(99)
    rows = rng.normal(size=(500, 8)).astype(np.float32)
    for column in categorical:
        rows[:, column] = rng.integers(-1, 20, 500)  # some of them never seen
    rows[rng.random(rows.shape) < 0.2] = np.nan
    found = checkpoint_probabilities(tmp_path / "ethnicity" / "checkpoint.tl", rows)
    np.testing.assert_allclose(found, booster.predict(rows), atol=1e-5)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)


def test_inputs_are_drawn_from_what_a_model_knows_and_beyond(tmp_path: Path) -> None:
    train(1, 3, [7], tmp_path / "forest.txt")
    rows = random_rows(lightgbm.Booster(model_file=str(tmp_path / "forest.txt")))
    assert rows.shape == (2000, 8)
    assert 0.05 < np.isnan(rows).mean() < 0.15
    categories = rows[:, 7][~np.isnan(rows[:, 7])]
    assert set(range(12)) < set(categories.tolist())


def test_another_objective_number_of_labels_or_file_is_refused(tmp_path: Path) -> None:
    train(1, 3, [], tmp_path / "forest.txt")
    with pytest.raises(ExportError, match="has 3 classes, and 2 labels"):
        export(tmp_path / "forest.txt", ["a", "b"], tmp_path / "out")
    train(1, 3, [], tmp_path / "ova.txt", objective="multiclassova")
    with pytest.raises(ExportError, match="objective 'multiclassova"):
        export(tmp_path / "ova.txt", ["a", "b", "c"], tmp_path / "out")
    (tmp_path / "junk.txt").write_text("junk")
    with pytest.raises(InvalidInputError, match="no LightGBM model"):
        export(tmp_path / "junk.txt", ["a", "b"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("text", ["", "one\n", "a\nb\na\n"])
def test_labels_must_be_several_and_different(text: str, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text(text)
    with pytest.raises(InvalidInputError, match="labels"):
        read_labels(tmp_path / "labels.txt")
