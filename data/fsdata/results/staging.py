"""The folder inside a folder of results where a refresh or a pruning gathers new parts before they replace old ones.

    DIR/.refresh-SETID/plan.json            what the new parts are made for; written first
    DIR/.refresh-SETID/part-000001.parquet  new parts, each whole or not there
    DIR/.refresh-SETID/complete.json        written when all of them are there: what replaces and removes what
    DIR/.prune-parts/                       the same without a plan: what it holds before it is complete means nothing

Until `complete.json` is there, the old parts are untouched. From then on the new parts are renamed over the old
ones, and whoever finds `complete.json` finishes that, from any point on, without a server. A folder with neither
file means nothing. Readers of a whole folder leave names with a dot out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from fsdata.results.parts import is_part_name, part_paths, results_file
from fsengine.contracts.served import ServedModels
from fsengine.errors import ResultsError
from fsengine.files.atomic import remove_temporary_files, sync_folder
from fsengine.files.json_record import read_json
from fsengine.files.stores.store_path import AnyPath, StorePath
from fsengine.files.writing_errors import unwritable

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")

_PREFIX = ".refresh-"
_PRUNING = ".prune-parts"
_EARLIER_PREFIX = ".restale-"
"""Of the same folders as versions before this one named them."""
_PLAN_FILE = "plan.json"
_COMPLETE_FILE = "complete.json"


class RefreshMode(str, Enum):
    """What the new parts are made from.

    HEADS: The old parts, one for one. PHOTOS: The photos.
    """

    HEADS = "heads"
    PHOTOS = "photos"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What a refresh makes.

    Attributes:
        mode: What the new parts are made from.
        served: The models that they are made with, as that version of this program knows them.
        embeddings: Whether the new parts hold embeddings; those of earlier versions all do.
    """

    mode: RefreshMode
    served: Mapping[str, Any]
    embeddings: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class _Complete:
    """What becomes of the parts.

    Attributes:
        parts: Names of new parts, each to take its place in the folder of results.
        obsolete: Names of old parts to remove.
    """

    parts: list[str]
    obsolete: list[str]

    def __post_init__(self) -> None:
        if strange := [name for name in (*self.parts, *self.obsolete) if not is_part_name(name)]:
            raise ValueError(f"{strange[0]!r} is no name of a part")


class Staging:
    """The new parts of one refresh."""

    def __init__(self, folder: Path, models: ServedModels, mode: RefreshMode, *, embeddings: bool) -> None:
        """Continue what an earlier run staged for the same models in the same way, or begin.

        Args:
            folder: Of results, held by `fsdata.results.parts.locked` and without a replacement to finish.
            models: What the new parts are made with.
            mode: What they are made from.
            embeddings: Whether they hold embeddings.

        Raises:
            ResultsError: The folder cannot be written to.
        """
        self._folder = folder
        self.path = folder / f"{_PREFIX}{models.model_set_id}"
        plan = _Plan(mode=mode, served=asdict(models), embeddings=embeddings)
        with _explained(self.path):
            if _read(self.path / _PLAN_FILE, _Plan) != plan:
                _discard(self.path)
                self.path.mkdir(exist_ok=True)
                _write(self.path / _PLAN_FILE, plan)
            remove_temporary_files(self.path)

    def replace_parts(self) -> None:
        """Declare the new parts complete, and let them take the place of every old one.

        Raises:
            ResultsError: The folder cannot be written to; `finish_replacement` goes on from there.
        """
        names = [path.name for path in part_paths(self.path)]
        obsolete = [path.name for path in part_paths(self._folder) if path.name not in names]
        _write(self.path / _COMPLETE_FILE, _Complete(parts=names, obsolete=obsolete))
        finish_replacement(self._folder)


class PruningStaging:
    """The parts that a pruning makes anew; the other parts of the folder stay as they are."""

    def __init__(self, folder: Path) -> None:
        """Begin.

        Args:
            folder: Of results, held by `fsdata.results.parts.locked`, after `finish_pruning`.

        Raises:
            ResultsError: The folder cannot be written to.
        """
        self._folder = folder
        self.path = folder / _PRUNING
        with _explained(self.path):
            self.path.mkdir(exist_ok=True)

    def replace_parts(self, emptied: Sequence[str]) -> None:
        """Declare the new parts complete, and let them take the place of the old ones of their names.

        Args:
            emptied: Names of parts of which nothing is left.

        Raises:
            ResultsError: The folder cannot be written to; `finish_replacement` goes on from there.
        """
        names = [path.name for path in part_paths(self.path)]
        _write(self.path / _COMPLETE_FILE, _Complete(parts=names, obsolete=list(emptied)))
        finish_replacement(self._folder)


def finish_pruning(folder: Path) -> None:
    """Finish the replacement of parts that a pruning began, or drop what it left without having begun it.

    Args:
        folder: Of results, held by `fsdata.results.parts.locked`.

    Raises:
        ResultsError: The folder cannot be written to, or what the pruning left is damaged.
    """
    if _pruning_begun(folder):
        finish_replacement(folder)
    with _explained(folder):
        _discard(folder / _PRUNING)


def _pruning_begun(folder: Path) -> bool:
    """Return whether a pruning was interrupted while new parts replaced old ones."""
    return _read(folder / _PRUNING / _COMPLETE_FILE, _Complete) is not None


def finish_replacement(folder: Path) -> int:
    """Finish the replacement of parts that was begun in a folder of results, if one was; drop what else was staged.

    Args:
        folder: Held by `fsdata.results.parts.locked`.

    Returns:
        The number of new parts; 0 where there was none to finish, and then nothing is dropped.

    Raises:
        ResultsError: A new part is gone, or the folder cannot be written to.
    """
    _refuse_earlier(folder)
    for staging in _stagings(folder):
        record = _read(staging / _COMPLETE_FILE, _Complete)
        if record is None:
            continue
        with _explained(folder):
            _check_whole(folder, staging, record.parts)
            for name in record.parts:
                if (staging / name).exists():
                    (staging / name).rename(folder / name)
            sync_folder(folder)
            for name in record.obsolete:
                (folder / name).unlink(missing_ok=True)
            sync_folder(folder)
        drop_staged(folder)
        return len(record.parts)
    return 0


def drop_staged(folder: Path) -> None:
    """Drop whatever refreshes have staged in a folder of results.

    Raises:
        ResultsError: The folder cannot be written to.
    """
    with _explained(folder):
        for staging in _stagings(folder):
            _discard(staging)


def refuse_interrupted(folder: AnyPath) -> None:
    """Refuse a folder of results in which a refresh is under way, or a replacement of parts was interrupted.

    In a store there is neither.

    Raises:
        ResultsError: It is so; the message says how to go on.
    """
    if isinstance(folder, StorePath):
        return
    _refuse_earlier(folder)
    if _pruning_begun(folder):
        raise ResultsError(
            f"a pruning of {folder} was interrupted while new parts replaced old ones: run `fsclient table prune "
            f"{folder}` to finish it"
        )
    for staging in _stagings(folder):
        plan = _read(staging / _PLAN_FILE, _Plan)
        set_id = staging.name[len(_PREFIX) :]
        option = "" if plan is None or plan.embeddings else " --no-embedding"
        go_on = f"run `fsclient ingest SOURCE... --out {folder} --refresh{option}` with the same --models or --server"
        if _read(staging / _COMPLETE_FILE, _Complete) is not None:
            raise ResultsError(
                f"a refresh of {folder} to model set {set_id} was interrupted while new parts replaced old ones, so "
                f"parts of two model sets may lie there: {go_on} to finish it"
            )
        if plan is not None:
            raise ResultsError(
                f"a refresh of {folder} to model set {set_id} ({plan.served.get('pack')}) was interrupted, or still "
                f"runs; the parts are those from before it: {go_on} to go on, or remove {staging} to give it up"
            )


def _refuse_earlier(folder: Path) -> None:
    """Refuse what an interrupted refresh of an earlier version left."""
    for old in sorted(folder.glob(f"{_EARLIER_PREFIX}set-*")) if folder.is_dir() else ():
        raise ResultsError(
            f"{old} was left by an interrupted --restale of an earlier version, which this one cannot finish: finish "
            f"it with that version, or ingest into another --out; if no part of {folder} is missing, remove "
            f"{old.name} to give it up"
        )


def _stagings(folder: Path) -> list[Path]:
    """Return the staging folders of a folder of results; whatever else has a name like theirs is the user's."""
    found = [*folder.glob(f"{_PREFIX}set-*"), folder / _PRUNING] if folder.is_dir() else []
    return sorted(path for path in found if path.is_dir() and not path.is_symlink())


def _check_whole(folder: Path, staging: Path, names: Sequence[str]) -> None:
    """Check that each new part is still staged or in its place, before any other is moved."""
    for name in names:
        if not (staging / name).exists() and not (folder / name).exists():
            raise ResultsError(
                f"{staging / name} is gone and {folder / name} is not there; "
                f"bring it back, or ingest into another --out"
            )


def _discard(staging: Path) -> None:
    """Remove a staging folder; killed on the way, it leaves one that means nothing, or the same as before."""
    for name in (_PLAN_FILE, _COMPLETE_FILE):
        (staging / name).unlink(missing_ok=True)
    if staging.is_dir():
        remove_temporary_files(staging)
        for path in part_paths(staging):
            path.unlink()
        if not any(staging.iterdir()):
            staging.rmdir()


def _read(path: Path, kind: type[T]) -> T | None:
    """Return the record of a file that is written whole or not at all; None where it is not there.

    Raises:
        ResultsError: It is no such record; the message says what to do.
    """
    with suppress(PermissionError):  # which `read_json` explains
        if not path.exists():
            return None
    return read_json(
        path,
        kind,
        lambda reason: ResultsError(
            f"{path.name} is damaged ({reason}); if no part of {path.parent.parent} is missing, remove {path.parent} "
            "and run again, else ingest into another --out"
        ),
    )


def _write(path: Path, record: DataclassInstance) -> None:
    with results_file(path) as file:
        file.write(json.dumps(asdict(record)).encode())


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn the errors of the file system into ours."""
    try:
        yield
    except OSError as exc:
        found = path if exc.filename is None else exc.filename
        raise ResultsError(unwritable(found, exc, "run again when that is mended")) from exc
