"""`fsclient score` when its server goes away: what was answered is kept."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image

from fsclient.cli import main
from fsclient.client import Client
from fsclient.testing import FakeBackend, answer
from fsengine.errors import ServerUnavailableError


@pytest.fixture
def photos(tmp_path: Path) -> list[str]:
    paths = [str(tmp_path / f"{number}.png") for number in range(12)]
    for number, path in enumerate(paths):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(path)
    return paths


def test_a_dead_server_costs_only_what_it_did_not_answer(
    photos: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: set[bytes] = set()
    answered = {Path(photos[number]).read_bytes() for number in (0, 1, 3, 4)}

    def respond(data: bytes, outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        asked.add(data)
        if data not in answered:
            raise ServerUnavailableError("the server is gone")
        return answer(1, outputs)

    backend = FakeBackend(respond)
    monkeypatch.setattr("fsclient.commands.score.Client", lambda *_, **__: Client(backend=backend))
    out = tmp_path / "drawn"
    done = CliRunner().invoke(main, ["score", *photos, "--json", "--server", "localhost:1", "--draw", str(out)])
    assert done.exit_code == 4, done.output
    scored = [photo["source"] for photo in json.loads(done.stdout)]
    assert scored == [photos[0], photos[1], photos[3], photos[4]]
    assert "8 photos without an answer (the server is gone)" in done.stderr
    listed = [line.strip() for line in done.stderr.splitlines() if line.startswith("  ")]
    assert sorted(listed) == sorted(set(photos) - set(scored))
    assert sorted(path.name for path in out.iterdir()) == ["0.png", "1.png", "3.png", "4.png"]
    assert len(asked) < len(photos)  # those after it are not waited for


def test_a_server_that_is_not_there_leaves_all_without_an_answer(photos: list[str]) -> None:
    done = CliRunner().invoke(main, ["score", photos[0], "--server", "127.0.0.1:9"])
    assert done.exit_code == 4, done.output
    assert "1 photo without an answer" in done.stderr
    assert photos[0] in done.stderr
