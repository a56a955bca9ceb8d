"""The `fsexport` command: models to checked artifacts, artifacts to packs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from fsengine.packs.pack import PRECISIONS, Pack
from fsengine.terminal.command_group import ExplainedGroup
from fsengine.terminal.messages import say

F = TypeVar("F", bound=Callable[..., Any])

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_FOLDER = click.Path(path_type=Path, file_okay=False)
_THERE = click.Path(path_type=Path, exists=True, file_okay=False)


@click.group(cls=ExplainedGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="facestats", prog_name="fsexport")
def main() -> None:
    r"""Export models to checked artifacts, and put artifacts together into packs.

    SOURCE is a file, or a name of `fsclient models list` that was fetched or imported. Every export is compared with
    its source before it gets its name, and is skipped when nothing changed.

    \b
    Example: from a CLIP checkpoint of your own to a served pack
      fsexport clip my_clip.pt --architecture ViT-B-32 --activation gelu --out build/embed
      fsexport detector scrfd-10g --out build/detect
      fsexport attractiveness my_mlp.pt --reference scores.csv --out build/attractiveness
      fsexport pack mine build/embed build/detect build/attractiveness --out packs/mine
      fsclient ingest photos/ --models ./packs/mine --out results
    """


def _out(function: F) -> F:
    return click.option("--out", type=_FOLDER, required=True, help="Folder of the artifact.")(function)


def _photos(function: F) -> F:
    return click.option(
        "--photos",
        type=_THERE,
        help="Folder of real photos to compare on, and to calibrate int8 and fp8 on.  [default: the photos that ship]",
    )(function)


def _licence(function: F) -> F:
    function = click.option(
        "--commercial-use", is_flag=True, help="That licence allows commercial use; for files that no table knows."
    )(function)
    return click.option(
        "--licence",
        "--license",
        default=None,
        metavar="TEXT",
        help="Licence of the source; for files that no table knows.",
    )(function)


@main.command("clip")
@click.argument("source", metavar="SOURCE")
@click.option("--architecture", metavar="NAME", help="open_clip's name of the model, such as ViT-B-32-quickgelu.")
@click.option(
    "--activation",
    type=click.Choice(["gelu", "quickgelu"]),
    help="What the weights were trained with; needed for files that no table knows.",
)
@click.option("--precision", type=click.Choice(PRECISIONS), default="fp32", show_default=True, help="Of the artifact.")
@_photos
@_licence
@_out
def clip(
    source: str,
    architecture: str | None,
    activation: str | None,
    precision: str,
    photos: Path | None,
    licence: str | None,
    commercial_use: bool,
    out: Path,
) -> None:
    r"""Export an open_clip ViT image encoder: the embed step.

    SOURCE is a name of the table, a checkpoint file (state_dict or safetensors), or open_clip's own
    ARCHITECTURE/TAG, which open_clip fetches.

    \b
    Example:
      fsexport clip clip-vit-b32-openai --precision fp16 --out build/embed
      fsexport clip ViT-B-16/datacomp_xl_s13b_b90k --out build/embed
    """
    from fsexport.artifact.precision import Precision
    from fsexport.embed.clip_artifact import export_clip_artifact
    from fsexport.embed.clip_source import clip_given

    given, model = clip_given(source, architecture, activation, _stated(licence, commercial_use))
    export_clip_artifact(model, given, Precision(precision), _photo_list(photos), out, say)
    click.echo(out)


@main.command("detector")
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True)
@click.option(
    "--max-faces", type=click.IntRange(1, 256), default=256, show_default=True, help="The most faces of a photo."
)
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16"]),
    default="fp32",
    show_default=True,
    help="Of the artifact; fp16 for SCRFD and CenterFace alone.",
)
@_photos
@_licence
@_out
def detector(
    sources: tuple[str, ...],
    max_faces: int,
    precision: str,
    photos: Path | None,
    licence: str | None,
    commercial_use: bool,
    out: Path,
) -> None:
    r"""Export a face detector, SCRFD, YuNet, CenterFace or BlazeFace: the detect step.

    \b
    Example:
      fsexport detector yunet --out build/detect
      fsexport detector scrfd-10g --precision fp16 --out build/detect
      fsexport detector blazeface-short blazeface-full --out build/detect
    """
    from fsexport.artifact.origins import resolve
    from fsexport.artifact.precision import Precision
    from fsexport.detect.detector_artifact import export_detector_artifact, settings_for

    given = resolve(sources, _stated(licence, commercial_use))
    settings = settings_for(given.files, max_faces)
    chosen = Precision(precision)
    export_detector_artifact(given.files, given.origin, settings, _photo_list(photos), out, say, precision=chosen)
    click.echo(out)


@main.command("age-gender")
@click.argument("source", metavar="SOURCE")
@_photos
@_licence
@_out
def age_gender(source: str, photos: Path | None, licence: str | None, commercial_use: bool, out: Path) -> None:
    """Export InsightFace's age and gender network, 96 px or the older 112 px one: the age_gender step.

    Example: fsexport age-gender genderage --out build/age_gender
    """
    from fsexport.artifact.origins import resolve
    from fsexport.heads.genderage_artifact import export_age_gender_artifact

    given = resolve([source], _stated(licence, commercial_use))
    export_age_gender_artifact(given.files[0], given.origin, _photo_list(photos), out, say)
    click.echo(out)


@main.command("attractiveness")
@click.argument("source", metavar="SOURCE")
@click.option(
    "--reference", required=True, metavar="SOURCE", help="Scores of the reference distribution: Parquet, CSV or a name."
)
@click.option("--column", metavar="NAME", help="Column of the scores.  [default: attractiveness, *_raw or score]")
@_licence
@_out
def attractiveness(
    source: str, reference: str, column: str | None, licence: str | None, commercial_use: bool, out: Path
) -> None:
    r"""Export an MLP of a torch state_dict (net.N.weight, net.N.bias): the attractiveness step.

    \b
    Example:
      fsexport attractiveness facestats-v4-attractiveness --reference facestats-v4-scores --out build/attractiveness
    """
    from fsexport.artifact.origins import resolve
    from fsexport.heads.attractiveness_artifact import export_attractiveness_artifact, read_scores
    from fsexport.heads.rating_mlp import read_torch_mlp

    given = resolve([source, reference], _stated(licence, commercial_use))
    model, scores = given.files
    export_attractiveness_artifact(read_torch_mlp(model), read_scores(scores, column), given.origin, out, say)
    click.echo(out)


@main.command("linear")
@click.argument("source", metavar="SOURCE")
@click.option("--head", type=click.Choice(["gender", "ethnicity"]), required=True, help="What it classifies.")
@_licence
@_out
def linear(source: str, head: str, licence: str | None, commercial_use: bool, out: Path) -> None:
    """Export a pickled scikit-learn LogisticRegression on the embedding, scaled or not: gender or ethnicity.

    The pickle is read without running what it asks for; labels are its own.

    Example: fsexport linear facestats-v4-ethnicity --head ethnicity --out build/ethnicity
    """
    from fsexport.artifact.origins import resolve
    from fsexport.heads.linear_head import LinearHead, export_linear_head_artifact
    from fsexport.sources.sklearn_pickle import read_scaled_classifier

    given = resolve([source], _stated(licence, commercial_use))
    classifier = read_scaled_classifier(given.files[0])
    export_linear_head_artifact(classifier, LinearHead(head), given.origin, out, say)
    click.echo(out)


@main.command("trees")
@click.argument("source", metavar="FILE", type=_FILE)
@click.option("--labels", type=_FILE, required=True, help="Text file, a class label a line, in the model's order.")
@_licence
@_out
def trees(source: Path, labels: Path, licence: str | None, commercial_use: bool, out: Path) -> None:
    """Export a LightGBM multiclass model in its text form to Treelite: the ethnicity step.

    Example: fsexport trees forest.txt --labels labels.txt --out build/ethnicity
    """
    from fsexport.artifact.origins import resolve
    from fsexport.heads.forest_artifact import export_forest_artifact, read_labels

    given = resolve([str(source)], _stated(licence, commercial_use))
    export_forest_artifact(source, read_labels(labels), given.origin, out, say)
    click.echo(out)


@main.command("pack")
@click.argument("name", metavar="NAME")
@click.argument("artifacts", metavar="ARTIFACT...", nargs=-1, required=True, type=_THERE)
@click.option("--description", default="", metavar="TEXT", help="One sentence for people.")
@click.option("--out", type=_FOLDER, required=True, help="Folder of the pack.")
def pack(name: str, artifacts: tuple[Path, ...], description: str, out: Path) -> None:
    """Put the folders that other commands wrote together into a pack, with the align graph that fits them.

    Example: fsexport pack mine build/detect build/embed build/attractiveness --out packs/mine
    """
    from fsexport.packs.pack_builder import build_pack

    steps = ", ".join(folder.name for folder in artifacts)
    _report(build_pack(name, description or f"made by fsexport pack from {steps}", artifacts, out), out)


@main.command("parity")
@click.argument("artifacts", metavar="ARTIFACT...", nargs=-1, required=True, type=_THERE)
def parity(artifacts: tuple[Path, ...]) -> None:
    """Print what exports were measured to differ from their sources by, as a Markdown table.

    Example: fsexport parity build/*
    """
    from fsexport.artifact.exported import read_exported
    from fsexport.artifact.parity import parity_table

    click.echo(parity_table([read_exported(folder) for folder in artifacts]), nl=False)


def _stated(licence: str | None, commercial_use: bool) -> Any:
    """Return what the user says of a file's licence."""
    from fsexport.artifact.origins import LICENCE_NOT_STATED, StatedLicence

    if commercial_use and licence is None:
        raise click.UsageError("--commercial-use says what --licence allows; give both")
    return StatedLicence(text=licence or LICENCE_NOT_STATED, commercial_use=commercial_use)


def _photo_list(folder: Path | None) -> list[Path]:
    from fsexport.inputs.decoded_photos import default_photos, list_photos

    return default_photos() if folder is None else list_photos(folder)


def _report(pack: Pack, out: Path) -> None:
    served = pack.served()
    say(f"{pack.name}: {served.model_set_id}; marks: {served.marks_text or 'none'}")
    click.echo(out)
