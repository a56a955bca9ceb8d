"""How long until the first of many photos is scored, and in how much memory are all of them found?

    python benchmarks/sources/bench.py --photos 10000000

Names without content: hard links to one file in folders of 10,000 and in one folder (on a file system in memory), a
list of paths, and a bucket whose listing a small server makes up. Each is searched to its end in a process of its own,
as `fsclient ingest` does it, with an empty folder of results; nothing is scored.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from fsclient.ingest.resume import find_inputs, plan_ingest
from fsclient.ingest.settings import IngestConfig
from fsengine.files.path_list import path_lines

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from machine import installed_versions, num_cores, processor

PACKAGES = ("facestats", "numpy", "obstore")
IN_A_FOLDER = 10_000
IN_A_PAGE = 1000
LINKS_OF_A_FILE = 60_000
SOURCES = ("none", "folders", "one folder", "list", "bucket")


def make_folder(folder: Path, number: int) -> None:
    """Give a folder names of photos, which are links to few files."""
    folder.mkdir(parents=True)
    for start in range(0, number, LINKS_OF_A_FILE):
        first = folder / f"{start:09d}.jpg"
        first.touch()
        for name in range(start + 1, min(start + LINKS_OF_A_FILE, number)):
            os.link(first, folder / f"{name:09d}.jpg")


class MadeUpBucket(BaseHTTPRequestHandler):
    """Answers listings of a bucket with as many keys as the server's attribute `number` says."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer one page of a listing."""
        query = parse_qs(urlsplit(self.path).query)
        start = int(query.get("continuation-token", ["0"])[0])
        end = min(start + IN_A_PAGE, self.server.number)  # type: ignore[attr-defined]
        rows = "".join(
            f"<Contents><Key>photos/{n // IN_A_FOLDER:05d}/{n:09d}.jpg</Key><Size>100000</Size>"
            f"<ETag>&quot;{n:032x}&quot;</ETag><LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            for n in range(start, end)
        )
        more = end < self.server.number  # type: ignore[attr-defined]
        token = f"<NextContinuationToken>{end}</NextContinuationToken>" if more else ""
        body = (
            f"<ListBucketResult><Name>many</Name><Prefix>photos/</Prefix><IsTruncated>{str(more).lower()}</IsTruncated>"
            f"{token}{rows}</ListBucketResult>"
        ).encode()
        self.send_response(200 if "list-type" in query else 404)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_HEAD(self) -> None:
        """Say that there is no object of this name."""
        self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def search(source: str, place: str) -> dict[str, float]:
    """Search a source to its end; return seconds to the first photo and to all, their number, and the peak in MB."""
    started = time.perf_counter()
    first = 0.0
    number = 0
    if source != "none":
        listed = path_lines(place) if source == "list" else None
        sources = () if source == "list" else (place,)
        with tempfile.TemporaryDirectory() as out:
            config = IngestConfig(sources=sources, out=Path(out), listed=listed)
            for _ in plan_ingest(config, find_inputs(config)).entries():
                first = first or time.perf_counter() - started
                number += 1
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    return {"number": number, "first_s": first, "seconds": time.perf_counter() - started, "peak_mb": peak}


def ask(source: str, place: str, environment: dict[str, str]) -> dict[str, float]:
    """Search in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--only", source, "--place", place],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, **environment},
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=1_000_000, help="how many")
    parser.add_argument("--in", dest="folder", default="/dev/shm", help="file system in memory to make the names in")
    parser.add_argument("--only", choices=SOURCES, help=argparse.SUPPRESS)
    parser.add_argument("--place", default="", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.only:
        print(json.dumps(search(given.only, given.place)))
        return
    print(f"machine  {processor()} {num_cores()} cores")
    print(f"versions {installed_versions(PACKAGES)}")
    print(f"\n{'source':12} {'photos':>12} {'first s':>8} {'all s':>8} {'photos/s':>10} {'peak MB':>8}")

    def show(source: str, place: str, environment: dict[str, str] | None = None) -> None:
        found = ask(source, place, environment or {})
        pace = found["number"] / found["seconds"]
        print(
            f"{source:12} {found['number']:12,.0f} {found['first_s']:8.2f} {found['seconds']:8.1f} {pace:10,.0f} "
            f"{found['peak_mb']:8.0f}",
            flush=True,
        )

    show("none", "")
    with tempfile.TemporaryDirectory(dir=given.folder) as base:
        folder = Path(base) / "folders"
        for start in range(0, given.photos, IN_A_FOLDER):
            make_folder(folder / f"{start:09d}", min(IN_A_FOLDER, given.photos - start))
        show("folders", str(folder))
        listed = Path(base) / "list.txt"
        with listed.open("w") as file:
            for below in sorted(folder.iterdir()):
                file.writelines(f"{below}/{name}\n" for name in sorted(os.listdir(below)))
        show("list", str(listed))
    with tempfile.TemporaryDirectory(dir=given.folder) as base:
        make_folder(Path(base) / "one", given.photos)
        show("one folder", str(Path(base) / "one"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), MadeUpBucket)
    server.number = given.photos  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    credentials = {"AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none", "AWS_REGION": "none"}
    endpoint = f"http://127.0.0.1:{server.server_port}"
    show("bucket", "s3://many/photos", {**credentials, "AWS_ENDPOINT_URL": endpoint})
    server.shutdown()


if __name__ == "__main__":
    main()
