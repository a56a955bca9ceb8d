"""Pickles are read without running what they ask for: FaceStats v4's classifiers, scikit-learn's, and hostile ones."""

from __future__ import annotations

import builtins
import os
import pickle
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from fsengine.errors import ExportError
from fsexport.sources.inert_pickle import Record, read_pickle
from fsexport.sources.sklearn_pickle import CLASSIFIER, PIPELINE, SCALER, read_scaled_classifier

ALLOWED = frozenset({PIPELINE, SCALER, CLASSIFIER})


class Calls:
    """Pickles as a call of a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.function, self.arguments


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    return tmp_path / "was_run"


def hostile(canary: Path) -> dict[str, bytes]:
    """Return pickles that would make the canary file if they were run, each in another way."""
    touch = f"touch {canary}"
    program = f"open({str(canary)!r}, 'w')"
    system = pickle.dumps(Calls(os.system, touch), protocol=2)
    # An array of objects, as joblib and NumPy write it, whose object is a call.
    objects = np.array([Calls(os.system, touch)], object)
    return {
        "os.system": system,
        "the same, newest protocol": pickle.dumps(Calls(os.system, touch)),
        "eval": pickle.dumps(Calls(builtins.eval, program)),
        "exec": pickle.dumps(Calls(builtins.exec, program)),
        "getattr": pickle.dumps(Calls(builtins.getattr, "x", "upper")),
        "import": pickle.dumps(Calls(builtins.__import__, "antigravity")),
        "Popen": pickle.dumps(Calls(subprocess.Popen, ["touch", str(canary)])),
        "instruction i": b"(S'" + touch.encode() + b"'\nios\nsystem\n.",
        "instruction o": b"(cos\nsystem\nS'" + touch.encode() + b"'\no.",
        "nested in a list": pickle.dumps([1, {"a": Calls(os.system, touch)}]),
        "inside an array": pickle.dumps(objects),
        "an allowed class that is called back": b"cnumpy\nndarray\n(S'x'\ntR(S'y'\ntR.",
        "attributes of an allowed name": b"cnumpy\ndtype\n}S'make'\ncnumpy\nndarray\nsb.",
        "a method of a string": b"c__builtin__\nstr\n.",
        "a persistent id": b"Psomething\n.",
        "an extension": b"\x82\x01.",
        "a dotted name": pickle.PROTO + b"\x04\x8c\x05numpy\x8c\x0ccore.os.system\x93(\x8c\x02id\x85R.",
    }


NAMES = list(hostile(Path("x")))


@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_pickle_is_refused_and_nothing_of_it_is_run(name: str, tmp_path: Path, canary: Path) -> None:
    path = tmp_path / "hostile.pkl"
    path.write_bytes(hostile(canary)[name])
    with pytest.raises(ExportError):
        read_pickle(path, ALLOWED)
    assert not canary.exists()


def test_the_message_names_what_was_asked_for(tmp_path: Path, canary: Path) -> None:
    path = tmp_path / "hostile.pkl"
    path.write_bytes(hostile(canary)["os.system"])
    with pytest.raises(ExportError, match=r"asks for (posix|os)\.system.*Nothing of it was run"):
        read_scaled_classifier(path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"junk",
        b"\x80\x04",
        b"\x80\x04\x95" + struct.pack("<Q", 1 << 60) + b".",
        b"\x80\x04\x8e" + struct.pack("<Q", 1 << 60) + b".",
        b"\x80\x02r" + struct.pack("<I", (1 << 32) - 1) + b".",
        b"(" * 10_000 + b".",
        b"\x80\x05\x96" + struct.pack("<Q", 1 << 60) + b".",
        pickle.dumps({"steps": []}),
        pickle.dumps(3),
    ],
    ids=[
        "empty",
        "junk",
        "cut off",
        "huge frame",
        "huge bytes",
        "huge memo",
        "deep",
        "huge bytearray",
        "a dict",
        "a number",
    ],
)
def test_a_file_that_is_no_such_model_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(content)
    with pytest.raises(ExportError, match=r"model\.pkl"):
        read_scaled_classifier(path)


def test_records_keep_what_they_are_given_and_nothing_outlives_a_file(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(b"\x80\x02csklearn.pipeline\nPipeline\n)\x81}U\x04nameU\x04minesb.")
    found = read_pickle(path, ALLOWED)
    assert isinstance(found, Record)
    assert (found.name, found.state) == (PIPELINE, {"name": "mine"})
    with pytest.raises(ExportError, match=r"sklearn\.pipeline\.Pipeline"):
        read_pickle(path, frozenset({CLASSIFIER}))


@pytest.mark.parametrize(
    ("file", "column"),
    [
        ("gender_clf_700rows.pkl", "stored_gender_pred_700rows_pkl"),
        ("ethnicity_clf_700rows.pkl", "stored_ethnicity_pred_700rows_pkl"),
    ],
)
def test_facestats_v4_classifiers_give_their_stored_predictions(shared: Path, file: str, column: str) -> None:
    folder = shared / "weights" / "facestats_v4"
    classifier = read_scaled_classifier(folder / "history" / file)
    table = pq.read_table(folder / "golden" / "clip_vitb32_embeddings.parquet")
    probabilities = classifier.probabilities(np.array(table["embedding"].to_pylist()))
    assert probabilities.shape == (412, len(classifier.labels))
    predicted = [classifier.labels[row] for row in probabilities.argmax(axis=1)]
    assert predicted == table[column].to_pylist()
    assert "unknown" in classifier.labels


def test_every_stored_classifier_of_facestats_v4_is_read_with_its_own_labels(shared: Path) -> None:
    folder = shared / "weights" / "facestats_v4"
    labels = {
        file: read_scaled_classifier(folder / file).labels
        for file in ("src_models/gender_clf.pkl", "src_models/ethnicity_clf.pkl", "models/gender_clf.pkl")
    }
    assert labels["src_models/gender_clf.pkl"] == ["female", "male", "unknown"]
    assert labels["models/gender_clf.pkl"] == ["female", "unknown"]
    assert labels["src_models/ethnicity_clf.pkl"] == [
        "black",
        "east_or_southeast_asian",
        "indian",
        "latino/hispanic",
        "middle_eastern",
        "unknown",
        "white",
    ]


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("scaled", [True, False], ids=["scaled", "alone"])
@pytest.mark.parametrize("how", ["joblib", "pickle 2", "pickle 4", "pickle 5"])
def test_scikit_learns_own_probabilities_are_reproduced(tmp_path: Path, classes: int, scaled: bool, how: str) -> None:
    linear_model = pytest.importorskip("sklearn.linear_model", reason="scikit-learn is the oracle of this test")
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(classes)
    features = rng.normal(3.0, 2.0, (200, 6))
    labels = np.array(["b", "a", "d", "c"])[:classes][(features @ rng.normal(size=(6, classes))).argmax(axis=1)]
    model = linear_model.LogisticRegression(max_iter=500)
    model = make_pipeline(StandardScaler(), model) if scaled else model
    model.fit(features, labels)
    path = tmp_path / "model.pkl"
    if how == "joblib":
        pytest.importorskip("joblib").dump(model, path)
    else:
        path.write_bytes(pickle.dumps(model, protocol=int(how[-1])))
    found = read_scaled_classifier(path)
    assert found.labels == list(model.classes_)
    np.testing.assert_allclose(found.probabilities(features), model.predict_proba(features), atol=1e-12)


def classifier_of(classes: bytes) -> bytes:
    """Return the pickle of a LogisticRegression with some classes and nothing else."""
    return (
        b"\x80\x02c"
        + CLASSIFIER.replace(".Log", "\nLog").encode()
        + b"\n)\x81}(U\x05coef_]U\x0aintercept_]U\x08classes_"
        + classes
        + b"ub."
    )


@pytest.mark.parametrize(
    "classes",
    [
        b"](U\x01aU\x01ae",
        b"](U\x01aU\x00e",
        b"](U\x01aU\x03b\ncse",
        b"](U\x01ae",
        # A list of two of a list of two of ...: 2^30 texts, if it were written out.
        b"](U\x01a" + b"]q\x01U\x01xa" + b"".join(b"](h%ch%ceq%c" % (n, n, n + 1) for n in range(1, 31)) + b"e",
    ],
    ids=["twice the same", "empty", "two lines", "one", "a bomb"],
)
def test_classes_that_are_no_labels_are_refused(classes: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(classifier_of(classes))
    with pytest.raises(ExportError, match=r"model\.pkl"):
        read_scaled_classifier(path)


def test_a_compressed_file_says_how_to_save_it(tmp_path: Path) -> None:
    joblib = pytest.importorskip("joblib", reason="joblib writes the file of this test")
    joblib.dump({"a": 1}, tmp_path / "model.pkl", compress=3)
    with pytest.raises(ExportError, match="compress=0"):
        read_scaled_classifier(tmp_path / "model.pkl")


def test_another_kind_of_model_is_refused_by_its_name(tmp_path: Path) -> None:
    tree = pytest.importorskip("sklearn.tree", reason="scikit-learn makes the model of this test")
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(tree.DecisionTreeClassifier().fit([[0.0], [1.0]], [0, 1])))
    with pytest.raises(ExportError, match="DecisionTreeClassifier"):
        read_scaled_classifier(path)
