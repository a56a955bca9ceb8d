"""Composites of more and more faces: does their memory grow, and how long does a face take?

    python benchmarks/composite/bench.py SAMPLES                       500 and 2,000 faces
    python benchmarks/composite/bench.py SAMPLES --faces 500 2500 10000

SAMPLES are photos, or folders of JPEGs, that are ingested once; then their photos are repeated, each as a file of its
own (another comment in the JPEG, so another hash), and their rows with them. Each composite is made in a process of its
own, with kept crops and without. Its peak is that of the process tree, shared pages counted once.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fsanalysis.composite.cohort import Cohort
from fsanalysis.composite.eigenfaces import SIDE_PX as PCA_SIDE_PX
from fsanalysis.composite.eigenfaces import make_eigenfaces
from fsanalysis.composite.mean_face import mean_of
from fsanalysis.composite.preparation import SIDE_PX, Preparation
from fsanalysis.crops.crops_of_results import keep_crops
from fsdata.results import open_results
from fsdata.results.parts import PartNumbers, PartWriter, locked, part_paths
from fsengine.terminal.tables import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from machine import print_machine
from markdown import markdown
from memory_samples import MemorySamples, process_tree_bytes

METHODS = ("mean", "pca")
CROPS = ("cut", "kept")
HEADER = ("composite", "crops", "faces", "used", "s", "ms a look", "peak, MB")
PACKAGES = ("facestats", "numpy", "opencv-python-headless", "onnxruntime", "duckdb")
SAMPLE_EVERY_S = 0.1
MOST_GROWTH = 1.25
"""Of the peak of means, from the fewest faces to the most: the rows of the query grow, 1 kB a face."""


def repeated(results: Path, folder: Path, num_faces: int) -> None:
    """Repeat the photos of results, and their rows, until they have so many faces at least.

    Args:
        results: Of JPEGs.
        folder: Where the copies, and `results` of them, are written.
        num_faces: How many.
    """
    photos = folder / "photos"
    photos.mkdir(parents=True)
    tables = [pq.read_table(path) for path in part_paths(results)]
    missing = num_faces
    with locked(folder / "results"):
        model_set_id = tables[0]["model_set_id"][0].as_py()
        writer = PartWriter(PartNumbers(folder / "results"), tables[0].schema, model_set_id)
        for copy, (number, table) in enumerate(itertools.cycle(enumerate(tables))):
            if missing <= 0:
                break
            faces = np.cumsum(pc.fill_null(pc.list_value_length(table["faces"]), 0).to_numpy())
            table = table.slice(0, int(np.searchsorted(faces, missing)) + 1)
            missing -= int(faces[table.num_rows - 1])
            names, hashes, sizes = [], [], []
            for row, source in enumerate(table["source"].to_pylist()):
                data = commented(Path(source).read_bytes(), f"copy {copy}")
                path = photos / f"{copy:04d}-{number:03d}-{row:06d}.jpg"
                path.write_bytes(data)
                names.append(str(path))
                hashes.append(hashlib.sha256(data).hexdigest())
                sizes.append(len(data))
            for name, values in (("source", names), ("content_hash", hashes), ("bytes", sizes)):
                at = table.schema.get_field_index(name)
                column = pa.array(values, table.schema.field(name).type)
                table = table.set_column(at, table.schema.field(name), column)
            writer.write_table(table)


def commented(jpeg: bytes, comment: str) -> bytes:
    """Return a JPEG with a comment: the same pixels, another hash.

    Raises:
        SystemExit: It is no JPEG.
    """
    if jpeg[:2] != b"\xff\xd8":
        raise SystemExit("a photo is no JPEG; expected samples that are JPEGs alone")
    text = comment.encode()
    return jpeg[:2] + b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text + jpeg[2:]


FACES_PER_PHOTO = 5
"""As the command has it."""


def answer(results: Path, method: str) -> dict[str, float]:
    """Make a composite of all faces in this process; return faces used, seconds and peak_bytes."""
    looked = 0

    def count() -> None:
        nonlocal looked
        looked += 1

    started = time.perf_counter()
    with MemorySamples(process_tree_bytes, SAMPLE_EVERY_S) as memory:
        side = SIDE_PX if method == "mean" else PCA_SIDE_PX
        found = open_results(results)
        cohorts = [Cohort.select(found, None, per_photo=FACES_PER_PHOTO)]
        prepared = Preparation(found, cohorts, side=side, on_face=count)
        cohort = prepared.cohorts[0]
        if method == "mean":
            used = mean_of(prepared, cohort, mask=False, on_face=count).num_used
        else:
            used = make_eigenfaces(prepared, cohort, on_face=count).coefficients.num_rows
    return {
        "faces": cohort.num_found,
        "used": used,
        "looked": looked,
        "seconds": time.perf_counter() - started,
        "peak_bytes": max(memory.readings),
    }


def measured(results: Path, method: str) -> dict[str, float]:
    """Make a composite in a process of its own; see `answer`."""
    command = [sys.executable, __file__, str(results), "--only", method]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def report(results: Path, folder: Path, faces: list[int], crops: list[str]) -> None:
    """Measure every composite, and print a table.

    Raises:
        SystemExit: Memory of a mean grows.
    """
    rows: list[list[str]] = []
    peaks: dict[tuple[str, str], list[float]] = {}
    for number in faces:
        of_size = folder / str(number)
        repeated(results, of_size, number)
        for kept in crops:
            if kept == "kept":
                started = time.perf_counter()
                made = keep_crops(open_results(of_size / "results")).num_made
                seconds = time.perf_counter() - started
                print(f"crops: {made} in {seconds:.1f} s, {1e3 * seconds / made:.1f} ms each", flush=True)
            for method in METHODS:
                found = measured(of_size / "results", method)
                # Those that shape and luminance are taken from are looked at twice.
                each_ms = 1e3 * found["seconds"] / found["looked"]
                numbers = [f"{found[name]:.0f}" for name in ("faces", "used")]
                numbers += [f"{found['seconds']:.1f}", f"{each_ms:.1f}", f"{found['peak_bytes'] / 1e6:.0f}"]
                rows.append([method, kept, *numbers])
                print(*rows[-1], flush=True)
                peaks.setdefault((method, kept), []).append(found["peak_bytes"])
    print(markdown(Table(rows=rows, align="llrrrrr", header=HEADER)))
    for (method, kept), found_peaks in peaks.items():
        if method == "mean" and max(found_peaks) > MOST_GROWTH * found_peaks[0]:
            raise SystemExit(f"mean, crops {kept}: memory grows with the faces, expected at most {MOST_GROWTH} times")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("samples", type=Path, help="photos, or with --results or --only results of them")
    parser.add_argument("--faces", type=int, nargs="+", default=[500, 2000])
    parser.add_argument("--crops", choices=CROPS, nargs="+", default=CROPS, help="cut on demand, or kept before")
    parser.add_argument("--results", action="store_true", help="SAMPLES are results already")
    parser.add_argument("--only", choices=METHODS, help="one composite of these results in this process, as JSON")
    given = parser.parse_args()
    if given.only:
        print(json.dumps(answer(given.samples, given.only)))
        return
    print_machine(PACKAGES)
    with tempfile.TemporaryDirectory() as made:
        results = given.samples
        if not given.results:
            from fsclient import Client

            results = Path(made) / "samples"
            with Client.embedded() as client:
                client.ingest([given.samples], out=results)
        report(results, Path(made), sorted(given.faces), [kind for kind in CROPS if kind in given.crops])


if __name__ == "__main__":
    main()
