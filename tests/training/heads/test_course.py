"""What every head's course shares: out-of-fold predictions, the learning curve, the folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from drawn_faces import TRAIN, drawn_faces, options, say
from fstraining.data.face_splits import SIZES, split_faces
from fstraining.heads.course import Task
from fstraining.heads.training_options import describe_data

for library in ("torch", "lightgbm", "matplotlib", "optuna"):
    pytest.importorskip(library, reason=f"{library} is missing; training needs it")


class Numbers:
    """Labels that are the numbers of the rows."""

    array: NDArray[np.int64] = np.arange(200)


def test_predictions_out_of_fold_come_in_the_order_of_the_rows_by_a_fit_that_did_not_see_them(tmp_path: Path) -> None:
    faces, given = drawn_faces(200), options(tmp_path, folds=4)
    splits = split_faces(faces, 0)
    task = Task(
        faces=faces,
        labels=Numbers(),
        splits=splits,
        rows=splits.train,
        data=describe_data(faces, splits, Numbers.array, given),
        options=given,
        say=say,
    )
    calls: list[set[int]] = []

    def predict(fitted: NDArray[np.int64], held: NDArray[np.int64]) -> NDArray[np.float64]:
        assert not set(fitted) & set(held)
        assert set(fitted) | set(held) == set(splits.fitted)
        assert not set(splits.groups[fitted]) & set(splits.groups[held])
        calls.append(set(held))
        return np.column_stack([held, -held]).astype(np.float64)

    found = task.out_of_fold(predict)
    np.testing.assert_array_equal(found, np.column_stack([splits.fitted, -splits.fitted]))
    assert len(calls) == 4
    assert sum(len(call) for call in calls) == len(splits.fitted)


@pytest.mark.parametrize("step", TRAIN)
def test_a_training_leaves_artifact_and_report_and_nothing_else(step: str, tmp_path: Path) -> None:
    exported = TRAIN[step](drawn_faces(90), options(tmp_path), say)
    assert {path.name for path in tmp_path.iterdir()} == {exported.file, "artifact.json", "report"}
    sizes = json.loads((tmp_path / "report" / "report.json").read_text())["curves"]["sizes"]
    assert {len(values) for values in sizes.values()} == {len(SIZES)}
