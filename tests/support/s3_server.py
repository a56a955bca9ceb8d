"""An S3 server in a process of its own: moto's, which holds its objects in memory and checks no signatures."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import boto3
import botocore.config
import botocore.exceptions

START_TIMEOUT_S = 60
REGION = "us-east-1"
KEY_ID, SECRET = "testing", "testing"

# It ends when its stdin does, so that none is left over where the suite is killed.
PROGRAM = """
import os, sys, threading
from moto.server import main
threading.Thread(target=lambda: os._exit(len(sys.stdin.buffer.read())), daemon=True).start()
main()
"""


@dataclass
class S3Server:
    """A server with one bucket.

    It is read and written here with boto3, so that what the product left in the store is seen by other eyes.

    Attributes:
        bucket: Name of the bucket.
        port: Its port of 127.0.0.1, which is the same after a restart.
    """

    bucket: str
    port: int = field(default_factory=lambda: _free_port())
    _process: subprocess.Popen[bytes] | None = None
    _known_client: Any = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environment(self, endpoint: str | None = None) -> dict[str, str]:
        """Return the variables that lead a client to it, or to a proxy before it."""
        return {
            "AWS_ACCESS_KEY_ID": KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": REGION,
            "AWS_ENDPOINT_URL": endpoint or self.endpoint,
            "AWS_ALLOW_HTTP": "true",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def start(self) -> None:
        """Start it, and make the bucket; it holds nothing, also where it ran before."""
        command = [sys.executable, "-c", PROGRAM, "--host", "127.0.0.1", "--port", str(self.port)]
        quiet = subprocess.DEVNULL
        # A session of its own keeps Ctrl-C of the suite from it: what is tested shall end before it does.
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=quiet, stderr=quiet, start_new_session=True
        )
        try:
            self._wait_until_it_answers()
            self.make_bucket(self.bucket)
        except BaseException:
            self.kill()
            raise

    def kill(self) -> None:
        """End it at once; what it held is lost."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate(timeout=30)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Keep it from answering: connections are accepted, and nothing comes."""
        process = self._process
        assert process is not None
        process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.send_signal(signal.SIGCONT)

    def make_bucket(self, bucket: str) -> None:
        self._client().create_bucket(Bucket=bucket)

    def put(self, key: str, data: bytes, *, is_public: bool = False) -> None:
        access = {"ACL": "public-read"} if is_public else {}
        self._client().put_object(Bucket=self.bucket, Key=key, Body=data, **access)

    def presigned(self, key: str) -> str:
        """Return a URL by which whoever has it reads an object."""
        parameters = {"Bucket": self.bucket, "Key": key}
        url: str = self._client().generate_presigned_url("get_object", Params=parameters)
        return url

    def get(self, key: str) -> bytes:
        """Return what the object holds.

        Raises:
            KeyError: There is no such object.
        """
        try:
            data: bytes = self._client().get_object(Bucket=self.bucket, Key=key)["Body"].read()
        except botocore.exceptions.ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchKey":
                raise
            raise KeyError(key) from error
        return data

    def keys(self, prefix: str = "") -> list[str]:
        """Return the keys that begin so, sorted."""
        pages = self._client().get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return sorted(item["Key"] for page in pages for item in page.get("Contents", ()))

    def delete(self, key: str) -> None:
        self._client().delete_object(Bucket=self.bucket, Key=key)

    def clear(self, prefix: str = "") -> None:
        """Delete all objects whose keys begin so."""
        for key in self.keys(prefix):
            self.delete(key)

    def unfinished_uploads(self) -> list[str]:
        """Return the keys of multipart uploads that were begun and neither completed nor given up."""
        answer = self._client().list_multipart_uploads(Bucket=self.bucket)
        return sorted(upload["Key"] for upload in answer.get("Uploads", ()))

    def _client(self) -> Any:
        if self._known_client is None:
            options = botocore.config.Config(
                connect_timeout=5,
                read_timeout=30,
                retries={"total_max_attempts": 2},
                max_pool_connections=32,
                proxies={},
                s3={"addressing_style": "path"},
            )
            # A session of its own, since the one of boto3 may not be shared by threads.
            self._known_client = boto3.session.Session().client(
                "s3",
                endpoint_url=self.endpoint,
                region_name=REGION,
                aws_access_key_id=KEY_ID,
                aws_secret_access_key=SECRET,
                config=options,
            )
        return self._known_client

    def _wait_until_it_answers(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            if (status := self._process.poll()) is not None:
                raise RuntimeError(f"the S3 server ended with {status}; is port {self.port} in use?")
            try:
                self._client().list_buckets()
                return
            except botocore.exceptions.BotoCoreError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)


@contextmanager
def s3_server(bucket: str = "photos") -> Iterator[S3Server]:
    """Run a server with an empty bucket."""
    server = S3Server(bucket)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
