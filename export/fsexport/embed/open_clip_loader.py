"""Load open_clip's image encoders: trained checkpoints whose activation is known, or seeded random weights.

CLIP models were trained with GELU or with QuickGELU, x * sigmoid(1.702 x). Weights do not show which; with the wrong
one they load without a word and are a little wrong everywhere. So the activation is always known here, or stated by
the user, and one that does not match the architecture is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsengine.errors import ExportError, InvalidInputError, MissingDependencyError

if TYPE_CHECKING:
    import torch

_MOST_MISSING_OPERATORS = 8

_OPERATOR_LIBRARIES: list[Any] = []
"""Keeps declared operators alive."""

_NOT_WEIGHTS = ("input_resolution", "context_length", "vocab_size")
"""Numbers that OpenAI's archives hold beside the weights (openai/CLIP: clip/model.py)."""


class Activation(str, Enum):
    """What a model was trained with."""

    GELU = "gelu"
    QUICKGELU = "quickgelu"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipSource:
    """Which CLIP model.

    Attributes:
        architecture: Name of an open_clip model configuration.
        checkpoint: File with trained weights; None for random ones.
        activation: What they were trained with; None for random ones.
        archive: Whether the file may be a TorchScript archive, which holds code: only where its hash is known.
        seed: Of random weights.
    """

    architecture: str = "ViT-B-32"
    checkpoint: Path | None = None
    activation: Activation | None = None
    archive: bool = False
    seed: int = 20260101

    @property
    def trained(self) -> bool:
        """Return whether the weights are trained ones."""
        return self.checkpoint is not None


def load_visual_tower(source: ClipSource) -> torch.nn.Module:
    """Return the image encoder of a model, float32, on the CPU, in evaluation mode.

    Raises:
        MissingDependencyError: torch or open_clip is not installed.
        InvalidInputError: The activation does not match the architecture, or the file holds code.
        ExportError: The architecture is unknown or the checkpoint does not fit it.
    """
    open_clip = _open_clip()
    import torch

    if source.trained:
        check_activation(source.architecture, source.activation)
    scripted = source.checkpoint is not None and _is_torchscript(source.checkpoint)
    if scripted and not source.archive:
        raise InvalidInputError(
            f"{source.checkpoint} is a TorchScript archive, which holds code, and its hash is in no table; save the "
            "state_dict of its model (torch.save or safetensors) and export that"
        )
    torch.manual_seed(source.seed)
    try:
        model = open_clip.create_model(
            source.architecture,
            pretrained=None if scripted or source.checkpoint is None else str(source.checkpoint.resolve()),
            load_weights=source.trained and not scripted,
        )
        if scripted:
            state = torch.jit.load(str(source.checkpoint), map_location="cpu").state_dict()  # type: ignore[no-untyped-call]
            model.load_state_dict({key: value for key, value in state.items() if key not in _NOT_WEIGHTS})
    except Exception as exc:  # torch, open_clip, pickle and safetensors raise errors of many kinds
        raise ExportError(
            f"open_clip cannot make {source.architecture} from {source.checkpoint or 'random weights'}: {exc}"
        ) from exc
    visual: torch.nn.Module = model.visual
    return visual.eval().float()


def check_activation(architecture: str, activation: Activation | None) -> None:
    """Refuse an architecture whose activation is not the one that weights were trained with.

    Raises:
        InvalidInputError: It is not, or it is not stated.
        ExportError: The architecture is unknown.
    """
    found = architecture_activation(architecture)
    if activation is None:
        raise InvalidInputError(
            f"weights do not show which activation they were trained with, and {architecture} has {found.value}; state "
            "it with --activation gelu or --activation quickgelu (OpenAI's and MetaCLIP's models: quickgelu; LAION-2B "
            "and DataComp: gelu)"
        )
    if found is not activation:
        base = architecture.removesuffix("-quickgelu")
        right = f"{base}-quickgelu" if activation is Activation.QUICKGELU else base
        raise InvalidInputError(
            f"the weights were trained with {activation.value}, and {architecture} has {found.value}; they would load "
            f"and be wrong everywhere. Use --architecture {right}"
        )


def architecture_activation(architecture: str) -> Activation:
    """Return the activation of an open_clip model configuration.

    Raises:
        ExportError: There is none of that name.
        MissingDependencyError: open_clip is not installed.
    """
    open_clip = _open_clip()
    config = open_clip.get_model_config(architecture)
    if config is None:
        raise ExportError(
            f"open_clip has no architecture {architecture!r}; expected one of its names, such as ViT-B-32 or "
            "ViT-B-32-quickgelu (open_clip.list_models())"
        )
    return Activation.QUICKGELU if config.get("quick_gelu") else Activation.GELU


def fetch_tag(architecture: str, tag: str) -> ClipSource:
    """Fetch a checkpoint by open_clip's own name, with open_clip's own downloader.

    Args:
        architecture: Name of an open_clip model configuration.
        tag: Of its trained weights, for example `laion2b_s34b_b79k`.

    Raises:
        InvalidInputError: open_clip has no such weights, or the architecture has another activation than they.
        ExportError: They cannot be fetched.
    """
    open_clip = _open_clip()
    config = open_clip.get_pretrained_cfg(architecture, tag)
    if not config:
        known = ", ".join(open_clip.list_pretrained_tags_by_model(architecture)) or "none"
        raise InvalidInputError(f"open_clip has no weights {tag!r} for {architecture}; it knows: {known}")
    activation = Activation.QUICKGELU if config.get("quick_gelu") else Activation.GELU
    check_activation(architecture, activation)
    try:
        file = Path(open_clip.download_pretrained(config))
    except Exception as exc:  # the hub's client raises errors of many kinds
        raise ExportError(
            f"{architecture}/{tag} cannot be fetched: {exc}. Without a network, get the file elsewhere and give it "
            f"with --architecture {architecture} --activation {activation.value}"
        ) from exc
    return ClipSource(architecture=architecture, checkpoint=file, activation=activation)


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


def _open_clip() -> Any:
    """Return open_clip.

    Raises:
        MissingDependencyError: It, or torch, is not installed.
    """
    try:
        import_open_clip()
        import open_clip
    except ImportError as exc:
        raise MissingDependencyError(f"exporting CLIP needs {exc.name}: pip install 'facestats[export]'") from exc
    return open_clip


def _is_torchscript(path: Path) -> bool:
    """Return whether a file is a TorchScript archive: a zip whose folder holds `constants.pkl` and code."""
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False
