"""Golden answers of a pack: those that lie with it, or those of its models on this machine's CPU, recorded once."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

from fsengine.contracts.served import ServedModels
from fsengine.errors import PackError
from fsengine.packs.pack import read_pack
from fsengine.registry.home import models_home
from fsengine.repository.assemble import GOLDEN_FILE, Target, assemble
from fsengine.repository.golden.golden_answers import Answers, read_answers, write_answers
from fsengine.repository.golden.questions import ask_everything, golden_client
from fsengine.server.embedded import EmbeddedServer
from fsengine.terminal.messages import Say


def golden_file(pack_folder: Path, say: Say, without: tuple[str, ...] = ()) -> Path:
    """Return the file with the golden answers of a pack; they are recorded where there are none yet.

    Args:
        pack_folder: Folder of the pack.
        say: Told where an embedded server is started for it.
        without: Heads that are switched off.

    Raises:
        PackError: The pack is damaged, or the file cannot be written.
        MissingDependencyError: They have to be recorded, and the `server` extra is not installed.
        ServerError: The embedded server does not start.
    """
    served = read_pack(pack_folder).without(without).served()
    if (found := find_golden(served, pack_folder / GOLDEN_FILE)) is not None:
        return found
    say(f"recording what the models of {served.pack} answer on this CPU: golden answers, which servers are checked by")
    path = _cached(served)
    with tempfile.TemporaryDirectory(prefix="facestats-golden-") as folder:
        repository = Path(folder) / "repository"
        assemble(pack_folder, repository, target=Target.PIP, without=without)
        write_answers(record_answers(repository), path)
    return path


def find_golden(served: ServedModels, *places: Path) -> Path | None:
    """Return a file of golden answers of some models: one of the places, or the one that was recorded here."""
    for path in (*places, _cached(served)):
        with contextlib.suppress(PackError):  # damaged, or of another version: recorded anew
            if path.is_file() and served.models.items() <= read_answers(path).served.models.items():
                return path
    return None


def record_answers(repository: Path) -> Answers:
    """Return what the models of a repository for the embedded server answer on the CPU.

    Raises:
        PackError: A step or an ensemble gives no answer.
        ServerError: The embedded server does not start.
    """
    with EmbeddedServer(repository) as server, golden_client(server.url) as client:
        answers, silent = ask_everything(client)
    if silent:
        raise PackError(f"{repository} gives no golden answers: {'; '.join(silent.values())}")
    return answers


def _cached(served: ServedModels) -> Path:
    return models_home() / "golden" / f"{served.model_set_id}.npz"
