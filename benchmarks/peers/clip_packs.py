"""Packs with CLIP ViT-B/32 for the comparison: the full-size one, and the same with an int8 encoder."""

from __future__ import annotations

from pathlib import Path

from fsengine.contracts.steps import AGE_GENDER, ATTRACTIVENESS, DETECT, EMBED, ETHNICITY
from fsengine.registry.home import models_home
from fsengine.terminal.messages import say
from fsexport.artifact.exported import Origin
from fsexport.artifact.precision import Precision
from fsexport.embed.clip_artifact import UNTRAINED, export_clip_artifact
from fsexport.embed.open_clip_loader import ClipSource
from fsexport.inputs.decoded_photos import default_photos
from fsexport.packs.pack_builder import build_pack
from full_size_pack import PACK_NAME, build_full_size_pack


def fp32_pack(assets: Path) -> Path:
    """Return the folder of the full-size pack, built where it is not yet.

    Args:
        assets: Folder of the test assets, which hold the detector and the age/gender network.

    Raises:
        FaceStatsError: An asset is missing, or a model cannot be exported.
    """
    folder = models_home() / "packs" / PACK_NAME
    build_full_size_pack(assets, folder, _artifacts(), say)
    return folder


def int8_pack() -> Path:
    """Return the folder of the full-size pack with an int8 encoder; the fp32 one is there already.

    Raises:
        FaceStatsError: The encoder cannot be exported.
    """
    name = f"{PACK_NAME}-int8"
    embed = models_home() / "artifacts" / name / EMBED
    seeded = Origin(source="open_clip ViT-B-32, random weights", licence="MIT", commercial_use=True, marks=(UNTRAINED,))
    export_clip_artifact(ClipSource(), seeded, Precision.INT8, default_photos(), embed, say)
    others = [_artifacts() / step for step in (DETECT, ATTRACTIVENESS, ETHNICITY, AGE_GENDER)]
    folder = models_home() / "packs" / name
    build_pack(name, "full-size graphs with an int8 encoder, for measurements", [*others, embed], folder)
    return folder


def _artifacts() -> Path:
    return models_home() / "artifacts" / PACK_NAME
