"""What is written to a disk is never written into a folder that is called as a URL begins."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from fsclient.cli import main


@pytest.mark.parametrize(
    "words",
    [
        ["table", "export", "results", "--out"],
        ["table", "duplicates", "results", "--out"],
        ["table", "compact", "results", "--out"],
        ["report", "results", "--out"],
        ["composite", "results", "--out"],
        ["score", "photo.jpg", "--draw"],
        ["models", "build", "lite", "--out"],
    ],
    ids=lambda words: " ".join(words[:2]),
)
@pytest.mark.parametrize("url", ["s3://bucket/x.csv", "s3:/bucket/x.csv", "https://h.example/x"])
def test_a_url_is_refused_where_a_path_is_written(
    words: list[str], url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "results").mkdir()
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, [*words, url])
    assert done.exit_code == 2, done.output
    assert "bucket" in done.output or "h.example" in done.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results"]
