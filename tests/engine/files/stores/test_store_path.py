"""Places in an object store, read and written against a real S3 server."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fsengine.errors import InvalidInputError, StoreError, StoreUnavailableError
from fsengine.files.stores import objects
from fsengine.files.stores.objects import object_state, state_if_there
from fsengine.files.stores.range_file import RangeFile
from fsengine.files.stores.store_listing import list_objects
from fsengine.files.stores.store_path import StorePath, any_path
from store_faults import Fault, LostAnswer, Status, first_of_each

if TYPE_CHECKING:
    from faulty_proxy import FaultyProxy
    from s3_server import S3Server


@pytest.fixture
def place(s3: S3Server) -> StorePath:
    found = any_path(f"s3://{s3.bucket}/results/")
    assert isinstance(found, StorePath)
    return found


def test_a_place_is_named_as_a_path_is(place: StorePath, s3: S3Server) -> None:
    part = place / "part-000001.parquet"
    assert str(part) == f"s3://{s3.bucket}/results/part-000001.parquet"
    assert (part.name, part.stem, part.parent, part.absolute()) == ("part-000001.parquet", "part-000001", place, part)


def test_a_text_names_a_path_or_a_place(tmp_path: Path) -> None:
    assert any_path(str(tmp_path)) == tmp_path
    assert any_path(f"file://{tmp_path}/a%20b") == tmp_path / "a b"
    with pytest.raises(InvalidInputError, match=r"https://h\.example/x is no place for results"):
        any_path("https://h.example/x")


def test_a_folder_is_what_lies_below(place: StorePath, s3: S3Server) -> None:
    assert not place.is_dir()
    for key in ("results/b", "results/a", "results/c/d", "results-other"):
        s3.put(key, b"x")
    assert [path.name for path in place.iterdir()] == ["a", "b", "c"]
    assert place.is_dir()
    assert (place / "c").is_dir()
    assert ((place / "a").exists(), (place / "c").exists(), place.exists()) == (True, False, False)
    assert (place / "a").stat().st_size == 1
    with pytest.raises(FileNotFoundError):
        (place / "e").stat()


def test_a_large_object_is_written_in_pieces_and_appears_whole(place: StorePath, s3: S3Server) -> None:
    data = os.urandom(1 << 20) * 24
    with (place / "large").written() as file:
        file.write(data)
        assert s3.keys() == []
    assert s3.get("results/large") == data
    assert s3.unfinished_uploads() == []


def test_an_error_while_it_is_written_leaves_what_was_there(place: StorePath, s3: S3Server) -> None:
    s3.put("results/large", b"before")

    def write() -> None:
        with (place / "large").written() as file:
            file.write(bytes(24 << 20))
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        write()
    assert s3.get("results/large") == b"before"
    assert s3.unfinished_uploads() == []


def test_a_store_that_refuses_a_piece_leaves_what_was_there(
    place: StorePath, s3: S3Server, faulty_s3: FaultyProxy
) -> None:
    def rule(method: str, path: str, number: int) -> Fault | None:
        return Status(400, "InvalidRequest") if "partNumber=3" in path else None

    s3.put("results/large", b"before")
    faulty_s3.rule = rule
    with (
        pytest.raises(StoreError, match="results/large cannot be had: InvalidRequest"),
        (place / "large").written() as file,
    ):
        file.write(bytes(24 << 20))
    assert s3.get("results/large") == b"before"
    assert s3.unfinished_uploads() == []


def test_nothing_is_replaced_where_it_is_created(place: StorePath, s3: S3Server) -> None:
    assert (place / "part").create(b"one")
    assert not (place / "part").create(b"two")
    assert (place / "part").create(b"one")
    assert s3.get("results/part") == b"one"


def test_an_answer_that_was_lost_says_that_it_was_created(
    place: StorePath, s3: S3Server, faulty_s3: FaultyProxy
) -> None:
    faulty_s3.rule = first_of_each(1, LostAnswer())
    assert (place / "part").create(b"one")
    assert s3.get("results/part") == b"one"


def test_a_file_of_an_object_is_read_in_ranges_and_is_one_version(place: StorePath, s3: S3Server) -> None:
    data = bytes(range(256)) * 16
    s3.put("results/x", data)
    url = str(place / "x")
    with io.BufferedReader(RangeFile(url, object_state(url)), 512) as file:
        assert file.read(10) == data[:10]
        assert file.seek(-6, io.SEEK_END) == len(data) - 6
        assert file.read() == data[-6:]
        assert file.seek(1000) == 1000
        assert file.read(2000) == data[1000:3000]
        s3.put("results/x", data[::-1])
        file.seek(0)
        with pytest.raises(StoreError, match="was changed while it was read; run again"):
            file.read(10)
        with pytest.raises(OSError, match="before the beginning"):
            file.seek(-1)
    with pytest.raises(StoreError, match="is not there"):
        (place / "y").open_bytes()


def test_a_bucket_that_is_not_there_is_told_from_an_object(place: StorePath) -> None:
    gone = "s3://no-such-bucket-here/x"
    assert state_if_there(str(place / "x")) is None
    for ask in (lambda: objects.read_object(gone, most_bytes=1), lambda: [*list_objects("s3://no-such-bucket-here")]):
        with pytest.raises(StoreError, match="s3://no-such-bucket-here does not exist; check the name of the bucket"):
            ask()


def test_a_store_that_refuses_access_says_what_it_wants_to_see(
    place: StorePath, s3: S3Server, faulty_s3: FaultyProxy
) -> None:
    def rule(method: str, path: str, number: int) -> Fault | None:
        return Status(403, "InvalidAccessKeyId")

    s3.put("results/x", b"x")
    faulty_s3.rule = rule
    with pytest.raises(StoreUnavailableError, match=r"refuses access .* AWS_ACCESS_KEY_ID") as refused:
        object_state(str(place / "x"))
    assert "testing" not in str(refused.value)


@pytest.mark.parametrize("name", ["a//b", "../b", "a/./b"])
def test_a_key_that_cannot_be_asked_for_is_an_error_of_the_object(place: StorePath, name: str) -> None:
    with pytest.raises(StoreError, match="cannot be asked for"):
        object_state(str(place / name))


def told_of(bucket: str) -> tuple[list[str], list[str]]:
    """Return the keys that a listing gives, and what it says of others; it ends."""
    listed: list[str] = []
    said: list[str] = []
    for number, batch in enumerate(list_objects(f"s3://{bucket}")):
        assert number < 50
        for one in batch:
            (said if isinstance(one, StoreError) else listed).append(getattr(one, "url", str(one)))
    return listed, said


def test_keys_that_begin_with_slashes_are_told_and_no_listing_is_endless(s3: S3Server) -> None:
    for key in ("a.jpg", "z.jpg"):
        s3.put(key, b"x")
    s3.put("/b.jpg", b"y")
    listed, said = told_of(s3.bucket)
    assert {f"s3://{s3.bucket}/a.jpg", f"s3://{s3.bucket}/z.jpg"} <= set(listed)
    assert any("a key that begins with a slash" in text for text in said)
    s3.put("/a.jpg", b"y")
    listed, said = told_of(s3.bucket)
    assert len(listed) == len(set(listed))
    assert any("a.jpg: there is a key that begins with a slash" in text for text in said)
    s3.put("//c.jpg", b"y")
    listed, said = told_of(s3.bucket)
    assert len(listed) == len(set(listed))
    assert any("a key here has a part that is empty" in text for text in said)


def test_an_endpoint_that_is_no_url_is_named(place: StorePath, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "garbage")
    with pytest.raises(StoreUnavailableError, match="AWS_ENDPOINT_URL is 'garbage', expected a URL"):
        object_state(str(place / "x"))
