"""The search finds a minimum, draws the same for its seed, and goes on where it was broken off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fsengine.errors import InvalidInputError
from fstraining.fits.search import STUDY_FILE, search

pytest.importorskip("optuna", reason="optuna is missing; it makes the search")


class Bowl:
    """A function with its minimum of 0 at x = 2, y = 0.01, kind = b; keeps what it was asked."""

    def __init__(self, fail_at: int | None = None) -> None:
        self.asked: list[tuple[float, float, str]] = []
        self.fail_at = fail_at

    def __call__(self, trial: Any) -> float:
        if len(self.asked) == self.fail_at:
            raise KeyboardInterrupt
        x, y = trial.suggest_float("x", -5, 5), trial.suggest_float("y", 1e-4, 1.0, log=True)
        kind = trial.suggest_categorical("kind", ["a", "b"])
        self.asked.append((x, y, kind))
        return (x - 2) ** 2 + abs(y - 0.01) + (kind == "a")


def test_it_finds_a_minimum(tmp_path: Path) -> None:
    losses: list[tuple[int, float]] = []
    bowl = Bowl()
    best = search(
        bowl,
        trials=25,
        seed=1,
        about="a test",
        folder=tmp_path / "new" / "work",
        progress=lambda *row: losses.append(row),
    )
    assert best["x"] == pytest.approx(2, abs=0.5)
    assert best["kind"] == "b"
    assert (best["x"], best["y"], best["kind"]) in bowl.asked
    assert [number for number, _ in losses] == list(range(1, 26))
    values = [loss for _, loss in losses]
    assert values == sorted(values, reverse=True)
    assert values[-1] == pytest.approx((best["x"] - 2) ** 2 + abs(best["y"] - 0.01))
    assert (tmp_path / "new" / "work" / STUDY_FILE).exists()


def test_a_seed_decides_what_is_drawn(tmp_path: Path) -> None:
    one, again, other = Bowl(), Bowl(), Bowl()
    first = search(one, trials=12, seed=5, about="a test", folder=tmp_path / "one")
    assert search(again, trials=12, seed=5, about="a test", folder=tmp_path / "again") == first
    search(other, trials=12, seed=6, about="a test", folder=tmp_path / "other")
    assert one.asked == again.asked
    assert not set(one.asked) & set(other.asked)
    assert len(set(one.asked)) == 12


def test_trials_of_a_broken_off_search_count(tmp_path: Path) -> None:
    whole, part, rest = Bowl(), Bowl(), Bowl()
    best = search(whole, trials=15, seed=2, about="a test", folder=tmp_path / "whole")
    search(part, trials=5, seed=2, about="a test", folder=tmp_path / "broken")
    assert search(rest, trials=15, seed=2, about="a test", folder=tmp_path / "broken") == best
    assert (len(part.asked), len(rest.asked)) == (5, 10)
    assert part.asked + rest.asked == whole.asked
    # One that is there is not made again.
    asked_again = Bowl()
    assert search(asked_again, trials=15, seed=2, about="a test", folder=tmp_path / "broken") == best
    assert asked_again.asked == []


def test_a_trial_that_was_interrupted_is_made_again(tmp_path: Path) -> None:
    whole, part, rest = Bowl(), Bowl(fail_at=7), Bowl()
    best = search(whole, trials=12, seed=2, about="a test", folder=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        search(part, trials=12, seed=2, about="a test", folder=tmp_path / "broken")
    assert search(rest, trials=12, seed=2, about="a test", folder=tmp_path / "broken") == best
    assert part.asked + rest.asked == whole.asked


def test_trials_of_another_objective_do_not_count(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    calls: list[float] = []

    def counted(trial: Any) -> float:
        calls.append(trial.suggest_float("x", -1.0, 1.0) ** 2)
        return calls[-1]

    search(counted, trials=3, seed=1, about="one data set", folder=tmp_path)
    search(counted, trials=3, seed=1, about="another data set", folder=tmp_path)
    assert len(calls) == 6
    # Asking for fewer than are stored gives what a shorter search would have given.
    two = search(counted, trials=2, seed=1, about="one data set", folder=tmp_path)
    assert len(calls) == 6
    assert two["x"] ** 2 == min(calls[:2])


def test_what_is_no_search_is_named(tmp_path: Path) -> None:
    (tmp_path / STUDY_FILE).write_bytes(b"precious, and no data base at all")
    with pytest.raises(InvalidInputError, match=f"{STUDY_FILE} holds no trials of fstrain; remove it"):
        search(Bowl(), trials=1, seed=1, about="a test", folder=tmp_path)
    assert (tmp_path / STUDY_FILE).read_bytes() == b"precious, and no data base at all"
