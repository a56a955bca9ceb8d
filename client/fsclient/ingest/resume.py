"""What is left to do when a run resumes: the photos that the sources name, compared with what earlier runs did."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from itertools import chain

from fsclient.ingest.daemon_threads import DaemonExecutor
from fsclient.ingest.earlier_rows import TouchedPhoto, TouchedRows
from fsclient.ingest.reporting.summary import IngestSummary
from fsclient.ingest.settings import IngestConfig
from fsclient.photos.entry import InsideEntry, ObjectEntry, PhotoEntry
from fsclient.photos.finding.photo_search import PhotoSearch
from fsclient.photos.finding.photo_tables import CellEntry, with_bytes
from fsclient.photos.finding.tally import Tally
from fsdata.results.ledger import Ledger, read_ledger
from fsdata.results.parts import PartNumbers, part_paths
from fsdata.results.staging import refuse_interrupted
from fsdata.results.status import Status
from fsengine.errors import InvalidInputError, ResultsError, StoreUnavailableError
from fsengine.files.stores.object_state import ObjectState
from fsengine.files.stores.store_path import AnyPath
from fsengine.files.stores.store_urls import public_url

_FIRST_BATCH = 256
_LARGEST_BATCH = 65536
"""Photos that are looked up in the ledger together: few at first, so that scoring begins, then at its fastest pace."""

_MOST_BYTES = 16 << 20
"""Of photos in one batch that come with their bytes."""

_TAR_HINT = "; tar shards are named, or found by a pattern that ends in .tar"
_ASKED_AT_ONCE = 32
"""Objects that were named, not listed, and whose state is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundInputs:
    """What a run's sources name.

    Attributes:
        entries: The photos, which are searched for as they are taken.
        tally: What was found and left out so far.
    """

    entries: Iterator[PhotoEntry]
    tally: Tally


def find_inputs(config: IngestConfig) -> FoundInputs:
    """Begin to search a run's sources for photos: to the first one.

    Raises:
        InvalidInputError: A source names nothing, or nothing that it names is to be scored, and the folder of results
            is not to be refreshed.
        StoreUnavailableError: A store cannot be had.
    """
    search = PhotoSearch(config.sources, skip=config.out, rules=config.rules, listed=config.listed)
    entries = iter(search)
    first = next(entries, None)
    if first is not None:
        return FoundInputs(entries=chain([first], entries), tally=search.tally)
    is_share = config.rules.share is not None  # a share of few photos may be none
    if not (is_share or (config.refresh and config.out.is_dir() and part_paths(config.out))):
        tally = search.tally
        why = [f"skipped: {skipped}"] if (skipped := tally.skipped_text) else []
        why += [f"{source}: {reason}" for source, reason in tally.unreadable]
        named = ", ".join(map(public_url, config.sources)) or ("the list" if config.listed is not None else "SOURCE")
        raise InvalidInputError(
            f"{named} holds no file to score, or none outside of --out {config.out}"
            f"{''.join(f'; {text}' for text in why)}; expected photos"
            f"{' (--include PATTERN and --strict take more)' if skipped else ''}"
            f"{_TAR_HINT if tally.skipped_files['archive'] else ''}"
        )
    return FoundInputs(entries=entries, tally=search.tally)


class Plan:
    """What is left to do: found as the sources are searched.

    Attributes:
        summary: Counts so far.
        ledger: What earlier runs did.
        numbers: Of the folder's next parts.
    """

    def __init__(self, config: IngestConfig, found: FoundInputs, ledger: Ledger) -> None:
        """Prepare; `entries` compares.

        Args:
            config: The run; its folder is held by `fsdata.results.parts.locked`.
            found: The photos, see `find_inputs`.
            ledger: Of the folder of results.
        """
        self.summary = IngestSummary(served=None, num_inputs=0, tally=found.tally)
        self.ledger = ledger
        self.numbers = PartNumbers(config.out)
        self._config = config
        self._found = found
        self._is_stopped = False

    def entries(self) -> Generator[PhotoEntry, None, None]:
        """Yield the photos to score; rows of photos whose files were touched and not changed are written meanwhile.

        Raises:
            InvalidInputError: See `PhotoSearch`.
            StoreUnavailableError: A store cannot be had.
            ResultsError: A part cannot be read or written.
        """
        touched = TouchedRows(self._config, self.ledger, self.numbers, lambda: self._is_stopped)
        pool = DaemonExecutor(_ASKED_AT_ONCE, "facestats-state")
        try:
            todo = chain.from_iterable(self._todo(batch, touched, pool) for batch in self._batches())
            yield from with_bytes(todo)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            touched.write()

    def stop(self) -> None:
        """Search no further."""
        self._is_stopped = True

    def _batches(self) -> Iterator[list[PhotoEntry]]:
        batch: list[PhotoEntry] = []
        size, num_bytes = _FIRST_BATCH, 0
        for entry in self._found.entries:
            if self._is_stopped:
                return
            batch.append(entry)
            num_bytes += len(entry.data or b"") if isinstance(entry, InsideEntry) else 0
            if len(batch) >= size or num_bytes >= _MOST_BYTES:
                yield batch
                batch, num_bytes, size = [], 0, min(2 * size, _LARGEST_BATCH)
        yield batch

    def _todo(self, batch: list[PhotoEntry], touched: TouchedRows, pool: Executor) -> Iterator[PhotoEntry]:
        """Yield what is to do of some photos."""
        summary, again = self.summary, self._config.retry_statuses
        rows = self.ledger.rows_of([entry.source for entry in batch]).tolist()
        todo = [entry for entry, row in zip(batch, rows, strict=True) if row < 0]
        known = [(entry, row) for entry, row in zip(batch, rows, strict=True) if row >= 0]
        found: list[TouchedPhoto] = []
        for (entry, row), state in zip(known, _states([entry for entry, _ in known], pool), strict=True):
            if state is None:
                todo.append(entry)
            else:
                found.append(TouchedPhoto(entry, row, state))
        changed: list[TouchedPhoto] = []
        statuses = self.ledger.statuses_at([one.row for one in found], [one.state for one in found])
        for one, status in zip(found, statuses, strict=True):
            if status is None:
                changed.append(one)
            elif status in again:
                todo.append(one.entry)
            else:
                summary.num_done_before += 1
                summary.earlier_statuses[status] += 1
        summary.num_inputs += len(batch)
        for entry, status in _kept(changed, touched):
            if status is None:
                summary.num_changed += not self._is_stopped
                todo.append(entry)
            else:
                summary.num_kept += 1
                summary.num_done_before += 1
                summary.earlier_statuses[status] += 1
        yield from todo


def _kept(changed: list[TouchedPhoto], touched: TouchedRows) -> Iterator[tuple[PhotoEntry, Status | None]]:
    """Yield photos that are in another state, and the status of the row that is kept; None where there is none.

    Those of tables are read some at a time, and given back without their bytes.
    """
    in_tables = [one for one in changed if isinstance(one.entry, CellEntry)]
    for one, status in touched.keep([one for one in changed if not isinstance(one.entry, CellEntry)]):
        yield one.entry, status
    read: list[TouchedPhoto] = []
    given: dict[int, PhotoEntry] = {}
    num_bytes = 0
    for one, entry in zip(in_tables, with_bytes([one.entry for one in in_tables]), strict=True):
        read.append(replace(one, entry=entry))
        given[one.row] = one.entry
        num_bytes += max(entry.num_bytes, 0)
        if num_bytes >= _MOST_BYTES:
            for kept, status in touched.keep(read):
                yield given[kept.row], status
            read.clear()
            num_bytes = 0
    for kept, status in touched.keep(read):
        yield given[kept.row], status


def plan_ingest(
    config: IngestConfig, found: FoundInputs | Iterable[PhotoEntry], *, model_set_id: str | None = None
) -> Plan:
    """Read what the parts say was done, and return what is left to do.

    Args:
        config: The run.
        found: The photos, see `find_inputs`.
        model_set_id: What would be served; None to leave it unchecked.

    Raises:
        ResultsError: A part cannot be read, was made with another model set, or holds embeddings where the run stores
            none, or the reverse; or a refresh was interrupted.
    """
    refuse_interrupted(config.out)
    ledger = read_ledger(config.out)
    if model_set_id is not None:
        refuse_other_set(config.out, ledger, model_set_id)
        refuse_other_embedding(config, ledger)
    if not isinstance(found, FoundInputs):
        found = FoundInputs(entries=iter(found), tally=Tally(is_complete=True))
    return Plan(config, found, ledger)


def refuse_other_set(out: AnyPath, ledger: Ledger, model_set_id: str) -> None:
    """Refuse to go on in a folder of results with other models.

    Args:
        out: The folder.
        ledger: What its parts say.
        model_set_id: What is, or would be, served.

    Raises:
        ResultsError: The two differ.
    """
    held = None if ledger.info is None else ledger.info.models
    if held is not None and model_set_id != held.model_set_id:
        raise ResultsError(
            f"{out} holds results of model set {held.model_set_id} ({held.pack}), and {model_set_id} is served; "
            "results of different sets do not mix: choose another --out, or the same --models, or --refresh to bring "
            "them to it"
        )


def refuse_other_embedding(config: IngestConfig, ledger: Ledger) -> None:
    """Refuse to go on in a folder of results with embeddings where none are stored, or the reverse.

    Args:
        config: The run.
        ledger: What the parts of its folder say.

    Raises:
        ResultsError: The two differ.
    """
    if ledger.embeddings is None or ledger.embeddings is config.embedding:
        return
    if ledger.embeddings:
        raise ResultsError(
            f"{config.out} holds embeddings, and --no-embedding stores none: choose another --out, leave "
            "--no-embedding out, or add --refresh and --models PACK to remove the stored embeddings"
        )
    raise ResultsError(
        f"{config.out} holds no embeddings, because it was started with --no-embedding: choose another --out, or give "
        "--no-embedding again"
    )


def _states(entries: list[PhotoEntry], pool: Executor) -> Iterator[ObjectState | None]:
    """Return the state of each photo; None where its store cannot be had, as reading it will say too."""
    ask: Callable[..., Iterator[ObjectState | None]] = (
        pool.map if any(isinstance(entry, ObjectEntry) and entry.listed is None for entry in entries) else map
    )
    return ask(_state, entries)


def _state(entry: PhotoEntry) -> ObjectState | None:
    try:
        return entry.state()
    except StoreUnavailableError:
        return None
