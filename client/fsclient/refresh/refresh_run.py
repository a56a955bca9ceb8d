"""Bring results to the served models, computing again only what depends on the change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TypeVar

from fsclient.backend.protocol import InferenceBackend
from fsclient.backend.server_retries import check_model_set
from fsclient.ingest.interruption import Interruption
from fsclient.ingest.photo_loop import ingest_photos
from fsclient.ingest.reporting.progress import ProgressTeller
from fsclient.ingest.reporting.summary import IngestSummary
from fsclient.ingest.resume import plan_ingest
from fsclient.ingest.settings import IngestConfig
from fsclient.photos.entry import PhotoEntry, stored_entry
from fsclient.refresh.head_run import HeadRun, is_refreshed
from fsclient.refresh.model_change import ModelChange, StoredPart, compare, stored_parts
from fsdata.results.digests import LastRows, source_digests
from fsdata.results.latest import LatestPhotos, last_rows
from fsdata.results.master_table import drop_table
from fsdata.results.part_reading import count_faces
from fsdata.results.parts import part_paths
from fsdata.results.source import is_gone
from fsdata.results.staging import RefreshMode, Staging, drop_staged
from fsdata.results.status import Status
from fsengine.contracts.served import ServedEnsemble
from fsengine.errors import ResultsError
from fsengine.terminal.messages import counted

T = TypeVar("T")

_UP_TO_DATE = "refreshed: nothing, the results are of the served models already"


async def refresh(
    config: IngestConfig,
    entries: list[PhotoEntry],
    backend: InferenceBackend,
    progress: ProgressTeller,
    interruption: Interruption | None = None,
) -> IngestSummary:
    """Bring the parts of a folder to what is served, then score the photos that have no row yet.

    Heads that read the embedding are run on the stored embeddings, and no photo is read. Where the change goes
    deeper, all photos of the sources and of the folder are scored again. Results without embeddings stay so; a run that
    stores none removes those that are there. The old parts stay until every new one is there. The folder must be held
    by `fsdata.results.parts.locked` and have no replacement to finish.

    Args:
        config: The run.
        entries: The photos, see `find_inputs`.
        backend: What runs the models.
        progress: What shows people how far it is.
        interruption: How the run may be told to stop while photos are scored.

    Returns:
        What was done, `IngestSummary.refreshed` included.

    Raises:
        FaceStatsError: See `ingest`; what was staged stays, and the next run goes on from there.
    """
    served = await backend.served()
    parts = stored_parts(config.folder)
    if config.embedding and parts and not any(part.holds_embeddings for part in parts):
        progress.say(f"note: {config.folder} holds no embeddings and stays without; another --out would get them")
        config = replace(config, embedding=False)
    if not config.embedding:
        served = served.without_embedding()
    progress.tell_of_templates(served.models, embedding=config.embedding)
    change = compare(parts, served)
    if change.rescore_reason is not None:
        return await _score_again(config, entries, backend, served, parts, change, progress, interruption)
    done: str | None = None
    if parts:
        done = _UP_TO_DATE
        if change.is_change:
            done = await _refresh_heads(config, backend, served, parts, change, progress)
    drop_staged(config.folder)
    if entries:
        plan = plan_ingest(config, entries, model_set_id=served.models.model_set_id)
        summary = await ingest_photos(config, plan, backend, progress.photos(), interruption)
    else:
        statuses = Counter(status for _, status in _stored_photos(parts))
        num_photos = statuses.total()
        summary = IngestSummary(
            served=served, num_inputs=num_photos, num_done_before=num_photos, earlier_statuses=statuses
        )
    summary.refreshed = done
    return summary


async def _refresh_heads(
    config: IngestConfig,
    backend: InferenceBackend,
    served: ServedEnsemble,
    parts: list[StoredPart],
    change: ModelChange,
    progress: ProgressTeller,
) -> str:
    """Make every part anew from its stored embeddings, and say what was done."""
    num_photos = len(last_rows([part.path for part in parts]))
    faces = {part.path: count_faces(part.path) for part in parts}
    staging = Staging(config.folder, served.models, RefreshMode.HEADS, embeddings=config.embedding)
    run = HeadRun(backend=backend, served=served, steps=change.heads, retry=config.retry)
    on_faces = progress.faces(sum(faces.values()))
    for part in parts:
        target = staging.path / part.path.name
        if is_refreshed(part.path, target, served):
            on_faces(faces[part.path])
        else:
            await run.refresh(part.path, target, on_faces)
    await check_model_set(backend, served.models.model_set_id)
    _drop_templates(config.folder, change, progress)
    staging.replace_parts()
    return _refreshed_text(change, sum(faces.values()), num_photos)


async def _score_again(
    config: IngestConfig,
    entries: list[PhotoEntry],
    backend: InferenceBackend,
    served: ServedEnsemble,
    parts: list[StoredPart],
    change: ModelChange,
    progress: ProgressTeller,
    interruption: Interruption | None,
) -> IngestSummary:
    """Score the photos of the sources and of the folder, all of them, into new parts."""
    because = change.rescore_reason
    staging = Staging(config.folder, served.models, RefreshMode.PHOTOS, embeddings=config.embedding)
    scored = last_rows(part_paths(staging.path))
    again, num_lost, first_lost = _photos_again(entries, parts, scored)
    if num_lost:
        if not len(scored):
            drop_staged(config.folder)
        raise ResultsError(
            f"{because}, so the photos must be scored again, and {num_lost} that {config.folder} holds faces of are "
            f"gone ({first_lost}): bring them back, or ingest what is there into another --out"
        )
    progress.say(f"{because}: all photos are scored again")
    staged = replace(config, out=staging.path)
    plan = plan_ingest(staged, again, model_set_id=served.models.model_set_id)
    summary = await ingest_photos(staged, plan, backend, progress.photos(), interruption)
    if not summary.num_left:
        _drop_templates(config.folder, change, progress)
        staging.replace_parts()
        summary.refreshed = f"refreshed: {counted(len(again), 'photo')} scored again, because {because}"
    else:
        summary.refreshed = f"not refreshed yet: {because}; the results in {config.folder} are those from before"
    return summary


def _drop_templates(folder: Path, change: ModelChange, progress: ProgressTeller) -> None:
    """Remove the master table where embeddings are removed, before the parts without them take their place.

    It would go on holding them, and a run that is killed in between has lost what the next one builds anew.
    """
    if change.removes_embeddings and drop_table(folder):
        progress.say("the master table held the embeddings too and is removed; `fsclient table build` makes it anew")


def _photos_again(
    entries: list[PhotoEntry], parts: list[StoredPart], scored: LastRows
) -> tuple[list[PhotoEntry], int, str]:
    """Return the photos to score again: those of the sources, and those of the parts that are no such.

    Args:
        entries: The photos of the sources.
        parts: The parts, oldest first.
        scored: Photos that were scored again by an earlier run; of these, some may be gone by now.

    Returns:
        The photos, the number of photos with faces that are gone without having been scored, and the first of them.
    """
    named = LastRows([source_digests([entry.source for entry in batch]) for batch in _batched(entries)])
    again = list(entries)
    num_lost, first_lost = 0, ""
    for batch in _batched(_stored_photos(parts)):
        digests = source_digests([source for source, _ in batch])
        were_named, were_scored = named.find(digests) >= 0, scored.find(digests) >= 0
        for (source, status), is_named, is_scored in zip(batch, were_named, were_scored, strict=True):
            entry = None if is_named else stored_entry(source)
            # What lies in a shard is there only where the shard is named.
            if is_gone(source) or (entry is None and not is_named):
                if is_scored:
                    continue
                if status is Status.OK:
                    first_lost = min(first_lost, source) if num_lost else source
                    num_lost += 1
            if entry is not None:
                again.append(entry)
    return again, num_lost, first_lost


def _stored_photos(parts: list[StoredPart]) -> Iterator[tuple[str, Status]]:
    """Return each photo of some parts, oldest first, as its source, and its latest status."""
    for _, photos in LatestPhotos([part.path for part in parts]).tables(["source", "status"]):
        for source, status in zip(photos["source"].to_pylist(), photos["status"].to_pylist(), strict=True):
            yield source, Status(status)


def _batched(items: Iterable[T]) -> Iterator[list[T]]:
    """Return items some ten thousand at a time."""
    remaining = iter(items)
    while batch := list(islice(remaining, 65536)):
        yield batch


def _refreshed_text(change: ModelChange, num_faces: int, num_photos: int) -> str:
    """Say what was done to faces of which no photo was read."""
    faces = f"{counted(num_faces, 'face')} of {counted(num_photos, 'photo')}"
    said = []
    if change.heads:
        said.append(f"{', '.join(change.heads)} on {faces}")
    if change.removed_heads:
        said.append(f"{', '.join(change.removed_heads)} removed" + ("" if change.heads else f" from {faces}"))
    if change.removes_embeddings:
        said.append("embeddings removed" + ("" if said else f" from {faces}"))
    if not said:
        said.append(f"what the parts of {counted(num_photos, 'photo')} say of their models")
    return f"refreshed: {', '.join(said)}, no photo was read"
