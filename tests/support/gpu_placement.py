"""Which provider ONNX Runtime gave each operator of a graph, from the profile of one run on a GPU."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fsengine.contracts.steps import ALIGN
from fsengine.packs.shipped import shipped_folder
from fsengine.repository.assemble import GOLDEN_FILE, Target, assemble
from fsengine.repository.golden.golden_answers import read_answers
from fsengine.repository.golden.questions import step_inputs
from fsengine.repository.golden.sample_inputs import samples
from fsengine.repository.gpu_config import ALIGN_CUDA_OPTIONS
from fsengine.repository.model_config import CONFIG_FILE, read_config

SHAPE_ARITHMETIC_BYTES = 1024
"""Results up to this size are sizes and counts, which ONNX Runtime computes on the CPU; crops and maps are larger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """Operators of a graph that are not where they should be.

    Attributes:
        copies: Copies between host and GPU of more than sizes and counts.
        pixel_operators_on_cpu: Operators with a result of more than that, on the CPU.
    """

    copies: list[str]
    pixel_operators_on_cpu: list[str]


def run_and_place(graph: Path, step: str) -> Placed:
    """Run a graph on the GPU on what the shipped photos give it, and return what was misplaced."""
    import onnxruntime as ort

    with tempfile.TemporaryDirectory() as folder:
        assemble(shipped_folder("packs") / "lite", Path(folder) / "repository", target=Target.PIP)
        repository = Path(folder) / "repository"
        golden = read_answers(shipped_folder("packs") / "lite" / GOLDEN_FILE)
        feed = step_inputs(step, samples()[0], golden.of, lambda model: read_config(repository / model / CONFIG_FILE))
        assert feed is not None
        options = ort.SessionOptions()
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        cuda = ("CUDAExecutionProvider", ALIGN_CUDA_OPTIONS if step == ALIGN else {})
        ort.preload_dlls()  # without it the provider of the wheels falls back to the CPU
        session = ort.InferenceSession(str(graph), options, providers=[cuda, "CPUExecutionProvider"])
        assert session.get_providers()[0] == "CUDAExecutionProvider", "ONNX Runtime's CUDA libraries do not load here"
        session.run(None, feed)
        events = json.loads(Path(session.end_profiling()).read_text())
    nodes = [event["args"] | {"node": event["name"]} for event in events if event.get("cat") == "Node"]
    large = [node for node in nodes if _bytes(node) > SHAPE_ARITHMETIC_BYTES]
    return Placed(
        copies=[node["node"] for node in large if node.get("op_name", "").startswith("Memcpy")],
        pixel_operators_on_cpu=[node["node"] for node in large if node.get("provider") == "CPUExecutionProvider"],
    )


def _bytes(node: dict[str, Any]) -> int:
    """Return the size of what a node made, as its profile says."""
    return int(node.get("output_size") or 0)
