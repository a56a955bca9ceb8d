"""What does int8 for the encoder cost and give? Its error, its speed, and how far real heads move by that error.

    python benchmarks/int8/bench.py ASSETS --artifacts build/int8
    python benchmarks/int8/bench.py ASSETS --cosine 0.9995

ASSETS is the folder of the test assets. The first form exports CLIP ViT-B/32 with seeded weights in fp32 and int8,
compares their embeddings of real crops, times both, and takes the worst cosine; the second takes the cosine as given.
Trained weights of CLIP may be unavailable, so the error that int8 has with them is not measured. Instead FaceStats v4's
real heads score its 412 real embeddings before and after each is turned by that cosine, in three kinds of direction.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsengine.terminal.tables import Table, show
from fsexport.artifact.exported import Origin
from fsexport.artifact.precision import Precision
from fsexport.embed.clip_artifact import UNTRAINED, export_clip_artifact
from fsexport.embed.open_clip_loader import ClipSource
from fsexport.heads.attractiveness_artifact import read_scores
from fsexport.heads.rating_mlp import layer_scores, percentile, read_torch_mlp
from fsexport.inputs.decoded_photos import list_photos
from fsexport.inputs.real_faces import all_faces
from fsexport.sources.sklearn_pickle import read_scaled_classifier

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from machine import print_machine

DRAWS = 20
"""Errors that are drawn for each embedding."""
REPEATS = 15
BATCHES = (1, 4, 8)
SEED = 20260101

Rows = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Heads:
    """What real heads give for float64 (N, D).

    Attributes:
        scores: To attractiveness, (N,).
        percentiles: To its percentile among the scores that the regressor has given, (N,), 0 to 100.
        ethnicity: To class probabilities, (N, 7).
        gender: To class probabilities, (N, 3).
    """

    scores: Callable[[Rows], Rows]
    percentiles: Callable[[Rows], Rows]
    ethnicity: Callable[[Rows], Rows]
    gender: Callable[[Rows], Rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """How far the heads' answers move, over all embeddings and draws.

    Attributes:
        score: Mean absolute difference of attractiveness.
        score_95: The difference that 95 % stay below.
        percentile: Mean absolute difference of the percentile.
        ethnicity: Share of likeliest classes that are another one.
        gender: The same of gender.
    """

    score: float
    score_95: float
    percentile: float
    ethnicity: float
    gender: float


def turned(rows: Rows, toward: Rows, cosine: float) -> Rows:
    """Return unit rows (N, D) turned by an angle of a cosine toward others, (N, D) or (1, D)."""
    across = toward - (toward * rows).sum(axis=1, keepdims=True) * rows
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    return cosine * rows + np.sqrt(1 - cosine**2) * across


def directions(rows: Rows, rng: np.random.Generator) -> dict[str, Rows]:
    """Return where one draw of errors points: at nothing, at other faces, and for all faces at the same face."""
    # A shift by 1 or more, so that no face is its own neighbour.
    others = rows[(np.arange(len(rows)) + rng.integers(1, len(rows))) % len(rows)]
    one, other = rows[rng.choice(len(rows), 2, replace=False)]
    return {
        "random": rng.normal(size=rows.shape),
        "toward another face": others,
        "the same for all faces": (one - other)[None],
    }


def read_embeddings(folder: Path) -> Rows:
    """Return the golden embeddings, float64 (412, 512), unit norm."""
    import pyarrow.parquet as pq

    rows = np.array(pq.read_table(folder / "golden" / "clip_vitb32_embeddings.parquet")["embedding"].to_pylist())
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def read_heads(folder: Path) -> Heads:
    """Read the heads of FaceStats v4 that its pack serves."""
    models = folder / "src_models"
    layers = read_torch_mlp(models / "attractiveness_regressor.pt")
    reference = read_scores(folder / "metadata" / "attractiveness_scores.parquet", "attractiveness_raw")

    def scores(rows: Rows) -> Rows:
        return layer_scores(layers, rows.astype(np.float32))

    return Heads(
        scores=scores,
        percentiles=lambda rows: percentile(scores(rows).astype(np.float32), reference),
        ethnicity=read_scaled_classifier(models / "ethnicity_clf.pkl").probabilities,
        gender=read_scaled_classifier(models / "gender_clf.pkl").probabilities,
    )


def movement(heads: Heads, before: Rows, after: Rows) -> Movement:
    """Compare the answers for embeddings (N, D) with those for the same ones with an error."""
    score = np.abs(heads.scores(after) - heads.scores(before))

    def changed(head: Callable[[Rows], Rows]) -> float:
        return float((head(after).argmax(axis=1) != head(before).argmax(axis=1)).mean())

    return Movement(
        score=float(score.mean()),
        score_95=float(np.quantile(score, 0.95)),
        percentile=float(np.abs(heads.percentiles(after) - heads.percentiles(before)).mean()),
        ethnicity=changed(heads.ethnicity),
        gender=changed(heads.gender),
    )


def movements(heads: Heads, rows: Rows, cosine: float) -> dict[str, Movement]:
    """Return the movement by each kind of direction."""
    rng = np.random.default_rng(SEED)
    draws: dict[str, list[Rows]] = {}
    for _ in range(DRAWS):
        for kind, toward in directions(rows, rng).items():
            draws.setdefault(kind, []).append(turned(rows, toward, cosine))
    before = np.tile(rows, (DRAWS, 1))
    return {kind: movement(heads, before, np.concatenate(found)) for kind, found in draws.items()}


def measure_encoder(photos: list[Path], artifacts: Path) -> float:
    """Export the encoder in both precisions, print error and speed, and return the worst cosine."""
    import onnxruntime as ort

    origin = Origin(source="open_clip ViT-B-32, seeded weights", licence="MIT", commercial_use=True, marks=(UNTRAINED,))
    sessions = []
    for precision in (Precision.FP32, Precision.INT8):
        folder = artifacts / precision.value
        exported = export_clip_artifact(ClipSource(seed=SEED), origin, precision, photos, folder, print)
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1  # time of a core, which tells the same on a busy machine
        path = str(folder / exported.file)
        sessions.append(ort.InferenceSession(path, options, providers=["CPUExecutionProvider"]))
    assert exported.crop is not None
    faces = all_faces(photos, exported.crop)
    crops = faces.crops[1::2]  # int8 was calibrated on the others
    name = sessions[0].get_inputs()[0].name
    full, quick = (np.concatenate([session.run(None, {name: crop[None]})[0] for crop in crops]) for session in sessions)
    cosines = (full * quick).sum(axis=1)
    print(f"error    {len(crops)} crops: cosine {cosines.mean():.5f} on average, {cosines.min():.5f} at worst")
    for rows in BATCHES:
        times = np.array(
            [[core_seconds(session, {name: crops[:rows]}) for session in sessions] for _ in range(REPEATS)]
        )
        low, ratio, high = np.quantile(times[:, 0] / times[:, 1], [0.25, 0.5, 0.75])
        print(f"speed    batch {rows}: int8 {ratio:.2f} times fp32 ({low:.2f} to {high:.2f}), {REPEATS} runs in turn")
    return float(cosines.min())


def core_seconds(session: Any, feed: dict[str, NDArray[Any]]) -> float:
    """Run a graph and return the seconds of a core that it took."""
    started = time.process_time()
    session.run(None, feed)
    return time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("assets", type=Path)
    parser.add_argument("--artifacts", type=Path, default=Path("build/int8"), help="where exports lie, and are kept")
    parser.add_argument("--cosine", type=float, help="of the error, instead of measuring it")
    arguments = parser.parse_args()
    if arguments.cosine is not None and not -1 < arguments.cosine <= 1:
        parser.error(f"--cosine {arguments.cosine}: expected above -1 and at most 1")
    print_machine(["onnxruntime", "numpy"])
    cosine = arguments.cosine
    if cosine is None:
        cosine = measure_encoder(list_photos(arguments.assets / "samples" / "photos"), arguments.artifacts)
    folder = arguments.assets / "weights" / "facestats_v4"
    heads, rows = read_heads(folder), read_embeddings(folder)
    scores = heads.scores(rows)
    print(f"heads    FaceStats v4, {len(rows)} embeddings, {DRAWS} draws of each kind, cosine {cosine:.5f}")
    print(f"         attractiveness of these embeddings: mean {scores.mean():.2f}, deviation {scores.std():.3f}")
    cells = [
        [kind, f"{m.score:.4f}", f"{m.score_95:.4f}", f"{m.percentile:.2f}", f"{m.ethnicity:.2%}", f"{m.gender:.2%}"]
        for kind, m in movements(heads, rows, cosine).items()
    ]
    header = ["error", "attractiveness", "95 % below", "percentile", "ethnicity", "gender"]
    show([Table(header=header, rows=cells, align="lrrrrr")])


if __name__ == "__main__":
    main()
