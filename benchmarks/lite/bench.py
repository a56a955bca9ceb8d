"""What does a pack find and say, through the served ensemble? Faces on counted photos, heads on labelled crops, people.

    python benchmarks/lite/bench.py ASSETS [--models PACK] [--every N]

ASSETS is the folder of the test assets. Needs the extras server and training. No head of the pack that ships was fitted
on the labelled crops; the encoder, its crop and the width of its projection were chosen with half of them. Prints the
tables of docs/reference/packs.md.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsclient import Client
from fsclient.score.answers import Face, ScoredPhoto
from fsdata.labels.readers.data_sets import read_labels
from fsdata.labels.record import LabelledPhoto
from fsengine.packs.shipped import SHIPPED_PACK
from fsengine.terminal.messages import counted
from fsengine.terminal.tables import Table
from fstraining.data.groups import groups_of
from fstraining.evaluate.figures import constant_error, constant_share, mean_with_interval, share_with_interval
from fstraining.evaluate.metrics import group_table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from machine import print_machine
from markdown import markdown

PACKAGES = ("facestats", "nvidia-pytriton", "nvidia-dali-cuda130", "onnxruntime", "treelite")
ADULT_YEARS = {"fairface": 20, "utkface": 18}
"""FairFace's buckets have no border at 18."""
SOLVAY = "photos/group/solvay_conference_1927.png"
ONE_PERSON = ("obama.jpg", "obama2.jpg", "obama-1080p.jpg", "obama-240p.jpg")
"""Photos of one person among `photos/portrait`, no two of the same moment but the two sizes of a video."""
SAME_MOMENT = {frozenset(("obama-1080p.jpg", "obama-240p.jpg"))}
RECOGNISER_WIDTH = 128

Row = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """A labelled crop with a face, and what was said of it."""

    record: LabelledPhoto
    face: Face


def scored(client: Client, paths: Sequence[Path]) -> list[ScoredPhoto]:
    return list(client.score_many([str(path) for path in paths]))


def recall_rows(client: Client, samples: Path, every: int) -> list[Row]:
    """Return the rows of faces found on photos whose faces were counted."""
    with (samples / "MANIFEST.tsv").open(newline="") as file:
        counts = {row["file"]: row["faces"] for row in csv.DictReader(file, delimiter="\t")}
    names = [name for name, count in counts.items() if name.startswith("photos/") and count.isdigit()][::every]
    answers = dict(zip(names, scored(client, [samples / name for name in names]), strict=True))
    decoded = {name: photo for name, photo in answers.items() if photo.status in ("ok", "no_face")}
    exact = sum(len(photo.faces) == int(counts[name]) for name, photo in decoded.items())
    found = sum(min(len(photo.faces), int(counts[name])) for name, photo in decoded.items())
    extra = sum(max(len(photo.faces) - int(counts[name]), 0) for name, photo in decoded.items())
    faces = sum(int(counts[name]) for name in decoded)
    rows: list[Row] = [
        ("photos with the exact number of faces", f"{exact} of {len(decoded)}"),
        ("faces found on them, and too many", f"{found} of {faces}, {extra}"),
    ]
    if SOLVAY in decoded:
        rows.append(("Solvay conference 1927", f"{len(decoded[SOLVAY].faces)} of {counts[SOLVAY]}"))
    return rows


def labelled_faces(client: Client, samples: Path, every: int) -> tuple[list[Labelled], list[Row]]:
    """Return the largest face of each labelled crop, and the rows of how many crops have one."""
    records = read_labels(samples / "labelled" / "labels.tsv")[::every]
    photos = scored(client, [record.path for record in records])
    rows: list[Row] = []
    for dataset in sorted({record.dataset for record in records}):
        numbers = [len(p.faces) for record, p in zip(records, photos, strict=True) if record.dataset == dataset]
        some, one = (100 * np.mean([test(n) for n in numbers]) for test in (lambda n: n > 0, lambda n: n == 1))
        rows.append(
            (f"{counted(len(numbers), 'crop')} of {dataset}: a face, exactly one", f"{some:.1f} %, {one:.1f} %")
        )
    pairs = zip(records, photos, strict=True)
    return [Labelled(record=record, face=largest(photo.faces)) for record, photo in pairs if photo.faces], rows


def largest(faces: Iterable[Face]) -> Face:
    return max(faces, key=lambda face: (face.box.x1 - face.box.x0) * (face.box.y1 - face.box.y0))


def adults(faces: Sequence[Labelled]) -> list[Labelled]:
    return [
        each
        for each in faces
        if each.record.age_years is not None and each.record.age_years >= ADULT_YEARS[each.record.dataset]
    ]


def head_rows(faces: Sequence[Labelled], dataset: str) -> list[Row]:
    """Return the rows of what the heads get right on the crops of a data set."""
    ours = [each for each in faces if each.record.dataset == dataset]
    rows = []
    for name, some in (("gender", ours), (f"gender, {ADULT_YEARS[dataset]} and older", adults(ours))):
        classes = np.array([each.record.gender == "male" for each in some], np.int64)
        rows.append(figure_row(dataset, name, gender_figure(some), constant_share(classes, 3)))
    years = np.array([each.record.age_years for each in ours], np.float64)
    age = mean_with_interval(age_errors(ours))
    rows.append(figure_row(dataset, "age, years off", age, constant_error(years, 2)))
    if dataset == "fairface":
        rows += ethnicity_rows(ours)
    return rows


def ethnicity_rows(faces: Sequence[Labelled]) -> list[Row]:
    """Return the rows of the ethnicity head: the likeliest class, and what it says where it says something."""
    labels = sorted({str(each.record.ethnicity) for each in faces})
    classes = np.array([labels.index(str(each.record.ethnicity)) for each in faces])
    hits = ethnicity_hits(faces)
    named = np.array([each.face.ethnicity != "uncertain" for each in faces])
    return [
        figure_row("fairface", "ethnicity, likeliest class", share_with_interval(hits), constant_share(classes, 3)),
        figure_row("fairface", "ethnicity, a class is named", share_with_interval(named)),
        figure_row("fairface", "ethnicity, right where named", share_with_interval(hits[named])),
    ]


def group_rows(faces: Sequence[Labelled], dataset: str) -> list[Row]:
    """Return gender, age and, for FairFace, ethnicity of every group of a data set; of small groups their number."""
    ours = [each for each in faces if each.record.dataset == dataset]

    def figures(rows: NDArray[np.int64]) -> dict[str, Any]:
        some = [ours[row] for row in rows]
        found = {"gender": gender_figure(some), "age": mean_with_interval(age_errors(some))}
        if dataset == "fairface":
            found["ethnicity"] = share_with_interval(ethnicity_hits(some))
        return found

    table = group_table(groups_of([each.record for each in ours]), figures)
    return [
        (
            entry["attribute"],
            entry["group"],
            str(entry["n"]),
            *(interval_text(entry[name]) if name in entry else "" for name in ("gender", "age", "ethnicity")),
        )
        for entry in table
    ]


def gender_figure(faces: Sequence[Labelled]) -> dict[str, Any]:
    return share_with_interval(np.array([each.face.gender == each.record.gender for each in faces]))


def age_errors(faces: Sequence[Labelled]) -> NDArray[np.float64]:
    pairs = [(each.record.age_years, each.face.age_years) for each in faces]
    labelled, found = np.array(pairs, np.float64).T
    return np.abs(labelled - found)


def ethnicity_hits(faces: Sequence[Labelled]) -> NDArray[np.bool_]:
    """Return whether the likeliest class is the labelled one, named or not."""
    probabilities = [each.face.ethnicity_probability or {} for each in faces]
    likeliest = [max(found, key=found.__getitem__) for found in probabilities]
    return np.array([name == each.record.ethnicity for name, each in zip(likeliest, faces, strict=True)])


def interval_text(figure: Mapping[str, Any]) -> str:
    low, high = figure["interval"]
    return f"{figure['value']:g} ({low:g} to {high:g})"


def figure_row(dataset: str, name: str, figure: Mapping[str, Any], chance: float | None = None) -> Row:
    return (dataset, name, str(figure["n"]), interval_text(figure), "" if chance is None else f"{chance:g}")


def identity_rows(client: Client, samples: Path) -> list[Row]:
    """Return how far embeddings tell people apart: pairs of one person's photos against pairs with others."""
    folder = samples / "photos" / "portrait"
    paths = sorted(path for path in folder.iterdir() if path.is_file())
    found = {
        path.name: photo.faces[0].embedding
        for path, photo in zip(paths, scored(client, paths), strict=True)
        if len(photo.faces) == 1
    }
    vectors = {name: embedding for name, embedding in found.items() if embedding is not None}
    width = len(next(iter(vectors.values())))
    rows = [similarity_row(f"as stored, {width} numbers", vectors)]
    if width > RECOGNISER_WIDTH:
        parts = {name: vector[:RECOGNISER_WIDTH] for name, vector in vectors.items()}
        rows.append(similarity_row(f"the first {RECOGNISER_WIDTH} of them alone", parts))
    return rows


def similarity_row(name: str, vectors: Mapping[str, NDArray[np.float32]]) -> Row:
    """Return the cosines of one person's pairs, of pairs with others, and how many of the latter are out of order."""
    unit = {name: vector / np.linalg.norm(vector) for name, vector in vectors.items()}
    known = [name for name in ONE_PERSON if name in unit]
    pairs = [pair for pair in itertools.combinations(known, 2) if frozenset(pair) not in SAME_MOMENT]
    others = [name for name in unit if not name.startswith("obama")]
    same = np.array([unit[one] @ unit[other] for one, other in pairs])
    apart = np.array([unit[one] @ unit[other] for one in known for other in others])
    above = int((apart >= same.min()).sum())
    return (
        name,
        f"{same.min():.3f} to {same.max():.3f} ({len(same)})",
        f"{apart.min():.3f} to {apart.max():.3f} ({len(apart)})",
        f"{above} of {len(apart)}",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("assets", type=Path)
    parser.add_argument("--models", default=SHIPPED_PACK)
    parser.add_argument("--every", type=int, default=1, help="take every n-th photo and labelled crop")
    arguments = parser.parse_args()
    samples = arguments.assets / "samples"
    print_machine(PACKAGES)
    with Client.embedded(arguments.models, on_message=print) as client:
        print(f"models {client.served().pack}, {client.served().model_set_id}")
        recall = recall_rows(client, samples, arguments.every)
        faces, crops = labelled_faces(client, samples, arguments.every)
        identity = identity_rows(client, samples)
    tables = [
        Table(header=("faces", "found"), rows=recall + crops, align="lr"),
        Table(
            header=("crops", "head", "n", "value (95 % interval)", "best constant answer"),
            rows=[row for dataset in ADULT_YEARS for row in head_rows(faces, dataset)],
            align="llrrr",
        ),
        Table(
            header=("fairface", "group", "n", "gender", "age, years off", "ethnicity"),
            rows=group_rows(faces, "fairface"),
            align="llrrrr",
        ),
        Table(
            header=(
                "embedding",
                "cosine of one person's pairs",
                "of pairs of that person and others",
                "of these at least as similar as the least similar of the former",
            ),
            rows=identity,
            align="lrrr",
        ),
    ]
    for table in tables:
        print()
        print(markdown(table))


if __name__ == "__main__":
    main()
