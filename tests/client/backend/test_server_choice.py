"""Which server is used, and that it serves the models that were named."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fsclient.backend.server_choice import ServerChoice
from fsclient.cli import main
from fsclient.testing import ensemble
from fsengine.contracts.served import ServedModels
from fsengine.errors import InvalidInputError
from fsengine.packs.pack import read_pack
from fsengine.packs.shipped import shipped_folder


def lite(*without: str) -> ServedModels:
    return read_pack(shipped_folder("packs") / "lite").without(without).served()


def run(*arguments: str | Path, server: str | None = None) -> Result:
    return CliRunner(env={"FACESTATS_SERVER": server}).invoke(main, list(map(str, arguments)))


def test_models_that_are_named_are_compared_with_what_is_served() -> None:
    named = ServerChoice(server="a:1", models="lite")
    named.check_served(lite())
    ServerChoice(server="a:1", models=f"{shipped_folder('packs')}/lite").check_served(lite())
    ServerChoice(server="a:1").check_served(ensemble("set-other").models)
    for other in (lite("ethnicity"), replace(ensemble("set-other").models, pack="lite")):
        with pytest.raises(InvalidInputError) as raised:
            named.check_served(other)
        for told in (other.pack, other.model_set_id, "a:1", "--models lite", lite().model_set_id, "FACESTATS_SERVER"):
            assert told in str(raised.value)


@pytest.mark.parametrize(
    ("models", "told"),
    [
        ("nope", "known packs: "),
        ("./nope", r"holds no pack\.json"),
        ("official", r"'official' is not built here, .*models build official`\), or leave --models out"),
    ],
)
def test_what_is_not_here_cannot_be_compared_and_is_not_built(models: str, told: str) -> None:
    with pytest.raises(InvalidInputError, match=told):
        ServerChoice(server="a:1", models=models).check_served(lite())


@pytest.mark.parametrize("command", ["ingest", "score", "bench"])
def test_the_variable_names_the_server_unless_the_option_does(command: str, photos: Path, tmp_path: Path) -> None:
    arguments: list[str | Path] = [command, photos / "hopper.jpg"]
    arguments += ["--out", tmp_path / "out"] if command == "ingest" else []
    done = run(*arguments, server="127.0.0.1:9")
    assert (done.exit_code, "127.0.0.1:9" in done.output) == (4, True), done.output
    done = run(*arguments, "--server", "127.0.0.1:7", server="127.0.0.1:9")
    assert (done.exit_code, "127.0.0.1:7" in done.output, "127.0.0.1:9" in done.output) == (4, True, False)
    assert "[env var: FACESTATS_SERVER]" in " ".join(run(command, "--help").output.split())


@pytest.mark.parametrize(
    ("server", "options", "told"),
    [
        ("a:1", ["--without", "ethnicity"], "FACESTATS_SERVER names the server a:1, and .*: unset FACESTATS_SERVER"),
        ("a:1", ["--gpu"], "unset FACESTATS_SERVER"),
        ("localhost", [], "FACESTATS_SERVER names the server localhost: .*not HOST:PORT.*; correct it, or unset it"),
        (None, ["--server", "a:1", "--without", "ethnicity"], "exclude each other"),
        ("b:2", ["--server", "a:1", "--gpu"], "exclude each other"),
    ],
)
def test_what_a_running_server_cannot_be_told_is_refused(
    server: str | None, options: list[str], told: str, photos: Path
) -> None:
    done = run("score", photos / "hopper.jpg", *options, server=server)
    assert done.exit_code == 2, done.output
    assert re.search(told, " ".join(done.output.split())), done.output


def test_an_empty_variable_is_none(photos: Path) -> None:
    done = run("score", photos / "hopper.jpg", "--models", "nope", server="")
    assert (done.exit_code, "known packs" in done.output) == (2, True), done.output


@pytest.mark.triton
@pytest.mark.parametrize("command", ["ingest", "score", "bench"])
def test_another_pack_than_the_served_one_is_refused_before_any_photo(
    command: str, photos: Path, tmp_path: Path, lite_server: Any
) -> None:
    assert run("models", "build", "lite", "--without", "ethnicity", "--out", tmp_path / "repo").exit_code == 0
    arguments: list[str | Path] = [command, photos / "hopper.jpg"]
    arguments += ["--out", tmp_path / "out"] if command == "ingest" else []
    arguments += ["--rounds", "1", "--warm-up", "0", "--concurrency", "1"] if command == "bench" else []
    other = run(*arguments, "--models", f"{tmp_path}/repo", server=lite_server.url)
    assert other.exit_code == 2, other.output
    assert lite().model_set_id in other.output
    assert lite("ethnicity").model_set_id in other.output
    same = run(*arguments, "--models", "lite", "--server", lite_server.url)
    assert same.exit_code == 0, same.output
    assert "starting the embedded server" not in same.output
