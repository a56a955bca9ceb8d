"""The labelled FairFace crops that the `lite` pack's heads are fitted on: tar files with a table beside them."""

from __future__ import annotations

import csv
import tarfile
from dataclasses import dataclass
from pathlib import Path

from fsengine.errors import InvalidInputError

LABELS_FILE = "labels.tsv"
_COLUMNS = ("file", "age_bucket", "gender", "race")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingCrops:
    """Unpacked crops.

    Attributes:
        folder: Where they lie.
        labels: Table of their labels, in FairFace's own form.
        photos: Their paths, in the order of the table.
    """

    folder: Path
    labels: Path
    photos: list[Path]


def unpack_crops(source: Path, folder: Path) -> TrainingCrops:
    """Unpack crops.

    Args:
        source: Folder with `labels.tsv` (file, age_bucket, gender, race, tab-separated) and tar files of the crops.
        folder: Where they shall lie.

    Raises:
        InvalidInputError: The source holds no such files, or a crop of the table is in none of them.
    """
    try:
        with (source / LABELS_FILE).open(newline="", encoding="utf-8") as file:
            rows = [{name: row[name] for name in _COLUMNS} for row in csv.DictReader(file, delimiter="\t")]
        for archive in sorted(source.glob("*.tar")):
            with tarfile.open(archive) as tar:
                tar.extractall(folder, filter="data")
    except (OSError, KeyError, ValueError, csv.Error, tarfile.TarError) as exc:
        raise InvalidInputError(
            f"{source} holds no labelled crops ({exc!r}); expected {LABELS_FILE} with {', '.join(_COLUMNS)}, and tar "
            "files of the crops"
        ) from exc
    names = [row["file"] for row in rows]
    if not names or len(set(names)) < len(names) or not all(value for row in rows for value in row.values()):
        raise InvalidInputError(
            f"{source / LABELS_FILE} names no crop, one twice, or one without all of its labels; expected one whole "
            "row for each crop"
        )
    places = {path.name: path for path in sorted(folder.rglob("*.jpg"))}
    if missing := [row["file"] for row in rows if row["file"] not in places]:
        raise InvalidInputError(f"{source}: {len(missing)} crops of the table are in no tar file: {missing[:3]} ...")
    labels = folder / "fairface_label_train.csv"
    labels.unlink(missing_ok=True)  # never through a link that an archive brought
    with labels.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "age", "gender", "race"])
        for row in rows:
            where = places[row["file"]].relative_to(folder)
            writer.writerow([where, row["age_bucket"], row["gender"], row["race"]])
    return TrainingCrops(folder=folder, labels=labels, photos=[places[row["file"]] for row in rows])
