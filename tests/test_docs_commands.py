"""Every command that the documentation shows parses, and runs where it needs nothing but this machine."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from copy import copy
from importlib import import_module
from pathlib import Path

import click
import pytest

from fsdata.labels.readers.data_sets import read_labels
from fsengine.errors import MissingDependencyError
from stored_faces import results_of

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])
PROGRAMS = {
    "fsclient": "fsclient.cli",
    "fsdata": "fsdata.cli",
    "fsengine": "fsengine.cli",
    "fsexport": "fsexport.cli",
    "fstrain": "fstraining.cli",
}
TIMEOUT_S = 300

_BLOCK = re.compile(r"^ *```[a-z]*\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`((?:" + "|".join(PROGRAMS) + r") [^`\n]+)`")
_ENDS = frozenset({"&&", "||", ";", "|", "&", "(", ")"})


def commands_of(line: str) -> Iterator[list[str]]:
    """Yield the commands of ours in a line of a shell, as words."""
    lexer = shlex.shlex(line.strip().removeprefix("$ "), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    try:
        tokens = list(lexer)
    except ValueError:
        return  # a sentence or a drawing
    skip = False
    for token in [*tokens, ";"]:
        if skip:
            skip = False
        elif token in _ENDS:
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                words.pop(0)
            if words and words[0].removeprefix(".venv/bin/") in PROGRAMS:
                yield [words[0].removeprefix(".venv/bin/"), *words[1:]]
            words = []
        elif token in {">", ">>", "2>", "<"}:
            skip = True
        else:
            words.append(token)


def shown() -> list[tuple[str, str]]:
    """Return each command in a code block of the documentation, and its page."""
    found = []
    for page in PAGES:
        for block in _BLOCK.findall(page.read_text()):
            for line in block.replace("\\\n", " ").splitlines():
                found += [(page.name, shlex.join(words)) for words in commands_of(line)]
    return found


SHOWN = shown()


def parse(words: list[str], *, whole: bool) -> None:
    """Parse a command as click does; files need not be there.

    Args:
        words: Program and arguments.
        whole: Whether nothing that is required may be missing.

    Raises:
        click.UsageError: There is no such command, option, argument or value.
    """
    command: click.Command = import_module(PROGRAMS[words[0]]).main
    context, arguments = click.Context(command, info_name=words[0]), words[1:]
    while isinstance(command, click.Group):
        _, rest, _ = command.make_parser(context).parse_args(list(arguments))
        below = command.get_command(context, rest[0]) if rest else None
        if below is None:
            raise click.UsageError(f"no such command: {shlex.join(words)}")
        command, context, arguments = below, click.Context(below, info_name=rest[0], parent=context), rest[1:]
    command = copy(command)
    command.params = [copy(parameter) for parameter in command.params]
    for parameter in command.params:
        if isinstance(parameter.type, click.Path | click.File):
            parameter.type = click.STRING
    try:
        command.make_context(words[0], list(arguments), parent=context.parent)
    except click.MissingParameter:
        if whole:
            raise


def test_the_pages_show_commands() -> None:
    assert len(SHOWN) > 30
    assert {page for page, _ in SHOWN} >= {"README.md", "gpu.md", "models.md", "responsible-use.md", "training.md"}
    assert {words.split()[0] for _, words in SHOWN} == set(PROGRAMS)


@pytest.mark.parametrize(("page", "command"), SHOWN, ids=lambda value: value[:60])
def test_a_command_in_a_block_parses(page: str, command: str) -> None:
    try:
        parse(shlex.split(command), whole=True)
    except MissingDependencyError as exc:
        pytest.skip(str(exc))


def test_options_of_commands_in_sentences_exist() -> None:
    for page in PAGES:
        for command in _INLINE.findall(_BLOCK.sub("", page.read_text())):
            if re.search(r"[\[\]|]|\.\.\.|\bCOMMAND\b", command):
                continue  # a form, not a command
            for words in commands_of(command):
                parse(words, whole=False)  # a sentence may leave out what it does not speak of


@pytest.mark.parametrize(
    "wrong",
    [
        "fsclient ingest photos/ --outt results",
        "fsclient ingets photos/ --out results",
        "fsdata check",
        "fsdata check a.csv b.csv",
        "fsdata check a.csv --kind nonsense",
        "fstrain ethnicity --results results --labels a.csv --out head",
        "fstrain ethnicity --seed x --licence MIT --out head",
    ],
)
def test_a_wrong_command_does_not_parse(wrong: str) -> None:
    with pytest.raises(click.UsageError):
        parse(shlex.split(wrong), whole=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Path:
    """Make a folder in which the documentation's commands find what they name."""
    folder = tmp_path_factory.mktemp("docs")
    (folder / "photos").mkdir()
    for name in ("astronaut.jpg", "hopper.jpg"):
        shutil.copy(photos / name, folder / "photos" / name)
    shutil.copy(photos / "astronaut.jpg", folder / "photo.jpg")
    shutil.copytree(folder / "photos", folder / "data" / "fsdata" / "photos")
    shutil.copy(photos / "solvay_conference_1927.jpg", folder / "data" / "fsdata" / "photos")
    return folder


@pytest.fixture(scope="module")
def fairface(folder: Path, shared: Path) -> Path:
    """Lay FairFace's crops and labels as its archive does, with results that say something of them."""
    lines = ["file,age,gender,race,service_test"]
    for record in read_labels(shared / "samples" / "labelled" / "labels.tsv"):
        if record.dataset == "fairface" and record.age_low_years is not None and record.age_high_years is not None:
            file = f"train/{record.path.name}"
            (folder / "fairface" / "train").mkdir(parents=True, exist_ok=True)
            shutil.copy(record.path, folder / "fairface" / file)
            age = (
                "more than 70"
                if record.age_low_years == 70
                else f"{record.age_low_years:g}-{record.age_high_years - 1:g}"
            )
            lines.append(f"{file},{age},{str(record.gender).capitalize()},{record.ethnicity},True")
    labels = folder / "fairface" / "fairface_label_train.csv"
    labels.write_text("\n".join(lines) + "\n")
    results_of(read_labels(labels), folder / "results")
    return folder


def run(command: str, folder: Path) -> str:
    """Run a command of the documentation as a user would; returns what it prints."""
    assert command in {words for _, words in SHOWN}, f"no page shows {command}"
    program, *arguments = shlex.split(command)
    done = subprocess.run(
        [sys.executable, "-c", f"from {PROGRAMS[program]} import main; main()", *arguments],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
        cwd=folder,
        env={**os.environ, "FACESTATS_MODELS": str(folder / "models")},
    )
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    return done.stderr + done.stdout


def test_commands_that_need_no_server_run(folder: Path) -> None:
    assert "lite" in run("fsclient models list", folder)
    run("fsclient models build lite --without ethnicity --without age_gender", folder)
    run("fsclient models verify", folder)


def test_commands_of_labels_and_training_run(fairface: Path) -> None:
    for library in ("lightgbm", "matplotlib"):
        pytest.importorskip(library, reason=f"{library} is missing; training needs it")
    labels = "fairface/fairface_label_train.csv"
    assert "ethnicity" in run(f"fsdata check {labels}", fairface)
    assert "100 photos" in run(f"fsdata sample {labels} -n 100 --by ethnicity --out sample.txt", fairface)
    assert "100 photos" in run("fsdata sheet sample.txt --out sheet.png", fairface)
    assert "train.txt" in run(f"fsdata split {labels} --results results --out splits", fairface)
    for head, name in (("ethnicity", "ethnicity"), ("age-gender", "age_gender")):
        common = f"--results results --labels {labels} --licence 'CC BY 4.0'"
        said = run(f"fstrain {head} {common} --out heads/{name}", fairface)
        assert "best constant answer" in said
        assert (fairface / "heads" / name / "report" / "card.md").is_file()


@pytest.mark.triton
def test_commands_that_start_a_server_run(folder: Path) -> None:
    shutil.rmtree(folder / "results", ignore_errors=True)
    for command in (
        "fsclient ingest data/fsdata/photos --out results",
        "fsclient table build results",
        "fsclient table info results",
        "fsclient score photo.jpg --json",
        "fsclient score data/fsdata/photos/solvay_conference_1927.jpg --draw annotated.png",
        "fsclient report results --out report.html",
        "fsclient table duplicates results",
        "fsclient crops results",
        "fsclient table duplicates results --near --distance 2 --out duplicates.csv",
        "fsclient ingest photos --sample 1000 --out trial",
        "fsclient ingest photos --out results --dry-run",
        "fsclient ingest photos --out results --part-size 10000",
        "fsclient table compact results",
        "fsclient table export results --out faces.csv",
    ):
        run(command, folder)
    for made in ("annotated.png", "report.html", "duplicates.csv", "trial", "faces.csv"):
        assert (folder / made).exists()
    shutil.rmtree(folder / "results")
    said = run("fsclient ingest photos/ --models lite --without ethnicity --out results", folder)
    assert "2 photos" in said
