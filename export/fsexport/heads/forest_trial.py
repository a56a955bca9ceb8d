"""A forest loaded, converted and asked in a process of its own, which may die of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from typing import NoReturn

TRIAL_TIMEOUT_S = 600
"""The longest wait; a tree whose children go in a circle is never done."""

_TRIAL = "import sys, json; sys.path[:] = json.loads(sys.argv[1]); from fsexport.heads.forest_trial import run; run()"
_REFUSED = 3


def try_forest(text: str) -> str | None:
    """Load, convert and ask a forest in another process.

    Args:
        text: A LightGBM model in text form.

    Returns:
        Why it cannot be used; None where it can.
    """
    path = [os.path.abspath(entry) for entry in sys.path if entry]
    with tempfile.TemporaryDirectory(prefix="facestats-") as folder:
        try:
            done = subprocess.run(
                [sys.executable, "-I", "-c", _TRIAL, json.dumps(path)],
                input=text.encode(),
                capture_output=True,
                cwd=folder,
                timeout=TRIAL_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"LightGBM was not done with it in {TRIAL_TIMEOUT_S} s"
    if done.returncode == 0:
        return None
    last = (done.stderr.decode(errors="replace").strip().splitlines() or [""])[-1]
    if done.returncode == _REFUSED:
        return last
    how = f"ended with {done.returncode}"
    if done.returncode < 0:
        how = f"was ended by {signal.Signals(-done.returncode).name}"
    return f"LightGBM's process {how} ({last or 'it wrote nothing'})"


def run() -> NoReturn:
    """Try the forest on stdin; exit with 0 where it can be used, and with 3 and a line on stderr where not."""
    from fsexport.heads.trees import import_lightgbm

    import_lightgbm()
    import lightgbm
    import treelite

    from fsexport.heads.forest_artifact import random_rows

    try:
        booster = lightgbm.Booster(model_str=sys.stdin.buffer.read().decode())
        booster.dump_model()
        rows = random_rows(booster)
        booster.predict(rows)
        treelite.gtil.predict(treelite.frontend.from_lightgbm(booster), rows, nthread=1)
    except (lightgbm.basic.LightGBMError, treelite.TreeliteError, ValueError, LookupError) as exc:
        sys.stderr.write(f"{' '.join(str(exc).split()) or type(exc).__name__}\n")
        sys.exit(_REFUSED)
    sys.exit(0)
