"""What is left to do when a run resumes: the photos that the sources name, compared with what earlier runs did."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from pathlib import Path

from fsclient.ingest.earlier_rows import keep_rows_of_touched, known_photos
from fsclient.ingest.interruption import Interruption
from fsclient.ingest.settings import IngestConfig
from fsclient.ingest.summary import IngestSummary
from fsclient.photos.photo_file import resume_key
from fsclient.photos.sources import FoundPhotos, find_photos, skipped_text
from fsdata.results.ledger import read_ledger
from fsdata.results.parts import part_paths
from fsdata.results.staging import refuse_interrupted
from fsengine.contracts.served import ServedModels
from fsengine.errors import InvalidInputError, ResultsError

_PATHS_AT_A_TIME = 65536
"""Looked up in the ledger; enough for its fastest pace, and few next to the paths themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is left to do.

    Attributes:
        todo: Paths of the photos to score.
        unknown: Those of them that have no row in the state that their files are in now.
        summary: Counts so far.
        models: What the parts were made with; None without parts.
        embeddings: Whether the faces of the parts have embeddings; None without parts.
    """

    todo: list[bytes]
    unknown: list[bytes]
    summary: IngestSummary
    models: ServedModels | None
    embeddings: bool | None


def find_inputs(config: IngestConfig) -> FoundPhotos:
    """Search a run's sources for photos.

    Raises:
        InvalidInputError: A source names nothing, or nothing that it names is to be scored, and the folder of results
            is not to be refreshed.
    """
    found = find_photos(config.sources, skip=config.out, rules=config.rules, listed=config.listed)
    to_refresh = config.refresh and config.out.is_dir() and part_paths(config.out)
    if not found.paths and not to_refresh:
        why = [f"skipped: {skipped}"] if (skipped := skipped_text(found.skipped_files, found.skipped_folders)) else []
        why += [f"{source}: {reason}" for source, reason in found.unreadable]
        raise InvalidInputError(
            f"{', '.join(config.sources) or ('the list' if config.listed else 'SOURCE')} holds no file to score, or "
            f"none outside of --out {config.out}"
            f"{''.join(f'; {text}' for text in why)}; expected photos (--include PATTERN and --strict take more)"
        )
    return found


def plan_ingest(config: IngestConfig, paths: list[bytes], *, model_set_id: str | None = None) -> Plan:
    """Compare photos with what the parts say was done.

    Args:
        config: The run.
        paths: Of the photos, see `find_inputs`.
        model_set_id: What would be served; None to leave it unchecked.

    Raises:
        ResultsError: A part cannot be read, was made with another model set, or holds embeddings where the run stores
            none, or the reverse; or a refresh was interrupted.
    """
    refuse_interrupted(config.out)
    ledger = read_ledger(config.out)
    models = None if ledger.info is None else ledger.info.models
    if model_set_id is not None:
        refuse_other_set(config.out, models, model_set_id)
        refuse_other_embedding(config, ledger.embeddings)
    summary = IngestSummary(served=None, num_inputs=len(paths))
    todo, unknown = [], []
    for start in range(0, len(paths), _PATHS_AT_A_TIME):
        batch = paths[start : start + _PATHS_AT_A_TIME]
        for path, status in zip(batch, ledger.statuses_of([resume_key(path) for path in batch]), strict=True):
            if status is None or status in config.retry_statuses:
                todo.append(path)
                if status is None:
                    unknown.append(path)
            else:
                summary.num_done_before += 1
                summary.earlier_statuses[status] += 1
    return Plan(todo=todo, unknown=unknown, summary=summary, models=models, embeddings=ledger.embeddings)


async def keep_touched(config: IngestConfig, paths: list[bytes], plan: Plan, interruption: Interruption) -> Plan:
    """Keep the rows of photos whose files were touched and not changed, and return what is left to do then.

    Args:
        config: The run; its folder is held by `fsdata.results.parts.locked`.
        paths: Of the photos, see `find_inputs`.
        plan: What is left to do as long as nothing is kept; the model set was checked.
        interruption: How the run may be told to stop; the summary says whether it was.

    Raises:
        ResultsError: A part cannot be read or written.
    """
    stop = threading.Event()

    def keep() -> Plan:
        num_kept, known, left = 0, known_photos(config.out, plan.unknown), plan
        if known and (num_kept := keep_rows_of_touched(config, known, stop.is_set)):
            left = plan_ingest(config, paths)
            known = known_photos(config.out, left.unknown)
        left.summary.num_kept, left.summary.num_changed = num_kept, len(known)
        return left

    work = asyncio.ensure_future(asyncio.to_thread(keep))
    with interruption.heard_by(stop.set):
        try:
            left = await asyncio.shield(work)
        except asyncio.CancelledError:
            # The folder is held until nothing writes into it any more.
            stop.set()
            await work
            raise
    left.summary.interrupted = stop.is_set()
    return left


def refuse_other_set(out: Path, held: ServedModels | None, model_set_id: str) -> None:
    """Refuse to go on in a folder of results with other models.

    Args:
        out: The folder.
        held: What its parts were made with; None without parts.
        model_set_id: What is, or would be, served.

    Raises:
        ResultsError: The two differ.
    """
    if held is not None and model_set_id != held.model_set_id:
        raise ResultsError(
            f"{out} holds results of model set {held.model_set_id} ({held.pack}), and {model_set_id} is served; "
            "results of different sets do not mix: choose another --out, or the same --models, or --refresh to bring "
            "them to it"
        )


def refuse_other_embedding(config: IngestConfig, held: bool | None) -> None:
    """Refuse to go on in a folder of results with embeddings where none are stored, or the reverse.

    Args:
        config: The run.
        held: Whether the faces of the folder's parts have embeddings; None without parts.

    Raises:
        ResultsError: The two differ.
    """
    if held is None or held is config.embedding:
        return
    if held:
        raise ResultsError(
            f"{config.out} holds embeddings, and --no-embedding stores none: choose another --out, leave "
            "--no-embedding out, or add --refresh and --models PACK to remove the stored embeddings"
        )
    raise ResultsError(
        f"{config.out} holds no embeddings, because it was started with --no-embedding: choose another --out, or give "
        "--no-embedding again"
    )
