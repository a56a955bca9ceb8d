"""A machine with GPUs that is not here: the driver's list, a trtexec and a tritonserver, as small programs.

The trtexec "compiles" by copying the graph, which the server's tensorrt backend runs in ONNX Runtime; the server is the
pip package's Triton, on the CPU.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fake_nvml import write_pynvml
from fsengine.contracts import steps
from fsengine.packs.shipped import shipped_folder
from fsengine.repository.assemble import GOLDEN_FILE, MANIFEST_FILE, Target, assemble
from fsengine.server import binary, shared_memory
from fsengine.server.interpreter import default_library_folder
from fsengine.server.surroundings import environment, furnish, make_run_folder
from fsengine.server.threads import plan_threads

GPU_NAME, GPU_MIB = "NVIDIA H100 80GB HBM3", 81559

_TRTEXEC = """#!{python}
import json, pathlib, shutil, sys
print("&&&& RUNNING TensorRT.trtexec [TensorRT v110400] [b106] # " + " ".join(sys.argv))
options = dict(argument.partition("=")[::2] for argument in sys.argv[1:])
if "--help" in options:
    print("  --skipInference  Exit after the engine has been built")
    sys.exit(0)
with open({log!r}, "a") as log:
    log.write(json.dumps(options) + "\\n")
told = json.loads({told!r})
graph, plan = pathlib.Path(options["--onnx"]), pathlib.Path(options["--saveEngine"])
step = graph.parent.parent.name
if step in told["refused"]:
    print("[11/27/2026-10:00:00] [E] [TRT] ModelImporter.cpp:948: ERROR: no importer for " + step)
    sys.exit(1)
plan.write_bytes(b"no plan" if step in told["broken"] else graph.read_bytes())
pathlib.Path(options["--timingCacheFile"]).write_bytes(b"timings")
"""

_SERVER = """#!{python}
import os, sys
dropped = ("--cuda-memory-pool", "--pinned-memory-pool", "--allow-gpu-metrics", "--grpc-infer-thread-count")
arguments = [argument for argument in sys.argv[1:] if not argument.startswith(dropped)]
os.execv({program!r}, [{program!r}, *arguments, *{extra!r}])
"""

_BACKEND = """
from fsengine.backends import onnxruntime_backend
from fsengine.backends.parent_watch import exit_with_parent

read = onnxruntime_backend.read_backend_config
onnxruntime_backend.read_backend_config = lambda arguments, _: read(arguments, "model.plan")
TritonPythonModel = onnxruntime_backend.TritonPythonModel
exit_with_parent()
"""


def write_trtexec(folder: Path, *, refused: Sequence[str] = (), broken: Sequence[str] = ()) -> Path:
    """Write the trtexec into a folder, where it keeps a line of JSON, its options, for each graph, in `compiled`.

    Args:
        folder: The folder.
        refused: Steps whose graphs it refuses.
        broken: Steps whose plans do not load.
    """
    told = json.dumps({"refused": list(refused), "broken": list(broken)})
    path = folder / "trtexec"
    path.write_text(_TRTEXEC.format(python=sys.executable, log=str(folder / "compiled"), told=told))
    path.chmod(0o755)
    return path


@dataclass(frozen=True, slots=True, kw_only=True)
class PretendedGpu:
    """What stands for it.

    Attributes:
        trtexec: The program.
        program: The server's program.
        environment: Of processes that shall see the GPU.
        log: A line of JSON for each graph that trtexec was given: its options.
    """

    trtexec: Path
    program: Path
    environment: dict[str, str]
    log: Path

    def compiled(self) -> list[str]:
        """Return the steps that trtexec was given, in their order."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [Path(json.loads(line)["--onnx"]).parents[1].name for line in lines]


def pretend_gpu(
    folder: Path, repository: Path, *, refused: Sequence[str] = (), broken: Sequence[str] = (), num_gpus: int = 1
) -> PretendedGpu:
    """Lay out a pretended GPU in a folder.

    Args:
        folder: Where the programs are to lie.
        repository: That is served.
        refused: Steps whose graphs trtexec refuses.
        broken: Steps whose plans do not load.
        num_gpus: GPUs that the driver lists.
    """
    devices = [(f"GPU-{index}", GPU_NAME, "9.0", GPU_MIB) for index in range(num_gpus)]
    modules = folder / "modules"
    modules.mkdir(parents=True)
    write_pynvml(modules, f"devices = {devices!r}")
    surroundings = make_run_folder(folder)
    furnish(surroundings, repository, default_library_folder())
    (surroundings.backends / "tensorrt" / "model.py").write_text(_BACKEND)
    root = binary.triton_folder()
    extra = [
        f"--backend-directory={surroundings.backends}",
        f"--cache-directory={root / 'caches'}",
        f"--backend-config=python,shm-region-prefix-name={shared_memory.region_prefix(os.getpid())}",
    ]
    program = folder / "tritonserver"
    program.write_text(_SERVER.format(python=sys.executable, program=str(root / "bin" / "tritonserver"), extra=extra))
    program.chmod(0o755)
    variables = environment(surroundings, plan_threads()) | {"PYTHONPATH": str(modules)}
    return PretendedGpu(
        trtexec=write_trtexec(folder, refused=refused, broken=broken),
        program=program,
        environment=variables,
        log=folder / "compiled",
    )


def repository_for_gpu(out: Path) -> Path:
    """Assemble the shipped pack for the pip package's Triton, under the name of the target on a GPU."""
    pack = shipped_folder("packs") / "lite"
    assemble(pack, out, target=Target.PIP)
    shutil.copyfile(pack / GOLDEN_FILE, out / GOLDEN_FILE)
    manifest = json.loads((out / MANIFEST_FILE).read_text())
    (out / MANIFEST_FILE).write_text(json.dumps({**manifest, "target": Target.GPU.value}))
    return out


GRAPHS = (steps.AGE_GENDER, steps.ALIGN, steps.DETECT, steps.EMBED)
"""Steps of the shipped pack that have a graph; its ethnicity is a forest."""
