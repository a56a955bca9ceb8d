"""The `fsdata` command: labelled data sets, checked, split, sampled and looked at."""

from __future__ import annotations

import json as json_text
from pathlib import Path

import click

from fsdata.label_options import label_options
from fsdata.preparing.commands import sample_command, sheet_command, split_command
from fsengine.terminal.command_group import ExplainedGroup
from fsengine.terminal.progress_bar import progress_bar
from fsengine.terminal.tables import show

EXIT_PROBLEMS = 3


@click.group(cls=ExplainedGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="facestats", prog_name="fsdata")
def main() -> None:
    """Read labelled photos of faces: say what is wrong with them, split them, draw some, look at them.

    Example: fsdata check fairface/fairface_label_train.csv
    """


@main.command("check")
@click.argument("path", metavar="PATH", type=click.Path(path_type=Path))
@label_options
@click.option(
    "--rating-range",
    nargs=2,
    type=float,
    default=None,
    metavar="LOW HIGH",
    help="Lowest and highest rating.  [default: the data set's, or told by the ratings]",
)
@click.option("--json", is_flag=True, help="Print JSON alone on stdout.")
def check(
    path: Path,
    kind: str | None,
    attribute: str | None,
    columns: tuple[tuple[str, str], ...],
    rating_range: tuple[float, float] | None,
    json: bool,
) -> None:
    r"""Check a labelled data set: files, labels, copies, ratings and the balance of classes.

    PATH is a label file (CSV, TSV, Parquet, Excel), a folder of UTKFace photos, or a folder whose sub-folders are
    labels. A row that cannot be used is a problem, and the others are read. The exit code is 0 without problems
    (warnings allowed), 3 with problems, 2 where PATH cannot be read.

    \b
    Example:
      fsdata check fairface/fairface_label_train.csv
      fsdata check utkface/ --kind utkface --json
      fsdata check people/ --kind folder --attribute identity
    """
    from fsdata.labels.check.checks import check_records
    from fsdata.labels.readers.data_sets import Kind, read_labels
    from fsdata.labels.readers.label_table import Attribute
    from fsdata.labels.record import ReaderNote

    notes: list[ReaderNote] = []
    records = read_labels(
        path,
        None if kind is None else Kind(kind),
        attribute=None if attribute is None else Attribute(attribute),
        columns=dict(columns),
        on_note=notes.append,
    )
    with progress_bar("check", len({record.path for record in records}), "photo") as bar:
        report = check_records(records, rating_range=rating_range, notes=notes, on_photo=bar.advance)
    if json:
        click.echo(json_text.dumps(report.to_json(), indent=2))
    else:
        show(report.to_blocks())
    if report.problems:
        raise SystemExit(EXIT_PROBLEMS)


for _command in (split_command, sample_command, sheet_command):
    main.add_command(_command)
