"""The embedded server itself: start, several at once, failure, stop."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from fsclient.backend.triton import TritonBackend
from fsclient.models.name_to_repository import served_repository
from fsdata.results.schema import face_outputs
from fsengine.contracts.steps import DECODE, DECODE_ISOLATED
from fsengine.errors import ServerError
from fsengine.server import binary, shared_memory
from fsengine.server.embedded import EmbeddedServer

pytestmark = pytest.mark.triton

SOON_S = 15.0
"""Until a failed start is told; Triton itself waits two minutes for a stub that never speaks."""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository of the lite pack that a test may break."""
    return Path(shutil.copytree(served_repository("lite", print), tmp_path / "repository"))


def regions() -> set[str]:
    return {name for name in os.listdir("/dev/shm") if name.startswith(f"facestats-{os.getpid()}-")}


def test_two_servers_run_side_by_side_and_clear_up_after_themselves(repository: Path) -> None:
    before = regions()
    with EmbeddedServer(repository) as first:
        during = regions()
        with EmbeddedServer(repository) as second:
            assert first.url != second.url
            assert regions() > during
        assert first.alive()
        assert regions() == during
    assert regions() == before
    assert not first.alive()


def processes() -> set[Path]:
    return set(Path("/proc").glob("[0-9]*"))


def decoders_with_dali(earlier: set[Path]) -> set[str]:
    """Return the decode models whose process has loaded DALI, of a server of ours that started after some processes."""
    loaded = set()
    for process in processes() - earlier:
        try:
            arguments = (process / "cmdline").read_text().split("\0")
            ours = any(f"facestats-{os.getpid()}-" in argument for argument in arguments)
            if ours and "libdali" in (process / "maps").read_text():
                loaded |= {name for name in (DECODE, DECODE_ISOLATED) if f"/{name}/1/" in arguments[1]}
        except OSError:  # it has just ended
            continue
    return loaded


def faces_alone(url: str, photo: Path) -> int:
    """Return the number of faces on a photo that is decoded alone."""

    async def ask() -> int:
        backend = TritonBackend(url)
        try:
            asked = face_outputs(await backend.served())
            outputs = await backend.infer(photo.read_bytes(), asked, orientation=1, alone=True)
        finally:
            await backend.close()
        return len(outputs["face_score"])

    return asyncio.run(ask())


def listeners(port: int) -> set[str]:
    """Return the addresses, as the kernel writes them, on which something listens on a port."""
    tables = [Path("/proc/net/tcp"), Path("/proc/net/tcp6")]
    entries = [line.split() for table in tables if table.exists() for line in table.read_text().splitlines()[1:]]
    listening = [entry[1].split(":") for entry in entries if entry[3] == "0A"]
    return {address for address, number in listening if int(number, 16) == port}


@dataclass(frozen=True, kw_only=True)
class Life:
    """What was seen of one server from before its start until after its end.

    Attributes:
        url: Its address.
        listeners: Addresses that its port was open on.
        decoders: Decode models whose process had loaded DALI, once it was ready and after a photo had been alone.
        alone: Faces found on that photo.
        changed: Files of its repository that were changed, added or removed.
        environments: Folders for packed environments that it left.
    """

    url: str
    listeners: set[str]
    decoders: tuple[set[str], set[str]]
    alone: int
    changed: set[Path]
    environments: set[Path]


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Life:
    """One server for all who look and break nothing."""
    folder = tmp_path_factory.mktemp("life") / "repository"
    repository = Path(shutil.copytree(served_repository("lite", print), folder))
    times = {path: path.stat().st_mtime_ns for path in repository.rglob("*")}
    earlier, environments = processes(), set(Path("/tmp").glob("python_env_*"))
    with EmbeddedServer(repository) as server:
        ready = decoders_with_dali(earlier)
        alone = faces_alone(server.url, photos / "astronaut.jpg")
        decoders = ready, decoders_with_dali(earlier)
        found = listeners(int(server.url.split(":")[1]))
    after = {path: path.stat().st_mtime_ns for path in repository.rglob("*")}
    return Life(
        url=server.url,
        listeners=found,
        decoders=decoders,
        alone=alone,
        changed={path for path, _ in times.items() ^ after.items()},
        environments=set(Path("/tmp").glob("python_env_*")) - environments,
    )


def test_a_server_leaves_its_repository_as_it_was(life: Life) -> None:
    # Else the next start would hash and check every artifact again.
    assert not life.changed


def test_dali_is_loaded_a_second_time_only_when_a_photo_is_asked_for_alone(life: Life) -> None:
    assert life.decoders == ({DECODE}, {DECODE, DECODE_ISOLATED})
    assert life.alone == 1


def test_folders_for_packed_environments_do_not_pile_up(life: Life) -> None:
    assert not life.environments


def test_it_listens_on_loopback_alone(life: Life) -> None:
    assert life.url.startswith("127.0.0.1:")
    assert life.listeners
    # 127.0.0.1, plain or mapped into IPv6.
    assert life.listeners <= {"0100007F", "0000000000000000FFFF00000100007F"}


def test_only_new_and_empty_environment_folders_are_removed(tmp_path: Path) -> None:
    for name in ("python_env_old", "python_env_new", "python_env_full", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "python_env_full" / "bin").mkdir()
    os.utime(tmp_path / "python_env_old", (0, 0))
    binary.remove_environment_folders(1.0, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"python_env_old", "python_env_full", "other"}


def test_a_broken_repository_is_an_error_that_quotes_and_names_the_log(repository: Path) -> None:
    (repository / "embed" / "1" / "model.onnx").unlink()
    before = regions()
    server = EmbeddedServer(repository)
    with pytest.raises(ServerError, match="did not start") as caught:
        server.start()
    assert "embed" in str(caught.value)
    assert str(server.log_path) in str(caught.value)
    assert server.log_path.read_text()
    assert regions() == before


def test_a_failed_start_is_told_within_seconds_without_harmless_lines(repository: Path) -> None:
    (repository / "embed" / "1" / "model.onnx").write_bytes(b"no model")
    started = time.monotonic()
    with pytest.raises(ServerError, match="failed to load 'embed'") as caught:
        EmbeddedServer(repository).start()
    assert time.monotonic() - started < SOON_S
    assert "Cuda" not in str(caught.value)
    assert str(repository / "embed" / "1" / "model.onnx") in str(caught.value)


def test_a_stub_that_cannot_start_is_told_within_seconds(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As where libpython is missing, or the folder for temporary files runs no programs: Triton is silent about it.
    whole = binary.make_backend_folder

    def without_stub(folder: Path) -> None:
        whole(folder)
        (folder / "python" / "triton_python_backend_stub").write_text("no program\n")

    monkeypatch.setattr(binary, "make_backend_folder", without_stub)
    before = regions()
    started = time.monotonic()
    with pytest.raises(ServerError, match=r"triton_python_backend_stub.*not found"):
        EmbeddedServer(repository).start()
    assert time.monotonic() - started < SOON_S
    assert regions() == before


def test_a_backend_refuses_a_configuration_at_load(repository: Path) -> None:
    config = repository / "ethnicity" / "config.pbtxt"
    config.write_text(config.read_text().replace("is_classifier", "output_class"))
    with pytest.raises(ServerError, match="output_class"):
        EmbeddedServer(repository).start()


def test_too_little_shared_memory_is_found_before_the_start(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_memory, "free_shared_memory", lambda: 64 << 20)
    with pytest.raises(ServerError, match="--shm-size"):
        EmbeddedServer(repository).start()


def test_a_drained_server_stops_too(repository: Path) -> None:
    server = EmbeddedServer(repository)
    server.start()
    started = time.monotonic()
    server.stop(drain=True)
    assert not server.alive()
    assert time.monotonic() - started < 15
    server.stop()
