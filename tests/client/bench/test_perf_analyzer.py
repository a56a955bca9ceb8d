"""The photos and the command line that perf_analyzer is given."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from counting_backend import workload
from fsclient.backend.address import Access, parse_address
from fsclient.bench.perf_analyzer import perf_analyzer_line, perf_data_paths, write_perf_data
from fsclient.cli import main
from plain_headers import PLAIN_JPEG


def test_perf_analyzer_is_given_the_photos_that_are_sent(tmp_path: Path) -> None:
    photos = [PLAIN_JPEG + b"\1", PLAIN_JPEG + b"\2"]
    sent, file = workload(tmp_path, photos), tmp_path / "data.json"
    write_perf_data(sent, file, perf_data_paths([], overwrite=False))
    requests = json.loads(file.read_text())["data"]
    assert [base64.b64decode(one["encoded_image"]["content"]["b64"]) for one in requests] == photos
    assert [one["encoded_image"]["shape"] for one in requests] == [[1, len(photo)] for photo in photos]
    assert [base64.b64decode(one["orientation"]["b64"]) for one in requests] == [b"\1", b"\1"]


def test_perf_data_replaces_no_photo_and_no_other_file_unasked(tmp_path: Path) -> None:
    photo = tmp_path / "0.jpg"
    photo.write_bytes(PLAIN_JPEG)
    (tmp_path / "mine.json").write_text("mine")
    kept = ["bench", str(photo), "--server", "127.0.0.1:1", "--write-perf-data", str(tmp_path / "mine.json")]
    done = CliRunner().invoke(main, kept)
    assert done.exit_code == 2
    assert "replace it with --overwrite" in done.stderr
    assert (tmp_path / "mine.json").read_text() == "mine"
    done = CliRunner().invoke(main, ["bench", str(photo), "--server", "127.0.0.1:1", "--write-perf-data", str(photo)])
    assert done.exit_code == 2
    assert "one of the files that are read" in done.stderr
    assert photo.read_bytes() == PLAIN_JPEG


@pytest.mark.parametrize(
    ("server", "access", "line"),
    [
        (
            "10.0.0.1:8001",
            {},
            "perf_analyzer -m facestats -i grpc -u 10.0.0.1:8001 --async --input-data 'my data.json' "
            "--concurrency-range 64",
        ),
        (
            "grpcs://gpu:8001",
            {"certificate": Path("own.pem"), "key": Path("own.key")},
            "perf_analyzer -m facestats -i grpc -u gpu:8001 --async --input-data 'my data.json' --concurrency-range 64 "
            "--ssl-grpc-use-ssl --ssl-grpc-certificate-chain-file=own.pem --ssl-grpc-private-key-file=own.key",
        ),
        ("grpcs://gpu:8001", {"token": "a-token-of-some-length-1234567890"}, None),
    ],
)
def test_perf_analyzer_asks_the_same_server(server: str, access: dict[str, Any], line: str | None) -> None:
    shown = Access(**access)
    found = perf_analyzer_line(parse_address(server, shown), shown, Path("my data.json"), 64)
    assert found == line
