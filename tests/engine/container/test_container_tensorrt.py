"""Server and builder have one TensorRT: found without its Python package, and compared before anything is built."""

from __future__ import annotations

from pathlib import Path

import pytest

from fake_programs import FakePrograms
from fsengine.container.image_tensorrt import pick_version, same_tensorrt
from fsengine.container.version_file import check_version, write_version
from fsengine.errors import MissingDependencyError, PackError, ServerError

PACKAGES = """libnvinfer11 11.4.0.106-1+cuda13.4
libnvinfer-dev 11.4.0.106-1+cuda13.4
libnvinfer-plugin11 11.4.0.106-1+cuda13.4
"""


def libraries(folder: Path, *versions: str) -> list[Path]:
    for version in versions:
        (folder / f"libnvinfer.so.{version}").touch()
    return [folder / "missing", folder]


@pytest.mark.parametrize(
    ("files", "packages", "version"),
    [
        (("11", "11.4.0"), PACKAGES, "11.4.0.106"),
        (("11.4.0",), "", "11.4.0"),
        ((), PACKAGES, "11.4.0.106"),
        # The file is what is loaded.
        (("11.5.1",), PACKAGES, "11.5.1"),
        (("10.16.1",), "libnvinfer10 10.16.1.11-1+cuda13.2", "10.16.1.11"),
    ],
)
def test_the_version_is_that_of_the_library_as_exactly_as_it_is_known(
    tmp_path: Path, files: tuple[str, ...], packages: str, version: str
) -> None:
    assert pick_version(libraries(tmp_path, *files), packages) == version


def test_an_image_without_tensorrt_is_an_error_that_names_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(MissingDependencyError, match=str(tmp_path)):
        pick_version(libraries(tmp_path, "11"), "libnvinfer-bin\n")


def test_two_versions_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match=r"10\.16\.1 and 11\.4\.0"):
        pick_version(libraries(tmp_path, "11.4.0", "10.16.1"), PACKAGES)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("11.4.0.106", "11.4.0.106", True),
        ("11.4.0", "11.4.0.106", True),
        ("11.4.0.106", "11.4.0.99", False),
        ("11.4.0", "11.4.1.106", False),
        ("11.4", "11.4.0.106", False),
        ("", "11.4.0.106", False),
    ],
)
def test_versions_are_the_same_as_far_as_both_tell(one: str, other: str, same: bool) -> None:
    assert same_tensorrt(one, other) is same
    assert same_tensorrt(other, one) is same


def test_the_server_image_writes_its_version(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    programs = FakePrograms(folder=tmp_path / "bin")
    programs.add_tensorrt("11.1.0.106")
    done = programs.fsengine("tensorrt", "--out", str(tmp_path / "version"))
    assert (done.returncode, done.stdout) == (0, "11.1.0.106\n"), done.stderr
    check_version(tmp_path / "version", "11.1.0.106")


def test_a_builder_of_another_version_is_refused(tmp_path: Path) -> None:
    write_version(tmp_path / "version", "11.1.0.106")
    with pytest.raises(ServerError, match=r"serves with TensorRT 11\.1\.0\.106, this image builds with 11\.4\.0\.106"):
        check_version(tmp_path / "version", "11.4.0.106")


def test_a_version_that_was_not_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PackError, match="cannot be read"):
        check_version(tmp_path / "version", "11.4.0.106")
    with pytest.raises(PackError, match="cannot be written"):
        write_version(tmp_path / "nowhere" / "version", "11.4.0.106")


@pytest.mark.parametrize(
    ("builder", "exit_code", "said"), [("11.4.0.106", 7, ""), ("11.5.0.1", 1, "this image builds")]
)
def test_a_command_runs_only_if_the_versions_match(tmp_path: Path, builder: str, exit_code: int, said: str) -> None:
    """TensorRT's package is absent here: a module of that name, which holds a version alone, stands in for it."""
    write_version(tmp_path / "version", "11.4.0")
    (tmp_path / "bin").mkdir()
    programs = FakePrograms(folder=tmp_path / "bin")
    programs.add("build", "exit $1")
    (tmp_path / "tensorrt.py").write_text(f"__version__ = {builder!r}\n")
    command = ("build", "7", "--out", "somewhere")
    done = programs.fsengine("matched", str(tmp_path / "version"), "--", *command, modules=tmp_path)
    assert done.returncode == exit_code, done.stderr
    assert said in done.stderr
