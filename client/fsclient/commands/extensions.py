"""Commands of packages above the client, which join it through the entry-point group `fsclient.commands`.

A package offers a command by its name in the group. Nothing is looked up before the help is listed or a name is typed
that is not the client's own.
"""

from __future__ import annotations

import glob
import os
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from fsengine.errors import MissingDependencyError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "fsclient.commands"

_DISTRIBUTION = "facestats"


@dataclass(frozen=True, slots=True, kw_only=True)
class Extension:
    """A command that another package of the project brings.

    Attributes:
        extra: What installs it: `pip install 'facestats[EXTRA]'`.
        summary: Its line in the help.
    """

    extra: str
    summary: str

    @property
    def install_text(self) -> str:
        """Return what the user types to get it."""
        return f"pip install '{_DISTRIBUTION}[{self.extra}]'"


EXTENSIONS = {
    "composite": Extension(extra="analysis", summary="average the faces that a query selects into one picture"),
    "report": Extension(extra="analysis", summary="write a report of the results as HTML"),
    "crops": Extension(extra="analysis", summary="cut the faces out of the photos"),
    "dashboard": Extension(extra="analysis", summary="look through the results in a browser"),
    "gateway": Extension(extra="gateway", summary="serve HTTP and JSON in front of a server"),
}
"""Known commands by name. One whose extra is not in the distribution's metadata is unknown, as any other word."""


def find_extension(name: str) -> click.Command | None:
    """Return the command that a package offers under a name; None where none does and none is known to.

    Raises:
        MissingDependencyError: What brings the command is not installed.
    """
    known = EXTENSIONS.get(name)
    installed = None if known is None else _extra_installed(known.extra)
    entry = _offered().get(name)
    if entry is not None and installed is not False:
        return _load(name, entry)
    if known is not None and installed is not None:
        raise MissingDependencyError(f"`fsclient {name}` is not installed: {known.install_text}")
    return None


def available_extensions() -> dict[str, str]:
    """Return the commands that can be run here, sorted by name, each with its line in the help.

    One that is not in `EXTENSIONS` is imported for its line; what cannot be imported is left out.
    """
    found: dict[str, str] = {}
    if not _any_offered():
        return found
    for name, entry in sorted(_offered().items()):
        known = EXTENSIONS.get(name)
        if known is not None:
            if _extra_installed(known.extra) is not False:
                found[name] = known.summary
            continue
        try:
            found[name] = _load(name, entry).get_short_help_str(limit=100)
        except MissingDependencyError:
            continue
    return found


def _any_offered() -> bool:
    """Return whether a package that is installed as files may offer commands.

    `importlib.metadata` takes as long to import as all the rest of `fsclient --help`.
    """
    group = f"[{GROUP}]".encode()
    for folder in sys.path:
        for path in glob.iglob(os.path.join(glob.escape(folder or "."), "*-info", "entry_points.txt")):
            try:
                with open(path, "rb") as file:
                    if group in file.read():
                        return True
            except OSError:
                continue
    return False


def _offered() -> dict[str, EntryPoint]:
    """Return the commands that installed packages offer."""
    from importlib.metadata import entry_points

    return {entry.name: entry for entry in entry_points(group=GROUP)}


def _load(name: str, entry: EntryPoint) -> click.Command:
    try:
        command = entry.load()
    except (ImportError, AttributeError) as exc:
        known = EXTENSIONS.get(name)
        advice = "install it again" if known is None else known.install_text
        raise MissingDependencyError(f"`fsclient {name}` ({entry.value}) cannot be loaded: {exc}; {advice}") from exc
    if not isinstance(command, click.Command):
        raise MissingDependencyError(
            f"`fsclient {name}` is {entry.value}, a {type(command).__name__}; expected a click command: "
            "update the package that offers it"
        )
    return command


def _extra_installed(extra: str) -> bool | None:
    """Return whether every library of an extra is installed; None where the distribution has no such extra."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        ours = distribution(_DISTRIBUTION)
    except PackageNotFoundError:
        return None
    if extra not in (ours.metadata.get_all("Provides-Extra") or []):
        return None
    for requirement in ours.requires or []:
        needed, _, marker = requirement.partition(";")
        if not re.search(rf"""extra\s*==\s*['"]{re.escape(extra)}['"]""", marker):
            continue
        library = re.match(r"\s*([A-Za-z0-9._-]+)", needed)
        assert library is not None
        try:
            distribution(library[1])
        except PackageNotFoundError:
            return False
    return True
