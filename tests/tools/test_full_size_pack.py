"""The full-size pack: every head, 512 numbers of embedding, given to `--models` as a folder, made again cheaply."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("onnx")

from built_full_size_pack import built_full_size_pack, full_size_artifacts
from fsclient.models.name_to_repository import given_folder, pack_folder
from fsengine.packs.pack import verify_pack
from full_size_pack import build_full_size_pack


def test_it_has_every_head_and_is_taken_as_a_folder(shared: Path) -> None:
    folder = built_full_size_pack(shared)
    pack = verify_pack(folder)
    assert set(pack.models) == {"detect", "align", "embed", "attractiveness", "ethnicity", "age_gender"}
    assert pack.embedding_width == 512
    assert {head: len(labels) for head, labels in pack.labels.items()} == {"ethnicity": 7, "gender": 2}
    assert "untrained weights" in pack.served().marks
    assert given_folder(str(folder)) == folder
    assert pack_folder(str(folder), print) == folder


def test_made_again_it_exports_nothing_and_is_the_same(shared: Path, tmp_path: Path) -> None:
    first = verify_pack(built_full_size_pack(shared))
    lines: list[str] = []
    again = build_full_size_pack(shared, tmp_path / "pack", full_size_artifacts(), lines.append)
    assert again == first
    assert not [line for line in lines if "exporting" in line]
    assert [line.split(":")[0] for line in lines if "unchanged" in line] == [
        *("detect", "embed", "attractiveness", "ethnicity", "age_gender")
    ]
