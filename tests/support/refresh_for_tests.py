"""A backend whose heads answer as they do alone, and results that are brought to other models."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fsclient.backend.server_retries import RetryPolicy
from fsclient.ingest.photo_loop import ingest_photos
from fsclient.ingest.reporting.progress import ProgressTeller
from fsclient.ingest.reporting.summary import IngestSummary
from fsclient.ingest.resume import find_inputs, plan_ingest
from fsclient.ingest.settings import IngestConfig
from fsclient.refresh.refresh_run import refresh
from fsclient.testing import OUTPUTS, FakeBackend, answer, ensemble
from fsdata.results.parts import locked, part_paths
from fsdata.results.schema import part_schema, read_info
from fsdata.results.staging import finish_replacement
from fsengine.contracts.served import EMBEDDING_READ, ServedEnsemble, ServedHead
from plain_headers import PLAIN_PNG

HEAD_OUTPUTS: dict[str, dict[str, tuple[int, ...]]] = {
    "attractiveness": {"attractiveness": (-1, 1), "attractiveness_decile": (-1, 1)},
    "ethnicity": {"ethnicity_probability": (-1, 3)},
    "age_gender": {"gender_probability": (-1, 2), "age_years": (-1, 1)},
}


def ensemble_of(models: Mapping[str, str], *, age_gender_reads: str = EMBEDDING_READ, **changes: Any) -> ServedEnsemble:
    """Return an ensemble of detect, align and embed with version 1, and of what `models` adds or replaces.

    Args:
        models: Step to its version, which is its model id.
        age_gender_reads: What the age/gender head reads.
        changes: Of `ServedModels`.
    """
    ids = {"detect": "1", "align": "1", "embed": "1", **models}
    outputs = {name: shape for name, shape in OUTPUTS.items() if name not in HEAD_OUTPUTS["age_gender"]}
    heads = {}
    for step in HEAD_OUTPUTS.keys() & ids.keys():
        outputs |= HEAD_OUTPUTS[step]
        source = age_gender_reads if step == "age_gender" else EMBEDDING_READ
        made = {f"{step}_out{i}": name for i, name in enumerate(HEAD_OUTPUTS[step])}
        heads[step] = ServedHead(step=step, inputs={f"{step}_in": source}, outputs=made)
    set_id = "set-" + "-".join(f"{step}{ids[step]}" for step in sorted(ids)) + changes.get("preprocessing_id", "")
    base = ensemble(set_id)
    labels = {"gender": ["female", "male"], "ethnicity": ["one", "two", "three"]}
    models_served = replace(base.models, **{"models": ids, "marks": {}, "labels": labels, **changes})
    return replace(base, models=models_served, outputs=outputs, heads=heads)


def head_answer(served: ServedEnsemble, step: str, embeddings: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """Return what a head of `ensemble_of` makes of embeddings: their first number plus 100 times its version."""
    values = embeddings[:, :1] + 100 * float(served.models.models[step])
    return {
        name: np.repeat(values, served.outputs[name][1], axis=1).astype(np.float32)
        for name in served.heads[step].outputs.values()
    }


QUICK = RetryPolicy(attempts=2, first_wait_s=0.0, longest_wait_s=0.0)


OLD = ensemble_of({"ethnicity": "1", "age_gender": "1"})


"""What is needed to be sent to a backend; the byte after it says how many faces there are."""


class Backend(FakeBackend):
    """A photo with n faces whose embeddings begin with 0.01, 0.02 ...; heads answer as they do alone."""

    def __init__(self, served: ServedEnsemble) -> None:
        super().__init__(self._photo)
        self.ensemble = served
        self.head_requests: list[tuple[str, int]] = []

    async def infer_head(self, head: ServedHead, embeddings: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        self.head_requests.append((head.step, len(embeddings)))
        await asyncio.sleep(0)
        return dict(head_answer(self.ensemble, head.step, embeddings))

    def _photo(self, data: bytes, outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        num_faces = data[len(PLAIN_PNG)]
        arrays = answer(num_faces, [name for name in outputs if not self._of_a_head(name)])
        embeddings = np.zeros((max(num_faces, 1), 8), np.float32)
        embeddings[:, 0] = 0.01 * np.arange(1, len(embeddings) + 1)
        arrays["face_embedding"] = embeddings
        for step in self.ensemble.heads:
            arrays |= head_answer(self.ensemble, step, embeddings)
        return arrays

    def _of_a_head(self, name: str) -> bool:
        return any(name in head.outputs.values() for head in self.ensemble.heads.values())


class RecordedProgress(ProgressTeller):
    """A progress that remembers."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.num_faces: list[int] = []
        self.total: int | None = None
        super().__init__(None, self.lines.append)

    def faces(self, total: int) -> Callable[[int], None]:
        self.total = total
        return self.num_faces.append


def write_photos(folder: Path, counts: dict[str, int]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, num_faces in counts.items():
        (folder / name).write_bytes(PLAIN_PNG + bytes([num_faces]) + name.encode())
    return folder


def run(
    backend: FakeBackend,
    out: Path,
    *sources: Path,
    progress: RecordedProgress | None = None,
    plain: bool = False,
    **settings: Any,
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
    entries = list(find_inputs(config).entries)
    with locked(out):
        if plain:
            return asyncio.run(ingest_photos(config, plan_ingest(config, entries), backend, lambda *_: None))
        finish_replacement(out)
        return asyncio.run(refresh(config, entries, backend, progress or RecordedProgress()))


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
