"""`fsclient report`: results as one page."""

from __future__ import annotations

from pathlib import Path

import click

from fsengine.terminal.messages import say
from fsengine.terminal.path_types import FolderType, LocalPath


@click.command()
@click.argument("folder", metavar="DIR", type=FolderType(exists=True))
@click.option(
    "--out", type=LocalPath(path_type=Path, dir_okay=False), required=True, metavar="HTML", help="Page to write."
)
@click.option(
    "--composites", is_flag=True, help="Show the mean face of each group of age and gender; looks at every face."
)
@click.option("--where", metavar="SQL", help="Faces to report: one expression over their columns.  [default: all]")
@click.option("--faces", is_flag=True, help="Show a sample of the faces.")
@click.option("--overwrite", is_flag=True, help="Replace the page where it is there.")
def report(folder: Path, out: Path, where: str | None, composites: bool, faces: bool, overwrite: bool) -> None:
    r"""Write a page that says what DIR holds: photos, failures, faces, ages, classes, a map.

    One HTML file without scripts, to be read offline, printed or sent. No face is in it without --faces and
    --composites.

    \b
    Example:
      fsclient report results --out report.html
      fsclient report results --out report.html --composites --faces
      fsclient report results --where "score > 0.8" --out sure.html
    """
    from fsanalysis.report.report_page import report_page
    from fsdata.results import open_results
    from fsengine.files.output_path import OutputPaths
    from fsengine.terminal.progress_bar import progress_bar

    results = open_results(folder)
    paths = OutputPaths(results.paths, overwrite=overwrite)
    paths.check(out)
    with progress_bar("looking at faces", None, "face") as bar:
        page = report_page(results, where=where, faces=faces, composites=composites, on_face=bar.advance)
    paths.write(out, lambda path: path.write_text(page, encoding="utf-8"))
    say(f"wrote {out} ({len(page.encode()) / 1e6:.1f} MB)")
