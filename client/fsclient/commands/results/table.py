"""`fsclient table`: the master table, and what a folder of results holds."""

from __future__ import annotations

from pathlib import Path

import click

from fsclient.commands.options import program_name
from fsclient.commands.results.duplicates import duplicates
from fsclient.commands.results.results_text import failure_blocks, gone_text, info_blocks
from fsdata.compaction.compacting import PART_SIZE, Compaction, compact, plan_compaction
from fsdata.compaction.merging import merge, plan_merge
from fsdata.compaction.pruning import find_gone, prune
from fsdata.results import open_results
from fsdata.results.master_table import PHOTOS_FILE, build_table, describe
from fsdata.selection.crop_export import INDEX, export_crops
from fsdata.selection.exporting import FORMATS, export_faces
from fsengine.errors import InvalidInputError
from fsengine.files.output_path import OutputPaths
from fsengine.files.stores.store_path import AnyPath
from fsengine.terminal.command_group import ExplainedGroup
from fsengine.terminal.messages import counted, say
from fsengine.terminal.path_types import FolderType, LocalPath
from fsengine.terminal.progress_bar import progress_bar
from fsengine.terminal.tables import show

_FOLDER = FolderType(exists=True, stores=True)
_FOLDER_ON_DISK = FolderType(exists=True)
_ALL = 0
_CROPS = "crops"


class _InfoCommand(click.Command):
    """A command whose `--failures` may stand without its number, before DIR too."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the number for all in where none is given."""
        given = [*args, ""]
        filled = [
            f"--failures={_ALL}" if word == "--failures" and not following.isdecimal() else word
            for word, following in zip(args, given[1:], strict=True)
        ]
        return super().parse_args(ctx, filled)


@click.group(cls=ExplainedGroup)
def table() -> None:
    """Build and describe the master table: a row per face, flat, and beside it a row per photo.

    Example: fsclient table build results && fsclient table info results
    """


@table.command()
@click.argument("folder", metavar="DIR", type=_FOLDER)
def build(folder: AnyPath) -> None:
    """Build DIR/_table/faces.parquet and DIR/_table/photos.parquet from the parts in DIR.

    Example: fsclient table build results
    """
    path = build_table(folder)
    say(f"wrote {path} and {folder / PHOTOS_FILE}")
    say(f"next: {program_name()} table info {folder}")


@table.command(cls=_InfoCommand)
@click.argument("folder", metavar="DIR", type=_FOLDER)
@click.option(
    "--failures",
    type=click.IntRange(0),
    metavar="[N]",
    help="List every photo that is neither ok nor without a face, or the first N of them.",
)
def info(folder: AnyPath, failures: int | None) -> None:
    """Say what DIR holds: photos, faces, models, columns and the first rows.

    Example: fsclient table info results
    """
    if failures is None:
        show(info_blocks(describe(folder)))
    else:
        show(failure_blocks(open_results(folder), failures or None))


@table.command("export")
@click.argument("folder", metavar="DIR", type=_FOLDER)
@click.option("--out", type=LocalPath(path_type=Path), required=True, metavar="FILE", help="File to write, or folder.")
@click.option(
    "--format",
    "form",
    type=click.Choice([*FORMATS, _CROPS]),
    help="Form of the file; crops: a folder of JPEGs.  [default: by the name's ending]",
)
@click.option("--where", metavar="SQL", help="Faces to write: one expression over the columns of faces.")
@click.option("--columns", metavar="NAME,NAME", help="Columns to write.  [default: all; in CSV without the embedding]")
@click.option("--overwrite", is_flag=True, help="Replace the file where it is there.")
def export_command(
    folder: AnyPath, out: Path, form: str | None, where: str | None, columns: str | None, overwrite: bool
) -> None:
    r"""Write a row per face as CSV, as lines of JSON, or as Parquet, in the order of the sources; or its crop.

    Crops are those that `fsclient crops DIR` keeps, and index.csv beside them says which face each is.

    \b
    Example:
      fsclient table export results --out faces.csv
      fsclient table export results --where "score > 0.9" --format crops --out crops/
      fsclient table export results --where "age_years < 18" --columns source,x0,y0,x1,y1 --out minors.jsonl
    """
    if form == _CROPS:
        _export_crops(folder, out, where, columns)
        return
    form = form or out.suffix.removeprefix(".").lower()
    if form not in FORMATS:
        raise InvalidInputError(f"{out} has no ending that says its form; give --format {'|'.join(FORMATS)}")
    results = open_results(folder)
    paths = OutputPaths(results.paths, overwrite=overwrite)
    paths.check(out)
    wanted = None if columns is None else [name.strip() for name in columns.split(",")]
    number = 0
    with progress_bar("writing", None, "face") as bar:

        def write(path: Path) -> None:
            nonlocal number
            number = export_faces(results, path, form, where=where, columns=wanted, on_faces=bar.advance)

        paths.write(out, write)
    say(f"wrote {counted(number, 'face')} to {out}")


def _export_crops(folder: AnyPath, out: Path, where: str | None, columns: str | None) -> None:
    if columns is not None:
        raise click.UsageError("--columns is about rows, and --format crops writes pictures.")
    with progress_bar("writing", None, "face") as bar:
        made = export_crops(open_results(folder), out, where=where, on_faces=bar.advance)
    say(f"wrote {counted(made.num_written, 'crop')} and {INDEX} to {out}")
    if made.num_missing:
        say(f"{counted(made.num_missing, 'face')} without a kept crop: fsclient crops {folder}")
    say(f"these are pictures of people: remove {out} with the results")


table.add_command(duplicates)


@table.command("prune")
@click.argument("folder", metavar="DIR", type=_FOLDER_ON_DISK)
@click.option("--dry-run", is_flag=True, help="Say what would be dropped, and drop nothing.")
@click.option("--all", "even_all", is_flag=True, help="Go on where all files are gone.")
def prune_command(folder: Path, dry_run: bool, even_all: bool) -> None:
    """Drop from DIR the rows of photos whose files are gone.

    Where all of them are gone, a disk may not be mounted, and nothing is dropped
    unless --all says so.

    Example: fsclient table prune results --dry-run
    """
    gone = find_gone(folder) if dry_run else prune(folder, even_all=even_all)
    say(gone_text(gone, dry_run))
    if gone.num_gone and not dry_run and not gone.all_gone:
        say(f"next: {program_name()} table build {folder}")


@table.command("compact")
@click.argument("folders", metavar="DIR...", nargs=-1, required=True, type=FolderType(exists=True, stores=True))
@click.option("--out", type=FolderType(), metavar="DIR", help="New folder for the parts of all DIR, which stay.")
@click.option("--part-size", type=click.IntRange(1), default=PART_SIZE, show_default=True, help="Photos of one part.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and change nothing.")
def compact_command(folders: tuple[AnyPath, ...], out: Path | None, part_size: int, dry_run: bool) -> None:
    r"""Make few large parts of the many small ones in DIR, without rows that were replaced.

    Of a photo that was done more than once the latest row stays. With --out
    the parts of several folders, such as shards, come into a new one.

    \b
    Example:
      fsclient table compact results
      fsclient table compact results/shard-* --out results/all
    """
    if out is None and len(folders) > 1:
        raise click.UsageError("Several folders need --out DIR, a new folder for the parts of all of them.")
    with progress_bar("compacting", None, "part") as bar:
        if out is None:
            (folder,) = folders
            done = (plan_compaction if dry_run else compact)(folder, part_size=part_size, on_parts=bar.reach)
        elif dry_run:
            done = plan_merge(folders, part_size=part_size, on_parts=bar.reach)
        else:
            done = merge(folders, out, part_size=part_size, on_parts=bar.reach)
    say(_compaction_text(done, dry_run))
    if done.num_rewritten and not dry_run:
        say(f"next: {program_name()} table build {folders[0] if out is None else out}")


def _compaction_text(done: Compaction, dry_run: bool) -> str:
    photos = counted(done.num_photos, "photo")
    if not done.num_rewritten:
        return f"compact already: {photos} in {counted(done.parts_before, 'part')}, and no row that was replaced"
    would = "would become" if dry_run else "became"
    after = "" if done.bytes_after is None else f" of {done.bytes_after / 1e6:,.1f} MB"
    return (
        f"{photos}: {counted(done.parts_before, 'part')} of {done.bytes_before / 1e6:,.1f} MB {would} "
        f"{done.parts_after:,}{after}, without {counted(done.num_dropped, 'row')} that later ones replaced"
    )
