from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from fsdata.labels import near_duplicates
from fsdata.labels.near_duplicates import group_ids
from fsdata.labels.splits import assign_splits, fold_numbers
from fsengine.errors import InvalidInputError

FRACTIONS = {"train": 0.7, "calibrate": 0.1, "test": 0.2}


def draw(seed: int, count: int = 400) -> tuple[list[str], list[str | None], NDArray[np.float32]]:
    """Draw photos with copies, people with several photos, and near-duplicates."""
    rng = np.random.default_rng(seed)
    contents = [hashlib.sha256(bytes([seed]) + i.tobytes()).hexdigest() for i in rng.integers(0, count * 2, count)]
    identities = [None if person < 0 else str(person) for person in rng.integers(-count, count, count)]
    vectors = rng.normal(size=(count, 32)).astype(np.float32)
    for copy, original in rng.integers(0, count, (count // 10, 2)):
        vectors[copy] = vectors[original] + rng.normal(scale=0.02, size=32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return contents, identities, vectors


def slow_groups(contents: Sequence[str], identities: Sequence[str | None], vectors: NDArray[np.float32]) -> list[int]:
    """Label connected components by spreading the smallest number until nothing changes."""
    same = np.array(contents)[:, None] == np.array(contents)[None]
    people = np.array([person or f"nobody {row}" for row, person in enumerate(identities)])
    same |= people[:, None] == people[None]
    same |= vectors @ vectors.T >= 0.97
    labels = np.arange(len(contents))
    while True:
        spread = np.where(same, labels[None], len(contents)).min(axis=1)
        if (spread == labels).all():
            return [int(label) for label in labels]
        labels = spread


def as_sets(groups: Sequence[int] | NDArray[np.int64]) -> set[frozenset[int]]:
    members: dict[int, set[int]] = defaultdict(set)
    for row, group in enumerate(groups):
        members[int(group)].add(row)
    return {frozenset(rows) for rows in members.values()}


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("block", [7, 128, 2048])
def test_groups_are_the_connected_photos(seed: int, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_duplicates, "BLOCK_ROWS", block)
    contents, identities, vectors = draw(seed)
    groups = group_ids(contents, identities, vectors)
    assert groups.dtype == np.int64
    assert groups.min() >= 0
    found = as_sets(groups)
    assert found == as_sets(slow_groups(contents, identities, vectors))
    assert 20 < len(found) < 400


@pytest.mark.parametrize("seed", range(8))
def test_no_group_is_split_and_order_does_not_matter(seed: int) -> None:
    contents, identities, vectors = draw(seed)
    order = np.random.default_rng(seed + 100).permutation(len(contents))
    groups = group_ids(contents, identities, vectors)
    shuffled = group_ids([contents[i] for i in order], [identities[i] for i in order], vectors[order])
    assert (shuffled == groups[order]).all()

    splits, folds = assign_splits(groups, FRACTIONS, seed), fold_numbers(groups, 5, seed)
    assert assign_splits(shuffled, FRACTIONS, seed) == [splits[i] for i in order]
    assert (fold_numbers(shuffled, 5, seed) == folds[order]).all()
    for keys in (contents, identities, groups.tolist()):
        sides: dict[object, set[tuple[str, int]]] = defaultdict(set)
        for key, split, fold in zip(keys, splits, folds.tolist(), strict=True):
            if key is not None:
                sides[key].add((split, fold))
        assert all(len(side) == 1 for side in sides.values())


def test_fractions_come_out_and_seeds_differ() -> None:
    groups = group_ids([str(i) for i in range(20_000)], [None] * 20_000)
    assert len(set(groups.tolist())) == 20_000
    first, second = assign_splits(groups, FRACTIONS, 1), assign_splits(groups, FRACTIONS, 2)
    for name, share in FRACTIONS.items():
        # Five standard deviations of 20,000 draws are less than this.
        assert first.count(name) / 20_000 == pytest.approx(share, abs=0.017)
    assert first != second
    assert first == assign_splits(groups, FRACTIONS, 1)


def test_a_group_keeps_its_side_when_photos_are_added() -> None:
    contents = [str(i) for i in range(500)]
    few = assign_splits(group_ids(contents[:200], [None] * 200), FRACTIONS, 3)
    assert assign_splits(group_ids(contents, [None] * 500), FRACTIONS, 3)[:200] == few


def test_folds_are_even() -> None:
    groups = group_ids([str(i) for i in range(103)], [str(i // 2) for i in range(103)])
    sizes = np.bincount(fold_numbers(groups, 5, 0), minlength=5)
    assert sizes.sum() == 103
    assert sizes.max() - sizes.min() <= 2
    assert (fold_numbers(groups, 5, 0) != fold_numbers(groups, 5, 1)).any()


def test_many_copies_are_one_group_in_bounded_time() -> None:
    vectors = np.zeros((5000, 16), dtype=np.float32)
    vectors[:, 0] = 1
    vectors[0] = 0  # a photo without an embedding is near nothing
    groups = group_ids([str(i) for i in range(5000)], [None] * 5000, vectors)
    assert len(set(groups.tolist())) == 2
    assert len(set(groups[1:].tolist())) == 1


@pytest.mark.parametrize(
    ("contents", "identities", "vectors", "cosine", "said"),
    [
        (["a", "b"], ["p"], None, 0.9, "1 identities for 2 photos"),
        (["a", ""], [None, None], None, 0.9, "hash is empty"),
        (["a", "b"], [None, None], np.ones((1, 4), np.float32), 0.9, r"expected float32 \(2, D\)"),
        (["a"], [None], np.ones((1, 1)), 0.9, "float64"),
        (["a"], [None], np.ones((1, 4), np.float32), 0.9, "has length 2"),
        (["a"], [None], np.full((1, 4), np.nan, np.float32), 0.9, "has length nan"),
        (["a"], [None], np.ones((1, 1), np.float32), 1.5, "near_duplicate_cosine"),
    ],
)
def test_wrong_input_is_refused(
    contents: list[str], identities: list[str | None], vectors: NDArray[np.float32], cosine: float, said: str
) -> None:
    with pytest.raises(InvalidInputError, match=said):
        group_ids(contents, identities, vectors, cosine)


@pytest.mark.parametrize(
    "fractions", [{}, {"a": 0.5}, {"a": 1.0, "b": 0.0}, {"a": float("nan")}, {"a": 1.5, "b": -0.5}]
)
def test_wrong_fractions_are_refused(fractions: dict[str, float]) -> None:
    with pytest.raises(InvalidInputError, match="fractions"):
        assign_splits(np.array([1, 2]), fractions, 0)


@pytest.mark.parametrize(("num_folds", "said"), [(1, "expected >= 2"), (3, "2 groups of photos for 3 folds")])
def test_wrong_folds_are_refused(num_folds: int, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        fold_numbers(np.array([1, 2, 2]), num_folds, 0)
