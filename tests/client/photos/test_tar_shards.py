"""Photos in tar shards: which are found, what goes on where, and what a hostile shard costs."""

from __future__ import annotations

import gzip
import io
import os
import random
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from PIL import Image

from fsclient import Client
from fsclient.cli import main
from fsclient.photos.entry import InsideEntry
from fsclient.photos.finding.photo_search import PhotoSearch
from fsclient.photos.source_rules import SourceRules
from fsclient.testing import FakeBackend
from fsdata.results import open_results
from fsengine.errors import InvalidInputError

END = bytes(1024)


def jpeg(number: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (number % 256, number // 256, 0)).save(buffer, "JPEG")
    return buffer.getvalue()


def member(name: str | bytes, data: bytes = b"", *, size: int | None = None, kind: bytes = b"0") -> bytes:
    """Return a header that says what it is told to, and the data."""
    raw = name if isinstance(name, bytes) else name.encode()
    number = len(data) if size is None else size
    text = b"%011o\0" % number if 0 <= number < 8**11 else b"\x80" + (number % (1 << 88)).to_bytes(11, "big")
    if number < 0:
        text = b"\xff" + text[1:]
    block = raw[:100].ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2 + text + b"00000000000\0" + b" " * 8 + kind
    block = block.ljust(257, b"\0") + b"ustar\00000"
    block = block.ljust(512, b"\0")
    return block[:148] + b"%06o\0 " % sum(block) + block[156:] + data + bytes(-len(data) % 512)


def pax(**records: str | int) -> bytes:
    text = b""
    for key, value in records.items():
        record = f" {key.replace('__', '.')}={value}\n".encode()
        length = len(record) + len(str(len(record) + 2))
        text += str(length).encode() + record
    return member("pax", text, kind=b"x")


def shard(path: Path, photos: dict[str, bytes], layout: int = tarfile.GNU_FORMAT, mode: str = "w") -> Path:
    with tarfile.open(path, mode, format=layout) as tar:  # type: ignore[call-overload]
        for name, data in photos.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def search(*sources: Path | str, **rules: Any) -> tuple[dict[str, InsideEntry], Any]:
    found = PhotoSearch([str(source) for source in sources], rules=SourceRules(**rules))
    entries = list(found)
    names = {entry.source.partition("!")[2] or entry.source: entry for entry in entries}
    assert len(names) == len(entries)
    return names, found.tally  # type: ignore[return-value]


def rows(out: Path) -> dict[str, dict[str, Any]]:
    return {row["source"].partition("!")[2]: row for row in open_results(out).photos().to_pylist()}


TRICKY = [
    "a.jpg",
    "deep/" * 30 + "b.jpg",
    "n" * 300 + ".jpg",
    "gr\u00fc\u00df.jpg",
    "caf\udce9.jpg",
    "a!b.jpg",
    "x y\n.jpg",
    "noext",
]


@pytest.mark.parametrize("suffix", ["tar", "tar.gz", "tgz"])
@pytest.mark.parametrize("layout", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_what_tarfile_writes_is_read_as_it_was(tmp_path: Path, layout: int, suffix: str) -> None:
    draw = random.Random(layout)
    names = [name for name in TRICKY if layout != tarfile.USTAR_FORMAT or len(name) < 100 or "deep" in name]
    photos = {name: jpeg(n) + draw.randbytes(draw.choice([0, 1, 511, 512, 513, 9000])) for n, name in enumerate(names)}
    photos["empty.jpg"] = b""
    made = shard(tmp_path / f"s.{suffix}", photos, layout, "w" if suffix == "tar" else "w:gz")
    found, tally = search(made)
    assert list(found) == [name.encode("utf-8", "backslashreplace").decode() for name in photos]
    assert not tally.unreadable
    for entry, data in zip(found.values(), photos.values(), strict=True):
        assert entry.source.startswith(f"{made}!")
        photo = entry.read()
        assert (photo.file.num_bytes, photo.file.mtime_ns) == (len(data), made.stat().st_mtime_ns)
        assert photo.data in (data, None)
        assert (entry.data is None) is (suffix == "tar")


def test_a_webdataset_shard_gives_its_photos_and_counts_the_rest(tmp_path: Path) -> None:
    names = ["0.jpg", "0.cls", "0.json", "0.txt", "1.PNG", "1.cls", "1.npy", "__MACOSX/x.jpg", ".hid/y.jpg", "./2.jpg"]
    made = shard(tmp_path / "s.tar", dict.fromkeys([*names, "._0.jpg", "raw/3.jpg", "in.tar", "in.parquet"], b"x"))
    found, tally = search(made, exclude=("raw",), column="image")
    assert list(found) == ["0.jpg", "1.PNG", "./2.jpg"]
    assert tally.skipped_files == {
        "label": 2, "side-car": 1, "text": 1, "table": 2, "archive": 1, "hidden": 1,
        "below a folder: __MACOSX": 1, "below a folder: hidden": 1, "below a folder: excluded": 1,
    }  # fmt: skip
    assert len(search(made, strict=True)[0]) == 14
    assert list(search(made, include=("*.cls",), exclude=("1*",))[0]) == ["0.jpg", "0.cls", "./2.jpg", "raw/3.jpg"]
    assert list(search(made, limit=1)[0]) == ["0.jpg"]
    assert len(search(made, sample=2)[0]) == 2


def test_shards_are_named_by_braces_patterns_and_lists_and_not_found_in_folders(tmp_path: Path) -> None:
    for number in range(11):
        shard(tmp_path / f"p-{number:03d}.tar", {f"{number}.jpg": b"x"})
    (tmp_path / "own.jpg").write_bytes(b"x")
    every = [f"{number}.jpg" for number in range(11)]
    assert list(search(f"{tmp_path}/p-{{000..010}}.tar")[0]) == every
    assert list(search(f"file://{tmp_path}/p-{{000,010}}.tar")[0]) == ["0.jpg", "10.jpg"]
    assert list(search(f"{tmp_path}/*.tar")[0]) == every
    assert list(search(tmp_path / "p-003.tar", f"{tmp_path}/*.tar", tmp_path)[0]) == [
        "3.jpg",
        *every[:3],
        *every[4:],
        str(tmp_path / "own.jpg"),
    ]
    folder, tally = search(tmp_path)
    assert (list(folder), tally.skipped_files) == ([str(tmp_path / "own.jpg")], {"archive": 11})
    listed = [
        b"%s/p-001.tar" % os.fsencode(tmp_path),
        b"file://%s/p-002.tar" % os.fsencode(tmp_path),
        b"/none.tar",
        b"http://\xff/x.tar",
    ]
    found = PhotoSearch([], listed=listed)
    assert [entry.source.partition("!")[2] for entry in found] == ["1.jpg", "2.jpg"]
    assert found.tally.num_unreadable == 2
    with pytest.raises(InvalidInputError, match=r"p-011\.tar"):
        search(f"{tmp_path}/p-{{010..011}}.tar")


def test_braces_in_the_names_of_real_files_and_folders_are_names(tmp_path: Path) -> None:
    odd = tmp_path / "d{1,2}"
    odd.mkdir()
    for name in ("x{a,b}.tar", "y1.tar", "y2.tar", "z{.tar"):
        shard(odd / name, {f"of {name}.jpg": b"x"})
    assert list(search(odd / "x{a,b}.tar")[0]) == ["of x{a,b}.tar.jpg"]
    assert list(search(f"{odd}/y{{1,2}}.tar")[0]) == ["of y1.tar.jpg", "of y2.tar.jpg"]
    assert list(search(f"{odd}/z{{.t*r")[0]) == []
    assert list(search(f"{odd}/z{{*.tar")[0]) == ["of z{.tar.jpg"]
    assert len(search(f"{odd}/*.tar")[0]) == 4
    for many in ("{0..99999999}", "{0..20}{0..-99999999}"):
        with pytest.raises(InvalidInputError, match="stands for more than"):
            search(f"{tmp_path}/{many}.tar")


@pytest.mark.parametrize("suffix", ["tar", "tar.gz"])
def test_a_half_read_shard_goes_on_inside_and_a_replaced_one_costs_what_changed(tmp_path: Path, suffix: str) -> None:
    mode = "w" if suffix == "tar" else "w:gz"
    photos = {f"{n}.jpg": jpeg(n) for n in range(9)}
    made, out = shard(tmp_path / f"s.{suffix}", photos, mode=mode), tmp_path / "out"
    backend = FakeBackend(1)
    with Client(backend=backend) as client:
        assert client.ingest(made, out, limit=4, processes=1).exit_code == 0
        summary = client.ingest(made, out, processes=1)
        assert (summary.num_done_before, summary.num_rows, len(backend.requests)) == (4, 5, 9)
        assert sorted(backend.requests) == sorted(photos.values())
        photos["3.jpg"] = jpeg(300)
        shard(made, dict(reversed(photos.items())), mode=mode)
        os.utime(made, ns=(1, 1))
        summary = client.ingest(made, out, processes=1)
        assert (summary.num_kept, summary.num_changed, summary.num_rows) == (8, 1, 1)
        assert backend.requests[9:] == [jpeg(300)]
        assert client.ingest(made, out, processes=1).num_done_before == 9
        assert {row["mtime_ns"] for row in rows(out).values()} == {1}
    dry = CliRunner().invoke(main, ["ingest", str(made), "--out", str(out), "--dry-run"])
    assert "0 photos to score" in dry.output
    assert "9 are done already" in dry.output


def test_a_stopped_run_goes_on_inside_a_shard(tmp_path: Path) -> None:
    made = shard(tmp_path / "s.tar", {f"{n}.jpg": jpeg(n) for n in range(40)})
    backend = FakeBackend(1)
    answered = backend.respond

    def until_it_dies(data: bytes, outputs: Any) -> Any:
        if len(backend.requests) == 15:
            raise ZeroDivisionError
        return answered(data, outputs)

    backend.respond = until_it_dies
    with Client(backend=backend) as client:
        with pytest.raises(ZeroDivisionError):
            client.ingest(made, tmp_path / "out", processes=1, part_size=2)
        num_done = len(rows(tmp_path / "out"))
        assert num_done >= 7
        backend.respond = answered
        summary = client.ingest(made, tmp_path / "out", processes=1)
    assert (summary.num_done_before, summary.num_rows) == (num_done, 40 - num_done)


GOOD = member("good.jpg", jpeg(1))
ONE, BOTH, LAST = ["good.jpg"], ["good.jpg", "b.jpg"], member("b.jpg") + END
# fmt: off
HOSTILE: dict[str, tuple[bytes, list[str], str]] = {
    # content, the photos that are found, and what is said
    "empty": (b"", [], "it is empty"),
    "no tar": (b"\xff\xd8 no tar at all" * 99, [], "it is no tar file"),
    "short": (b"no", [], "it is no tar file"),
    "zeros": (bytes(10240), [], ""),
    "cut in a header": (GOOD + member("b.jpg")[:300], ONE, "in the middle of a header"),
    "cut in data": (GOOD + member("b.jpg", jpeg(2) * 9)[:-600], BOTH, "in the middle of a member"),
    "cut after a member": (GOOD, ONE, "without an end mark"),
    "damaged header": (GOOD + member("b.jpg").replace(b"b", b"c") + END, ONE, "at byte 1,536 is damaged"),
    "garbage at the end": (GOOD + END + b"x" * 512, ONE, "something else than zeros"),
    "joined": (GOOD + END * 5 + member("b.jpg", jpeg(2)) + END, BOTH, ""),
    "said larger than it is": (GOOD + member("b.jpg", b"x", size=10**9) + END, BOTH, "middle of a member"),
    "said to be 8 EB": (GOOD + member("b.jpg", b"x", size=2**63) + END, ONE, "a member of 9,223"),
    "of negative size": (GOOD + member("b.jpg", b"", size=-1536) + END, ONE, "no number"),
    "pax size of 8 EB": (GOOD + pax(size=2**63) + LAST, ONE, "a member of 9,223"),
    "pax size of no number": (GOOD + pax(size="-1") + LAST, ONE, "size that is no number"),
    "name of 4 GB": (GOOD + member("long", size=4 << 30, kind=b"L") + END, ONE, "a name or a record"),
    "record of 4 GB": (GOOD + member("pax", size=4 << 30, kind=b"x") + END, ONE, "a name or a record"),
    "headers without end": (GOOD + member("l", b"n", kind=b"L") * 99 + LAST, ONE, "more than 64"),
    "pax records that are none": (GOOD + member("p", b"1 x=\n" * 9, kind=b"x") + LAST, ONE, "record before"),
    "pax of one digit": (GOOD + member("p", b"1" * 999_999, kind=b"x") + LAST, ONE, "record before"),
    "pax of overlapping records": (GOOD + member("p", b"2 " * 500_000, kind=b"x") + LAST, ONE, "record before"),
    "long name": (member("l", b"n" * 5000, kind=b"L") + member("b.jpg") + GOOD + END, ONE, ""),
    "links and devices": (b"".join(member("b", kind=bytes([kind])) for kind in b"12346SV") + GOOD + END, ONE, ""),
    "sparse": (pax(GNU__sparse__major=1, GNU__sparse__minor=0) + member("b.jpg", b"x") + GOOD + END, ONE, ""),
    "names that lead out": (member("/a.jpg", jpeg(2)) + member("../c.jpg", jpeg(3)) + END, ["/a.jpg", "../c.jpg"], ""),
    "names twice": (GOOD + GOOD + END, ONE, ""),
    "spelled alike": (member(b"\xff.jpg", jpeg(2)) + member(rb"\udcff.jpg", jpeg(3)) + END, [r"\udcff.jpg"], ""),
    "no name": (member("", jpeg(2)) + GOOD + END, ["", "good.jpg"], ""),
}
# fmt: on


@pytest.mark.parametrize("suffix", ["tar", "tar.gz"])
def test_a_hostile_shard_is_named_and_its_neighbours_and_good_photos_survive(tmp_path: Path, suffix: str) -> None:
    packed: Callable[[bytes], bytes] = gzip.compress if suffix == "tar.gz" else bytes
    expected: list[str] = []
    for number, (content, names, _) in enumerate(HOSTILE.values()):
        (tmp_path / f"{number:02d}.{suffix}").write_bytes(packed(content))
        expected += [f"{number:02d}.{suffix}!{name}" for name in names]
    neighbour = shard(tmp_path / "neighbour.tar", {"n.jpg": jpeg(9)})
    with Client(backend=FakeBackend(1)) as client:
        summary = client.ingest([f"{tmp_path}/[0-9]*.{suffix}", neighbour], tmp_path / "out", processes=1)
    found = {
        row["source"][len(str(tmp_path)) + 1 :]: row for row in open_results(tmp_path / "out").photos().to_pylist()
    }
    assert sorted(found) == sorted([*expected, "neighbour.tar!n.jpg"])
    said = {os.path.basename(source): reason for source, reason in summary.unreadable}
    for number, (_, _, words) in enumerate(HOSTILE.values()):
        reason = said.get(f"{number:02d}.{suffix}", "")
        assert words in reason
        assert bool(words) is bool(reason), reason
    cut = {name for name, row in found.items() if row["status"] != "ok"}
    are_cut = {f"{[*HOSTILE].index(case):02d}.{suffix}!b.jpg" for case in ("cut in data", "said larger than it is")}
    assert cut == are_cut
    assert all("ends before it does" in found[name]["reason"] for name in cut)
    assert summary.skipped_files == {
        "second photo of a name in a shard": 2,
        "link, device or sparse file in a shard": 8,
        "name of more than 4096 bytes in a shard": 1,
    }
    assert summary.exit_code == 3


@pytest.mark.parametrize(
    "content",
    [
        gzip.compress(GOOD + END)[:-9],
        gzip.compress(GOOD + END)[:-5] + b"12345",
        gzip.compress(GOOD)[:40],
        b"\x1f\x8b" + b"x" * 99,
        gzip.compress(GOOD + END) + b"trailing",
    ],
)
def test_a_damaged_gzip_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "s.tgz").write_bytes(content)
    _, tally = search(tmp_path / "s.tgz")
    assert [source for source, _ in tally.unreadable] == [str(tmp_path / "s.tgz")]


def test_bombs_take_little_memory(tmp_path: Path) -> None:
    zeros = gzip.compress(bytes(1 << 26), 9)
    for number, header in enumerate([member("b.jpg", size=(1 << 30) + 1), member("l", size=1 << 29, kind=b"L"), b""]):
        (tmp_path / f"{number}.tgz").write_bytes(gzip.compress(GOOD + header) + zeros)
    (tmp_path / "3.tar").write_bytes(member("b.jpg", size=1 << 30))
    tracemalloc.start()
    found = PhotoSearch([f"{tmp_path}/{{0,1,2}}.tgz", f"{tmp_path}/3.tar"])
    entries = list(found)
    photo = entries[-1].read()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [entry.source.partition("!")[2] for entry in entries] == [
        "good.jpg",
        "b.jpg",
        "good.jpg",
        "good.jpg",
        "b.jpg",
    ]
    assert photo.refusal is not None
    assert peak < 24 << 20
    assert found.tally.num_unreadable == 3


def test_a_shard_that_is_replaced_after_it_was_searched_is_not_read_at_the_old_places(tmp_path: Path) -> None:
    made = shard(tmp_path / "s.tar", {"a.jpg": jpeg(1)})
    (entry,) = search(made)[0].values()
    shard(made, {"another.jpg": jpeg(2), "a.jpg": jpeg(1)})
    os.utime(made, ns=(1, 1))
    photo = entry.read()
    assert photo.refusal is not None
    assert "changed" in photo.refusal[1]
    made.unlink()
    os.mkfifo(made)
    assert entry.read().refusal is not None


def test_bytes_turned_at_random_never_end_a_search(tmp_path: Path) -> None:
    draw = random.Random(1)
    base = bytearray(
        shard(tmp_path / "b.tar", {name: jpeg(n) for n, name in enumerate(TRICKY)}, tarfile.PAX_FORMAT).read_bytes()
    )
    for number in range(150):
        damaged = base.copy()
        for _ in range(draw.choice([1, 1, 8, 400])):
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        (tmp_path / f"{number}.tar").write_bytes(damaged[: draw.choice([len(damaged), draw.randrange(len(damaged))])])
    found = PhotoSearch([f"{tmp_path}/{{0..149}}.tar"])
    for entry in found:
        entry.read()
    assert 75 < found.tally.num_unreadable <= 150
