"""A part that is damaged anywhere is named, with what to do; numbers that are not those written never come back."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from fsclient.cli import main
from fsdata.results import open_results
from fsdata.results.ledger import read_ledger
from fsdata.results.master_table import PHOTOS_FILE, TABLE_FILE, build_table, describe
from fsdata.results.part_reading import count_faces, open_part
from fsdata.results.parts import part_paths
from fsengine.errors import ResultsError
from results_for_tests import row_of, write_parts

READERS: dict[str, Callable[[Path], Any]] = {
    "ledger": read_ledger,
    "photos": lambda folder: open_results(folder).photos(),
    "faces": lambda folder: open_results(folder).faces(),
    "embeddings": lambda folder: list(open_results(folder).embeddings()),
    "table": build_table,
    "info": describe,
}

READ_BY = {
    "ledger": {"source", "bytes", "mtime_ns", "status"},
    "photos": {"source", "bytes", "mtime_ns", "content_hash", "status", "read_ms", "infer_ms"},
    "faces": {"source", "content_hash", "box", "embedding", "landmarks", "score", "gender_probability", "age_years"},
    "embeddings": {"source", "score", "embedding"},
    "table": {"source", "content_hash", "box", "embedding", "landmarks", "age_years"},
    "info": {"source", "status"},
}


@pytest.fixture
def part(tmp_path: Path) -> Path:
    rows = [row_of(f"/photos/{number}.jpg", number % 3, value=number / 7, mtime_ns=number) for number in range(60)]
    return part_paths(write_parts(tmp_path, rows, [row_of("/photos/last.jpg")]))[0]


def pages(path: Path) -> Iterator[tuple[str, int]]:
    """Yield each column of a part, by the names on its path, and where the bytes of its pages end."""
    group = pq.read_metadata(path).row_group(0)
    for index in range(group.num_columns):
        column = group.column(index)
        start = column.dictionary_page_offset or column.data_page_offset
        yield column.path_in_schema, start + column.total_compressed_size


def flip(path: Path, position: int, bits: int = 0xFF) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= bits
    path.write_bytes(bytes(data))


def refusal(reader: str, folder: Path) -> str:
    """Return why results are refused; empty where they are read."""
    try:
        READERS[reader](folder)
    except ResultsError as exc:
        return str(exc)
    return ""


@pytest.mark.parametrize("reader", READERS)
def test_damage_in_the_pages_of_a_column_is_found_by_whatever_reads_it(reader: str, part: Path) -> None:
    whole = part.read_bytes()
    refused = set()
    for column, end in pages(part):
        flip(part, end - 3)
        if said := refusal(reader, part.parent):
            assert f"{part} cannot be read as Parquet" in said
            assert "bring back a copy of it, or move it away and run again" in said
            refused |= set(column.split("."))
        part.write_bytes(whole)
    assert refused >= READ_BY[reader]
    READERS[reader](part.parent)


def test_damage_anywhere_is_refused_or_changes_nothing(part: Path) -> None:
    results = open_results(part.parent)
    faces, photos = results.faces(), results.photos()
    whole = part.read_bytes()
    rng = np.random.default_rng(0)
    end_of_pages = max(end for _, end in pages(part))
    num_refused = 0
    for position in rng.integers(0, len(whole), 150).tolist():
        flip(part, position, int(rng.integers(1, 256)))
        try:
            read_ledger(part.parent)
            results = open_results(part.parent)
            found = results.faces(), results.photos()
            # What the footer says in words, the name of a pack for example, has no checksum.
            assert found == (faces, photos) or position >= end_of_pages, position
        except ResultsError:
            num_refused += 1
        part.write_bytes(whole)
    assert num_refused > 75


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kept", [0, 3, 500, -20])
def test_a_part_that_is_cut_off_is_refused(reader: str, kept: int, part: Path) -> None:
    part.write_bytes(part.read_bytes()[:kept])
    with pytest.raises(ResultsError, match=r"part-000001\.parquet cannot be read as Parquet.*bring back a copy"):
        READERS[reader](part.parent)


def test_a_table_that_cannot_be_built_leaves_the_old_one(part: Path) -> None:
    before = build_table(part.parent).read_bytes()
    end = dict(pages(part))["faces.list.element.embedding.list.element"]
    flip(part, end - 3)
    with pytest.raises(ResultsError, match="part-000001"):
        build_table(part.parent)
    assert (part.parent / TABLE_FILE).read_bytes() == before
    assert sorted(path.name for path in (part.parent / TABLE_FILE).parent.iterdir()) == [
        "faces.parquet",
        "photos.parquet",
    ]


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (None, "was not written by `fsclient ingest`"),
        (b"{}", "was not written by `fsclient ingest`"),
        (b"not json", "was not written by `fsclient ingest`"),
        (b"\xff", "was not written by `fsclient ingest`"),
        (b'{"format": 2}', "has format 2, this fsclient reads 1; use the fsclient that wrote it"),
        (b'{"format": 1}', "has metadata that is damaged"),
        (b'{"format": 1, "served": {"pack": "a"}, "runtime": ""}', "has metadata that is damaged"),
    ],
    ids=str,
)
def test_metadata_that_is_not_ours_is_refused(metadata: bytes | None, message: str, part: Path) -> None:
    table = pq.read_table(part)
    pq.write_table(table.replace_schema_metadata({b"facestats": metadata} if metadata else None), part)
    for read in READERS.values():
        with pytest.raises(ResultsError, match=message):
            read(part.parent)


def test_parquet_without_our_columns_is_refused(part: Path) -> None:
    table = pq.read_table(part)
    for column, message in (("mtime_ns", "lacks the columns mtime_ns"), ("faces", "lacks the columns faces")):
        pq.write_table(table.drop_columns(column), part)
        with pytest.raises(ResultsError, match=message):
            open_results(part.parent)
    faces = pa.array([[1.0]] * table.num_rows)
    pq.write_table(table.set_column(table.column_names.index("faces"), "faces", faces), part)
    with pytest.raises(ResultsError, match=r"faces of type list.*expected a list of structs"):
        open_results(part.parent)


def test_labels_that_do_not_fit_the_probabilities_are_refused(part: Path) -> None:
    table = pq.read_table(part)
    text = table.schema.metadata[b"facestats"].replace(b'["female", "male"]', b'["female"]')
    pq.write_table(table.replace_schema_metadata({b"facestats": text}), part)
    with pytest.raises(ResultsError, match="2 probabilities of gender and state 1 labels"):
        open_results(part.parent).faces()


def test_parts_without_checksums_are_read(part: Path) -> None:
    before = open_results(part.parent).faces()
    for path in part_paths(part.parent):
        pq.write_table(pq.read_table(path), path, write_page_checksum=False)
    assert open_results(part.parent).faces().equals(before)


def test_faces_are_counted(part: Path) -> None:
    assert count_faces(part) == 60
    with open_part(part) as file:
        assert (file.num_rows, file.group_sizes, [table.num_rows for table in file.groups()]) == (60, [60], [60])


COMMANDS: dict[str, tuple[str, ...]] = {
    "ingest": ("ingest", "PHOTOS", "--out", "DIR"),
    "build": ("table", "build", "DIR"),
    "info": ("table", "info", "DIR"),
    "failures": ("table", "info", "DIR", "--failures"),
    "prune": ("table", "prune", "DIR"),
    "prune, dry run": ("table", "prune", "DIR", "--dry-run"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_the_same_of_a_part_with_turned_bytes(
    name: str, part: Path, tmp_path_factory: pytest.TempPathFactory, shared: Path
) -> None:
    flip_program = shared / "samples" / "reports" / "B27" / "flip.py"
    if not flip_program.is_file():
        pytest.skip("the test assets hold no reports")
    subprocess.run([sys.executable, str(flip_program), str(part)], check=True, capture_output=True)
    photos = tmp_path_factory.mktemp("photos")
    (photos / "a.jpg").touch()
    given = {"DIR": str(part.parent), "PHOTOS": str(photos)}
    done = CliRunner().invoke(main, [given.get(word, word) for word in COMMANDS[name]])
    assert done.exit_code == 1
    assert isinstance(done.exception, SystemExit)
    said = " ".join(done.output.split())
    assert said.count("Error") == 1
    assert f"{part} cannot be read as Parquet" in said
    assert said.endswith("bring back a copy of it, or move it away and run again")


@pytest.mark.parametrize("file", [TABLE_FILE, PHOTOS_FILE], ids=str)
@pytest.mark.parametrize("kept", [0, 3, 300, -20])
def test_a_table_that_is_cut_off_is_named_with_the_command_that_mends_it(file: Path, kept: int, part: Path) -> None:
    build_table(part.parent)
    path = part.parent / file
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ResultsError, match=rf"{file} cannot be read as Parquet.*run `fsclient table build .*` again"):
        describe(part.parent)
    build_table(part.parent)
    assert describe(part.parent).table is not None


def test_damage_in_the_first_rows_of_a_table_is_named(part: Path) -> None:
    path = build_table(part.parent)
    data = bytearray(path.read_bytes())
    data[4:200] = bytes(byte ^ 0x55 for byte in data[4:200])
    path.write_bytes(data)
    with pytest.raises(ResultsError, match=r"faces\.parquet cannot be read as Parquet.*table build"):
        describe(part.parent)


@pytest.mark.parametrize("reader", READERS)
def test_metadata_with_values_of_another_type_is_refused(reader: str, part: Path) -> None:
    table = pq.read_table(part)
    text = table.schema.metadata[b"facestats"]
    for old, new in ((b'"labels": {', b'"labels": 5, "units": {'), (b'"runtime": "fake 1"', b'"runtime": 5')):
        assert old in text
        pq.write_table(table.replace_schema_metadata({b"facestats": text.replace(old, new)}), part)
        with pytest.raises(ResultsError, match="has metadata that is damaged"):
            READERS[reader](part.parent)


def test_a_folder_that_cannot_be_listed_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ResultsError, match=r"file cannot be read: Not a directory; expected a folder of results"):
        part_paths(tmp_path / "file")


def test_only_a_full_disk_asks_for_room(tmp_path: Path) -> None:
    program = f"""
import resource, sys
sys.path.insert(0, {str(Path(__file__).parents[2] / "support")!r})
from pathlib import Path
from results_for_tests import row_of, write_parts
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try: write_parts(Path({str(tmp_path)!r}), [row_of("/a.jpg")])
except Exception as exc: print(type(exc).__name__, exc)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "ResultsError" in done.stdout
    assert "part-000001.parquet cannot be written: File too large; the file system takes no file of this size" in (
        done.stdout
    )
    assert "room" not in done.stdout
    assert part_paths(tmp_path) == []


def test_a_part_whose_columns_have_other_types_is_named(tmp_path: Path) -> None:
    folder = write_parts(tmp_path, [row_of("/a.jpg"), row_of("/b.jpg")])
    (path,) = part_paths(folder)
    table = pq.read_table(path)
    position = table.schema.get_field_index("width")
    pq.write_table(table.set_column(position, "width", table["width"].cast("int64")), path)
    with pytest.raises(ResultsError, match=r"part-000001.*width as int64, expected int32"):
        open_results(folder)
