"""What a report says, gathered from results in two passes, in memory that does not grow with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fsdata.results.flat_faces import matrix_of
from fsdata.results.reading import Results
from fsdata.results.status import SCORED
from fsdata.selection.selected_faces import selected_rows
from fsengine.contracts.served import ETHNICITY, GENDER

MAP_FACES = 4000
MOST_FAILURES = 20
AGE_EDGES = np.arange(0, 101, 5)
SCORE_EDGES = np.linspace(0, 1, 21)
SIZE_EDGES = np.array([0, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, np.inf])
_MOST_FACES_A_PHOTO = 10
_SEED = 20

Counts = NDArray[np.int64]


@dataclass(slots=True)
class Histogram:
    """Numbers counted between edges.

    Attributes:
        edges: N + 1 of them.
        counts: N.
        missing: Rows without a number.
        total: Sum of the numbers.
    """

    edges: NDArray[np.float64]
    counts: Counts = field(init=False)
    missing: int = 0
    total: float = 0.0

    def __post_init__(self) -> None:
        self.counts = np.zeros(len(self.edges) - 1, np.int64)

    def add(self, values: NDArray[np.float64]) -> None:
        """Count values; those outside of the edges count at the ends, and what is no number as missing."""
        found = values[np.isfinite(values)]
        self.missing += len(values) - len(found)
        self.total += float(found.sum())
        places = np.clip(np.searchsorted(self.edges, found, side="right") - 1, 0, len(self.counts) - 1)
        self.counts += np.bincount(places, minlength=len(self.counts))

    @property
    def mean(self) -> float | None:
        """Return the mean; None of nothing."""
        number = int(self.counts.sum())
        return self.total / number if number else None


@dataclass(slots=True)
class Gathered:
    """What the results hold.

    Attributes:
        num_photos: Photos.
        num_faces: Faces.
        statuses: Photos by status.
        failures: Source, status and reason of the first photos that were not scored.
        faces_a_photo: Scored photos by their number of faces, the last for that and more.
        scores: Of faces.
        sizes: Longer sides of faces' boxes, in pixels.
        ages: In years; None where there is no such head.
        attractiveness: Percentiles; None where there is no such head.
        genders: Faces by class; empty where there is no such head.
        ethnicities: Faces by class, `uncertain` among them; empty where there is no such head.
        probabilities: Head to the mean probability of each class.
        age_by_gender: Class to counts by `AGE_EDGES`.
        places: float64 (N, 2), faces of a sample on the first two principal components of their embeddings.
        place_classes: Gender of each.
        place_shares: Shares of the variance of the two.
        num_truncated: Photos with more faces than were looked for.
    """

    num_photos: int = 0
    num_faces: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[str, str, str]] = field(default_factory=list)
    faces_a_photo: Counter[int] = field(default_factory=Counter)
    scores: Histogram = field(default_factory=lambda: Histogram(SCORE_EDGES))
    sizes: Histogram = field(default_factory=lambda: Histogram(SIZE_EDGES))
    ages: Histogram | None = None
    attractiveness: Histogram | None = None
    genders: Counter[str] = field(default_factory=Counter)
    ethnicities: Counter[str] = field(default_factory=Counter)
    probabilities: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    age_by_gender: dict[str, Histogram] = field(default_factory=dict)
    places: NDArray[np.float64] | None = None
    place_classes: list[str] = field(default_factory=list)
    place_shares: tuple[float, float] = (0.0, 0.0)
    num_truncated: int = 0


def gather(results: Results, where: str | None = None) -> Gathered:
    """Read results through, once their photos and once or twice their faces.

    Args:
        results: What to read.
        where: Which faces count, see `scan_selected`; None for all. Photos are counted all the same.

    Raises:
        InvalidInputError: `where` is no expression.
        ResultsError: A part is damaged.
    """
    found = Gathered()
    _gather_photos(results, found)
    counts = _Counting(None if where is None else selected_rows(results, where))
    if where is not None:
        found.num_faces = counts.number
    if found.num_faces:
        _gather_faces(results, found, counts)
        if results.has_embeddings:
            _gather_places(results, found, counts)
    return found


class _Counting:
    """Which faces count, batch by batch in the order of `Results.scan`."""

    def __init__(self, rows: NDArray[np.int64] | None) -> None:
        self._rows = rows

    @property
    def number(self) -> int:
        return 0 if self._rows is None else len(self._rows)

    def of(self, start: int, number: int) -> NDArray[np.int64] | None:
        """Return the places of those that count among so many faces from one on; None for all."""
        if self._rows is None:
            return None
        first, last = np.searchsorted(self._rows, [start, start + number])
        return self._rows[first:last] - start


def _counted(batches: Iterable[pa.RecordBatch], counts: _Counting) -> Iterator[pa.RecordBatch]:
    start = 0
    for batch in batches:
        places = counts.of(start, batch.num_rows)
        start += batch.num_rows
        yield batch if places is None else batch.take(pa.array(places))


def _gather_photos(results: Results, found: Gathered) -> None:
    scored = {status.value for status in SCORED}
    for batch in results.scan_photos(["source", "status", "reason", "num_faces", "faces_truncated"]):
        columns = batch.to_pydict()
        found.num_photos += batch.num_rows
        found.statuses.update(columns["status"])
        found.num_truncated += sum(map(bool, columns["faces_truncated"]))
        rows = zip(columns["source"], columns["status"], columns["reason"], columns["num_faces"], strict=True)
        for source, status, reason, number in rows:
            if status in scored:
                found.faces_a_photo[min(number or 0, _MOST_FACES_A_PHOTO)] += 1
                found.num_faces += number or 0
            elif len(found.failures) < MOST_FAILURES:
                found.failures.append((source, status, reason or ""))


def _gather_faces(results: Results, found: Gathered, counts: _Counting) -> None:
    there = set(results.face_schema().names)
    optional = (
        "age_years",
        "attractiveness_percentile",
        GENDER,
        ETHNICITY,
        "gender_probability",
        "ethnicity_probability",
    )
    wanted = ["score", "x0", "y0", "x1", "y1", *(name for name in optional if name in there)]
    found.ages = Histogram(AGE_EDGES.astype(np.float64)) if "age_years" in there else None
    sums: dict[str, NDArray[np.float64]] = {}
    for batch in _counted(results.scan(wanted), counts):
        numbers = {name: _numbers(batch, name) for name in ("score", "x0", "y0", "x1", "y1")}
        found.scores.add(numbers["score"])
        found.sizes.add(np.maximum(numbers["x1"] - numbers["x0"], numbers["y1"] - numbers["y0"]))
        genders = batch[GENDER].to_pylist() if GENDER in there else None
        if genders is not None:
            found.genders.update(genders)
        if ETHNICITY in there:
            found.ethnicities.update(batch[ETHNICITY].to_pylist())
        if "attractiveness_percentile" in there:
            found.attractiveness = found.attractiveness or Histogram(np.linspace(0, 100, 21))
            found.attractiveness.add(_numbers(batch, "attractiveness_percentile"))
        if found.ages is not None:
            ages = _numbers(batch, "age_years")
            found.ages.add(ages)
            _count_ages(found, ages, genders)
        for head in (GENDER, ETHNICITY):
            column = f"{head}_probability"
            if column in there:
                width = batch.schema.field(column).type.list_size
                total = matrix_of(batch[column], width).astype(np.float64).sum(axis=0)
                sums[head] = sums[head] + total if head in sums else total
    found.probabilities = {head: total / max(found.num_faces, 1) for head, total in sums.items()}


def _count_ages(found: Gathered, ages: NDArray[np.float64], genders: Sequence[str] | None) -> None:
    if genders is None:
        return
    classes = np.array(genders, dtype=object)
    for name in sorted(set(genders)):
        histogram = found.age_by_gender.setdefault(name, Histogram(AGE_EDGES.astype(np.float64)))
        histogram.add(ages[classes == name])


def _gather_places(results: Results, found: Gathered, counts: _Counting) -> None:
    """Find the two directions in which embeddings differ most, and where a sample of the faces lies on them."""
    names = [GENDER] if GENDER in results.face_schema().names else ["face_index"]
    drawn = set(_drawn(found.num_faces))
    number = start = 0
    total: NDArray[np.float64] = np.zeros(1)
    products: NDArray[np.float64] = np.zeros((1, 1))
    rows, classes = [], []
    for every, all_vectors in results.embeddings(names):
        places = counts.of(start, len(all_vectors))
        start += len(all_vectors)
        batch = every if places is None else every.take(pa.array(places))
        vectors = all_vectors if places is None else all_vectors[places]
        wide = vectors.astype(np.float64)
        total = total + wide.sum(axis=0)
        products = products + wide.T @ wide
        taken = [row for row in range(len(wide)) if number + row in drawn]
        rows.append(vectors[taken])
        labels = batch[0].to_pylist() if names == [GENDER] else [""] * len(wide)
        classes += [labels[row] for row in taken]
        number += len(wide)
    if number < 3 or not np.isfinite(products).all():  # what is no number has no direction
        return
    mean = total / number
    covariance = products / number - np.outer(mean, mean)
    values, axes = np.linalg.eigh(covariance)
    two = axes[:, [-1, -2]]
    two = two * np.where(two[np.abs(two).argmax(axis=0), [0, 1]] < 0, -1, 1)
    found.places = (np.concatenate(rows).astype(np.float64) - mean) @ two
    found.place_classes = classes
    share = values.clip(0) / max(float(values.clip(0).sum()), 1e-12)
    found.place_shares = (float(share[-1]), float(share[-2]))


def _drawn(number: int) -> list[int]:
    if number <= MAP_FACES:
        return list(range(number))
    drawn: list[int] = np.random.default_rng(_SEED).choice(number, MAP_FACES, replace=False).tolist()
    return drawn


def _numbers(batch: pa.RecordBatch, name: str) -> NDArray[np.float64]:
    return np.asarray(batch[name].to_numpy(zero_copy_only=False), np.float64)
