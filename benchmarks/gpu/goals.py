"""What the GPU could do at most, and the goals that results are held against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fsclient.bench.bottleneck import CLIENT_BUSY_SHARE
from fsengine.contracts.tensors import ModelSpec
from fsengine.packs.shipped import SHIPPED_PACK
from outcome import Outcome, Row
from settings import Settings

CLIP_GFLOP = 8.82
"""Of one crop in CLIP's ViT-B/32 at 224 pixels, twice its multiply-adds (open_clip:docs/model_profile.csv)."""

CLIP_NOTE = f"the encoder is taken to be CLIP ViT-B/32, {CLIP_GFLOP} GFLOP a crop"

FP16_PEAK_TFLOPS = {
    "NVIDIA H200": 989.0,
    "NVIDIA H100 80GB HBM3": 989.0,
    "NVIDIA H100 PCIe": 756.0,
    "NVIDIA A100-SXM4-40GB": 312.0,
    "NVIDIA A100-SXM4-80GB": 312.0,
    "NVIDIA A100-PCIE-40GB": 312.0,
    "NVIDIA A100 80GB PCIe": 312.0,
    "NVIDIA L4": 121.0,
}
"""Dense fp16 of the tensor cores by the driver's name of a GPU.

From NVIDIA's data sheets, half of the figure that they give with sparsity.
"""

GOAL_GPU = "NVIDIA H200"
EMBED_GOAL = 40_000
PHOTOS_GOAL = 4_000
GOAL_MEGAPIXELS = (0.8, 1.25)
"""Photos of a mean size between these count as photos of 1 MP."""

_CLIP_CROP = (224, 224, 3)
_CLIP_WIDTH = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A goal and what became of it.

    Attributes:
        goal: In words.
        verdict: `met`, `not met` or `not measured`.
        found: The best that was measured, whatever the conditions; None without.
        why: Why it was not measured.
    """

    goal: str
    verdict: str
    found: float | None
    why: str | None


def is_clip(spec: ModelSpec) -> bool:
    """Return whether the encoder's contract is that of CLIP ViT-B/32."""
    return spec.inputs[0].shape == _CLIP_CROP and spec.outputs[0].shape == (_CLIP_WIDTH,)


def clip_compute(crops_per_s: float, precision: str, gpu_name: str | None) -> Row:
    """Return TFLOP/s of CLIP, and their share of the fp16 peak where the graph is fp16 and the peak is known."""
    tflop_per_s = crops_per_s * CLIP_GFLOP / 1e3
    row: Row = {"tflop_per_s": tflop_per_s}
    if precision == "fp16" and gpu_name in FP16_PEAK_TFLOPS:
        row["share_of_fp16_peak"] = tflop_per_s / FP16_PEAK_TFLOPS[gpu_name]
    return row


def judge(outcomes: Sequence[Outcome], settings: Settings) -> list[Goal]:
    """Hold what was measured against the goals, each under its own conditions."""
    crops = [
        row
        for each in outcomes
        if each.name.startswith("stages/") and each.name.endswith("/embed")
        for row in each.rows
    ]
    photos = [row for each in outcomes if each.name == "end_to_end" for row in each.rows]
    megapixels = settings.samples.mean_megapixels
    low, high = GOAL_MEGAPIXELS
    elsewhere = "the CPU stood in for a GPU" if settings.gpu is None else f"this is {settings.gpu_name}"
    on_its_gpu = {elsewhere: settings.gpu_name == GOAL_GPU}
    in_fp16 = {
        "the encoder is not CLIP in fp16": any("tflop_per_s" in row and row["precision"] == "fp16" for row in crops)
    }
    of_its_photos = {
        f"the photos have {megapixels:.2f} MP": low <= megapixels <= high,
        "the models are the small ones that ship": all(row["pack"] != SHIPPED_PACK for row in photos),
        "the client was busy itself": all(
            float(row.get("client_busy_share") or 0) < CLIENT_BUSY_SHARE for row in photos
        ),
    }
    return [
        _judged("embed", EMBED_GOAL, "crops/s in fp16", _best(crops, "rows_per_s"), on_its_gpu | in_fp16),
        _judged(
            "end to end", PHOTOS_GOAL, "photos/s of 1 MP", _best(photos, "photos_per_s"), on_its_gpu | of_its_photos
        ),
    ]


def _best(rows: Sequence[Row], column: str) -> float | None:
    return max((float(row[column] or 0) for row in rows if column in row), default=None)


def _judged(what: str, least: int, unit: str, found: float | None, conditions: dict[str, bool]) -> Goal:
    """Return a verdict; a number that was measured under other conditions is none."""
    unmet = [reason for reason, holds in conditions.items() if not holds]
    why = None
    if found is None:
        verdict, why = "not measured", "its part was not run"
    elif unmet:
        verdict, why = "not measured", "; ".join(unmet)
    else:
        verdict = "met" if found >= least else "not met"
    return Goal(goal=f"{what}: {least:,} {unit} on an H200", verdict=verdict, found=found, why=why)
