"""The notebook that ships, run from top to bottom on the photos that ship."""

from __future__ import annotations

from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat", reason="nbformat is missing: pip install 'facestats[dev]'")
nbclient = pytest.importorskip("nbclient", reason="nbclient is missing: pip install 'facestats[dev]'")
for name in ("cv2", "duckdb", "ipykernel", "matplotlib", "sklearn"):
    pytest.importorskip(name, reason=f"{name} is missing; the notebook needs the extras analysis and training")

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "explore.ipynb"


def test_it_ships_without_outputs_and_without_this_machine() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata == {"language_info": {"name": "python"}}
    for cell in notebook.cells:
        assert not cell.get("outputs")
        assert not cell.metadata
        assert cell.get("execution_count") is None


@pytest.mark.triton
def test_it_runs_from_top_to_bottom(tmp_path: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    ).execute()
    assert list(tmp_path.iterdir()) == []  # it writes to its own temporary folder alone
    said = "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", ()))
    assert "12 photos" in said
    assert "obama_smaller.jpg, 0 of 64 bits from the first" in said
    assert "a name that is none:" in said
    shown = [output.data for cell in notebook.cells for output in cell.get("outputs", ()) if "data" in output]
    assert sum("<svg" in data.get("text/html", "") for data in shown) == 3
    assert sum("image/png" in data for data in shown) == 1
