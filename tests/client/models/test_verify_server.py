"""`fsclient models verify --server`: a running server against golden answers, as a command."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from fsengine.packs.shipped import shipped_folder
from fsengine.repository.assemble import GOLDEN_FILE
from fsengine.repository.golden.golden_answers import read_answers, write_answers
from fsengine.server.embedded import EmbeddedServer
from fsengine.server.listening import LOOPBACK, free_port

pytestmark = pytest.mark.triton

GOLDEN = shipped_folder("packs") / "lite" / GOLDEN_FILE


def verify(command: list[str], *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*command, "models", "verify", *map(str, arguments)], capture_output=True, text=True, check=False
    )


def test_a_server_is_compared_step_by_step(fsclient_command: list[str], lite_server: EmbeddedServer) -> None:
    done = verify(fsclient_command, "--server", lite_server.url)
    assert done.returncode == 0, done.stderr
    for model in ("decode", "detect", "align", "embed", "ethnicity", "age_gender", "facestats", "facestats_crops"):
        assert re.search(rf"^{model} +.* ok ", done.stdout, flags=re.MULTILINE), done.stdout


def test_a_difference_is_shown_and_ends_with_3(
    fsclient_command: list[str], lite_server: EmbeddedServer, tmp_path: Path
) -> None:
    golden = read_answers(GOLDEN)
    photos = golden.of["age_gender"]
    older = {photo: {**outputs, "age_years": outputs["age_years"] + 1} for photo, outputs in photos.items()}
    write_answers(replace(golden, of={**golden.of, "age_gender": older}), tmp_path / "golden.npz")
    done = verify(fsclient_command, "--server", lite_server.url, "--golden", tmp_path / "golden.npz")
    assert done.returncode == 3
    assert "age_gender differs: age_years by 1 years (at most 0.5)" in done.stderr
    assert re.search(r"^embed .* ok ", done.stdout, flags=re.MULTILINE)


def test_what_cannot_be_compared_is_explained(
    fsclient_command: list[str], lite_server: EmbeddedServer, tmp_path: Path
) -> None:
    golden = read_answers(GOLDEN)
    models = {**golden.served.models, "embed": "embed-000000000000-fp32"}
    write_answers(replace(golden, served=replace(golden.served, models=models)), tmp_path / "golden.npz")
    other = verify(fsclient_command, "--server", lite_server.url, "--golden", tmp_path / "golden.npz")
    assert other.returncode == 2
    assert "give those of its pack" in other.stderr
    both = verify(fsclient_command, "lite", "--server", lite_server.url)
    assert both.returncode == 2
    assert "without a name" in both.stderr
    gone = verify(fsclient_command, "--server", f"{LOOPBACK}:{free_port(LOOPBACK)}")
    assert gone.returncode == 4
    assert "Traceback" not in gone.stderr
