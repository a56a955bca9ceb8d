"""What is absent here (NVIDIA's driver and server, dpkg's record of TensorRT), as small scripts and a module."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import fake_nvml
from fsengine.contracts.steps import ENSEMBLES

NOT_IN_THE_SERVER_IMAGE = (
    "numpy",
    "google",
    "tritonclient",
    "grpc",
    "onnxruntime",
    "pyarrow",
    "PIL",
    "requests",
    "msgspec",
    "filelock",
    "rich",
    "urllib3",
)

_PROGRAM = f"""
import sys
sys.modules.update(dict.fromkeys({NOT_IN_THE_SERVER_IMAGE!r}))  # importing one fails
from fsengine.cli import main
main(prog_name="fsengine")
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class FakePrograms:
    """A folder that is the whole PATH of a command.

    Attributes:
        folder: Where the scripts lie, and the libraries of a pretended TensorRT.
    """

    folder: Path

    def add(self, name: str, script: str) -> None:
        """Write a program: a script of sh."""
        path = self.folder / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def add_gpu(self, name: str = "NVIDIA H100 80GB HBM3", capability: str = "9.0") -> None:
        """Let the driver list one GPU."""
        self.add_driver(f"devices = [('GPU-11aa', {name!r}, {capability!r}, 81559)]")

    def add_driver(self, state: str) -> None:
        """Put a `pynvml` in front of the one that is installed.

        Args:
            state: Its Python text; `devices` or `fault`, see `fake_nvml`.
        """
        (self.folder / "pynvml.py").write_text(f"{Path(fake_nvml.__file__).read_text()}\n{state}\n")

    def add_tensorrt(self, version: str = "11.4.0.106") -> None:
        """Let dpkg list TensorRT, and its library lie in a folder of the dynamic linker."""
        major, short = version.split(".")[0], ".".join(version.split(".")[:3])
        self.add("dpkg-query", f"echo 'libnvinfer{major} {version}-1+cuda13.4'")
        (self.folder / f"libnvinfer.so.{short}").touch()

    def add_server(self) -> None:
        """Let `tritonserver` print its arguments as JSON."""
        program = "import json, sys; print(json.dumps(sys.argv[1:]))"
        self.add("tritonserver", f'exec {sys.executable} -c "{program}" "$@"')

    def fsengine(
        self, *arguments: str, modules: Path | None = None, variables: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run `fsengine` as in the server image: these programs alone on the PATH, of libraries click and pynvml.

        Args:
            *arguments: Of the command.
            modules: Folder of further Python modules.
            variables: Of the container's environment.
        """
        environment = {"PATH": str(self.folder), "LD_LIBRARY_PATH": str(self.folder), **(variables or {})}
        environment["PYTHONPATH"] = os.pathsep.join(map(str, [self.folder, *([] if modules is None else [modules])]))
        return subprocess.run(
            [sys.executable, "-c", _PROGRAM, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )


def write_repository(folder: Path, *, target: str = "container", plans: dict[str, object] | None = None) -> Path:
    """Write what the entrypoint reads of a repository: manifests, and a file for each step, which no server loads."""
    folder.mkdir(parents=True)
    for step in (*ENSEMBLES, "decode", "detect", "align", "embed"):
        (folder / step / "1").mkdir(parents=True)
        (folder / step / "config.pbtxt").write_text(f'name: "{step}"')
        if not step.startswith("facestats"):
            (folder / step / "1" / "artifact").write_text("artifact")
    (folder / "facestats.json").write_text(json.dumps({"target": target, "served": {"pack": "lite"}}))
    if plans is not None:
        steps = plans["models"]
        assert isinstance(steps, dict)
        for step in steps:
            (folder / step / "1" / "artifact").rename(folder / step / "1" / "model.plan")
        (folder / "plans.json").write_text(json.dumps(plans))
    return folder


PLANS: dict[str, object] = {
    "tensorrt": "11.4.0.106",
    "compute_capability": "9.0",
    "gpu": "NVIDIA H100 80GB HBM3",
    "models": {
        step: {"key": "plan-0", "sha256": hashlib.sha256(b"artifact").hexdigest()} for step in ("detect", "embed")
    },
}
"""What `fsengine build` writes beside plans."""
