"""Which evaluator serves a small LightGBM forest best on a CPU: Treelite's GTIL, tl2cgen or LightGBM itself?

    pip install tl2cgen && python benchmarks/forest/bench.py

Prints microseconds a call for the batches that faces come in. tl2cgen compiles the forest with gcc first; the time
that this takes is printed too, and it is left out where either is missing.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from shutil import which

import numpy as np
import treelite

from fsengine.terminal.tables import Table, show
from fstraining.fits.forest import fit_classifier

ROWS = (1, 8, 64, 256)
REPEATS = 30


def microseconds(call: Callable[[], object]) -> float:
    call()
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return 1e6 * float(np.median(times))


def main() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(700, 128)).astype(np.float32)
    forest = fit_classifier(features, rng.integers(0, 7, 700), 7, rounds=60, leaves=4, seed=1)
    model = treelite.frontend.from_lightgbm(forest)
    evaluators: dict[str, Callable[[np.ndarray], object]] = {
        "gtil": lambda rows: treelite.gtil.predict(model, rows, nthread=1),
        "lightgbm": lambda rows: forest.predict(rows, num_threads=1),
    }
    with tempfile.TemporaryDirectory() as folder:
        try:
            import tl2cgen
        except ImportError:
            print("tl2cgen  not installed")
        else:
            if which("gcc"):
                started = time.perf_counter()
                library = Path(folder) / "forest.so"
                tl2cgen.export_lib(model, toolchain="gcc", libpath=library, params={"parallel_comp": 4})
                predictor = tl2cgen.Predictor(library, nthread=1)
                print(f"tl2cgen  compiled in {time.perf_counter() - started:.1f} s")
                evaluators["tl2cgen"] = lambda rows: predictor.predict(tl2cgen.DMatrix(rows))
            else:
                print("tl2cgen  needs gcc")
        print(f"cores    {len(os.sched_getaffinity(0))}, treelite {treelite.__version__}")
        times = [
            [name, *(f"{microseconds(partial(evaluate, features[:n])):.0f}" for n in ROWS)]
            for name, evaluate in evaluators.items()
        ]
        show(["microseconds", Table(header=["rows", *map(str, ROWS)], rows=times, align="l" + "r" * len(ROWS))])


if __name__ == "__main__":
    main()
