"""`fsclient crops`: the faces of results, cut out once and kept beside them."""

from __future__ import annotations

from pathlib import Path

import click

from fsengine.terminal.messages import counted, say
from fsengine.terminal.path_types import FolderType
from fsengine.terminal.progress_bar import progress_bar


@click.command()
@click.argument("folder", metavar="DIR", type=FolderType(exists=True))
@click.option("--where", metavar="SQL", help="Faces to cut out: one expression over the columns of faces.")
def crops(folder: Path, where: str | None) -> None:
    r"""Cut the faces out of the photos and keep them in DIR/_crops/.

    Each photo is decoded once for all its faces; 224 pixels a side, about 9 KB a face. Composites, reports and the
    dashboard read them, and cut out on demand what is not there. What has a crop already is left alone; stopped, it
    goes on where it was.

    \b
    Example:
      fsclient crops results
      fsclient crops results --where "score > 0.8"
    """
    from fsanalysis.crops.crops_of_results import keep_crops
    from fsdata.results import open_results
    from fsdata.selection.kept_crops import CROPS_FOLDER
    from fsdata.selection.selected_faces import scan_selected

    results = open_results(folder)
    total = sum(batch.num_rows for batch in scan_selected(results, where, ["face_index"]))
    with progress_bar("cutting out", total, "face") as bar:
        made = keep_crops(results, where=where, on_face=bar.advance)
    say(f"{counted(made.num_made, 'face')} cut out, {made.num_kept} there already, in {folder / CROPS_FOLDER}")
    for reason, number in made.missing.most_common():
        say(f"{counted(number, 'face')} left out: {reason}")
    say(f"these are pictures of people: remove {folder / CROPS_FOLDER} with the results")
