"""Bytes of strangers through gate, converter and decoder: nothing dies, and no photo changes another.

`FACESTATS_FUZZ=10000` has so many mutated photos decoded in place of 300. Where there is a C compiler, a guard
allocator ends every large block at an unmapped page: an overflow is then a SIGSEGV at once.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("nvidia.dali")

CHILD = Path(__file__).parents[2] / "support" / "decode_child.py"
NUM_MUTATED = int(os.environ.get("FACESTATS_FUZZ", "300"))
PER_CHILD = 150


@pytest.fixture(scope="module")
def guard(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the environment in which overflows are seen; an empty one where the allocator cannot be built."""
    source, compiler = shared / "tools" / "guard.c", shutil.which("gcc") or shutil.which("cc")
    if compiler is None or not source.is_file():
        return {}
    library = tmp_path_factory.mktemp("guard") / "guard.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", str(source), "-o", str(library)], check=True)
    return {"LD_PRELOAD": str(library), "DALI_HOST_BUFFER_SHRINK_THRESHOLD": "0.999"}


def outcomes(guard: dict[str, str], *arguments: str) -> Counter[str]:
    result = subprocess.run(
        [sys.executable, str(CHILD), *arguments],
        env={**os.environ, **guard},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert result.returncode == 0, (arguments, result.returncode, result.stderr[-2000:])
    return Counter(json.loads(result.stdout.splitlines()[-1]))


def test_the_files_that_broke_the_decoder_are_decoded_and_change_nothing(shared: Path, guard: dict[str, str]) -> None:
    folder = shared / "samples" / "reports" / "B08"
    if not folder.is_dir():
        pytest.skip(f"{folder} is missing")
    found = outcomes(guard, str(folder))
    assert found == {"decoded": 4, "converted": 2}


def test_mutated_photos_break_nothing_and_change_no_neighbour(guard: dict[str, str]) -> None:
    total: Counter[str] = Counter()
    for seed in range(-(-NUM_MUTATED // PER_CHILD)):
        total += outcomes(guard, str(seed), str(min(PER_CHILD, NUM_MUTATED - seed * PER_CHILD)))
    sys.stdout.write(f"{dict(total)}\n")
    assert total.total() == NUM_MUTATED
    assert not {"neighbour changed", "converter died"} & total.keys(), total
    assert total["decoded"] > NUM_MUTATED / 5
    assert total["converted"] > NUM_MUTATED / 10


def test_every_orientation_turns_photo_and_detector_input_alike() -> None:
    sys.path.insert(0, str(CHILD.parent))
    from decode_child import encoded
    from fsengine.backends.dali_loading import build_pipeline, serialize_pipeline
    from fsengine.packs.shipped import shipped_folder

    path = shipped_folder("model_repository") / "decode" / "1" / "dali.py"
    pipeline = build_pipeline(serialize_pipeline(path, 10), 10, 2)
    data = np.frombuffer(
        encoded("PNG", 300, 200, exif=b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\1\0\0\0\x06\0"), np.uint8
    )
    pipeline.feed_input("encoded_image", [data] * 10)
    pipeline.feed_input("orientation", [np.array([number], np.uint8) for number in range(10)])
    outputs = [[np.array(output.as_cpu()[i]) for i in range(10)] for output in pipeline.run()]
    image, seen, scale, size, _ = outputs
    turns = {
        0: lambda a: a,
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: a.swapaxes(0, 1)[:, ::-1],
        7: lambda a: a.swapaxes(0, 1)[::-1, ::-1],
        8: lambda a: a.swapaxes(0, 1)[::-1],
        9: lambda a: a,
    }
    stored = seen[1][:427, :640]
    for number, turn in turns.items():
        np.testing.assert_array_equal(image[number], turn(image[1]))
        upright = turn(stored)
        height, width = upright.shape[:2]
        np.testing.assert_array_equal(seen[number][:height, :width], upright)
        assert not seen[number][height:].any()
        assert not seen[number][:, width:].any()
        assert size[number].tolist() == ([200, 300] if 5 <= number <= 8 else [300, 200])
        np.testing.assert_allclose(scale[number], [width / size[number][0], height / size[number][1]], rtol=1e-6)
