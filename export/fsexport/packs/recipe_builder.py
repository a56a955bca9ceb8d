"""Make the pack of a recipe: export each step's source, keep what is unchanged, put the pack together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fsengine.contracts import steps
from fsengine.errors import InvalidInputError
from fsengine.packs.pack import Pack
from fsengine.terminal.messages import Say
from fsexport.artifact.exported import RECORD_FILE, read_exported
from fsexport.artifact.origins import Given, StatedLicence, resolve
from fsexport.artifact.precision import Precision
from fsexport.detect.detector_artifact import detector_precision, export_detector_artifact, settings_for
from fsexport.detect.merge import MOST_FACES
from fsexport.embed.clip_artifact import export_clip_artifact
from fsexport.embed.open_clip_loader import ClipSource, architecture_activation
from fsexport.heads.attractiveness_artifact import export_attractiveness_artifact, read_scores
from fsexport.heads.genderage_artifact import export_age_gender_artifact
from fsexport.heads.linear_head import LinearHead, export_linear_head_artifact
from fsexport.heads.rating_mlp import read_torch_mlp
from fsexport.inputs.decoded_photos import default_photos
from fsexport.packs.pack_builder import build_pack
from fsexport.packs.recipes import Recipe
from fsexport.sources.sklearn_pickle import read_scaled_classifier


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeBuild:
    """How a recipe is made.

    Attributes:
        artifacts: Folder of artifacts, which recipes share; unchanged ones are kept.
        out: Folder of the pack.
        precision: Of the encoder; the detector follows it as `detector_precision` says.
        commercial_ok: Whether to refuse artifacts whose licence allows no commercial use.
    """

    artifacts: Path
    out: Path
    precision: Precision = Precision.FP32
    commercial_ok: bool = False


def build_recipe(recipe: Recipe, build: RecipeBuild, say: Say) -> Pack:
    """Make a pack whose sources are here.

    Args:
        recipe: What it is made from.
        build: How.
        say: Called with each line for people.

    Raises:
        InvalidInputError: A source is not here, or cannot serve its step.
        MissingDependencyError: A library is not installed.
        ExportError: A model cannot be converted.
    """
    folders = []
    for step, names in recipe.steps.items():
        if len(names) == 1 and (Path(names[0]) / RECORD_FILE).is_file():
            folders.append(Path(names[0]))
            continue
        given = resolve(names, StatedLicence())
        precision = _precision(step, given, build)
        folder = build.artifacts / _artifact_name(step, names, precision)
        _export(step, given, folder, precision, say)
        folders.append(folder)
    if build.commercial_ok:
        _refuse_non_commercial(folders)
    return build_pack(recipe.name, recipe.description, folders, build.out)


def _precision(step: str, given: Given, build: RecipeBuild) -> Precision:
    """Return what a step's artifact computes in."""
    match step:
        case steps.EMBED:
            return build.precision
        case steps.DETECT:
            return detector_precision(settings_for(given.files, MOST_FACES), build.precision)
        case _:
            return Precision.FP32


def _artifact_name(step: str, names: Sequence[str], precision: Precision) -> str:
    """Return the folder of a step's artifact: recipes of the same source share it."""
    has_choice = step in (steps.DETECT, steps.EMBED)
    return "-".join([step, *(Path(name).name for name in names), *([precision.value] if has_choice else [])])


def _refuse_non_commercial(folders: list[Path]) -> None:
    artifacts = [read_exported(folder) for folder in folders]
    if refused := [f"{each.step} ({each.licence})" for each in artifacts if not each.commercial_use]:
        raise InvalidInputError(
            f"--commercial-ok refuses {', '.join(refused)}: their licences allow no commercial use, or none was "
            "stated; choose others with --use STEP=SOURCE, or leave a head out with --use HEAD=none"
        )


def _export(step: str, given: Given, folder: Path, precision: Precision, say: Say) -> None:
    """Export the source of one step."""
    first = given.files[0]
    suffixes = tuple(file.suffix for file in given.files)
    match step, suffixes:
        case steps.DETECT, _:
            settings = settings_for(given.files, MOST_FACES)
            export_detector_artifact(
                given.files, given.origin, settings, default_photos(), folder, say, precision=precision
            )
        case steps.EMBED, _ if "architecture" in given.settings:
            architecture = str(given.settings["architecture"])
            source = ClipSource(
                architecture=architecture,
                checkpoint=first,
                activation=architecture_activation(architecture),
                archive=given.known,
            )
            export_clip_artifact(source, given.origin, precision, default_photos(), folder, say)
        case steps.ATTRACTIVENESS, (".pt", _):
            scores = read_scores(given.files[1], None)
            export_attractiveness_artifact(read_torch_mlp(first), scores, given.origin, folder, say)
        case ((steps.ETHNICITY | steps.AGE_GENDER), (".pkl",)):
            head = LinearHead.ETHNICITY if step == steps.ETHNICITY else LinearHead.GENDER
            export_linear_head_artifact(read_scaled_classifier(first), head, given.origin, folder, say)
        case steps.AGE_GENDER, (".onnx",):
            export_age_gender_artifact(first, given.origin, default_photos(), folder, say)
        case _:
            names = ", ".join(file.name for file in given.files)
            raise InvalidInputError(
                f"{names} cannot serve {step} without more being said; export it with `fsexport` "
                f"(docs/guides/models.md) and give the folder that it wrote: --use {step}=FOLDER"
            )
