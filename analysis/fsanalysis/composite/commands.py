"""`fsclient composite`: the faces that a query selects, as one picture."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fsengine.errors import InvalidInputError
from fsengine.terminal.messages import say
from fsengine.terminal.path_types import FolderType, LocalPath

if TYPE_CHECKING:
    from fsanalysis.composite.cohort import Cohort
    from fsanalysis.composite.preparation import Preparation
    from fsdata.results.reading import Results
    from fsengine.files.output_path import OutputPaths


@click.command()
@click.argument("folder", metavar="DIR", type=FolderType(exists=True))
@click.option(
    "--where", metavar="SQL", help="Faces to average: one expression over the columns of faces.  [default: all]"
)
@click.option(
    "--compare", metavar="SQL", help="Other faces, averaged in the same frame, beside them, with the difference."
)
@click.option(
    "--out", type=LocalPath(path_type=Path, dir_okay=False), required=True, metavar="PNG", help="Picture to write."
)
@click.option(
    "--method",
    type=click.Choice(["mean", "pca"]),
    default="mean",
    show_default=True,
    help="mean: one face; pca: what the faces differ in most, and PNG's name with .parquet for each face's part in it.",
)
@click.option("--mask/--no-mask", default=None, help="Show the face alone, in an oval.  [default: for pca]")
@click.option(
    "--min-faces", type=click.IntRange(2), default=20, show_default=True, help="Fewest faces; fewer are refused."
)
@click.option(
    "--per-photo", type=click.IntRange(1), default=5, show_default=True, help="Faces of one photo that count."
)
@click.option("--size", type=click.IntRange(64, 512), help="Side of the frame, in pixels.  [default: 256; pca: 128]")
@click.option("--components", type=click.IntRange(1, 64), default=8, show_default=True, help="Components of pca.")
@click.option("--overwrite", is_flag=True, help="Replace the picture where it is there.")
def composite(
    folder: Path,
    where: str | None,
    compare: str | None,
    out: Path,
    method: str,
    mask: bool | None,
    min_faces: int,
    per_photo: int,
    size: int | None,
    components: int,
    overwrite: bool,
) -> None:
    r"""Average the faces that a query selects into one picture.

    The picture says below it, and in its metadata, what it is made of. Faces are taken from DIR/_crops/ where they are
    (fsclient crops), and cut out of the photos otherwise.

    \b
    Example:
      fsclient composite results --where "gender = 'female' AND age_years BETWEEN 20 AND 40" --out mean.png
      fsclient composite results --where "age_years < 30" --compare "age_years > 50" --out ages.png
    """
    from fsanalysis.composite.cohort import Cohort
    from fsanalysis.composite.eigenfaces import SIDE_PX as PCA_SIDE_PX
    from fsanalysis.composite.preparation import SIDE_PX, Preparation
    from fsdata.results import open_results
    from fsengine.files.output_path import OutputPaths
    from fsengine.terminal.progress_bar import progress_bar

    if method == "pca" and compare is not None:
        raise InvalidInputError("--compare is about means; expected it without --method pca")
    if out.suffix.lower() != ".png":
        raise InvalidInputError(f"{out} does not end in .png; expected a name that does, as the picture is a PNG")
    results = open_results(folder)
    paths = OutputPaths(results.paths, overwrite=overwrite)
    written = [out] if method == "mean" else [out, out.with_suffix(".parquet")]
    for path in written:
        paths.check(path)
    side = size or (SIDE_PX if method == "mean" else PCA_SIDE_PX)
    wheres = [where] if compare is None else [where, compare]
    with progress_bar("looking at faces", None, "face") as bar:
        cohorts = [Cohort.select(results, where, per_photo=per_photo) for where in wheres]
        prepared = Preparation(results, cohorts, side=side, min_faces=min_faces, on_face=bar.advance)
    total = sum(cohort.faces.num_rows for cohort in prepared.cohorts)
    with progress_bar("averaging", total, "face") as bar:
        if method == "pca":
            _write_eigenfaces(prepared, prepared.cohorts[0], paths, written, components, results, bar.advance)
            return
        _write_means(prepared, bool(mask), paths, out, results, bar.advance)


def _write_means(
    prepared: Preparation, mask: bool, paths: OutputPaths, out: Path, results: Results, advance: Callable[[], object]
) -> None:
    """Average each query, and write one picture."""
    from fsanalysis.composite.captioned import cohort_lines, model_line, panels, save_png, with_caption
    from fsanalysis.composite.mean_face import difference, mean_of

    made = [mean_of(prepared, cohort, mask=mask, on_face=advance) for cohort in prepared.cohorts]
    pictures, titles = [found.picture for found in made], [f"n = {found.num_used}" for found in made]
    if len(made) == 2:
        pictures.append(difference(*made))
        titles = [f"A, {titles[0]}", f"B, {titles[1]}", "B less A, twice as large; grey: the same"]
    lines: list[str] = []
    for letter, found in zip("AB", made, strict=False):
        said = cohort_lines(found.where, found.num_found, found.num_used, found.left_out)
        lines += [f"{letter}: {said[0]}", *said[1:]] if len(made) == 2 else said
    lines.append(model_line(results.info))
    image = with_caption(panels([pictures], [titles]), lines)
    paths.write(out, lambda path: save_png(image, path, _metadata("mean", lines, results)))
    for line in lines:
        say(line)
    say(f"wrote {out}")


def _write_eigenfaces(
    prepared: Preparation,
    cohort: Cohort,
    paths: OutputPaths,
    written: list[Path],
    components: int,
    results: Results,
    advance: Callable[[], object],
) -> None:
    """Find the components of a query, and write their picture and each face's part in them."""
    import pyarrow.parquet as pq

    from fsanalysis.composite.captioned import cohort_lines, model_line, panels, save_png, with_caption
    from fsanalysis.composite.eigenfaces import DEVIATIONS, make_eigenfaces

    found = make_eigenfaces(prepared, cohort, components=components, on_face=advance)
    out, table = written
    pictures = [
        [found.pictures[number][0], found.mean, found.pictures[number][1]] for number in range(len(found.shares))
    ]
    titles = [
        [f"{number + 1}: -{DEVIATIONS:g} sd", "mean", f"+{DEVIATIONS:g} sd, {share:.1%} of the variance"]
        for number, share in enumerate(found.shares)
    ]
    number_used = found.coefficients.num_rows
    lines = cohort_lines(cohort.where, cohort.num_found, number_used, dict(sorted(cohort.left_out.items())))
    lines.append(f"components of {found.num_sampled} faces; every face's part in them: {table.name}")
    lines.append(model_line(results.info))
    image = with_caption(panels(pictures, titles), lines)
    paths.write(table, lambda path: pq.write_table(found.coefficients, path))
    paths.write(out, lambda path: save_png(image, path, _metadata("pca", lines, results)))
    for line in lines:
        say(line)
    say(f"wrote {out} and {table}")


def _metadata(method: str, lines: list[str], results: Results) -> dict[str, str]:
    """Return what a picture says of itself."""
    models = results.info.models
    return {
        "method": method,
        "caption": "\n".join(lines),
        "pack": models.pack,
        "model_set_id": models.model_set_id,
        "marks": json.dumps({mark: list(steps) for mark, steps in models.marks.items()}),
    }
