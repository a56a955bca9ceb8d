"""Shares of what is found: `--shard I/N`."""

from __future__ import annotations

import io
import random
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from fsclient import Client
from fsclient.cli import main
from fsclient.photos.finding.photo_search import PhotoSearch
from fsclient.photos.source_rules import SourceRules
from fsclient.testing import FakeBackend
from fsengine.errors import InvalidInputError


@pytest.fixture
def sources(tmp_path: Path) -> list[str]:
    """Files, tar shards and tables, 20 of each, the latter with three photos each."""
    (tmp_path / "files").mkdir()
    for number in range(20):
        (tmp_path / "files" / f"{number}.jpg").write_bytes(b"x")
        with tarfile.open(tmp_path / f"{number:02d}.tar", "w") as tar:
            for name in "abc":
                tar.addfile(tarfile.TarInfo(f"{name}.jpg"), io.BytesIO())
        pq.write_table(pa.table({"image": [b"x"] * 3}), tmp_path / f"{number:02d}.parquet")
    return [str(tmp_path / "files"), f"{tmp_path}/{{00..19}}.tar", f"{tmp_path}/*.parquet"]


def found(sources: list[str], **rules: Any) -> list[str]:
    return [entry.source for entry in PhotoSearch(sources, rules=SourceRules(column="image", **rules))]


def test_shares_are_disjoint_complete_and_stable_and_hold_shards_whole(sources: list[str]) -> None:
    whole = found(sources)
    assert len(whole) == 140
    for number in (1, 2, 3, 7, 50):
        shares = [found(sources, share=(share, number)) for share in range(number)]
        assert sorted(source for share in shares for source in share) == sorted(whole)
        assert shares == [[source for source in whole if source in share] for share in shares]
        holds = [{source.partition("!")[0] for source in share} for share in shares]
        assert sum(map(len, holds)) == len(set().union(*holds)) == 60
        assert number > 3 or all(len(held) > 60 / number / 2 for held in holds)
        assert sorted(found([*reversed(sources)], share=(0, number))) == sorted(shares[0])
    # A listing later, or of fewer, gives each the same share.
    assert found(sources[:1], share=(1, 3)) == [
        s for s in found(sources, share=(1, 3)) if s.endswith(".jpg") and "!" not in s
    ]
    assert len(found(sources, share=(0, 3), limit=2)) == 2
    assert set(found(sources, share=(0, 3), sample=5)) < set(found(sources, share=(0, 3)))


def test_a_share_without_photos_is_no_error_and_shares_go_into_one_folder_after_each_other(
    sources: list[str], tmp_path: Path
) -> None:
    with Client(backend=FakeBackend(1)) as client:
        for share in range(3):
            summary = client.ingest(sources, tmp_path / "out", column="image", shard=(share, 3), processes=1)
            assert summary.num_inputs == summary.num_rows == len(found(sources, share=(share, 3)))
        assert client.ingest(sources, tmp_path / "out", column="image", processes=1).num_done_before == 140
        (one,) = PhotoSearch([f"{tmp_path}/files/1.jpg"])
        shares = [client.ingest(one.source, tmp_path / f"{share}", shard=(share, 9)).num_inputs for share in range(9)]
    assert sorted(shares) == [0] * 8 + [1]
    words = ["ingest", *sources, "--column", "image", "--out", str(tmp_path / "new"), "--dry-run", "--shard", "1/3"]
    num_photos = len(found(sources, share=(1, 3)))
    assert f"{num_photos} photos to score" in CliRunner().invoke(main, words).output


@pytest.mark.parametrize("shard", [(3, 3), (-1, 3), (0, 0), (1,), (0, 1, 2)])
def test_a_share_that_cannot_be_is_refused(shard: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"expected \(I, N\)"):
        SourceRules(share=shard)


def test_shares_differ_from_what_another_number_gives() -> None:
    draw = random.Random(1)
    texts = [f"/photos/{draw.random()}.jpg" for _ in range(3000)]
    counts = [sum(SourceRules(share=(share, 10)).is_in_share(text) for text in texts) for share in range(10)]
    assert sum(counts) == 3000
    assert max(counts) - min(counts) < 120
