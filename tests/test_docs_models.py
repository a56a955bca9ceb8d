"""docs/guides/models.md: the parity table covers what can be exported, and every row of it passes."""

from __future__ import annotations

import re
from pathlib import Path

from fsengine.packs.pack import PRECISIONS
from fsengine.registry.model_source import read_registry

TEXT = (Path(__file__).resolve().parents[1] / "docs" / "guides" / "models.md").read_text()


def rows() -> list[list[str]]:
    table = TEXT.split("<!-- parity -->")[1].split("<!-- /parity -->")[0].strip().splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def test_every_row_of_the_table_is_within_its_limits() -> None:
    assert len(rows()) >= 15
    for row in rows():
        for cell in row[6:8]:
            match = re.fullmatch(r"([\d.e+-]+) \(([\w.e+-]+)\)", cell)
            if cell and match and match[2] != "none":
                found, limit = float(match[1]), float(match[2])
                assert found <= limit if cell == row[6] else found >= limit, row


def test_the_table_has_every_step_and_precision_that_can_be_exported() -> None:
    assert {row[0] for row in rows()} == {"embed", "detect", "age_gender", "attractiveness", "ethnicity"}
    assert {row[2] for row in rows() if row[0] == "embed"} == set(PRECISIONS)
    for precision in ("int8", "int8-symmetric", "fp8"):
        (row,) = [row for row in rows() if row[2] == precision]
        assert f"accuracy of {precision} is not known" in row[8]


def test_every_source_is_named() -> None:
    for name in read_registry():
        prefix, _, last = name.rpartition("-")
        assert name in TEXT or (f"`…-{last}`" in TEXT and prefix.rsplit("-", 1)[0] in TEXT), name
