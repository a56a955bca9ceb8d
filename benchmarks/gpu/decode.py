"""The decode step: the repository's own DALI pipeline, in its rendering for the device."""

from __future__ import annotations

import functools
import itertools
import math
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsengine.backends.dali_loading import build_pipeline, serialize_pipeline
from fsengine.contracts import steps
from fsengine.errors import ExportError
from fsengine.packs.shipped import shipped_folder
from fsengine.photo.gate import judge
from fsengine.repository.gpu_config import gpu_pipeline
from fsengine.repository.model_config import CONFIG_FILE, read_config
from machine import num_cores
from outcome import Outcome, Row, attempt, measured, row_or_failure
from settings import Settings

PARTS = DECODE, PARITY = "decode", "parity/decode"
BATCHES = (1, 4, 16)

_PIXELS = (steps.IMAGE.name, steps.DETECTOR_INPUT.name)
_OUTPUTS = tuple(tensor.name for tensor in steps.decode_spec().outputs)


def run(settings: Settings) -> Iterator[Outcome]:
    """Measure decoding, and compare its pixels with those of the CPU."""
    if not settings.skips(DECODE):
        yield attempt(DECODE, lambda: _speed(settings))
    if not settings.skips(PARITY):
        yield attempt(PARITY, lambda: _parity(settings))


class Decoder:
    """The pipeline at one batch size."""

    def __init__(self, batch_size: int, num_threads: int, gpu: int | None) -> None:
        """Build it.

        Args:
            batch_size: Photos of each run.
            num_threads: Threads of the CPU; on a GPU those that read the bit stream.
            gpu: Number of the GPU; None for the CPU.
        """
        text = (_folder() / "1" / "dali.py").read_text()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "dali.py"
            path.write_text(text if gpu is None else gpu_pipeline(text))
            serialized = serialize_pipeline(path, batch_size, gpu)
        self._pipeline = build_pipeline(serialized, batch_size, num_threads, gpu)

    def run(self, photos: Sequence[NDArray[np.uint8]]) -> dict[str, Any]:
        """Return DALI's tensor lists by output, complete, where the pipeline leaves them.

        Args:
            photos: As many as the batch size, each the uint8 (bytes,) of a file.
        """
        self._pipeline.feed_input(steps.ENCODED_IMAGE.name, list(photos))
        orientations = [np.array([judge(photo.tobytes()).orientation], np.uint8) for photo in photos]
        self._pipeline.feed_input(steps.ORIENTATION.name, orientations)
        return dict(zip(_OUTPUTS, self._pipeline.run(), strict=True))


def _speed(settings: Settings) -> Outcome:
    photos = [np.fromfile(path, np.uint8) for path in settings.samples.paths]
    configured = int(read_config(_folder() / CONFIG_FILE).parameters["num_threads"].string_value)

    def speed(batch: int, threads: int) -> Row:
        decoder = Decoder(batch, threads, settings.gpu)
        image = _decode_all(decoder, photos, batch)[steps.IMAGE.name]
        rounds, started = 0, time.perf_counter()
        while (seconds := time.perf_counter() - started) < settings.seconds or not rounds:
            _decode_all(decoder, photos, batch)
            rounds += 1
        per_s = rounds * math.lcm(len(photos), batch) / seconds
        return {
            "photos_per_s": per_s,
            "mp_per_s": per_s * settings.samples.mean_megapixels,
            "ms": 1e3 * batch / per_s,
            "output_on": "cpu" if "CPU" in type(image).__name__ else "gpu",
        }

    rows = [
        row_or_failure({"batch": batch, "threads": threads}, functools.partial(speed, batch, threads))
        for batch, threads in itertools.product(BATCHES, dict.fromkeys((configured, num_cores())))
    ]
    return measured(DECODE, rows, [f"the repository configures {configured} threads of the CPU"])


def _decode_all(decoder: Decoder, photos: Sequence[NDArray[np.uint8]], batch: int) -> dict[str, Any]:
    """Decode photos, all equally often, until the last batch is full; return what that one gave."""
    order = itertools.cycle(photos)
    for _ in range(math.lcm(len(photos), batch) // batch):
        outputs = decoder.run(list(itertools.islice(order, batch)))
    return outputs


def _parity(settings: Settings) -> Outcome:
    device, reference = Decoder(1, num_cores(), settings.gpu), Decoder(1, num_cores(), None)
    means: dict[str, list[float]] = {name: [] for name in _PIXELS}
    largest = dict.fromkeys(_PIXELS, 0)
    for path in settings.samples.paths:
        encoded = [np.fromfile(path, np.uint8)]
        found, expected = device.run(encoded), reference.run(encoded)
        for name in _PIXELS:
            a, b = (np.array(outputs[name].as_cpu()[0]).astype(np.int16) for outputs in (found, expected))
            if a.shape != b.shape:
                raise ExportError(f"{name} of {path.name} is {a.shape}, on the CPU {b.shape}")
            difference = np.abs(a - b)
            means[name].append(float(difference.mean()))
            largest[name] = max(largest[name], int(difference.max()))
    rows: list[Row] = [
        {
            "output": name,
            "mean_difference": float(np.mean(means[name])),
            "mean_of_worst_photo": max(means[name]),
            "largest_difference": largest[name],
            "worst_photo": settings.samples.paths[int(np.argmax(means[name]))].name,
        }
        for name in _PIXELS
    ]
    return measured(PARITY, rows, ["in levels of 0 to 255, against the pipeline on the CPU"])


def _folder() -> Path:
    return shipped_folder("model_repository") / steps.DECODE
