"""TensorRT's own program `trtexec` as the toolchain: it lies in Triton's image, with the TensorRT that serves."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from fsengine.errors import ExportError
from fsengine.gpu import Gpu
from fsengine.plans.build_key import BuildSettings
from fsengine.plans.profile import InputProfile
from fsengine.plans.toolchain import OnPhase

IN_TRITONS_IMAGE = "/usr/src/tensorrt/bin/trtexec"
"""Where Triton's own tests call it (triton-inference-server/server, qa/L0_perf_resnet/test.sh)."""

_BANNER = re.compile(r"\[TensorRT v(\d+)\](?: \[b(\d+)\])?")
_LAST_ERRORS = 4
GRAPH_TIMEOUT_S = 1800.0


def find_trtexec(program: str | None = None) -> str | None:
    """Return the path of trtexec: a given one, else that of Triton's image or one on the PATH; None without one."""
    names = [IN_TRITONS_IMAGE, "trtexec"] if program is None else [program]
    return next((found for name in names if (found := shutil.which(name))), None)


class Trtexec:
    """The toolchain of a trtexec.

    Attributes:
        version: Of its TensorRT, for example `11.4.0.106`; a hash of the program where it does not say.
        gpu: The GPU that it compiles for: the first that it sees.
    """

    def __init__(self, program: str, gpu: Gpu) -> None:
        """Ask the program what it is and what it understands.

        Args:
            program: Its path.
            gpu: The first GPU that is visible.
        """
        self._program = program
        self.gpu = gpu
        self._help = _run([program, "--help"]).stdout
        self.version = _version(self._help) or hashlib.sha256(Path(program).read_bytes()).hexdigest()[:12]

    def compile(
        self,
        graph: Path,
        inputs: Sequence[InputProfile],
        settings: BuildSettings,
        timing_cache: Path,
        out: Path,
        on_phase: OnPhase,
    ) -> None:
        """Write the plan of a graph; see `Toolchain.compile`."""
        on_phase("compiling, minutes for a large graph", 0, 1)
        options = [f"--onnx={graph}", f"--saveEngine={out}", f"--timingCacheFile={timing_cache}"]
        options += [f"--builderOptimizationLevel={settings.optimization_level}"]
        options += [f"--memPoolSize=workspace:{settings.workspace_mib}"]
        for name, field in (("min", "least"), ("opt", "typical"), ("max", "greatest")):
            shapes = (f"{item.name}:{'x'.join(map(str, getattr(item, field)))}" for item in inputs)
            options.append(f"--{name}Shapes={','.join(shapes)}")
        options += [] if settings.tf32 else ["--noTF32"]
        # Networks of TensorRT 11 are strongly typed, those of 10 where they are told to; 11 may know no such option.
        options += [option for option in ("--stronglyTyped", "--skipInference") if option in self._help]
        done = _run([self._program, *options])
        if done.returncode or not out.is_file():
            raise ExportError(f"trtexec does not compile {graph}: {_errors(done.stdout + done.stderr)}")


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, errors="replace", check=False, timeout=GRAPH_TIMEOUT_S)
    except subprocess.TimeoutExpired as exc:
        raise ExportError(f"{command[0]} was not done after {GRAPH_TIMEOUT_S / 60:.0f} minutes, and was ended") from exc
    except OSError as exc:
        raise ExportError(f"{command[0]} cannot be run: {exc.strerror}") from exc


def _version(text: str) -> str | None:
    """Return the version in its first line: `[TensorRT v110400] [b106]` is 11.4.0.106."""
    if (found := _BANNER.search(text)) is None:
        return None
    number = int(found[1])
    parts = [number // 10_000, number // 100 % 100, number % 100, *([int(found[2])] if found[2] else [])]
    return ".".join(map(str, parts))


def _errors(text: str) -> str:
    """Return the last errors that it wrote, without their times."""
    lines = [line.split("[E]", 1)[1].strip() for line in text.splitlines() if "[E]" in line]
    return " | ".join(lines[-_LAST_ERRORS:]) or text.strip()[-300:] or "it said nothing"
