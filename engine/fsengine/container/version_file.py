"""The version of the server's TensorRT, handed to the builder through a file in their common volume."""

from __future__ import annotations

import os
from pathlib import Path

from fsengine.container.image_tensorrt import same_tensorrt
from fsengine.errors import PackError, ServerError


def write_version(path: Path, version: str) -> None:
    """Write the server's version.

    Raises:
        PackError: The file cannot be written.
    """
    try:
        path.write_text(version + "\n")
    except OSError as exc:
        raise PackError(
            f"{path} cannot be written: {exc.strerror}; the volume must be writable for user {os.getuid()}, "
            "see docker/README.md"
        ) from exc


def check_version(path: Path, builder: str) -> None:
    """Compare the server's version with that of the builder.

    Args:
        path: File that `write_version` wrote.
        builder: Version of TensorRT in this image.

    Raises:
        PackError: There is no such file.
        ServerError: They differ.
    """
    try:
        server = path.read_text().strip()
    except OSError as exc:
        raise PackError(
            f"{path} cannot be read: {exc.strerror}; the server image writes it (fsengine tensorrt --out)"
        ) from exc
    if not same_tensorrt(server, builder):
        raise ServerError(
            f"the server serves with TensorRT {server or 'of no version'}, this image builds with {builder}, and a "
            "plan loads in the version that built it alone. Take both images from one release (TRITON_TAG, or "
            "SERVER_IMAGE and BUILDER_IMAGE, in docker/.env), then: docker compose build"
        )
