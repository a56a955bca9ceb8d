"""A small multilayer perceptron: early stopping, weighted rows, deterministic for its seed."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsengine.errors import MissingDependencyError
from fsexport.heads.rating_mlp import Layer

Progress = Callable[[int, float], None]
"""Called after each epoch with its number and the validation loss."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MlpSettings:
    """How a network is made and trained.

    Attributes:
        hidden: Width of each hidden layer.
        learning_rate: Of AdamW.
        weight_decay: Of AdamW.
        dropout: After each hidden layer.
        batch_rows: Rows of a step.
        most_epochs: Bound.
        patience: Epochs without a better validation loss after which training stops.
        seed: Of everything random.
    """

    hidden: tuple[int, ...] = (128, 32)
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    dropout: float = 0.2
    batch_rows: int = 64
    most_epochs: int = 300
    patience: int = 25
    seed: int = 0

    def __post_init__(self) -> None:
        if min((*self.hidden, self.batch_rows, self.most_epochs, self.patience)) < 1:
            raise ValueError(f"{self}: widths, rows, epochs and patience must be above 0")
        if not 0 <= self.dropout < 1 or not self.learning_rate > 0 or not self.weight_decay >= 0:
            raise ValueError(f"{self}: dropout must be 0 to 1, learning_rate above 0, weight_decay 0 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Inputs with targets.

    Attributes:
        inputs: float32 (N, D).
        targets: float64 (N,).
        weights: float64 (N,), mean 1: how much each row counts.
    """

    inputs: NDArray[np.float32]
    targets: NDArray[np.float64]
    weights: NDArray[np.float64]

    def take(self, rows: NDArray[np.int64]) -> Rows:
        """Return some rows."""
        return Rows(inputs=self.inputs[rows], targets=self.targets[rows], weights=self.weights[rows])


@dataclass(frozen=True, slots=True, kw_only=True)
class MlpFit:
    """A trained network.

    Attributes:
        layers: (weight, bias) of each linear layer, of the best epoch, in the units of the targets.
        train_losses: Weighted mean squared error of each epoch, in the units of the targets squared.
        validation_losses: The same on the validation rows.
    """

    layers: list[Layer]
    train_losses: list[float] = field(default_factory=list)
    validation_losses: list[float] = field(default_factory=list)

    @property
    def best_epoch(self) -> int:
        """Return the epoch, from 1, whose weights these are."""
        return int(np.argmin(self.validation_losses)) + 1


def fit_mlp(train: Rows, validation: Rows, settings: MlpSettings, progress: Progress | None = None) -> MlpFit:
    """Train a network until the validation loss gets no better.

    Args:
        train: Rows to fit.
        validation: Rows that decide when to stop.
        settings: How.
        progress: Called after each epoch.

    Raises:
        MissingDependencyError: torch is not installed.
    """
    with _one_thread():
        run = _Run(train, validation, settings)
        while not run.finished:
            run.epoch()
            if progress is not None:
                progress(len(run.validation_losses), run.validation_losses[-1])
    return MlpFit(layers=run.layers(), train_losses=run.train_losses, validation_losses=run.validation_losses)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keep torch to one thread: small matrices take longer in parts, and sums keep their order on any machine."""
    try:
        import torch
    except ImportError as exc:
        raise MissingDependencyError("training needs torch: pip install 'facestats[training]'") from exc
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class _Run:
    """The state of one training."""

    def __init__(self, train: Rows, validation: Rows, settings: MlpSettings) -> None:
        import torch

        self._torch, self._settings = torch, settings
        torch.manual_seed(settings.seed)
        self._shuffle = np.random.default_rng(settings.seed)
        self._centre = float(np.average(train.targets, weights=train.weights))
        self._spread = float(np.sqrt(np.average((train.targets - self._centre) ** 2, weights=train.weights))) or 1.0
        self._tensors = [self._rows(rows) for rows in (train, validation)]
        widths = [train.inputs.shape[1], *settings.hidden, 1]
        modules: list[Any] = []
        for position, (before, after) in enumerate(itertools.pairwise(widths)):
            modules.append(torch.nn.Linear(before, after))
            if position < len(settings.hidden):
                modules += [torch.nn.ReLU(), torch.nn.Dropout(settings.dropout)]
        self._network = torch.nn.Sequential(*modules)
        self._optimizer = torch.optim.AdamW(
            self._network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self._best: dict[str, Any] = {}
        self.train_losses: list[float] = []
        self.validation_losses: list[float] = []

    def _rows(self, rows: Rows) -> tuple[Any, Any, Any]:
        scaled = (rows.targets - self._centre) / self._spread
        return tuple(  # type: ignore[return-value]
            self._torch.from_numpy(np.ascontiguousarray(part, np.float32))
            for part in (rows.inputs, scaled, rows.weights)
        )

    @property
    def finished(self) -> bool:
        """Return whether training has stopped."""
        losses = self.validation_losses
        stale = len(losses) - 1 - int(np.argmin(losses)) if losses else 0
        return len(losses) >= self._settings.most_epochs or stale >= self._settings.patience

    def epoch(self) -> None:
        """Go through the rows once."""
        inputs, targets, weights = self._tensors[0]
        self._network.train()
        order = self._shuffle.permutation(len(targets))
        for start in range(0, len(order), self._settings.batch_rows):
            rows = self._torch.from_numpy(order[start : start + self._settings.batch_rows])
            self._optimizer.zero_grad()
            errors = (self._network(inputs[rows])[:, 0] - targets[rows]) ** 2
            (errors * weights[rows]).mean().backward()
            self._optimizer.step()
        for kept, rows_of in zip((self.train_losses, self.validation_losses), self._tensors, strict=True):
            kept.append(self._loss(*rows_of))
        if int(np.argmin(self.validation_losses)) == len(self.validation_losses) - 1:
            self._best = {name: value.clone() for name, value in self._network.state_dict().items()}

    def _loss(self, inputs: Any, targets: Any, weights: Any) -> float:
        self._network.eval()
        with self._torch.no_grad():
            errors = (self._network(inputs)[:, 0] - targets) ** 2
            return float((errors * weights).sum() / weights.sum()) * self._spread**2

    def layers(self) -> list[Layer]:
        """Return the best epoch's layers; the last one gives the targets' own units."""
        numbers = sorted({int(name.split(".")[0]) for name in self._best})
        layers = [(self._best[f"{n}.weight"].numpy().copy(), self._best[f"{n}.bias"].numpy().copy()) for n in numbers]
        weight, bias = layers[-1]
        layers[-1] = (weight * np.float32(self._spread), (bias * self._spread + self._centre).astype(np.float32))
        return layers
