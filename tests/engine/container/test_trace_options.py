"""Options of tritonserver for traces: as Triton takes them, and refused where nothing would arrive."""

from __future__ import annotations

import pytest

from fsengine.container.trace_options import trace_arguments
from fsengine.errors import InvalidInputError
from triton_options import refusal

URL = "http://collector:4318/v1/traces"


@pytest.mark.triton
def test_triton_takes_them() -> None:
    options = trace_arguments(URL, 7)
    assert refusal(options) is None
    said = refusal([option.replace("rate=7", "rate=seven") for option in options])
    assert said is not None
    assert "Got seven" in said


def test_they_name_the_collector_the_rate_and_whose_traces_they_are() -> None:
    assert trace_arguments(URL, 1) == [
        "--trace-config=mode=opentelemetry",
        f"--trace-config=opentelemetry,url={URL}",
        "--trace-config=opentelemetry,resource=service.name=facestats",
        "--trace-config=rate=1",
        "--trace-config=level=TIMESTAMPS",
    ]
    assert "--trace-config=rate=100" in trace_arguments("https://[::1]/otlp/v1/traces")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "collector:4318/v1/traces",
        "grpc://collector:4317/v1/traces",
        "http://collector:4318",
        "http://collector:4318/",
        "http:///v1/traces",
        "http://collector:port/v1/traces",
        "http://collector:4318/v1/ traces",
        "http://collector:4318/v1/traces\n",
    ],
)
def test_what_is_no_address_of_a_collector_is_refused(url: str) -> None:
    with pytest.raises(InvalidInputError, match="expected where a collector takes them"):
        trace_arguments(url)


@pytest.mark.parametrize("rate", [0, -1])
def test_a_rate_below_one_is_refused(rate: int) -> None:
    with pytest.raises(InvalidInputError, match="1 \\(every photo\\) or more"):
        trace_arguments(URL, rate)
