"""`fsclient serve` as its users run it: what it prints, when it is ready, how it ends, and what it refuses."""

from __future__ import annotations

import concurrent.futures
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from certificates import Certificate
from fsclient import Client
from fsclient.cli import main
from restartable_server import RestartableServer

TIMEOUT_S = 60.0


def run(command: list[str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*command, "serve", *words], capture_output=True, text=True, timeout=TIMEOUT_S, check=False)


def test_beyond_this_machine_it_wants_tls_and_a_token(
    fsclient_command: list[str], certificate: Certificate, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("0123456789abcdef0123")
    (tmp_path / "token").chmod(0o644)
    for words, said in (
        (["--host", "0.0.0.0"], "without TLS (--tls-cert and --tls-key) and without a token (--token-file)"),
        (["--host", "0.0.0.0", *certificate.options], "without a token (--token-file)"),
        (["--host", "::", "--token-file", str(tmp_path / "token")], "without TLS"),
        (["--host", "192.0.2.1", "--insecure"], "192.0.2.1 is no address of this machine"),
        (["--tls-cert", str(certificate.path)], "go together"),
        (["--token-file", str(tmp_path / "token")], "may be read by others"),
        (["--grpc-port", "65536"], "0<=x<=65535"),
    ):
        refused = run(fsclient_command, *words)
        assert refused.returncode == 2, refused.stderr
        assert said in refused.stderr
        assert refused.stdout == ""


@pytest.mark.triton
def test_stopped_it_answers_what_is_in_flight(
    fsclient_command: list[str], certificate: Certificate, photos: Path, tmp_path: Path
) -> None:
    ready, errors = tmp_path / "ready", (tmp_path / "stderr").open("w+")
    token = "0123456789abcdef0123"
    (tmp_path / "token").write_text(token)
    (tmp_path / "token").chmod(0o600)
    ready.write_text("127.0.0.1:1\n")  # of a server that was killed
    command = [*fsclient_command, "serve", "--host", "0.0.0.0", *certificate.options, "--http-port", "0"]
    command += ["--token-file", str(tmp_path / "token"), "--ready-file", str(ready), "--log-format", "json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as server:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        assert ready.read_text().strip() == url
        port = url.rpartition(":")[2]
        client = Client(f"grpcs://127.0.0.1:{port}", token=token, ca=certificate.path)
        with client, concurrent.futures.ThreadPoolExecutor() as pool:
            client.served()
            waiting = [pool.submit(client.score, photos / "solvay_conference_1927.jpg") for _ in range(4)]
            time.sleep(0.3)
            server.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            assert not ready.exists()
            assert [len(future.result(TIMEOUT_S).faces) for future in waiting] == [29] * 4
        assert server.wait(TIMEOUT_S) == 0
    errors.seek(0)
    records = [json.loads(line) for line in errors.read().splitlines()]
    assert all({"time", "level", "message"} <= record.keys() for record in records)
    assert any(f"serving on grpcs://{url} (token)" in record["message"] for record in records)
    assert records[-1]["message"] == "stopped"
    assert not any(token in json.dumps(record) for record in records)


@pytest.mark.triton
def test_it_ends_where_a_step_dies(fsclient_command: list[str], tmp_path: Path) -> None:
    server = RestartableServer(fsclient_command, tmp_path)
    server.start()
    try:
        server.wait()
        os.kill(server.steps()[0].pid, signal.SIGKILL)
        deadline = time.monotonic() + TIMEOUT_S
        while not server.num_crashes:
            assert time.monotonic() < deadline
            server.is_ready()  # which starts it again once it has ended
            time.sleep(0.1)
        assert "a step of the embedded server died, and no request is answered without it" in server.log.read_text()
        server.wait()
    finally:
        server.clear_away()


def told(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["serve", *arguments])
    return done.exit_code, done.stderr


def test_a_refusal_is_a_record_where_records_are_asked_for() -> None:
    code, said = told("--host", "0.0.0.0", "--log-format", "json")
    assert code == 2
    record = json.loads(said)
    assert record["level"] == "error"
    assert "--token-file" in record["message"]


def test_a_ready_file_takes_the_place_of_no_other_file(tmp_path: Path) -> None:
    kept = tmp_path / "notes.txt"
    kept.write_text("keep me\n")
    for path, expected in ((kept, "holds no address"), (tmp_path, "Is a directory")):
        code, said = told("--ready-file", str(path))
        assert code == 2
        assert expected in said
    assert kept.read_text() == "keep me\n"
