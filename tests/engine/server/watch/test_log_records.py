"""Lines of Triton's log as records."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fsengine.server.watch.log_records import LogFollower, record_of


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            'I1126 15:43:36.303490 14938 metrics.cc:770] "Collecting CPU metrics"',
            {"level": "info", "source": "metrics.cc:770", "message": "Collecting CPU metrics"},
        ),
        (
            'W1126 15:43:36.302943 14938 infer.cc:27] "[request id: a-1] slow"',
            {"level": "warning", "source": "infer.cc:27", "message": "[request id: a-1] slow", "request_id": "a-1"},
        ),
        (
            'E1126 15:43:36.302943 14938 infer.cc:27] "[request id: <id_unknown>] failed"',
            {"level": "error", "source": "infer.cc:27", "message": "[request id: <id_unknown>] failed"},
        ),
        ("Signal (15) received.", {"level": "info", "message": "Signal (15) received."}),
    ],
)
def test_a_line_keeps_what_it_says(line: str, expected: dict[str, str]) -> None:
    made = json.loads(record_of(line))
    assert made.pop("time").endswith("+00:00")
    assert made == expected


def test_what_is_added_is_given_line_by_line_and_nothing_before(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")
    given: list[str] = []
    follower = LogFollower(log, given.append)
    with log.open("a") as file:
        for piece in ("one\ntw", "o\n", "three\n"):
            file.write(piece)
            file.flush()
    follower.close()
    assert [json.loads(line)["message"] for line in given] == ["one", "two", "three"]
