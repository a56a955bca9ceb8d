"""Load open_clip models, with a trained checkpoint or with seeded random weights."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsengine.errors import ExportError, MissingDependencyError

if TYPE_CHECKING:
    import torch

_MOST_MISSING_OPERATORS = 8

_OPERATOR_LIBRARIES: list[Any] = []
"""Keeps declared operators alive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipSource:
    """Which CLIP model.

    Attributes:
        architecture: Name of an open_clip model configuration.
        checkpoint: File with trained weights; None for random ones.
        seed: Of the random weights.
    """

    architecture: str = "ViT-B-32"
    checkpoint: Path | None = None
    seed: int = 20260101

    @property
    def trained(self) -> bool:
        """Tell whether the weights are trained ones."""
        return self.checkpoint is not None


def load_visual_tower(source: ClipSource) -> torch.nn.Module:
    """Return the image encoder of a model, float32, on the CPU, in evaluation mode.

    Raises:
        MissingDependencyError: torch or open_clip is not installed.
        ExportError: The architecture is unknown or the checkpoint does not fit it.
    """
    try:
        import torch

        import_open_clip()
        import open_clip
    except ImportError as exc:
        raise MissingDependencyError(f"exporting CLIP needs {exc.name}: pip install 'facestats[export]'") from exc
    torch.manual_seed(source.seed)
    try:
        model = open_clip.create_model(
            source.architecture,
            pretrained=str(source.checkpoint) if source.checkpoint else None,
            load_weights=source.trained,
        )
    except (RuntimeError, ValueError, OSError, KeyError) as exc:
        raise ExportError(
            f"open_clip cannot make {source.architecture} from {source.checkpoint or 'random weights'}: {exc}"
        ) from exc
    visual: torch.nn.Module = model.visual
    return visual.eval().float()


def import_open_clip() -> None:
    """Import torchvision so that open_clip, which asks for it, can be imported beside a CPU build of torch.

    PyPI's torchvision is built for CUDA; beside a CPU torch its compiled operators do not load, and its import
    fails where it describes one of them. None is used here, so declaring those that it misses is enough.
    """
    import torch

    for _ in range(_MOST_MISSING_OPERATORS):
        try:
            import torchvision  # noqa: F401
        except RuntimeError as exc:
            missing = re.search(r"operator torchvision::(\w+) does not exist", str(exc))
            if missing is None:
                raise
            library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
            library.define(  # type: ignore[no-untyped-call]
                f"{missing[1]}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            )
            _OPERATOR_LIBRARIES.append(library)
        else:
            return
