"""Threads of the embedded server's steps."""

from __future__ import annotations

import pytest

from fsengine.server.threads import THREADS_VARIABLE, plan_threads, step_threads


def test_a_step_may_use_every_core() -> None:
    assert plan_threads(12) == 12
    assert plan_threads() >= 1


@pytest.mark.parametrize(("cores", "instances", "threads"), [(2, 1, 2), (2, 2, 1), (5, 2, 3), (1, 2, 1)])
def test_instances_share_the_threads_of_their_step(
    cores: int, instances: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(THREADS_VARIABLE, str(cores))
    assert step_threads(instances) == threads
