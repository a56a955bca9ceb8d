"""Which command carries out what an error of the engine asks for."""

from __future__ import annotations

from fsengine.errors import Action, Remedy

COMMANDS = {
    Action.ACCEPT_LICENCE: "fsclient models fetch {subject} --accept-license",
    Action.ASSEMBLE: "fsclient models build PACK --target {subject} --out DIR",
    Action.FETCH_SOURCE: "fsclient models fetch {subject}",
    Action.IMPORT_SOURCE: "fsclient models import {subject} FILE",
    Action.LIST_COMMERCIAL: "fsclient models list --commercial-ok",
    Action.LIST_SOURCES: "fsclient models list",
    Action.MEASURE: "fsclient bench PHOTOS --server HOST:PORT --json > times.json",
    Action.SERVE: "fsclient serve",
}
"""Each action to its command line; `{subject}` stands for the remedy's subject."""


def command_of(remedy: Remedy) -> str:
    """Return the command line of a remedy, for example `fsclient models fetch yunet`."""
    return COMMANDS[remedy.action].format(subject=remedy.subject)
