"""The folder inside a folder of results where a refresh gathers new parts before they replace the old ones.

    DIR/.refresh-SETID/plan.json            what the new parts are made for; written first
    DIR/.refresh-SETID/part-000001.parquet  new parts, each whole or not there
    DIR/.refresh-SETID/complete.json        written when all of them are there: what replaces and removes what

Until `complete.json` is there, the old parts are untouched. From then on the new parts are renamed over the old
ones, and whoever finds `complete.json` finishes that, from any point on, without a server. A folder with neither
file means nothing. Readers of a whole folder leave names with a dot out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import Any

from fsdata.results.parts import part_paths, results_file
from fsengine.contracts.served import ServedModels
from fsengine.errors import ResultsError
from fsengine.files.atomic import remove_temporary_files, sync_folder

_PREFIX = ".refresh-"
_EARLIER_PREFIX = ".restale-"
"""Of the same folders as versions before this one named them."""
_PLAN_FILE = "plan.json"
_COMPLETE_FILE = "complete.json"
_KEYS = {_PLAN_FILE: {"mode", "served"}, _COMPLETE_FILE: {"parts", "obsolete"}}


class RefreshMode(str, Enum):
    """What the new parts are made from.

    HEADS: The old parts, one for one. PHOTOS: The photos.
    """

    HEADS = "heads"
    PHOTOS = "photos"


class Staging:
    """The new parts of one refresh."""

    def __init__(self, folder: Path, models: ServedModels, mode: RefreshMode) -> None:
        """Continue what an earlier run staged for the same models in the same way, or begin.

        Args:
            folder: Of results, held by `fsdata.results.parts.locked` and without a replacement to finish.
            models: What the new parts are made with.
            mode: What they are made from.

        Raises:
            ResultsError: The folder cannot be written to.
        """
        self._folder = folder
        self.path = folder / f"{_PREFIX}{models.model_set_id}"
        plan = {"mode": mode.value, "served": asdict(models)}
        with _explained(self.path):
            if _read(self.path / _PLAN_FILE) != plan:
                _discard(self.path)
                self.path.mkdir(exist_ok=True)
                with results_file(self.path / _PLAN_FILE) as file:
                    file.write(json.dumps(plan).encode())
            remove_temporary_files(self.path)

    def replace_parts(self) -> None:
        """Declare the new parts complete, and let them take the place of every old one.

        Raises:
            ResultsError: The folder cannot be written to; `finish_replacement` goes on from there.
        """
        names = [path.name for path in part_paths(self.path)]
        obsolete = [path.name for path in part_paths(self._folder) if path.name not in names]
        with results_file(self.path / _COMPLETE_FILE) as file:
            file.write(json.dumps({"parts": names, "obsolete": obsolete}).encode())
        finish_replacement(self._folder)


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
        record = _read(staging / _COMPLETE_FILE)
        if record is None:
            continue
        with _explained(folder):
            _check_whole(folder, staging, record["parts"])
            for name in record["parts"]:
                if (staging / name).exists():
                    (staging / name).rename(folder / name)
            sync_folder(folder)
            for name in record["obsolete"]:
                (folder / name).unlink(missing_ok=True)
            sync_folder(folder)
        drop_staged(folder)
        return len(record["parts"])
    return 0


def drop_staged(folder: Path) -> None:
    """Drop whatever refreshes have staged in a folder of results.

    Raises:
        ResultsError: The folder cannot be written to.
    """
    with _explained(folder):
        for staging in _stagings(folder):
            _discard(staging)


def refuse_interrupted(folder: Path) -> None:
    """Refuse a folder of results in which a refresh is under way or was interrupted.

    Raises:
        ResultsError: It is so; the message says how to go on.
    """
    _refuse_earlier(folder)
    for staging in _stagings(folder):
        plan = _read(staging / _PLAN_FILE)
        set_id = staging.name[len(_PREFIX) :]
        go_on = f"run `fsclient ingest SOURCE... --out {folder} --refresh` with the same --models or --server"
        if _read(staging / _COMPLETE_FILE) is not None:
            raise ResultsError(
                f"a refresh of {folder} to model set {set_id} was interrupted while new parts replaced old ones, so "
                f"parts of two model sets may lie there: {go_on} to finish it"
            )
        if plan is not None:
            raise ResultsError(
                f"a refresh of {folder} to model set {set_id} ({plan['served']['pack']}) was interrupted, or still "
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
    found = folder.glob(f"{_PREFIX}set-*") if folder.is_dir() else ()
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


def _read(path: Path) -> Any:
    """Return the JSON object of a file that is written whole or not at all; None where it is not there."""
    try:
        record = json.loads(path.read_bytes())
        keys = _KEYS[path.name]
        if not isinstance(record, dict) or not keys <= set(record):
            raise ValueError(f"expected an object with {', '.join(sorted(keys))}")
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as exc:
        raise ResultsError(
            f"{path} is damaged ({exc}); if no part of {path.parent.parent} is missing, remove {path.parent} and run "
            "again, else ingest into another --out"
        ) from exc
    return record


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn the errors of the file system into ours."""
    try:
        yield
    except OSError as exc:
        raise ResultsError(
            f"{path} cannot be written: {exc.strerror}; make room or give yourself the right to, and run again"
        ) from exc
