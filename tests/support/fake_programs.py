"""What is absent here (NVIDIA's driver and server), as small scripts and a module."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fake_nvml import write_pynvml
from fsengine.contracts.steps import ENSEMBLES

NOT_IN_THE_SERVER_IMAGE = ("onnx", "onnxruntime", "tensorrt", "nvidia.dali", "treelite", "torch", "pytriton")

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
        folder: Where the scripts lie.
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
        write_pynvml(self.folder, state)

    def add_server(self) -> None:
        """Let `tritonserver` print its arguments as JSON."""
        program = "import json, sys; print(json.dumps(sys.argv[1:]))"
        self.add("tritonserver", f'exec {sys.executable} -c "{program}" "$@"')

    def fsengine(
        self, *arguments: str, modules: Path | None = None, variables: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run `fsengine` as in the server image: these programs alone on the PATH, and no library that runs a model.

        Args:
            *arguments: Of the command.
            modules: Folder of further Python modules.
            variables: Of the container's environment.
        """
        environment = {"PATH": str(self.folder), **(variables or {})}
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
            (folder / step / "1" / "model.onnx").write_text("graph")
    (folder / "facestats.json").write_text(json.dumps({"target": target, "served": {"pack": "lite"}}))
    if plans is not None:
        (folder / "plans.json").write_text(json.dumps(plans))
    return folder


PLANS: dict[str, object] = {
    "source": "0" * 64,
    "gpu": "NVIDIA H100 80GB HBM3",
    "num_gpus": 1,
    "tensorrt": "11.4.0.106",
    "steps": {step: {"state": "built", "key": "plan-0", "why": ""} for step in ("detect", "embed")},
    "checked": True,
}
"""What `fsengine build` writes beside plans."""
