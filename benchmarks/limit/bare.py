"""Each step of a repository alone in a tight loop: what a pipeline that cost nothing itself would take."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from fsengine.backends.dali_loading import build_pipeline, serialize_pipeline
from fsengine.backends.fil_rules import ARTIFACTS
from fsengine.contracts import steps
from fsengine.packs.shipped import shipped_folder
from fsengine.photo.convert import Ready, make_ready
from fsengine.photo.gate import judge
from fsengine.repository.model_config import CONFIG_FILE, read_config
from machine import num_cores
from processes import tree_cpu_seconds

GATE = "gate"
"""Reading the header, and converting a photo that is not plain."""

_PHOTOS_AT_A_TIME = 8
"""Photos read and decoded together; as many as `ingest` has in flight."""

_ROWS_AT_A_TIME = (1, 4, 16)
"""Rows of one run, of which each step on batches gets what is cheapest for it."""

Arrays = dict[str, "np.ndarray[Any, Any]"]
Made = TypeVar("Made")


@dataclass(frozen=True, slots=True, kw_only=True)
class BareLimit:
    """What the steps took alone.

    Attributes:
        seconds: Core-seconds of each step, in the ensemble's order, after those of `GATE`.
        num_photos: Photos that were decoded.
        num_faces: Faces on them.
    """

    seconds: dict[str, float]
    num_photos: int
    num_faces: int


class BareSteps:
    """The steps of a repository, ready to run one after the other in this process."""

    def __init__(self, repository: Path) -> None:
        """Load them as the embedded server does: every core for each, and threads that sleep where they wait."""
        import onnxruntime as ort
        import treelite

        self.seconds: dict[str, float] = {GATE: 0.0}
        self.num_photos = self.num_faces = 0
        self._repository = repository
        self._wiring = wiring(repository)
        self._pipeline = self._new_pipeline()
        self._sessions: dict[str, Any] = {}
        self._forests: dict[str, Any] = {}
        self._rows_at_a_time: dict[str, int] = {}
        for wired in self._wiring:
            self.seconds[wired.model_name] = 0.0
            version = repository / wired.model_name / "1"
            if (version / "model.onnx").is_file():
                options = ort.SessionOptions()
                options.intra_op_num_threads = num_cores()
                options.add_session_config_entry("session.intra_op.allow_spinning", "0")
                if read_config(repository / wired.model_name / CONFIG_FILE).optimization.graph.level == 1:
                    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
                self._sessions[wired.model_name] = ort.InferenceSession(
                    str(version / "model.onnx"), options, providers=["CPUExecutionProvider"]
                )
            elif (forest := version / ARTIFACTS["treelite_checkpoint"]).is_file():
                self._forests[wired.model_name] = treelite.Model.deserialize_bytes(forest.read_bytes())

    def run(self, photos: Sequence[Path]) -> None:
        """Run every step on photos and add what each took to `seconds`; what does not decode is left out."""
        faces: list[Arrays] = []
        for start in range(0, len(photos), _PHOTOS_AT_A_TIME):
            files = [path.read_bytes() for path in photos[start : start + _PHOTOS_AT_A_TIME]]
            ready = [photo for photo in self._timed(GATE, _gated, files) if isinstance(photo, Ready)]
            decoded = self._decoded(ready)
            self.num_photos += len(decoded)
            if decoded:
                faces += self._detected_and_aligned(decoded)
        self.num_faces += sum(len(face[steps.FACE_SCORE.name]) for face in faces)
        if faces:
            self._on_faces({name: np.concatenate([face[name] for face in faces]) for name in faces[0]})

    def _timed(self, step: str, work: Callable[..., Made], *given: object) -> Made:
        """Do some work and add the core-seconds that it took, converters among them, to a step's."""
        before = tree_cpu_seconds() if step == GATE else time.process_time()
        made = work(*given)
        after = tree_cpu_seconds() if step == GATE else time.process_time()
        self.seconds[step] += after - before
        return made

    def _new_pipeline(self) -> Any:
        serialized = serialize_pipeline(shipped_folder("model_repository") / "decode/1/dali.py", _PHOTOS_AT_A_TIME)
        return build_pipeline(serialized, _PHOTOS_AT_A_TIME, num_cores())

    def _decoded(self, photos: Sequence[Ready]) -> list[Arrays]:
        """Decode photos together, or one by one where one of them is broken."""
        if not photos:
            return []
        try:
            outputs = self._timed(steps.DECODE, self._pipeline_outputs, photos)
        except RuntimeError:
            self._pipeline = self._new_pipeline()  # one that failed answers nothing more
            return [] if len(photos) == 1 else [made for photo in photos for made in self._decoded([photo])]
        (decode,) = (wired for wired in self._wiring if wired.model_name == steps.DECODE)
        names = [decode.output_map[tensor.name] for tensor in steps.decode_spec().outputs]
        return [
            {name: np.array(output[row])[None] for name, output in zip(names, outputs, strict=True)}
            for row in range(len(photos))
        ]

    def _pipeline_outputs(self, photos: Sequence[Ready]) -> list[Any]:
        self._pipeline.feed_input(steps.ENCODED_IMAGE.name, [np.frombuffer(photo.data, np.uint8) for photo in photos])
        orientations = [np.array([photo.orientation], np.uint8) for photo in photos]
        self._pipeline.feed_input(steps.ORIENTATION.name, orientations)
        return list(self._pipeline.run())

    def _detected_and_aligned(self, photos: list[Arrays]) -> Iterator[Arrays]:
        """Yield of each photo that has faces the ensemble's tensors of its faces, by their names there."""
        (detect,) = (wired for wired in self._wiring if wired.model_name == steps.DETECT)
        (align,) = (wired for wired in self._wiring if wired.model_name == steps.ALIGN)
        feed = {name: np.concatenate([photo[key] for photo in photos]) for name, key in detect.input_map.items()}
        found = self._in_batches(steps.DETECT, feed)
        for row, photo in enumerate(photos):
            photo.update({key: found[name][row : row + 1] for name, key in detect.output_map.items()})
            inputs = {name: photo[key] for name, key in align.input_map.items()}
            made = self._timed(steps.ALIGN, self._infer, steps.ALIGN, inputs)
            if (made[steps.FACE_SCORE.name] > 0).any():
                yield {key: made[name] for name, key in align.output_map.items()}

    def _on_faces(self, tensors: Arrays) -> None:
        """Run the encoder and the heads on all faces."""
        done = (steps.DECODE, steps.DETECT, steps.ALIGN)
        for wired in self._wiring:
            step = wired.model_name
            if step in done:
                continue
            feed = {name: tensors[key] for name, key in wired.input_map.items()}
            outputs = self._in_batches(step, feed)
            tensors.update({key: outputs[name] for name, key in wired.output_map.items()})

    def _in_batches(self, step: str, feed: Arrays) -> Arrays:
        """Run a step on a batch, in the number of rows that was cheapest when it was first asked for."""
        if step not in self._rows_at_a_time:
            for _ in range(2):  # the first run of a shape takes its memory
                cost = {rows: self._cost(step, feed, rows) for rows in _ROWS_AT_A_TIME}
            self._rows_at_a_time[step] = min(cost, key=cost.__getitem__)
        return self._timed(step, self._in_parts, step, feed, self._rows_at_a_time[step])

    def _cost(self, step: str, feed: Arrays, rows: int) -> float:
        before = time.process_time()
        self._in_parts(step, feed, rows)
        return time.process_time() - before

    def _in_parts(self, step: str, feed: Arrays, rows: int) -> Arrays:
        num_rows = len(next(iter(feed.values())))
        made = [
            self._infer(step, {name: array[start : start + rows] for name, array in feed.items()})
            for start in range(0, num_rows, rows)
        ]
        return {name: np.concatenate([part[name] for part in made]) for name in made[0]}

    def _infer(self, step: str, feed: Arrays) -> Arrays:
        import treelite

        if step in self._forests:
            # One thread: waking others costs more than so few rows.
            found = treelite.gtil.predict(self._forests[step], feed[steps.FIL_INPUT], nthread=1)
            return {steps.FIL_OUTPUT: np.ascontiguousarray(found.reshape(len(feed[steps.FIL_INPUT]), -1), np.float32)}
        session = self._sessions[step]
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, feed), strict=True))


def wiring(repository: Path) -> list[Any]:
    """Return the steps of a repository's ensemble, in its order, each with the tensors that it reads and makes."""
    return list(read_config(repository / steps.ENSEMBLE / CONFIG_FILE).ensemble_scheduling.step)


def _gated(files: Sequence[bytes]) -> list[object]:
    return [make_ready(data, judge(data)) for data in files]


def measure(repository: Path, photos: Sequence[Path]) -> BareLimit:
    """Return what each step takes alone over photos, after a run over some of them that does not count.

    Args:
        repository: An assembled one.
        photos: Files.
    """
    bare = BareSteps(repository)
    bare.run(photos[:_PHOTOS_AT_A_TIME])
    bare.seconds = dict.fromkeys(bare.seconds, 0.0)
    bare.num_photos = bare.num_faces = 0
    bare.run(photos)
    return BareLimit(seconds=bare.seconds, num_photos=bare.num_photos, num_faces=bare.num_faces)
