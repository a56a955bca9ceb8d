"""The `fstrain` command: heads trained on stored embeddings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from fsdata.label_options import KINDS
from fsengine.terminal.command_group import ExplainedGroup
from fsengine.terminal.messages import say
from fsengine.terminal.option_checks import finite
from fsengine.terminal.path_types import LocalPath

if TYPE_CHECKING:
    from fsdata.labels.record import LabelledPhoto, ReaderNote
    from fsdata.labels.training_faces import TrainingFaces
    from fstraining.heads.training_options import TrainingOptions

F = TypeVar("F", bound=Callable[..., Any])

_FOLDER = click.Path(path_type=Path, file_okay=False)
_EXISTING = click.Path(path_type=Path, exists=True)


@click.group(cls=ExplainedGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="facestats", prog_name="fstrain")
def main() -> None:
    r"""Train heads on embeddings that `fsclient ingest` stored, so that training and serving see the same pixels.

    Each command writes an artifact with a report and a model card below it; `fsexport pack` and `fsclient models build
    --use STEP=FOLDER` take it into a pack, and refuse it in one of another encoder or crop.

    \b
    Example:
      fsclient ingest photos/ --models official --out results
      fstrain ethnicity --results results --labels fairface_label_train.csv --licence "CC BY 4.0" --out heads/ethnicity
      fsclient models build official --use ethnicity=heads/ethnicity
    """


def _options(function: F) -> F:
    for option in reversed(
        [
            click.option("--results", type=_EXISTING, help="Folder that `fsclient ingest --out` wrote."),
            click.option(
                "--table", type=_EXISTING, help="Or a master table, or your own Parquet of embeddings and labels."
            ),
            click.option("--labels", type=_EXISTING, help="Labels of the photos, a file or a folder."),
            click.option("--kind", type=click.Choice(KINDS), help="What --labels is.  [default: told by its names]"),
            click.option("--encoder", default="", help="encoder_id of a --table's embeddings, where it is known."),
            click.option("--out", type=_FOLDER, required=True, help="Folder of the head."),
            click.option("--licence", "--license", required=True, help="Licence of the data, and of the head."),
            click.option("--commercial-use", is_flag=True, help="That licence allows commercial use."),
            click.option("--name", "data_name", help="Name of the data set.  [default: that of --labels]"),
            click.option("--seed", type=int, default=0, show_default=True, help="Of splits, weights and searches."),
            click.option(
                "--folds", type=click.IntRange(2, 20), default=5, show_default=True, help="Of cross-validation."
            ),
            click.option("--trials", type=click.IntRange(0), default=0, show_default=True, help="Of a search."),
            click.option("--no-faces", is_flag=True, help="Show no face in the report, so that it may be passed on."),
        ]
    ):
        function = option(function)
    return function


@main.command("attractiveness")
@click.option("--score", metavar="COLUMN", help="Column of the score in --table.  [default: rating or score]")
@_options
def attractiveness(score: str | None, **values: Any) -> None:
    r"""Train the attractiveness head: an MLP with a conformal interval and a reference distribution.

    \b
    Example:
      fstrain attractiveness --results results --labels All_Ratings.csv --licence "research" --out heads/attractiveness
    """
    from fstraining.heads.attractiveness import train_attractiveness

    columns = {"rating": score} if score else None
    _train(train_attractiveness, values, columns)


@main.command("ethnicity")
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1, max_open=True),
    callback=finite,
    help="Probability below which no class is named.  [default: where right answers outnumber wrong ones by the most]",
)
@_options
def ethnicity(**values: Any) -> None:
    r"""Train the ethnicity head: LightGBM, calibrated, with a threshold below which it abstains.

    \b
    Example:
      fstrain ethnicity --results results --labels fairface_label_train.csv --licence "CC BY 4.0" --out heads/ethnicity
    """
    from fstraining.heads.ethnicity import train_ethnicity

    _train(train_ethnicity, values, None)


@main.command("age-gender")
@_options
def age_gender(**values: Any) -> None:
    r"""Train age and gender: linear heads, the age with a conformal interval.

    \b
    Example:
      fstrain age-gender --results results --labels fairface_label_train.csv --licence "CC BY" --out heads/age_gender
    """
    from fstraining.heads.age_gender import train_age_gender

    _train(train_age_gender, values, None)


@main.command("compare")
@click.argument("first", type=_EXISTING)
@click.argument("second", type=_EXISTING)
@click.option(
    "--out",
    type=LocalPath(path_type=Path, dir_okay=False),
    default="compare.html",
    show_default=True,
    metavar="HTML",
    help="Page to write.",
)
@click.option("--overwrite", is_flag=True, help="Replace the page where it is there.")
def compare(first: Path, second: Path, out: Path, overwrite: bool) -> None:
    r"""Put two trainings of one head beside each other: FIRST and SECOND are folders of heads.

    On the faces that both kept out, it says how much better the second is, with an interval, and which answers changed.

    \b
    Example:
      fstrain compare heads/ethnicity heads/ethnicity-2 --out compare.html
    """
    from fsengine.files.output_path import OutputPaths
    from fstraining.evaluate.comparison import comparison_page, read_run

    paths = OutputPaths([], overwrite=overwrite)
    paths.check(out)
    page = comparison_page(read_run(first), read_run(second))
    paths.write(out, lambda path: path.write_text(page, encoding="utf-8"))
    say(f"wrote {out}")


def _train(train: Callable[..., object], values: dict[str, Any], columns: dict[str, str] | None) -> None:
    try:
        train(_faces(values, columns), _training_options(values), say)
    except KeyboardInterrupt:
        say("interrupted; the same command starts again, and finished trials of a search count")
        raise SystemExit(130) from None
    click.echo(values["out"])


def _faces(values: dict[str, Any], columns: dict[str, str] | None) -> TrainingFaces:
    """Read the faces that the options name."""
    from fsdata.labels.joining import join_master_table, join_results

    if (values["results"] is None) == (values["table"] is None):
        raise click.UsageError("give --results with --labels, or --table")
    if values["table"] is not None and not _is_master_table(values["table"]):
        return _table_faces(values, columns)
    if values["labels"] is None:
        given = (
            "--results" if values["table"] is None else f"{values['table']} holds predictions and no labels: --table"
        )
        raise click.UsageError(f"{given} needs --labels")
    if values["encoder"]:
        raise click.UsageError("--encoder is for a --table of your own; results say which encoder made them")
    records = _records(values["labels"], values["kind"], columns)
    if values["table"] is not None:
        faces = join_master_table(values["table"], records)
    else:
        faces = join_results(values["results"], records)
    say("labelled photos found: " + ", ".join(f"{count} {how}" for how, count in faces.joined.items()))
    return faces


def _is_master_table(path: Path) -> bool:
    """Return whether a table is one that `fsclient table build` wrote."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from fsdata.results.master_reading import holds_results

    try:
        return holds_results(pq.read_schema(path))
    except (OSError, pa.ArrowException):
        return False  # whoever reads its rows says why


def _table_faces(values: dict[str, Any], columns: dict[str, str] | None) -> TrainingFaces:
    """Read embeddings that lie beside their labels."""
    from fsdata.labels.readers.data_sets import Kind
    from fsdata.labels.training_faces import read_embedding_table

    if values["labels"] is not None:
        raise click.UsageError(
            "--labels is for --results, or for a --table that `fsclient table build` wrote; other tables hold labels "
            "themselves"
        )
    # A row that is left out would move the labels of those below it.
    records = _records(values["table"], Kind.TABLE.value, columns, bad_rows=False)
    return read_embedding_table(values["table"], records, values["encoder"])


def _records(
    path: Path, kind: str | None, columns: dict[str, str] | None, bad_rows: bool = True
) -> list[LabelledPhoto]:
    """Read labels, and tell what was left out of them."""
    from fsdata.labels.readers.data_sets import Kind, read_labels
    from fsdata.labels.told_notes import told_notes

    notes: list[ReaderNote] = []
    records = read_labels(
        path, None if kind is None else Kind(kind), columns=columns, on_note=notes.append if bad_rows else None
    )
    for line in told_notes(records, notes):
        say(line)
    return records


def _training_options(values: dict[str, Any]) -> TrainingOptions:
    from fstraining.heads.training_options import TrainingOptions

    source: Path = values["labels"] or values["table"]
    return TrainingOptions(
        out=values["out"],
        seed=values["seed"],
        trials=values["trials"],
        folds=values["folds"],
        data_name=values["data_name"] or source.name,
        data_licence=values["licence"],
        commercial_use=values["commercial_use"],
        threshold=values.get("threshold"),
        shows_faces=not values["no_faces"],
    )
