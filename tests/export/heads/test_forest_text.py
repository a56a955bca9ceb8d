"""Damaged LightGBM models: the same forest or one clear error, never the end of the process."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from click.testing import CliRunner

from fsengine.errors import InvalidInputError, MissingDependencyError
from fsexport.cli import main
from fsexport.heads.forest_artifact import read_labels
from fsexport.heads.forest_text import checked_forest, read_forest
from fsexport.heads.forest_trial import try_forest
from fsexport.heads.trees import import_lightgbm

try:
    import_lightgbm()
except MissingDependencyError as error:
    pytest.skip(str(error), allow_module_level=True)
pytest.importorskip("treelite")
import lightgbm

POSITIONS = 200


@pytest.fixture
def reports(shared: Path) -> Path:
    return shared / "samples" / "reports" / "B20"


@pytest.fixture
def whole(reports: Path) -> bytes:
    """A model as LightGBM wrote it."""
    return (reports / "forest_crlf.txt").read_bytes().replace(b"\r\n", b"\n")


def export(source: Path, labels: Path, out: Path) -> tuple[int, str]:
    done = CliRunner().invoke(
        main, ["trees", str(source), "--labels", str(labels), "--licence", "MIT", "--out", str(out)]
    )
    return done.exit_code, done.output


def test_other_ends_of_lines_and_a_byte_order_mark_give_the_same_artifact(
    reports: Path, whole: bytes, tmp_path: Path
) -> None:
    (tmp_path / "lf.txt").write_bytes(whole)
    (tmp_path / "bom.txt").write_bytes(b"\xef\xbb\xbf" + whole.replace(b"\n", b"\r\n"))
    checkpoints = set()
    for number, (source, labels) in enumerate(
        [
            (tmp_path / "lf.txt", "labels_lf.txt"),
            (reports / "forest_crlf.txt", "labels_bom_crlf_blank.txt"),
            (tmp_path / "bom.txt", "labels_lf.txt"),
        ]
    ):
        code, text = export(source, reports / labels, tmp_path / str(number))
        assert code == 0, text
        checkpoints.add((tmp_path / str(number) / "checkpoint.tl").read_bytes())
    assert len(checkpoints) == 1


def test_labels_are_read_alike_with_and_without_a_byte_order_mark(reports: Path) -> None:
    assert read_labels(reports / "labels_bom_crlf_blank.txt") == read_labels(reports / "labels_lf.txt")


def test_one_missing_character_is_one_error_and_leaves_nothing(reports: Path, tmp_path: Path) -> None:
    code, text = export(reports / "one_char_less.txt", reports / "labels_lf.txt", tmp_path / "out")
    assert code == 2, text
    assert "one_char_less.txt" in text
    assert "tree 1 of 42" in text
    assert list(tmp_path.iterdir()) == []


def test_a_missing_character_anywhere_changes_nothing_or_is_an_error(whole: bytes) -> None:
    generator = random.Random(20)
    wanted = checked_forest(whole)
    trees = wanted[wanted.index("\nTree=0\n") :]
    header = whole.index(b"\n\n")
    places = [*generator.sample(range(len(whole)), POSITIONS - 50), *generator.sample(range(header), 50)]
    kept, altered = 0, []
    for place in places:
        try:
            found = checked_forest(whole[:place] + whole[place + 1 :])
        except ValueError:
            continue
        kept += 1
        assert found[found.index("\nTree=0\n") :] == trees
        if found != wanted:  # a name, or a range that inputs are drawn from
            altered.append(found)
    assert kept  # behind the trees nothing matters
    for found in altered[:2]:
        failure = try_forest(found)
        assert failure is None or "LightGBM's process" not in failure


def test_every_cut_file_is_an_error(whole: bytes) -> None:
    end = whole.index(b"\nend of trees\n")
    generator = random.Random(21)
    for length in [0, 1, 5, end, end + 5, *generator.sample(range(end), 100)]:
        with pytest.raises(ValueError, match=r"ends|begins|tree|follow|missing|entries|expected|number"):
            checked_forest(whole[:length])


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (b"tree\n", b"\xff\xfet\x00", "begins with"),
        (b"num_class=7", b"num_class=x", "whole number"),
        (b"num_class=7", b"num_class=6", "num_class"),
        (b"num_tree_per_iteration=7", b"num_tree_per_iteration=0", "no class"),
        (b"max_feature_idx=511", b"max_feature_idx=51", "feature_names has 512 entries"),
        (b"feature_infos=", b"feature_info=", "feature_info="),
        (b"label_index=0", b"label_index=0\nlabel_index=0", "twice"),
        (b"end of trees", b"nd of trees", "tree 42 of 42"),
        (b"Tree=3", b"Tree=4", "tree 3 of 42"),
    ],
)
def test_each_fault_is_named(whole: bytes, tmp_path: Path, before: bytes, after: bytes, message: str) -> None:
    path = tmp_path / "forest.txt"
    path.write_bytes(whole.replace(before, after, 1))
    with pytest.raises(InvalidInputError, match=message) as caught:
        read_forest(path)
    assert str(path) in str(caught.value)


def test_a_file_without_sizes_is_read_too(whole: bytes) -> None:
    lines = [line for line in whole.split(b"\n") if not line.startswith(b"tree_sizes=")]
    text = checked_forest(b"\n".join(lines))
    booster, other = lightgbm.Booster(model_str=text), lightgbm.Booster(model_str=whole.decode())
    assert booster.num_trees() == other.num_trees()
    assert booster.dump_model()["tree_info"] == other.dump_model()["tree_info"]


def test_what_ends_lightgbm_is_told_by_its_child(whole: bytes, tmp_path: Path) -> None:
    # Of the right size, so that only LightGBM itself can tell.
    start = whole.index(b"leaf_value=")
    path = tmp_path / "forest.txt"
    path.write_bytes(whole[:start] + b"leaf_walue=" + whole[start + 11 :])
    with pytest.raises(InvalidInputError, match=r"forest\.txt"):
        read_forest(path)


def test_a_child_that_dies_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    from fsexport.heads import forest_trial

    monkeypatch.setattr(forest_trial, "_TRIAL", "import os; os.abort()")
    failure = try_forest("")
    assert failure is not None
    assert "SIGABRT" in failure


def test_the_child_imports_nothing_from_the_current_folder(
    whole: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("json", "copy", "random", "sitecustomize"):
        (tmp_path / f"{name}.py").write_text(f"open('PWNED-{name}', 'w')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert try_forest(checked_forest(whole)) is None
    assert not list(tmp_path.glob("PWNED*"))
