"""Photos on web servers, and what such servers do."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

import pytest

from fsengine.errors import StoreError, StoreUnavailableError
from fsengine.files.stores import web_objects
from fsengine.files.stores.objects import object_state, read_object, read_range
from fsengine.files.stores.store_urls import public_url
from store_faults import Cut, Fault, Rule, Status, Throttle, first_of_each

if TYPE_CHECKING:
    from faulty_proxy import FaultyProxy
    from s3_server import S3Server

CONTENT = bytes(range(256)) * 64


@pytest.fixture
def url(s3: S3Server, faulty_s3: FaultyProxy) -> str:
    s3.put("photo.jpg", CONTENT, is_public=True)
    return f"{faulty_s3.endpoint}/{s3.bucket}/photo.jpg"


def refused(method: str, code: int) -> Rule:
    def rule(asked: str, path: str, number: int) -> Fault | None:
        return Status(code) if asked == method else None

    return rule


def test_an_object_its_state_and_a_range_of_it_are_read(url: str) -> None:
    state = object_state(url)
    assert (state.num_bytes, state.mtime_ns > 0, state.etag is not None) == (len(CONTENT), True, True)
    assert read_object(url, most_bytes=len(CONTENT)) == (CONTENT, state)
    assert read_object(url, most_bytes=len(CONTENT) - 1) == (None, state)
    assert read_range(url, 100, 50, etag=state.etag) == CONTENT[100:150]
    with pytest.raises(StoreError, match="was changed while it was read"):
        read_range(url, 0, 5, etag='"other"')


def test_a_presigned_url_is_read_and_never_shown(s3: S3Server) -> None:
    s3.put("photo.jpg", CONTENT)
    url = s3.presigned("photo.jpg")
    assert read_object(url, most_bytes=len(CONTENT))[0] == CONTENT
    assert public_url(url) == f"{s3.endpoint}/{s3.bucket}/photo.jpg"


@pytest.mark.parametrize("code", [401, 403, 405, 501])
def test_the_state_of_what_answers_get_alone_is_told_by_a_range(url: str, faulty_s3: FaultyProxy, code: int) -> None:
    expected = object_state(url)
    faulty_s3.rule = refused("HEAD", code)
    assert object_state(url) == expected


def test_what_is_not_there_or_refused_is_an_error_of_the_photo(url: str, faulty_s3: FaultyProxy) -> None:
    for ask in (object_state, lambda gone: read_object(gone, most_bytes=9)):
        with pytest.raises(StoreError, match=r"gone\.jpg is not there \(any more\)"):
            ask(url.replace("photo", "gone"))
    faulty_s3.rule = refused("GET", 403)
    with pytest.raises(StoreError, match=r"photo\.jpg is refused: 403"):
        read_object(url, most_bytes=9)


def test_an_answer_that_breaks_off_is_asked_for_again(url: str, faulty_s3: FaultyProxy) -> None:
    faulty_s3.rule = first_of_each(2, Cut(100))
    assert read_object(url, most_bytes=len(CONTENT))[0] == CONTENT
    faulty_s3.rule = first_of_each(3, Cut(100))
    with pytest.raises(StoreUnavailableError, match=r"photo\.jpg breaks off; try again later"):
        read_object(url, most_bytes=len(CONTENT))


def test_no_server_makes_a_run_wait_for_as_long_as_it_likes(
    url: str, faulty_s3: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_objects, "_LONGEST_WAIT_S", 0.2)
    faulty_s3.rule = first_of_each(2, Throttle(retry_after_s=3600))
    started = time.monotonic()
    assert read_object(url, most_bytes=len(CONTENT))[0] == CONTENT
    assert time.monotonic() - started < 20


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://no-such-host.invalid/a.jpg", "its host is unknown"),
        ("http://127.0.0.1:1/a.jpg", "ConnectionError; try again later"),
        ("http://.example/a.jpg", "no address that can be asked for"),
    ],
)
def test_a_host_that_is_not_there_is_said_without_a_query(
    url: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_objects, "_ATTEMPTS", 0)
    monkeypatch.setattr(web_objects, "_local", type("Local", (), {})())
    with pytest.raises(StoreError) as refused:
        read_object(f"{url}?token=hunter2", most_bytes=9)
    assert words in str(refused.value)
    assert "hunter2" not in str(refused.value)
    assert isinstance(refused.value, StoreUnavailableError) == ("try again" in words)


def test_a_server_that_leads_in_circles_or_nowhere_is_an_error_of_the_photo() -> None:
    import threading
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", "/round" if "round" in self.path else "nowhere:x")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        for path, words in (("round", "from one address to the next"), ("away", "no address that can be asked for")):
            with pytest.raises(StoreError, match=words) as refused:
                read_object(f"http://127.0.0.1:{server.server_port}/{path}", most_bytes=9)
            assert not isinstance(refused.value, StoreUnavailableError)
    finally:
        server.shutdown()
        server.server_close()


def test_what_urllib3_logs_holds_no_query(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_objects, "_ATTEMPTS", 1)
    monkeypatch.setattr(web_objects, "_BACKOFF_S", 0.0)
    monkeypatch.setattr(web_objects, "_local", type("Local", (), {})())
    with caplog.at_level(logging.DEBUG), pytest.raises(StoreUnavailableError):
        read_object("http://127.0.0.1:1/a.jpg?token=hunter2", most_bytes=9)
    assert "/a.jpg" in caplog.text
    assert "hunter2" not in caplog.text
