"""Options from a file: what it sets, what the command line still decides, and what of it is refused with its line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fsclient.cli import main


def run(*words: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(main, list(words), env={"FACESTATS_CONFIG": "", "FACESTATS_SERVER": "", **(env or {})})


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "facestats.yaml"
    path.write_text(
        "# how we run it\n"
        "ingest:\n  concurrency: 3\n  models: lite\n  without: [ethnicity]\n  no-embedding: true\n"
        "table:\n  info:\n    failures: 5\n"
        "serve:\n"
    )
    return path


def value_of(shown: Result, command: str, option: str) -> list[str]:
    assert shown.exit_code == 0, shown.output
    for line in shown.output.splitlines():
        cells = line.split()
        words = command.split()
        if cells[: len(words) + 1] == [*words, option]:
            return cells[len(words) + 1 :]
    raise AssertionError(f"no {command} {option} in\n{shown.output}")


def test_what_is_in_force_and_from_where(config: Path) -> None:
    shown = run("--config", str(config), "config", "show")
    assert value_of(shown, "ingest", "concurrency") == ["3", str(config)]
    assert value_of(shown, "ingest", "without") == ["ethnicity", str(config)]
    assert value_of(shown, "ingest", "no-embedding") == ["true", str(config)]
    assert value_of(shown, "table info", "failures") == ["5", str(config)]
    whole = run("--config", str(config), "config", "show", "ingest")
    assert value_of(whole, "ingest", "concurrency") == ["3", str(config)]
    assert value_of(whole, "ingest", "part-size")[-1] == "default"


def test_the_file_may_stand_behind_the_command_or_in_a_variable(config: Path) -> None:
    for shown in (
        run("config", "show", "--config", str(config)),
        run("config", "show", f"--config={config}"),
        run("config", "show", env={"FACESTATS_CONFIG": str(config)}),
    ):
        assert value_of(shown, "ingest", "concurrency") == ["3", str(config)]


def test_a_variable_goes_before_the_file_and_says_so(config: Path) -> None:
    config.write_text("score:\n  server: localhost:1\n")
    shown = run("--config", str(config), "config", "show", env={"FACESTATS_SERVER": "localhost:2"})
    assert value_of(shown, "score", "server") == ["localhost:2", "$FACESTATS_SERVER"]


def test_a_command_takes_the_value_and_the_command_line_goes_first(config: Path, tmp_path: Path) -> None:
    config.write_text("table:\n  export:\n    format: csv\n    where: gendr = 1\n")
    (tmp_path / "empty").mkdir()
    # The option comes from the file: without it the command would ask for --format first.
    refused = run("table", "export", str(tmp_path / "empty"), "--out", str(tmp_path / "a.xls"), "--config", str(config))
    assert "holds no parts" in refused.output + str(refused.exception)
    wrong = run(
        *("table", "export", str(tmp_path / "empty"), "--out", str(tmp_path / "a.xls"), "--format", "xls"),
        *("--config", str(config)),
    )
    assert wrong.exit_code == 2
    assert "'xls' is not one of" in wrong.output


@pytest.mark.parametrize(
    ("content", "line", "said"),
    [
        ("ingst:\n  concurrency: 8\n", 1, "did you mean ingest"),
        ("ingest:\n  models: lite\n  concurency: 8\n", 3, "did you mean concurrency"),
        ("ingest:\n  concurrency: many\n", 2, "'many' is not a valid int"),
        ("ingest:\n  concurrency: 0\n", 2, "0 is not in the range"),
        ("ingest:\n  concurrency: [1, 2]\n", 2, "a list of 2"),
        ("ingest:\n  models: no\n", 2, "quotes"),
        ("ingest:\n  concurrency: 010\n", 2, "YAML reads 010 as 8"),
        ("ingest:\n  concurrency: 1_0\n", 2, "YAML reads 1_0 as 10"),
        ("ingest:\n  part-size: 1:30\n", 2, "YAML reads 1:30 as 90"),
        ("ingest:\n  models: 2024-01-01\n", 2, "as a date"),
        ("ingest:\n  models: 2024-99-01\n", 2, "cannot read 2024-99-01"),
        ("ingest:\n  no-embedding: maybe\n", 2, "true or false"),
        ("ingest:\n  concurrency: 1\n  models: a\n  concurrency: 2\n", 4, "a second time, first in line 2"),
        ("ingest: 8\n", 1, "expected its options"),
        ("ingest:\n  models: {a: 1}\n", 2, "further keys"),
        ("table:\n  concurrency: 8\n", 2, "table has no command"),
        ("- ingest\n", 1, "expected commands"),
        ("ingest: [\n", 2, "no YAML"),
        ("ingest: &a\n  models: lite\n", 1, "anchors and aliases"),
        ("ingest:\n  models: !!python/object/apply:os.system ['true']\n", 2, "tags such as"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, content: str, line: int, said: str) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(content)
    refused = run("--config", str(path), "config", "show")
    assert refused.exit_code == 2
    assert f"wrong.yaml, line {line}" in refused.output
    assert any(part in refused.output for part in said.split("|")), refused.output


def test_what_is_no_file_of_options_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "large").write_bytes(b"#" * (2 << 20))
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00\x01")
    for name in ("fifo", "large", "bytes", "none", "."):
        refused = run("--config", str(tmp_path / name), "config", "show")
        assert refused.exit_code == 2, name
        assert "Error" in refused.output
    (tmp_path / "empty").write_text("")
    assert run("--config", str(tmp_path / "empty"), "config", "show").exit_code == 0


def test_a_name_that_looks_like_a_number_stays_as_it_is_written(config: Path) -> None:
    config.write_text("ingest:\n  models: 1.10\n  concurrency: +8\n")
    shown = run("--config", str(config), "config", "show")
    assert value_of(shown, "ingest", "models")[0] == "1.10"


def test_the_file_to_start_from_is_one() -> None:
    example = Path(__file__).resolve().parents[3] / "examples" / "facestats.yaml"
    shown = run("--config", str(example), "config", "show")
    assert value_of(shown, "ingest", "concurrency") == ["8", str(example)]
    assert value_of(shown, "bench", "concurrency")[:1] == ["1,2,4,8"]


def test_a_file_of_very_many_keys_is_refused_soon(tmp_path: Path) -> None:
    path = tmp_path / "many.yaml"
    path.write_text("ingest:\n" + "".join(f"  k{number}: 1\n" for number in range(15_000)))
    refused = run("--config", str(path), "config", "show")
    assert refused.exit_code == 2
    assert "more than 10000 keys and values" in refused.output


def test_no_secret_is_shown(tmp_path: Path) -> None:
    for server in (
        "grpcs://me:hush@host:8001",
        "grpcs://me:hu/sh@hush@host:8001",
        "grpcs://hush@host:8001",
        "a:1,me:hush@host:8001",
        "me:hush@host:8001",
    ):
        named = run("config", "show", "score", env={"FACESTATS_SERVER": server})
        assert "hush" not in named.output
        assert "hu/sh" not in named.output
        assert "***@host:8001" in named.output
    named = run("config", "show", "score", env={"FACESTATS_SERVER": "host:8001?token=hush"})
    assert "hush" not in named.output
    shown = run("config", "show", "score", env={"FACESTATS_TOKEN": "secret-secret-secret"})
    assert "secret-secret-secret" not in shown.output


def test_a_command_that_is_not_there_is_named() -> None:
    refused = run("config", "show", "ingst")
    assert refused.exit_code == 2
    assert "ingst" in refused.output
