"""Photos in Parquet files: columns of every kind, ids, resuming, and damage."""

from __future__ import annotations

import io
import os
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from PIL import Image

from fsclient import Client
from fsclient.cli import main
from fsclient.photos.entry import PhotoEntry
from fsclient.photos.finding.photo_search import PhotoSearch
from fsclient.photos.finding.photo_tables import with_bytes
from fsclient.photos.source_rules import SourceRules
from fsclient.testing import FakeBackend
from fsdata.results import open_results
from fsengine.errors import InvalidInputError, StoreUnavailableError
from store_faults import Status, always

if TYPE_CHECKING:
    from faulty_proxy import FaultyProxy
    from s3_server import S3Server


def jpeg(number: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (number % 256, number // 256, 0)).save(buffer, "JPEG")
    return buffer.getvalue()


PHOTOS = [jpeg(number) for number in range(10)]


def table(path: Path, photos: Any = None, *, group: int = 4, **columns: Any) -> Path:
    photos = PHOTOS if photos is None else photos
    pq.write_table(pa.table({"image": photos, **columns}), path, row_group_size=group)
    return path


def searched(*sources: Path | str, **rules: Any) -> tuple[dict[str, PhotoEntry], Any]:
    """Return the entries of tables, with their bytes, by what they are called there."""
    found = PhotoSearch([str(source) for source in sources], rules=SourceRules(**{"column": "image"} | rules))
    return {entry.source.partition("!")[2]: entry for entry in with_bytes(found)}, found.tally


def contents(entries: dict[str, PhotoEntry]) -> list[bytes | None]:
    return [entry.read().data for entry in entries.values()]


def reasons(entries: dict[str, PhotoEntry]) -> list[str]:
    return [refusal[1] for entry in entries.values() if (refusal := entry.read().refusal) is not None]


def structs(photos: list[bytes]) -> Any:
    return pa.array([{"bytes": data, "path": f"{number}.jpg", "size": 1} for number, data in enumerate(photos)])


@pytest.mark.parametrize(
    "column",
    [
        pa.array(PHOTOS, pa.binary()),
        pa.array(PHOTOS, pa.large_binary()),
        pa.array(PHOTOS).dictionary_encode(),
        structs(PHOTOS),
        structs(PHOTOS).cast(pa.struct({"bytes": pa.large_binary(), "path": pa.string(), "size": pa.int64()})),
    ],
    ids=["binary", "large", "dictionary", "huggingface", "large in a struct"],
)  # fmt: skip
def test_a_column_of_photos_is_read_whatever_holds_it(tmp_path: Path, column: Any) -> None:
    made = table(tmp_path / "t.parquet", column, id=pa.array([f"k{n}" for n in range(10)]).dictionary_encode())
    by_row, _ = searched(made)
    assert (list(by_row), contents(by_row)) == ([str(n) for n in range(10)], PHOTOS)
    by_id, _ = searched(made, id_column="id")
    assert (list(by_id), contents(by_id)) == ([f"k{n}" for n in range(10)], PHOTOS)
    assert contents(searched(made, sample=3)[0]) == [PHOTOS[int(n)] for n in searched(made, sample=3)[0]]
    assert list(searched(tmp_path)[0]) == list(searched(f"{tmp_path}/*.parquet", tmp_path)[0]) == list(by_row)
    assert PhotoSearch([str(tmp_path)]).tally.num_found == 0
    assert next(iter(by_row.values())).source == f"{made}!0"


def test_columns_whose_names_look_like_parts_of_others_are_not_mixed_up(tmp_path: Path) -> None:
    made = tmp_path / "t.parquet"
    others = [jpeg(100 + n) for n in range(10)]
    pq.write_table(pa.table({"image.bytes": others, "image": structs(PHOTOS), "a.b": PHOTOS}), made)
    for column, expected in (("image", PHOTOS), ("image.bytes", others), ("a.b", PHOTOS)):
        assert contents(searched(made, column=column)[0]) == expected


def test_empty_cells_are_rows_and_rows_without_an_id_of_their_own_are_counted(tmp_path: Path) -> None:
    cells = [{"bytes": PHOTOS[0]}, None, {"bytes": None}, {"bytes": b""}, {"bytes": PHOTOS[4]}, {"bytes": PHOTOS[5]}]
    made = table(tmp_path / "t.parquet", pa.array(cells), id=["a", "b", "c", "d", None, "a"], long=["x" * 5000] * 6)
    found, tally = searched(made, id_column="id")
    assert list(found) == ["a", "b", "c", "d"]
    assert tally.skipped_files == {"row of a table without an id": 1, "second row of an id in a table": 1}
    assert contents(found) == [PHOTOS[0], None, None, None]
    assert [reason for reason in reasons(found) if "cell" in reason] == ["the cell of its row is empty"] * 2
    found, tally = searched(made, id_column="long")
    assert (found, tally.skipped_files.total()) == ({}, 6)


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (pa.array(["a.jpg"] * 10), "holds string in 'image'.*--from-file"),
        (pa.array([1] * 10), "holds int64"),
        (pa.array([[b"x"]] * 10), "holds list"),
        (pa.array([{"path": "x"}] * 10), "holds struct"),
        (pa.array([{"bytes": "x"}] * 10), "holds struct"),
        (pa.nulls(10), "holds null"),
    ],
)
def test_a_column_of_another_kind_is_refused_and_noted_where_others_were_found(
    tmp_path: Path, column: Any, words: str
) -> None:
    made = table(tmp_path / "b.parquet", column, id=PHOTOS)
    with pytest.raises(InvalidInputError, match=words):
        searched(made)
    found, tally = searched(table(tmp_path / "a.parquet"), made, table(tmp_path / "c.parquet"))
    assert (contents(found), tally.num_found, tally.unreadable[0][0]) == (PHOTOS, 20, str(made))
    for rules, said in (
        ({"column": "no"}, "has no column 'no'; expected one of image, id"),
        ({"column": "id", "id_column": "id"}, "holds binary in 'id'"),
    ):
        with pytest.raises(InvalidInputError, match=said):
            searched(made, **rules)


def test_a_name_of_two_columns_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_arrays([pa.array(PHOTOS)] * 2, ["image", "image"]), tmp_path / "t.parquet")
    with pytest.raises(InvalidInputError, match="has 2 columns 'image'"):
        searched(tmp_path / "t.parquet")


def test_a_damaged_table_is_noted_and_its_neighbours_survive(tmp_path: Path) -> None:
    made = table(tmp_path / "a.parquet")
    whole = made.read_bytes()
    damaged = {
        "cut": whole[:-9],
        "empty": b"",
        "no table": b"PAR1 but no more PAR1",
        "footer": whole[:-8] + b"\xff\xff\xff\x7fPAR1",
    }
    for name, content in damaged.items():
        (tmp_path / f"{name}.parquet").write_bytes(content)
    table(tmp_path / "rows 0.parquet", pa.array([], pa.binary()))
    os.mkfifo(tmp_path / "pipe.parquet")
    found, tally = searched(made, *(tmp_path / f"{name}.parquet" for name in [*damaged, "rows 0", "pipe"]))
    assert contents(found) == PHOTOS
    assert sorted(os.path.basename(source) for source, _ in tally.unreadable) == sorted(
        f"{n}.parquet" for n in [*damaged, "pipe"]
    )


def test_a_damaged_page_costs_the_rest_of_its_row_group(tmp_path: Path) -> None:
    made = table(tmp_path / "t.parquet", [data + bytes(3000) for data in PHOTOS])
    content = bytearray(made.read_bytes())
    chunk = pq.read_metadata(made).row_group(1).column(0)
    start = chunk.dictionary_page_offset or chunk.data_page_offset
    content[start : start + 40] = bytes(40)
    made.write_bytes(content)
    found, tally = searched(made)
    assert [data is None for data in contents(found)] == [False] * 4 + [True] * 4 + [False] * 2
    assert all(reason.startswith("cannot be read: ") for reason in reasons(found))
    assert not tally.num_unreadable


def test_bytes_turned_at_random_never_end_a_search(tmp_path: Path) -> None:
    draw = random.Random(1)
    made = table(tmp_path / "t.parquet", structs(PHOTOS), id=[f"k{n}" for n in range(10)])
    base = made.read_bytes()
    num_noted = 0
    for number in range(150):
        damaged = bytearray(base)
        for _ in range(draw.choice([1, 3, 20])):
            damaged[draw.randrange(len(damaged) - 1500 if number % 2 else 0, len(damaged))] = draw.randrange(256)
        made.write_bytes(damaged)
        try:
            found, tally = searched(made, id_column=draw.choice([None, "id"]), limit=1000)
        except InvalidInputError:
            continue
        contents(found)
        assert len(found) <= 10
        num_noted += tally.num_unreadable
    assert num_noted > 30


@pytest.mark.parametrize("id_column", [None, "id"])
def test_a_half_read_table_goes_on_inside_and_a_replaced_one_costs_what_changed(
    tmp_path: Path, id_column: str | None
) -> None:
    made, out = table(tmp_path / "t.parquet", id=range(100, 110)), tmp_path / "out"
    backend = FakeBackend(1)
    settings: dict[str, Any] = {"column": "image", "id_column": id_column, "processes": 1}
    with Client(backend=backend) as client:
        assert client.ingest(made, out, **settings, limit=3).exit_code == 0
        summary = client.ingest(made, out, **settings)
        assert (summary.num_done_before, summary.num_rows) == (3, 7)
        assert sorted(backend.requests) == sorted(PHOTOS)
        changed = [*PHOTOS[:6], jpeg(300), *PHOTOS[7:], jpeg(301)]
        table(made, changed, group=3, id=range(100, 111))
        os.utime(made, ns=(1, 1))
        summary = client.ingest(made, out, **settings)
        assert (summary.num_kept, summary.num_changed, summary.num_rows) == (9, 1, 2)
        assert sorted(backend.requests[10:]) == sorted([jpeg(300), jpeg(301)])
        assert client.ingest(made, out, **settings).num_done_before == 11
    found = {row["source"].partition("!")[2]: row for row in open_results(out).photos().to_pylist()}
    assert sorted(found, key=int) == [str(n if id_column is None else 100 + n) for n in range(11)]
    assert {row["mtime_ns"] for row in found.values()} == {1}
    words = ["ingest", str(made), "--out", str(out), "--dry-run", "--column", "image"]
    dry = CliRunner().invoke(main, [*words, *(["--id-column", "id"] if id_column else [])])
    assert "11 are done already" in dry.output


def test_cells_are_given_in_the_order_that_they_are_asked_for(tmp_path: Path) -> None:
    made = table(tmp_path / "t.parquet", group=5)
    entries = list(PhotoSearch([str(made)], rules=SourceRules(column="image")))
    draw = random.Random(1)
    for _ in range(20):
        order = draw.choices(range(10), k=draw.randrange(15))
        assert [entry.read().data for entry in with_bytes([entries[n] for n in order])] == [PHOTOS[n] for n in order]
    os.utime(made, ns=(1, 1))
    assert {entry.read().refusal[1] for entry in with_bytes(entries)} == {"cannot be read: its table was changed since"}  # type: ignore[index]


def test_a_store_that_cannot_be_had_any_more_leaves_the_photos_of_a_table_unfinished(
    s3: S3Server, faulty_s3: FaultyProxy, tmp_path: Path
) -> None:
    s3.put("t.parquet", table(tmp_path / "t.parquet").read_bytes())
    entries = list(PhotoSearch([f"s3://{s3.bucket}/t.parquet"], rules=SourceRules(column="image")))
    assert [entry.read().data for entry in with_bytes(entries)] == PHOTOS
    faulty_s3.rule = always(Status(403))
    left = list(with_bytes(entries))
    assert [entry.source for entry in left] == [entry.source for entry in entries]
    for entry in left:
        with pytest.raises(StoreUnavailableError, match="the store refuses access"):
            entry.read()


def test_a_large_row_group_takes_little_memory(tmp_path: Path) -> None:
    made = tmp_path / "t.parquet"
    cell = random.Random(1).randbytes(1 << 20)
    with pq.ParquetWriter(
        made,
        pa.schema({"image": pa.binary()}),
        compression="none",
        use_dictionary=False,
        data_page_size=1,
        write_batch_size=1,
    ) as writer:
        writer.write_table(pa.table({"image": [cell] * 99}), row_group_size=99)
    repeated = table(tmp_path / "r.parquet", [bytes(8 << 20)] * 30, group=30)
    before = pa.total_allocated_bytes()
    peak = 0
    for name, number in ((made, 99), (repeated, 30)):
        for entry in with_bytes(PhotoSearch([str(name)], rules=SourceRules(column="image"))):
            assert entry.num_bytes >= 1 << 20
            peak = max(peak, pa.total_allocated_bytes() - before)
            number -= 1
        assert not number
    assert peak < 64 << 20


@pytest.mark.parametrize("name", ["t.parquet", "*.parquet"])
def test_a_table_without_its_column_is_refused(name: str, tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": [b"x"]}), tmp_path / "t.parquet")
    with pytest.raises(InvalidInputError, match="is a Parquet file; expected --column NAME"):
        PhotoSearch([str(tmp_path / name)])
