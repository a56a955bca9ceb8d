"""The lite pack's heads as they ship: the forest walked by hand, and single faces against a batch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fsengine.packs.shipped import shipped_folder
from fsexport.heads.trees import FAIRFACE_CLASSES, checkpoint_probabilities

ort = pytest.importorskip("onnxruntime")
treelite = pytest.importorskip("treelite")

LITE = shipped_folder("packs") / "lite"
CHECKPOINT = LITE / "ethnicity" / "checkpoint.tl"
WIDTH = 192


def unit_rows(count: int) -> NDArray[np.float32]:
    rows = np.random.default_rng(5).normal(size=(count, WIDTH))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def run(path: Path, feed: dict[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feed), strict=True))


def walked(forest: dict[str, Any], row: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the class probabilities of one row, float64 (classes,): every tree followed, then the softmax."""
    scores = np.zeros(len(FAIRFACE_CLASSES))
    for tree, cls in zip(forest["trees"], forest["class_id"], strict=True):
        nodes = {node["node_id"]: node for node in tree["nodes"]}
        node = nodes[0]
        while "leaf_value" not in node:
            left = float(row[node["split_feature_id"]]) <= node["threshold"]
            node = nodes[node["left_child" if left else "right_child"]]
        scores[cls] += node["leaf_value"]
    exponents = np.exp(scores - scores.max())
    probabilities: NDArray[np.float64] = exponents / exponents.sum()
    return probabilities


def test_the_shipped_forest_is_the_softmax_of_its_leaves() -> None:
    forest = json.loads(treelite.Model.deserialize(str(CHECKPOINT)).dump_as_json(pretty_print=False))
    assert forest["postprocessor"] == "softmax"
    rows = unit_rows(20)
    found = checkpoint_probabilities(CHECKPOINT, rows)
    np.testing.assert_allclose(found, [walked(forest, row) for row in rows], atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)


def test_the_shipped_heads_give_single_rows_what_a_batch_gives() -> None:
    rows = unit_rows(6)
    ethnicity = checkpoint_probabilities(CHECKPOINT, rows)
    age_gender = run(LITE / "age_gender" / "model.onnx", {"face_embedding": rows})
    assert age_gender["gender_probability"].shape == (6, 2)
    assert age_gender["age_years"].shape == (6, 1)
    for row in range(len(rows)):
        one = rows[row : row + 1]
        np.testing.assert_allclose(checkpoint_probabilities(CHECKPOINT, one)[0], ethnicity[row], atol=1e-7)
        for name, values in run(LITE / "age_gender" / "model.onnx", {"face_embedding": one}).items():
            np.testing.assert_allclose(values[0], age_gender[name][row], atol=1e-4)
