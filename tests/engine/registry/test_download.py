"""Downloads against a real local server that truncates, corrupts, redirects and dies half-way."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from fsengine.errors import FetchError
from fsengine.registry import download as module
from fsengine.registry.download import Download, download
from weights_server import WeightsServer, weights_server

CONTENT = random.Random(1).randbytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server() -> Iterator[WeightsServer]:
    with weights_server() as running:
        running.files["model.onnx"] = CONTENT
        yield running


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BACKOFF_S", 0.001)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)


def what(server: WeightsServer, mode: str, folder: Path, **changes: object) -> Download:
    values = {"url": server.url(mode, "model.onnx"), "target": folder / "model.onnx", "sha256": SHA256}
    return Download(**{**values, **changes})  # type: ignore[arg-type]


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("mode", ["good", "norange", "notag", "redirect", "busy", "dies"])
@pytest.mark.parametrize("known", [True, False], ids=["hash known", "hash unknown"])
def test_the_file_arrives_whole(server: WeightsServer, tmp_path: Path, mode: str, known: bool) -> None:
    seen: list[tuple[int, int | None]] = []
    job = what(server, mode, tmp_path, sha256=SHA256 if known else None)
    assert download(job, lambda here, total: seen.append((here, total))).read_bytes() == CONTENT
    assert leftovers(tmp_path) == ["model.onnx"]
    assert seen[-1] == (len(CONTENT), len(CONTENT))


def test_a_broken_off_download_goes_on_where_it_stopped(server: WeightsServer, tmp_path: Path) -> None:
    download(what(server, "dies", tmp_path), lambda *_: None)
    starts = [int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0 for _, asked in server.requests]
    assert starts == sorted(set(starts))
    assert len(starts) > 2


def test_another_process_goes_on_where_one_was_killed(server: WeightsServer, tmp_path: Path) -> None:
    job = what(server, "good", tmp_path)
    job.partial.write_bytes(CONTENT[:100_000])
    download(job, lambda *_: None)
    assert server.requests == [("/good/model.onnx", "bytes=100000-")]
    assert job.target.read_bytes() == CONTENT


def test_a_part_of_other_content_is_not_continued(server: WeightsServer, tmp_path: Path) -> None:
    job = what(server, "good", tmp_path, sha256=None)
    job.partial.write_bytes(b"x" * 100_000)
    job.partial_record.write_text(json.dumps({"url": job.url, "validator": '"older"'}))
    assert download(job, lambda *_: None).read_bytes() == CONTENT


def test_a_part_without_a_validator_is_not_continued_where_no_hash_would_tell(
    server: WeightsServer, tmp_path: Path
) -> None:
    job = what(server, "notag", tmp_path, sha256=None)
    job.partial.write_bytes(b"x" * 100_000)
    assert download(job, lambda *_: None).read_bytes() == CONTENT
    assert server.requests == [("/notag/model.onnx", None)]


def test_a_wrong_part_is_noticed_by_the_hash_and_fetched_anew(server: WeightsServer, tmp_path: Path) -> None:
    job = what(server, "notag", tmp_path)
    job.partial.write_bytes(b"x" * 100_000)
    assert download(job, lambda *_: None).read_bytes() == CONTENT
    assert [asked for _, asked in server.requests] == ["bytes=100000-", None]


def test_a_whole_part_needs_no_more_than_a_look(server: WeightsServer, tmp_path: Path) -> None:
    job = what(server, "good", tmp_path)
    job.partial.write_bytes(CONTENT)
    assert download(job, lambda *_: None).read_bytes() == CONTENT
    assert len(server.requests) == 1


def test_corrupt_content_never_gets_the_name(server: WeightsServer, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=f"expected sha256 {SHA256}"):
        download(what(server, "corrupt", tmp_path), lambda *_: None)
    assert leftovers(tmp_path) == []
    assert len(server.requests) == 2


def test_a_file_that_never_comes_whole_is_given_up_and_kept(server: WeightsServer, tmp_path: Path) -> None:
    job = what(server, "truncated", tmp_path)
    with pytest.raises(
        FetchError,
        match=r"after 150,000 of 300,000 bytes\. 150,000 bytes are kept.*get the file elsewhere and import it",
    ):
        download(job, lambda *_: None)
    assert len(server.requests) == 1 + module.MOST_FAILURES
    assert not job.target.exists()
    # the next try, on a better line, needs the rest alone
    download(what(server, "good", tmp_path), lambda *_: None)
    assert server.requests[-1] == ("/good/model.onnx", "bytes=150000-")
    assert job.target.read_bytes() == CONTENT


def test_what_is_kept_of_a_download_that_was_given_up_is_said(server: WeightsServer, tmp_path: Path) -> None:
    job = what(server, "stuck", tmp_path)
    job.partial.write_bytes(CONTENT[:1000])
    with pytest.raises(FetchError, match="1,000 bytes are kept"):
        download(job, lambda *_: None)
    assert job.partial.read_bytes() == CONTENT[:1000]


def test_a_server_that_stays_busy_is_asked_a_few_times_and_its_pauses_are_bounded(
    server: WeightsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LONGEST_PAUSE_S", 0.01)
    server.retry_after = "86400"
    with pytest.raises(FetchError, match=r"cannot be fetched: too many 503 error responses.* Is 127.0.0.1 reachable"):
        download(what(server, "down", tmp_path), lambda *_: None)
    assert len(server.requests) == module.MOST_FAILURES


def test_an_address_that_is_gone_says_so_at_once(server: WeightsServer, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="answers HTTP 404"):
        download(what(server, "gone", tmp_path), lambda *_: None)
    assert len(server.requests) == 1


def test_another_size_is_refused_before_anything_is_fetched(server: WeightsServer, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="has 300,000 bytes, expected 299,999"):
        download(what(server, "good", tmp_path, size_bytes=299_999), lambda *_: None)
    assert leftovers(tmp_path) == []


def test_a_server_that_promises_more_than_it_sends_is_given_up(server: WeightsServer, tmp_path: Path) -> None:
    # All of the content is there after the first answer; the hash says so.
    job = what(server, "longer", tmp_path)
    assert download(job, lambda *_: None).read_bytes() == CONTENT


def test_an_unreachable_host_says_what_to_do(tmp_path: Path) -> None:
    job = Download(url="http://127.0.0.1:9/model.onnx", target=tmp_path / "model.onnx")
    with pytest.raises(FetchError, match=r"Is 127.0.0.1 reachable from here\? Behind a proxy set HTTPS_PROXY"):
        download(job, lambda *_: None)


def test_a_proxy_of_the_environment_is_used(
    server: WeightsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://user:s3cret@127.0.0.1:9")
    monkeypatch.setenv("HTTPS_PROXY", "http://user:s3cret@127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    job = Download(url="http://weights.example/good/model.onnx", target=tmp_path / "model.onnx")
    with pytest.raises(FetchError, match="proxy") as raised:
        download(job, lambda *_: None)
    assert "now 127.0.0.1" in str(raised.value)
    assert "s3cret" not in str(raised.value)


def test_a_full_disk_is_said_before_it_is_full(
    server: WeightsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "free_bytes", lambda _: 1000)
    with pytest.raises(FetchError, match="1,000 free; make room"):
        download(what(server, "good", tmp_path), lambda *_: None)
