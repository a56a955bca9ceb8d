"""Hyper-parameter search with optuna: seeded, resumable, its trials kept beside the head."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsengine.errors import InvalidInputError, MissingDependencyError

if TYPE_CHECKING:
    import optuna

STUDY_FILE = "trials.db"


def search(
    objective: Callable[[optuna.Trial], float],
    *,
    trials: int,
    seed: int,
    about: str,
    folder: Path,
    progress: Callable[[int, float], None] | None = None,
) -> dict[str, Any]:
    """Return the parameters of the best trial; trials of a broken-off search count.

    Args:
        objective: Gives the loss of a trial, smaller is better.
        trials: How many to make.
        seed: Of the sampler.
        about: What decides the objective: head, data, folds. Trials of anything else do not count.
        folder: Where the trials are kept.
        progress: Called after each trial with its number and the best loss.

    Raises:
        InvalidInputError: What lies at the place of the trials is no search.
        MissingDependencyError: optuna is not installed.
    """
    try:
        import optuna
        from sqlalchemy.exc import SQLAlchemyError
    except ImportError as exc:
        raise MissingDependencyError("the search needs optuna: pip install 'facestats[training]'") from exc
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    folder.mkdir(parents=True, exist_ok=True)
    storage = f"sqlite:///{folder.resolve() / STUDY_FILE}"
    try:
        study = optuna.create_study(storage=storage, study_name=f"{about}, seed {seed}", load_if_exists=True)
    except SQLAlchemyError as exc:
        raise InvalidInputError(f"{folder / STUDY_FILE} holds no trials of fstrain; remove it and run again") from exc
    finished = (optuna.trial.TrialState.COMPLETE,)
    while (done := len(study.get_trials(states=finished))) < trials:
        # A sampler of its own for each trial, so that a resumed search draws what an unbroken one would.
        study.sampler = optuna.samplers.TPESampler(seed=seed * 100_003 + done)
        study.optimize(objective, n_trials=1)
        if progress is not None:
            progress(done + 1, study.best_value)
    # More may be stored of an earlier, longer search: the answer is that of the search that was asked for.
    asked_for = sorted(study.get_trials(states=finished), key=lambda trial: trial.number)[:trials]
    return dict(min(asked_for, key=lambda trial: trial.value or 0.0).params)
