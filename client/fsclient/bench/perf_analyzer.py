"""The same question asked of NVIDIA's `perf_analyzer`, whose client is no Python: its command line and its photos."""

from __future__ import annotations

import base64
import json
import shlex
from pathlib import Path

from fsclient.backend.address import Access, ServerAddress
from fsclient.bench.workload import Workload
from fsengine.contracts.steps import ENCODED_IMAGE, ENSEMBLE, ORIENTATION
from fsengine.files.output_path import OutputPaths


def perf_data_paths(photos: list[bytes], *, overwrite: bool) -> OutputPaths:
    """Return what says where the photos for `perf_analyzer` may be written: over none of them."""
    return OutputPaths(photos, overwrite=overwrite)


def write_perf_data(workload: Workload, path: Path, outputs: OutputPaths) -> None:
    """Write photos as the JSON that `perf_analyzer --input-data` reads.

    Args:
        workload: The photos.
        path: Of the file.
        outputs: See `perf_data_paths`.

    Raises:
        InvalidInputError: It must not be written.
        OSError: It cannot be.
    """

    def write(to: Path) -> None:
        with to.open("w") as file:
            file.write('{"data": [')
            for number, photo in enumerate(workload.photos):
                assert photo.data is not None
                file.write(",\n" if number else "\n")
                json.dump(_request(photo.data, photo.orientation), file)
            file.write("\n]}\n")

    outputs.write(path, write)


def _request(data: bytes, orientation: int) -> dict[str, object]:
    """Return the tensors of one request; a fixed shape is not given."""
    return {
        ENCODED_IMAGE.name: {"content": {"b64": base64.b64encode(data).decode()}, "shape": [1, len(data)]},
        ORIENTATION.name: {"b64": base64.b64encode(bytes([orientation])).decode()},
    }


def perf_analyzer_line(address: ServerAddress, access: Access, data: Path | None, concurrency: int) -> str | None:
    """Return the command line that measures a server with the same photos, or None where it cannot be asked so.

    Args:
        address: Of the server.
        access: What is shown to it; `perf_analyzer` sends no headers over gRPC, and so no token.
        data: The photos, see `write_perf_data`; None where they were not written.
        concurrency: Photos in flight.
    """
    if access.token is not None or len(address.targets) != 1:
        return None
    words = ["perf_analyzer", "-m", ENSEMBLE, "-i", "grpc", "-u", address.targets[0], "--async"]
    words += ["--input-data", "data.json" if data is None else str(data), "--concurrency-range", str(concurrency)]
    if address.tls:
        words.append("--ssl-grpc-use-ssl")
        files = {"root-certifications": access.ca, "certificate-chain": access.certificate, "private-key": access.key}
        words += [f"--ssl-grpc-{name}-file={path}" for name, path in files.items() if path is not None]
    return shlex.join(words)
