"""A backend whose heads answer as they do alone, and results that are brought to other models."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fake_backend import FakeBackend, answer, ensemble_of, head_answer
from fsclient.ingest.pipeline import IngestConfig, IngestSummary, Progress, find_inputs, ingest
from fsclient.refresh.renewal import refresh
from fsclient.score.scoring import RetryPolicy
from fsdata.results.parts import locked, part_paths
from fsdata.results.schema import part_schema, read_info
from fsdata.results.staging import finish_replacement
from fsengine.contracts.served import ServedEnsemble

QUICK = RetryPolicy(attempts=2, first_wait_s=0.0, longest_wait_s=0.0)


OLD = ensemble_of({"ethnicity": "1", "age_gender": "1"})


PNG = b"\x89PNG\r\n\x1a\n"
"""What is needed to be sent to a backend; the byte after it says how many faces there are."""


class Backend(FakeBackend):
    """A photo with n faces whose embeddings begin with 0.01, 0.02 ...; heads answer as they do alone."""

    def __init__(self, served: ServedEnsemble) -> None:
        super().__init__(self._photo)
        self.ensemble = served

    def _photo(self, data: bytes, outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        num_faces = data[len(PNG)]
        arrays = answer(num_faces, [name for name in outputs if not self._of_a_head(name)])
        embeddings = np.zeros((max(num_faces, 1), 8), np.float32)
        embeddings[:, 0] = 0.01 * np.arange(1, len(embeddings) + 1)
        arrays["face_embedding"] = embeddings
        for step in self.ensemble.heads:
            arrays |= head_answer(self.ensemble, step, embeddings)
        return arrays

    def _of_a_head(self, name: str) -> bool:
        return any(name in head.outputs.values() for head in self.ensemble.heads.values())


class Told:
    """A progress that remembers."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.num_faces: list[int] = []
        self.total = 0

    def say(self, line: str) -> None:
        self.lines.append(line)

    def faces(self, total: int) -> Callable[[int], None]:
        self.total = total
        return self.num_faces.append

    def photos(self, total: int) -> Progress:
        return lambda _: None


def write_photos(folder: Path, counts: dict[str, int]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, num_faces in counts.items():
        (folder / name).write_bytes(PNG + bytes([num_faces]) + name.encode())
    return folder


def run(
    backend: FakeBackend, out: Path, *sources: Path, told: Told | None = None, plain: bool = False, **settings: Any
) -> IngestSummary:
    config = IngestConfig(
        sources=tuple(map(str, sources)),
        out=out,
        part_size=2,
        concurrency=1,
        retry=QUICK,
        refresh=not plain,
        **settings,
    )
    paths = find_inputs(config)
    with locked(out):
        if plain:
            return asyncio.run(ingest(config, paths, backend, lambda _: None))
        finish_replacement(out)
        return asyncio.run(refresh(config, paths, backend, told or Told()))


def five_photos(folder: Path) -> Path:
    """Write five photos with 303 faces in all."""
    return write_photos(folder, {"a.png": 0, "b.png": 1, "c.png": 2, "d.png": 200, "e.png": 100})


def three_parts(out: Path, photos: Path) -> Path:
    """Write the results of five photos, made with OLD, in three parts."""
    run(Backend(OLD), out, photos, plain=True)
    assert len(part_paths(out)) == 3
    return out


def rows_of(out: Path) -> dict[str, dict[str, Any]]:
    """Return the rows of a folder by the name of their photo, each once."""
    rows = [row for path in part_paths(out) for row in pq.read_table(path).to_pylist()]
    assert len({row["source"] for row in rows}) == len(rows)
    return {os.path.basename(row["source"]): row for row in rows}


def assert_same_results(out: Path, expected: Path, *, timings: bool = False) -> None:
    found, wanted = rows_of(out), rows_of(expected)
    assert found.keys() == wanted.keys()
    for name, row in wanted.items():
        for column in row.keys() - (set() if timings else {"read_ms", "infer_ms", "attempts"}):
            assert found[name][column] == row[column], (name, column)


def assert_made_with(out: Path, served: ServedEnsemble) -> None:
    assert part_paths(out)
    for path in part_paths(out):
        schema = pq.read_schema(path)
        assert schema.equals(part_schema(served))
        assert read_info(schema, str(path)).models == served.models
        assert set(pq.read_table(path, columns=["model_set_id"]).column(0).to_pylist()) == {served.models.model_set_id}
    assert not list(out.glob(".refresh-*"))


HEAD_CHANGES = {
    "changed": ensemble_of({"ethnicity": "2", "age_gender": "1"}),
    "both changed": ensemble_of({"ethnicity": "2", "age_gender": "2"}),
    "added": ensemble_of({"ethnicity": "1", "age_gender": "1", "attractiveness": "4"}),
    "gone": ensemble_of({"ethnicity": "1"}),
    "swapped": ensemble_of({"attractiveness": "4", "age_gender": "1"}),
    "another age_gender reads a crop and stays": ensemble_of(
        {"ethnicity": "2", "age_gender": "1"}, age_gender_reads="age_gender_crop"
    ),
    "without any head": ensemble_of({}),
}


PHOTO_CHANGES = {
    "detect": (ensemble_of({"detect": "2", "ethnicity": "1", "age_gender": "1"}), "the detect model changed"),
    "align": (ensemble_of({"align": "2", "ethnicity": "1", "age_gender": "1"}), "the align model changed"),
    "embed": (ensemble_of({"embed": "2", "ethnicity": "1", "age_gender": "1"}), "the embed model changed"),
    "crop": (
        ensemble_of({"ethnicity": "1", "age_gender": "2"}, age_gender_reads="age_gender_crop"),
        "it reads a crop",
    ),
    "preprocessing": (
        ensemble_of({"ethnicity": "1", "age_gender": "1"}, preprocessing_id="pre-2"),
        "the preprocessing changed",
    ),
}
