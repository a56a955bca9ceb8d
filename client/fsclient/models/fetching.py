"""Model sources on the command line: licences shown and accepted, progress bars, what is here."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fsengine.registry.fetch import FetchPolicy, check_licences, fetch, installed_text
from fsengine.registry.model_source import ModelSource, find_source, read_registry
from fsengine.registry.store import import_file, read_record, source_path, stored
from fsengine.terminal.messages import Say
from fsengine.terminal.progress_bar import BYTES, ProgressBar, progress_bar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fsengine.registry.download import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class LicenceChoice:
    """What the user said of licences.

    Attributes:
        accept: Whether `--accept-license` was given.
        commercial_ok: Whether `--commercial-ok` was given.
    """

    accept: bool = False
    commercial_ok: bool = False


def fetch_named(names: Iterable[str], choice: LicenceChoice, say: Say) -> None:
    """Fetch sources by name; those that are here are left alone.

    Raises:
        InvalidInputError: A name is unknown, or a licence was not accepted or is refused.
        FetchError: A file cannot be fetched or is another one.
    """
    sources = [find_source(name) for name in dict.fromkeys(names)]
    with _bars() as progress:
        fetch(sources, _policy(choice, say), say, progress)


def import_named(source: ModelSource, file: Path, choice: LicenceChoice, say: Say) -> None:
    """Take a source from a file of the user's.

    Raises:
        InvalidInputError: Its licence was not accepted or is refused, or the file holds no such source.
        FetchError: The file is another one.
    """
    check_licences([source], _policy(choice, say))
    record = import_file(source, file)
    say(f"{source.name}: {installed_text(record)}")


def _policy(choice: LicenceChoice, say: Say) -> FetchPolicy:
    """Return what may be fetched; licences are shown, and asked for at a terminal."""

    def accept(licence: str, under: list[ModelSource]) -> bool:
        names = ", ".join(source.name for source in under)
        allowed = "allowed" if under[0].commercial_use else "NOT allowed"
        say(f"licence of {names}: {licence}; commercial use {allowed}; {under[0].licence_url}")
        if choice.accept:
            return True
        return sys.stdin.isatty() and click.confirm("Do you accept it?", err=True)

    return FetchPolicy(accept=accept, commercial_ok=choice.commercial_ok)


def source_rows(*, commercial_ok: bool) -> list[dict[str, Any]]:
    """Return what is known of each source, as rows for a table or JSON."""
    rows = []
    for source in read_registry().values():
        if commercial_ok and not source.commercial_use:
            continue
        record = read_record(source)
        here = stored(source) is not None
        size = record.size_bytes if record and here else source.size_bytes
        rows.append(
            {
                "name": source.name,
                "task": source.task,
                "about": source.about,
                "here": here,
                "path": str(source_path(source)) if here else None,
                "size_bytes": size,
                "licence": source.licence,
                "commercial_use": source.commercial_use,
                "sha256": source.sha256 or (record.sha256 if record else None),
                "hash": _hash_state(source, record is not None),
                "from": source.origin,
                "reference": source.reference,
                "trained_on": source.trained_on,
            }
        )
    return rows


def known_names(names: Iterable[str]) -> list[str]:
    """Return those of some names that are sources of the table."""
    table = read_registry()
    return [name for name in names if name in table]


def _hash_state(source: ModelSource, has_record: bool) -> str:
    """Return where the hash of a source is from."""
    if source.sha256:
        return f"known: {source.hash_source or 'the table'}"
    return "pinned when it first came" if has_record else "not known: pinned on first fetch"


@contextmanager
def _bars() -> Iterator[Callable[[str], Progress]]:
    """Give a progress bar for each download, one at a time."""
    with ExitStack() as last:

        def open_bar(title: str) -> Progress:
            last.close()
            bar: ProgressBar | None = None

            def progress(here: int, total: int | None) -> None:
                nonlocal bar
                if bar is None:
                    bar = last.enter_context(progress_bar(title, total, BYTES))
                bar.reach(here, total)

            return progress

        yield open_bar
