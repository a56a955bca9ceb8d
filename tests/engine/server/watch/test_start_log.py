"""What a message about a failed start quotes of Triton's log."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from fsengine.server.watch.start_log import SHOWN_LINES, causes, dead_children, is_fatal

HARMLESS = """\
W1126 02:27:53.751741 22957 pinned_memory_manager.cc:273] "Unable to allocate pinned system memory, pinned memory \
pool will not be available: CUDA driver version is insufficient for CUDA runtime version"
I1126 02:27:53.751923 22957 cuda_memory_manager.cc:117] "CUDA memory pool disabled"
E1126 02:27:53.751997 22957 server.cc:241] "CudaDriverHelper has not been initialized."
"""
LOADING = 'I1126 02:27:53.760280 22957 model_lifecycle.cc:472] "loading: embed:1"\n'
FAILED = """\
E1126 02:27:57.842477 22957 backend_model.cc:692] "ERROR: Failed to create instance: InvalidProtobuf: it is broken"
E1126 02:27:57.842566 22957 model_lifecycle.cc:642] "failed to load 'embed' version 1: Internal: InvalidProtobuf: it \
is broken\\n\\nAt:\\n  /somewhere/capi.py(753): _create_inference_session\\n"
E1126 02:27:59.709107 22957 model_repository_manager.cc:703] "Invalid argument: ensemble 'facestats' depends on \
'embed' which has no loaded version."
+-------+---------+
| embed | UNAVAILABLE: Internal: Error |
error: creating server: Internal - failed to load all models
"""


def test_a_model_that_failed_is_what_is_quoted() -> None:
    log = HARMLESS + LOADING + FAILED
    assert is_fatal(log)
    assert causes(log) == ["failed to load 'embed' version 1: Internal: InvalidProtobuf: it is broken"]


def test_a_stub_that_cannot_be_started_is_told_in_the_words_of_who_refused() -> None:
    line = "stub: error while loading shared libraries: libpython3.11.so.1.0: cannot open shared object file"
    log = HARMLESS + LOADING + f"{line}\n" * 7
    assert not is_fatal(log)
    assert causes(log) == [line]


def test_a_stub_that_failed_early_is_quoted() -> None:
    text = "Failed to initialize Python stub: ModuleNotFoundError: No module named 'fsengine'"
    log = HARMLESS + f"I1126 02:27:54.1 22 pb_stub.cc:366]  {text}\n\nAt:\n  model.py(3): <module>\n"
    assert causes(log)[0] == text


def test_a_fault_of_the_gpu_is_not_taken_for_the_harmless_line() -> None:
    line = "failed to load 'embed' version 1: Internal: CUDA driver version is insufficient for CUDA runtime version"
    assert causes(HARMLESS + f'E1126 02:27:57.8 22 model_lifecycle.cc:642] "{line}"\n') == [line]


def test_a_silent_log_gives_what_was_written_last() -> None:
    assert causes(HARMLESS + LOADING) == ["loading: embed:1"]
    assert causes(HARMLESS) == []
    assert causes("") == []


def test_much_is_cut() -> None:
    log = "".join(f"line {number} {'x' * 1000}\n" for number in range(50))
    assert len(causes(log)) == SHOWN_LINES
    assert max(map(len, causes(log))) < 500


def test_a_child_that_ended_is_seen_until_it_is_waited_for() -> None:
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import os, sys, time\nif os.fork() == 0: os._exit(1)\ninput(); os.wait(); print(); input()",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert parent.stdin is not None
    assert parent.stdout is not None
    try:
        deadline = time.monotonic() + 10
        while not dead_children(parent.pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(dead_children(parent.pid)) == 1
        parent.stdin.write(b"\n")
        parent.stdin.flush()
        parent.stdout.readline()
        assert dead_children(parent.pid) == set()
    finally:
        parent.kill()
        parent.communicate()


def test_no_process_has_no_children(tmp_path: Path) -> None:
    assert dead_children(1, tmp_path) == set()
