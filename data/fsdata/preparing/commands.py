"""`fsdata split`, `sample` and `sheet`: for people who prepare labelled photos."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fsdata.label_options import label_options
from fsengine.terminal.messages import counted, say
from fsengine.terminal.path_types import LocalPath
from fsengine.terminal.progress_bar import progress_bar
from fsengine.terminal.tables import Table, show

if TYPE_CHECKING:
    from fsdata.labels.record import LabelledPhoto
    from fsdata.preparing.given_photos import LabelSource
    from fsdata.preparing.splitting import SplitPhotos

CLASSES = ("gender", "age", "ethnicity", "identity", "dataset", "split")
_MOST_SHOWN = 30
_FILE = click.Path(path_type=Path, dir_okay=False)

_path = click.argument("path", metavar="PATH", type=click.Path(path_type=Path, allow_dash=True))
_seed = click.option("--seed", type=int, default=0, show_default=True, help="Another number gives another draw.")
_overwrite = click.option("--overwrite", is_flag=True, help="Replace what is there.")


@click.command("split")
@_path
@click.option("--out", type=LocalPath(path_type=Path), required=True, metavar="DIR", help="Folder of the lists.")
@click.option(
    "--results",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    help="Results of these photos: split their faces as fstrain does, near-duplicates by embeddings.",
)
@click.option("--only", type=_FILE, metavar="LIST", help="Split the photos of this list alone, such as a sample.")
@click.option("--copies-only", is_flag=True, help="Decode nothing: compare photos by their bytes alone.")
@_seed
@label_options
@_overwrite
def split_command(
    path: Path,
    out: Path,
    results: Path | None,
    only: Path | None,
    copies_only: bool,
    seed: int,
    kind: str | None,
    attribute: str | None,
    columns: tuple[tuple[str, str], ...],
    overwrite: bool,
) -> None:
    r"""Split labelled photos into lists: train.txt (65 %), validation.txt (15 %) and test.txt (20 %).

    PATH is a label file or folder as for `fsdata check`, or a list of paths. Copies, pictures that look the same, and
    photos of one person where the labels name them are never on two sides. A photo keeps its side when others are
    added. splits.csv holds the side and the group of every photo.

    With --results the photos are split as `fstrain` splits them with the same labels and the same seed.

    \b
    Example:
      fsdata split fairface/fairface_label_train.csv --out splits
      fsdata split fairface/fairface_label_train.csv --results results --out splits
    """
    from fsdata.preparing.splitting import check_out, split_by_content, split_by_faces, write_split

    if results is not None and copies_only:
        raise click.UsageError("--copies-only and --results exclude each other: results hold the faces to compare")
    check_out(out, overwrite=overwrite)
    with _interruptible():
        records = _records(_source(path, kind, attribute, columns))
        if only is not None:
            records = _among(records, only, path)
        if results is not None:
            split = split_by_faces(records, results, seed)
        else:
            different = len({record.path for record in records})
            with progress_bar("compare", different * (1 if copies_only else 2), "photo") as bar:
                split = split_by_content(records, seed, looks=not copies_only, on_photo=bar.advance)
        with _writing(out):
            write_split(split, out)
    _tell_split(split, out)


@click.command("sample")
@_path
@click.option("-n", "--number", type=click.IntRange(1), required=True, metavar="N", help="How many photos.")
@click.option(
    "--by",
    type=click.Choice(CLASSES),
    multiple=True,
    help="Draw as many of each class, or of each combination where it is given again.",
)
@_seed
@click.option("--out", type=_FILE, metavar="LIST", help="List to write.  [default: stdout]")
@label_options
@_overwrite
def sample_command(
    path: Path,
    number: int,
    by: tuple[str, ...],
    seed: int,
    out: Path | None,
    kind: str | None,
    attribute: str | None,
    columns: tuple[tuple[str, str], ...],
    overwrite: bool,
) -> None:
    r"""Draw photos, the same ones each time, and write their list.

    PATH is a label file or folder as for `fsdata check`, a folder of photos, or a list of paths (- for stdin). The
    list has a path in each line: `fsclient ingest --from-file`, `fsdata split` and `fsdata sheet` read it.

    \b
    Example:
      fsdata sample fairface/fairface_label_train.csv -n 1000 --by gender --by age --out sample.txt
      fsdata sample photos/ -n 100 | fsclient ingest --from-file - --out results
    """
    from fsdata.preparing.sampling import draw_sample
    from fsengine.files.output_path import OutputPaths
    from fsengine.files.path_list import path_list

    source = _source(path, kind, attribute, columns)
    outputs = OutputPaths([path], overwrite=overwrite)
    if out is not None:
        outputs.check(out)
    with _interruptible():
        records = _records(source) if by or source.says_labels or not path.is_dir() else _below(path)
        base = path.absolute() if path.is_dir() else path.absolute().parent
        sample = draw_sample(records, number, by, seed, base)
        data = path_list(sample.paths)
        if out is None:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        else:
            with _writing(out):
                outputs.write(out, lambda temporary: temporary.write_bytes(data))
    _tell_left_out(sample.left_out)
    if by:
        for name, (drawn, there) in list(sample.classes.items())[:_MOST_SHOWN]:
            say(f"  {name}: {drawn:,} of {there:,}")
        if len(sample.classes) > _MOST_SHOWN:
            say(f"  ... {len(sample.classes) - _MOST_SHOWN:,} more classes")
    wanting = "" if len(sample.paths) == number else f", {number:,} were asked for"
    say(f"drew {counted(len(sample.paths), 'photo')}{wanting}" + ("" if out is None else f" into {out}"))


@click.command("sheet")
@_path
@click.option("--out", type=_FILE, required=True, metavar="PNG", help="Picture to write.")
@click.option(
    "--most",
    type=click.IntRange(1, 2000),
    default=200,
    show_default=True,
    metavar="N",
    help="Photos that are shown, the first ones of PATH; 2000 at most.",
)
@click.option("--columns", type=click.IntRange(1, 40), metavar="N", help="Photos in a row.  [default: by their number]")
@click.option(
    "--cell", type=click.IntRange(48, 512), default=160, show_default=True, help="Side of a photo, in pixels."
)
@_overwrite
def sheet_command(path: Path, out: Path, most: int, columns: int | None, cell: int, overwrite: bool) -> None:
    r"""Draw a contact sheet: photos in cells of one size, turned upright, with their names below.

    PATH is a folder of photos with all below it, or a list of paths (- for stdin). A photo that cannot be read has
    the reason in its cell, and the exit code is 3.

    \b
    Example:
      fsdata sheet photos/ --out sheet.png
      fsdata sample photos/ -n 60 | fsdata sheet - --out sheet.png
    """
    from fsdata.preparing.contact_sheet import ContactSheet, cap_text
    from fsdata.preparing.given_photos import given_paths, is_list
    from fsengine.errors import InvalidInputError
    from fsengine.files.output_path import OutputPaths

    if out.suffix.lower() != ".png":
        raise InvalidInputError(f"{out} does not end in .png; a contact sheet is written as PNG")
    if not path.is_dir() and not is_list(path):
        raise InvalidInputError(
            f"{path} is no folder and no list of photos; of a label file draw a list with `fsdata sample`"
        )
    with _interruptible():
        paths = given_paths(path)
        outputs = OutputPaths([*paths, path], overwrite=overwrite)
        outputs.check(out)
        shown = paths[:most]
        told = cap_text(len(shown), len(paths))
        with progress_bar("draw", len(shown), "photo") as bar:
            sheet, failed = ContactSheet(cell_px=cell, columns=columns).draw(shown, told, bar.advance)
        with _writing(out):
            outputs.write(out, lambda temporary: sheet.save(temporary, "PNG", compress_level=3))
    more = "" if len(shown) == len(paths) else "; --most shows more (2,000 at most), `fsdata sample` draws some of all"
    say(f"{out} shows {told}{more}")
    for name, reason in failed[:_MOST_SHOWN]:
        say(f"  {name}: {reason}")
    if len(failed) > _MOST_SHOWN:
        say(f"  ... {len(failed) - _MOST_SHOWN:,} more that cannot be read")
    if failed:
        raise SystemExit(3)


def _source(path: Path, kind: str | None, attribute: str | None, columns: tuple[tuple[str, str], ...]) -> LabelSource:
    from fsdata.labels.readers.data_sets import Kind
    from fsdata.labels.readers.label_table import Attribute
    from fsdata.preparing.given_photos import LabelSource

    return LabelSource(
        path=path,
        kind=None if kind is None else Kind(kind),
        attribute=None if attribute is None else Attribute(attribute),
        columns=dict(columns),
    )


def _records(source: LabelSource) -> list[LabelledPhoto]:
    """Read photos, and tell what of their labels could not be used."""
    from fsdata.labels.record import ReaderNote
    from fsdata.labels.told_notes import told_notes
    from fsdata.preparing.given_photos import given_records

    notes: list[ReaderNote] = []
    records = given_records(source, notes.append)
    for line in told_notes(records, notes):
        say(line)
    return records


def _below(folder: Path) -> list[LabelledPhoto]:
    from fsdata.preparing.given_photos import given_paths, unlabelled

    return [unlabelled(path) for path in given_paths(folder)]


def _among(records: list[LabelledPhoto], only: Path, path: Path) -> list[LabelledPhoto]:
    from fsdata.preparing.given_photos import given_paths
    from fsengine.errors import InvalidInputError

    wanted = set(given_paths(only))
    found = [record for record in records if record.path in wanted]
    if not found:
        raise InvalidInputError(f"none of the {counted(len(wanted), 'photo')} of {only} is named in {path}")
    unknown = len(wanted) - len({record.path for record in found})
    if unknown:
        say(f"{counted(unknown, 'photo')} of {only} are not named in {path}, and are left out")
    return found


def _tell_split(split: SplitPhotos, out: Path) -> None:
    from fsdata.labels.splits import FRACTIONS

    _tell_left_out(split.left_out)
    whole = max(1, len(split.records))
    rows = [
        (side, f"{len(split.paths(side)):,}", f"{split.num_groups(side):,}", f"{split.sides.count(side) / whole:.1%}")
        for side in FRACTIONS
    ]
    blocks: list[Any] = [Table(rows=rows, align="lrrr", header=("list", "photos", "groups", "share"))]
    classes = [
        (attribute, name, *(f"{counts[side]:,}" for side in FRACTIONS))
        for attribute, names in split.classes().items()
        for name, counts in names.items()
    ]
    if classes:
        blocks += ["", Table(rows=classes[:100], align="llrrr", header=("label", "class", *FRACTIONS))]
    show(blocks)
    say(f"wrote {', '.join(f'{side}.txt' for side in FRACTIONS)} and splits.csv into {out}")


def _tell_left_out(left_out: Mapping[str, int]) -> None:
    from fsdata.preparing.given_photos import reasons_text

    if left_out:
        say(f"left out: {reasons_text(left_out)}")


@contextmanager
def _interruptible() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        say("interrupted; nothing was written")
        raise SystemExit(130) from None


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    from fsengine.errors import InvalidInputError

    try:
        yield
    except OSError as exc:
        raise InvalidInputError(f"{out} cannot be written: {exc.strerror or exc}; choose another place") from exc
