"""What goes wrong behind the gateway has a status of its own, and tells callers nothing of what lies there."""

from __future__ import annotations

import json

import pytest

from fsengine.errors import (
    AccessDeniedError,
    DeadlineError,
    FaceStatsError,
    InferenceError,
    PackError,
    ServerBusyError,
    ServerUnavailableError,
)
from fsgateway.problems import TITLES, Problem, problem_of


@pytest.mark.parametrize(
    ("kind", "status", "retry_after"),
    [
        (ServerBusyError, 503, "2"),
        (ServerUnavailableError, 503, "2"),
        (DeadlineError, 504, None),
        (AccessDeniedError, 502, None),
        (InferenceError, 502, None),
        (PackError, 500, None),
    ],
)
def test_a_failure_of_the_client_library(kind: type[FaceStatsError], status: int, retry_after: str | None) -> None:
    problem = problem_of(kind("the server at 10.0.0.1:8001 asks for a token"))
    answer = problem.response("id-1")
    assert (answer.status_code, answer.headers.get("retry-after")) == (status, retry_after)
    assert b"10.0.0.1" not in answer.body
    assert json.loads(bytes(answer.body))["request_id"] == "id-1"


def test_every_kind_can_be_answered() -> None:
    for kind, (status, title) in TITLES.items():
        answer = Problem(kind, "detail").response("id-1")
        assert answer.status_code == status
        assert answer.media_type == "application/problem+json"
        assert json.loads(bytes(answer.body)) == {
            "type": f"urn:facestats:problem:{kind}",
            "title": title,
            "status": status,
            "detail": "detail",
            "request_id": "id-1",
        }
