"""How fast is the engine on this machine's GPU, does it give what the CPU gives, and does its memory stay flat?

    python benchmarks/gpu/bench.py PHOTOS... [--models PACK] [--json FILE]

Measures what it can with what is installed: DALI, ONNX Runtime's CUDA provider, TensorRT, the embedded server. Parts
run in processes of their own, and what could not be run is named with the reason.

Exit codes: 0 what could be run was measured; 3 a part broke, or differs from the CPU; 1 nothing was measured; 2 usage.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import decode
import server
import stages
from alone import Group, run_alone
from fsclient.photos.finding.photo_search import find_photos
from fsengine.errors import FaceStatsError, InvalidInputError
from fsengine.gpu import find_gpu, show_only
from fsengine.terminal.messages import say
from fsengine.terminal.tables import show
from goals import judge
from machine import installed_versions, num_cores, processor
from report import exit_code, report_blocks, report_json
from settings import Settings, choose_samples

PACKAGES = (
    "facestats",
    "onnxruntime",
    "onnxruntime-gpu",
    "tensorrt",
    "tensorrt-cu13",
    "cuda-bindings",
    "nvidia-dali-cuda130",
    "nvidia-pytriton",
    "treelite",
    "numpy",
)

GROUPS = (
    Group(parts=decode.PARTS, run=decode.run),
    Group(parts=stages.parts(stages.ONNXRUNTIME), run=stages.run_onnxruntime),
    Group(parts=stages.parts(stages.TENSORRT), run=stages.run_tensorrt),
    Group(parts=(server.MEMORY,), run=server.run_memory),
    Group(parts=server.END_TO_END_PARTS, run=server.run_end_to_end, by_server=True),
)
PARTS = [part for group in GROUPS for part in group.parts]
WORDS = list(dict.fromkeys(word for part in PARTS for word in part.split("/")))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="+", help="files, folders or quoted patterns; with faces on some")
    parser.add_argument("--models", default="lite", metavar="PACK", help="default: lite")
    parser.add_argument("--device", choices=("gpu", "cpu"), default="gpu", help="cpu: check this command without a GPU")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report there too")
    parser.add_argument("--seconds", type=float, default=3.0, help="least time of a measurement; default: 3")
    parser.add_argument("--memory-photos", type=int, default=20_000, metavar="N", help="default: 20000")
    parser.add_argument(
        "--concurrency",
        type=_levels,
        default="1,4,16,64,256",
        metavar="N,N,...",
        help="default: %(default)s",
    )
    parser.add_argument("--server", metavar="HOST:PORT", help="measure memory and end_to_end on this server")
    parser.add_argument(
        "--skip", action="append", default=[], metavar="PART", help=f"a part, or all with a word: {', '.join(WORDS)}"
    )
    arguments = parser.parse_args()
    if arguments.json is not None and not arguments.json.absolute().parent.is_dir():
        parser.error(f"--json: there is no folder {arguments.json.absolute().parent}")
    if arguments.seconds < 0 or arguments.memory_photos < 1:
        parser.error("--seconds must be 0 or more, --memory-photos 1 or more")
    if unknown := set(arguments.skip) - {*PARTS, *WORDS}:
        parser.error(f"--skip: there is no part {', '.join(sorted(unknown))}; expected a word of {', '.join(WORDS)}")
    machine: dict[str, object] = {}
    gpu_name = no_gpu = None
    try:
        gpu = find_gpu()
    except FaceStatsError as exc:
        machine["gpu"] = no_gpu = str(exc)
    else:
        show_only(gpu)
        gpu_name = gpu.name
        machine["gpu"] = f"{gpu.name}, compute capability {gpu.capability_text}, {gpu.memory_mib} MiB"
        machine["driver"] = gpu.driver
    machine |= {"cpu": processor(), "cores": num_cores(), "versions": installed_versions(PACKAGES)}
    try:
        samples = choose_samples(find_photos(arguments.photos).paths)
    except InvalidInputError as exc:
        parser.error(str(exc))
    settings = Settings(
        sources=tuple(arguments.photos),
        samples=samples,
        models=arguments.models,
        gpu=0 if arguments.device == "gpu" else None,
        gpu_name=gpu_name if arguments.device == "gpu" else None,
        no_gpu=no_gpu,
        seconds=arguments.seconds,
        memory_photos=arguments.memory_photos,
        concurrencies=arguments.concurrency,
        server=arguments.server,
        skip=frozenset(arguments.skip),
    )
    outcomes = []
    for group in GROUPS:
        for outcome in run_alone(group, settings):
            say(f"{outcome.name}: {outcome.status.value}")
            outcomes.append(outcome)
    outcomes.sort(key=lambda outcome: PARTS.index(outcome.name))
    goals = judge(outcomes, settings)
    show(report_blocks(machine, outcomes, goals, settings))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(report_json(machine, outcomes, goals, settings), indent=1) + "\n")
    return exit_code(outcomes)


def _levels(text: str) -> tuple[int, ...]:
    levels = tuple(map(int, text.split(",")))
    if min(levels) < 1:
        raise argparse.ArgumentTypeError(f"{text} must be numbers above 0")
    return levels


if __name__ == "__main__":
    sys.exit(main())
