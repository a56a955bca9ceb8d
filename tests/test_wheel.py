"""The distribution: a wheel, installed in a fresh environment, ingests outside the tree."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.triton


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    # The build backend is installed (extra dev), so no network is needed.
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)],
        check=True,
        capture_output=True,
    )
    (path,) = out.glob("*.whl")
    return path


def test_the_wheel_holds_code_models_and_photos_and_little_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for name in (
        "fsclient/cli.py",
        "fsgateway/commands.py",
        "fsengine/backends/folders/dali/model.py",
        "fsengine/shipped/model_repository/facestats/config.pbtxt",
        "fsengine/shipped/model_repository/decode/1/dali.py",
        "fsengine/shipped/packs/lite/pack.json",
        "fsengine/shipped/packs/lite/embed/model.onnx",
        "fsdata/photos/solvay_conference_1927.jpg",
        "fsdata/pictures/templates/page.html.j2",
        "fstraining/evaluate/templates/training.html.j2",
    ):
        assert name in names
    assert not [name for name in names if name.startswith(("tests/", "docs/", "tools/")) or "__pycache__" in name]
    makers = ("full_size_pack", "lite_pack", "parity_tables", "tool_command")
    assert not [name for name in names if any(maker in name for maker in makers)]
    assert wheel.stat().st_size < 25e6


def test_an_installed_wheel_ingests_outside_the_tree(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "env"
    venv.create(environment, with_pip=False, symlinks=True)
    python = environment / "bin" / "python"
    installed = subprocess.run(
        [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--no-deps", str(wheel)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert installed.returncode == 0, installed.stderr
    # The libraries are those of this environment; the project's own code comes from the wheel.
    site = next((environment / "lib").glob("python3.*/site-packages"))
    libraries = [path for path in sys.path if path.endswith("site-packages")]
    (site / "libraries.pth").write_text("\n".join(libraries) + "\n")
    home = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "FACESTATS_MODELS": str(tmp_path / "models")}
    where = subprocess.run(
        [str(python), "-c", "import fsclient, fsdata.sample_photos as s; print(fsclient.__file__, s.sample_folder())"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env=home,
    )
    code, photos = where.stdout.split()
    assert code.startswith(str(site))
    done = subprocess.run(
        [str(environment / "bin" / "fsclient"), "ingest", photos, "--out", "results"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=home,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert pq.read_table(tmp_path / "results").num_rows == 11
