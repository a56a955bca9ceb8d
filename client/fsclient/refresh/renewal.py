"""Bring results to the served models, computing again only what depends on the change."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace

from fsclient.backend.protocol import InferenceBackend
from fsclient.backend.retry import check_model_set
from fsclient.ingest.interruption import Interruption
from fsclient.ingest.photo_loop import ingest_photos
from fsclient.ingest.plan import plan_ingest
from fsclient.ingest.progress import ProgressTeller
from fsclient.ingest.settings import IngestConfig
from fsclient.ingest.summary import IngestSummary
from fsclient.refresh.head_run import HeadRun, count_faces, is_renewed
from fsclient.refresh.model_change import HeldPart, ModelChange, compare, held_parts
from fsdata.results.parts import open_part, read_ledger
from fsdata.results.source import source_path
from fsdata.results.staging import RefreshMode, Staging, drop_staged
from fsdata.results.status import Status
from fsengine.contracts.served import ServedEnsemble
from fsengine.errors import ResultsError
from fsengine.terminal.messages import counted

_UP_TO_DATE = "refreshed: nothing, the results are of the served models already"


async def refresh(
    config: IngestConfig,
    paths: list[bytes],
    backend: InferenceBackend,
    progress: ProgressTeller,
    interruption: Interruption | None = None,
) -> IngestSummary:
    """Bring the parts of a folder to what is served, then score the photos that have no row yet.

    Heads that read the embedding are run on the stored embeddings, and no photo is read. Where the change goes
    deeper, all photos of the sources and of the folder are scored again. The old parts stay until every new one is
    there. The folder must be held by `fsdata.results.parts.locked` and have no replacement to finish.

    Args:
        config: The run.
        paths: Of the photos, see `find_inputs`.
        backend: What runs the models.
        progress: What shows people how far it is.
        interruption: How the run may be told to stop while photos are scored.

    Returns:
        What was done, `IngestSummary.refreshed` included.

    Raises:
        FaceStatsError: See `ingest`; what was staged stays, and the next run goes on from there.
    """
    served = await backend.served()
    parts = held_parts(config.out)
    change = compare(parts, served)
    if change.photos_because is not None:
        return await _score_again(config, paths, backend, served, parts, change.photos_because, progress, interruption)
    done: str | None = None
    if parts:
        done = _UP_TO_DATE
        if change.any:
            done = await _renew(config, backend, served, parts, change, progress)
    drop_staged(config.out)
    if paths:
        todo = plan_ingest(config, paths, model_set_id=served.models.model_set_id).todo
        summary = await ingest_photos(config, paths, backend, progress.photos(len(todo)), interruption)
    else:
        statuses = Counter(_held_photos(parts).values())
        num_photos = statuses.total()
        summary = IngestSummary(
            served=served, num_inputs=num_photos, num_done_before=num_photos, earlier_statuses=statuses
        )
    summary.refreshed = done
    return summary


async def _renew(
    config: IngestConfig,
    backend: InferenceBackend,
    served: ServedEnsemble,
    parts: list[HeldPart],
    change: ModelChange,
    progress: ProgressTeller,
) -> str:
    """Make every part anew from its stored embeddings, and say what was done."""
    num_photos = len(_held_photos(parts))
    faces = {part.path: count_faces(part.path) for part in parts}
    staging = Staging(config.out, served.models, RefreshMode.HEADS)
    run = HeadRun(backend=backend, served=served, steps=change.heads, retry=config.retry)
    on_faces = progress.faces(sum(faces.values()))
    for part in parts:
        target = staging.path / part.path.name
        if is_renewed(part.path, target, served):
            on_faces(faces[part.path])
        else:
            await run.refresh(part.path, target, on_faces)
    await check_model_set(backend, served.models.model_set_id)
    staging.replace_parts()
    return _renewed_text(change, sum(faces.values()), num_photos)


async def _score_again(
    config: IngestConfig,
    paths: list[bytes],
    backend: InferenceBackend,
    served: ServedEnsemble,
    parts: list[HeldPart],
    because: str,
    progress: ProgressTeller,
    interruption: Interruption | None,
) -> IngestSummary:
    """Score the photos of the sources and of the folder, all of them, into new parts."""
    held = _held_photos(parts)
    staging = Staging(config.out, served.models, RefreshMode.PHOTOS)
    scored = {source for source, _, _ in read_ledger(staging.path).statuses}
    gone = {source for source in held if not os.path.lexists(source_path(source))}
    if lost := sorted(source for source in gone - scored if held[source] is Status.OK):
        if not scored:
            drop_staged(config.out)
        raise ResultsError(
            f"{because}, so the photos must be scored again, and {len(lost)} that {config.out} holds faces of are gone "
            f"({lost[0]}): bring them back, or ingest what is there into another --out"
        )
    progress.say(f"{because}: all photos are scored again")
    again = dict.fromkeys([*paths, *(source_path(source) for source in held if source not in gone & scored)])
    staged = replace(config, out=staging.path)
    todo = plan_ingest(staged, list(again), model_set_id=served.models.model_set_id).todo
    summary = await ingest_photos(staged, list(again), backend, progress.photos(len(todo)), interruption)
    if not summary.num_left:
        staging.replace_parts()
        summary.refreshed = f"refreshed: {counted(len(again), 'photo')} scored again, because {because}"
    else:
        summary.refreshed = f"not refreshed yet: {because}; the results in {config.out} are those from before"
    return summary


def _held_photos(parts: list[HeldPart]) -> dict[str, Status]:
    """Return each photo of some parts, oldest first, as its source, and its latest status."""
    held: dict[str, Status] = {}
    for part in parts:
        with open_part(part.path) as file:
            columns = file.read(["source", "status"]).to_pydict()
        held.update((source, Status(status)) for source, status in zip(*columns.values(), strict=True))
    return held


def _renewed_text(change: ModelChange, num_faces: int, num_photos: int) -> str:
    """Say what was done to faces of which no photo was read."""
    faces = f"{counted(num_faces, 'face')} of {counted(num_photos, 'photo')}"
    said = []
    if change.heads:
        said.append(f"{', '.join(change.heads)} on {faces}")
    if change.gone:
        said.append(f"{', '.join(change.gone)} removed" + ("" if change.heads else f" from {faces}"))
    if not said:
        said.append(f"what the parts of {counted(num_photos, 'photo')} say of their models")
    return f"refreshed: {', '.join(said)}, no photo was read"
