"""What is left to do when a run resumes: the photos that the sources name, compared with what earlier runs did."""

from __future__ import annotations

from dataclasses import dataclass

from fsclient.ingest.settings import IngestConfig
from fsclient.ingest.summary import IngestSummary
from fsclient.photos.photo_file import resume_key
from fsclient.photos.sources import find_photos
from fsdata.results.ledger import read_ledger
from fsdata.results.parts import part_paths
from fsdata.results.staging import refuse_interrupted
from fsengine.errors import InvalidInputError, ResultsError

_PATHS_AT_A_TIME = 65536
"""Looked up in the ledger; enough for its fastest pace, and few next to the paths themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is left to do.

    Attributes:
        todo: Paths of the photos to score.
        summary: Counts so far.
    """

    todo: list[bytes]
    summary: IngestSummary


def find_inputs(config: IngestConfig) -> list[bytes]:
    """Return the paths of the photos that a run's sources name.

    Raises:
        InvalidInputError: A source names nothing, or all that it names lies in the folder of results and that is
            not to be refreshed.
    """
    paths = find_photos(config.sources, skip=config.out)
    to_refresh = config.refresh and config.out.is_dir() and part_paths(config.out)
    if not paths and not to_refresh:
        raise InvalidInputError(
            f"{', '.join(config.sources) or 'SOURCE'} holds no file, or none outside of --out {config.out}; "
            "expected photos"
        )
    return paths


def plan_ingest(config: IngestConfig, paths: list[bytes], *, model_set_id: str | None = None) -> Plan:
    """Compare photos with what the parts say was done.

    Args:
        config: The run.
        paths: Of the photos, see `find_inputs`.
        model_set_id: What would be served; None to leave it unchecked.

    Raises:
        ResultsError: A part cannot be read or was made with another model set, or a refresh was interrupted.
    """
    refuse_interrupted(config.out)
    ledger = read_ledger(config.out)
    if ledger.info is not None and model_set_id not in (None, ledger.info.models.model_set_id):
        raise ResultsError(
            f"{config.out} holds results of model set {ledger.info.models.model_set_id} "
            f"({ledger.info.models.pack}), and {model_set_id} is served; results of different sets do not mix: "
            "choose another --out, or the same --models, or --refresh to bring them to it"
        )
    summary = IngestSummary(served=None, num_inputs=len(paths))
    todo = []
    for start in range(0, len(paths), _PATHS_AT_A_TIME):
        batch = paths[start : start + _PATHS_AT_A_TIME]
        for path, status in zip(batch, ledger.statuses_of([resume_key(path) for path in batch]), strict=True):
            if status is None or status in config.retry_statuses:
                todo.append(path)
            else:
                summary.num_done_before += 1
                summary.earlier_statuses[status] += 1
    return Plan(todo=todo, summary=summary)
