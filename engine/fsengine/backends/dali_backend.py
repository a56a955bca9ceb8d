"""Stand-in for the `dali` backend: the repository's own pipeline, on the CPU or a GPU.

One photo never fails another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import triton_python_backend_utils as pb_utils

from fsengine.backends.config_rules import BackendConfig, read_backend_config
from fsengine.backends.dali_errors import cause, device_trouble
from fsengine.backends.dali_loading import build_pipeline, has_input, serialize_pipeline
from fsengine.backends.dali_rules import check_config, check_pipeline, merge_groups
from fsengine.backends.request_batches import input_arrays, response
from fsengine.contracts.steps import DECODE_FAILED, DECODE_ISOLATED, PHOTO_TOO_LARGE, PHOTO_UNSUPPORTED
from fsengine.contracts.tensors import DType
from fsengine.errors import PackError
from fsengine.photo.convert import decoding_error, make_ready
from fsengine.photo.gate import Refusal, Refused, judge
from fsengine.server.threads import take_priority

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from nvidia.dali.pipeline import Pipeline

Sample = dict[str, "NDArray[Any]"]
Answer = Any
"""A `Sample`, or the `TritonError` that says why there is none."""


class EncodedPhoto(NamedTuple):
    """One photo of an execution, in the order of the pipeline's inputs.

    Attributes:
        data: uint8 (bytes,), of the file.
        orientation: uint8 (1,), how its pixels lie, in Exif's numbers.
    """

    data: NDArray[np.uint8]
    orientation: NDArray[np.uint8]


class TritonPythonModel:
    """One DALI pipeline."""

    def initialize(self, args: dict[str, str]) -> None:
        """Serialise the pipeline of `dali.py`, as the native backend does, and load it.

        That of `decode_isolated` waits for the first photo: DALI is half of what a server costs to start, the file is
        the one that `decode` has loaded, and few servers are ever asked for a photo alone.
        """
        self._config: BackendConfig = read_backend_config(args, "dali.py")
        take_priority(self._config.name)
        check_config(self._config)
        self._loaded: Pipeline | None = None
        self._serialized = b""
        if self._config.name != DECODE_ISOLATED:
            self._pipeline()

    def execute(self, requests: list[Any]) -> list[Any]:
        """Decode the photos of one execution."""
        photos = [self._photo(request) for request in requests]
        answers: dict[int, Answer] = {}
        lengths = [len(photo.data) for photo in photos]
        groups = merge_groups(lengths, ragged=self._config.inputs[0].ragged)
        for group in groups:
            for index, answer in zip(group, self._decode([photos[i] for i in group]), strict=True):
                answers[index] = answer if len(groups) == 1 else _kept(answer)
        return [_response(request, answers[index]) for index, request in enumerate(requests)]

    def _photo(self, request: Any) -> EncodedPhoto:
        arrays = input_arrays(request, [tensor.name for tensor in self._config.inputs])
        data, orientation = (arrays[tensor.name][0] for tensor in self._config.inputs)
        return EncodedPhoto(data, orientation)

    def _decode(self, photos: list[EncodedPhoto]) -> list[Answer]:
        """Decode photos, each answered by itself."""
        ready = [_ready(photo) for photo in photos]
        decoded = iter(self.decode_together([photo for photo in ready if isinstance(photo, EncodedPhoto)]))
        return [next(decoded) if isinstance(photo, EncodedPhoto) else photo for photo in ready]

    def decode_together(self, photos: list[EncodedPhoto]) -> list[Answer]:
        """Decode photos in one run, or one by one where one of them fails it; valid as `run_pipeline` says."""
        try:
            return self.run_pipeline(photos)
        except (RuntimeError, MemoryError) as exc:
            if len(photos) == 1:
                return [_failure(exc, photos[0])]
        return [_kept(self.decode_together([photo])[0]) for photo in photos]

    def run_pipeline(self, photos: list[EncodedPhoto]) -> list[Sample]:
        """Run the pipeline once; what it gives lies in DALI's own memory and is valid until the next run.

        Raises:
            RuntimeError: DALI could not decode one of them.
        """
        if not photos:
            return []
        pipeline = self._pipeline()
        try:
            for tensor, values in zip(self._config.inputs, zip(*photos, strict=True), strict=True):
                pipeline.feed_input(tensor.name, list(values))
            outputs = [output.as_cpu() for output in pipeline.run()]
        except (RuntimeError, MemoryError):
            # A pipeline that failed is not valid any more.
            self._loaded = self._build()
            raise
        samples = []
        for row in range(len(photos)):
            sample = {}
            for tensor, output in zip(self._config.outputs, outputs, strict=True):
                array = np.asarray(output[row])
                dtype = DType.from_triton(tensor.data_type)
                if dtype is None or array.dtype != dtype.numpy:
                    raise PackError(f"{tensor.name} is {array.dtype} in the pipeline, {tensor.data_type} configured")
                sample[tensor.name] = array[None]
            samples.append(sample)
        return samples

    def _pipeline(self) -> Pipeline:
        """Return the pipeline, loaded once and compared with the configuration.

        Raises:
            PackError: They differ.
        """
        if self._loaded is None:
            self._serialized = serialize_pipeline(self._config.artifact, self._config.max_batch_size, self._config.gpu)
            pipeline = self._build()
            check_pipeline(
                self._config,
                missing_inputs=[t.name for t in self._config.inputs if not has_input(pipeline, t.name)],
                num_outputs=pipeline.num_outputs,
            )
            self._loaded = pipeline
        return self._loaded

    def _build(self) -> Pipeline:
        threads = int(self._config.parameters.get("num_threads", "1"))
        return build_pipeline(self._serialized, self._config.max_batch_size, threads, self._config.gpu)


def _ready(photo: EncodedPhoto) -> EncodedPhoto | Any:
    """Return a photo as the pipeline may have it, or the `TritonError` that says why it may not."""
    data = photo.data.tobytes()
    gate = judge(data)
    if gate.is_plain:
        return photo
    ready = make_ready(data, gate, int(photo.orientation[0]))
    if isinstance(ready, Refusal):
        return _error(ready)
    return EncodedPhoto(np.frombuffer(ready.data, np.uint8), np.array([ready.orientation], np.uint8))


def _kept(answer: Answer) -> Answer:
    """Return an answer that stays valid when the pipeline runs again."""
    return {name: array.copy() for name, array in answer.items()} if isinstance(answer, dict) else answer


def _error(refusal: Refusal) -> Any:
    if refusal.status is Refused.FAILED:
        return pb_utils.TritonError(f"the decoder gave out: {refusal.reason}", pb_utils.TritonError.INTERNAL)
    mark = {Refused.TOO_LARGE: f"{PHOTO_TOO_LARGE}: ", Refused.UNSUPPORTED: f"{PHOTO_UNSUPPORTED}: "}
    return _invalid(mark.get(refusal.status, "") + refusal.reason)


def _invalid(text: str) -> Any:
    return pb_utils.TritonError(text, pb_utils.TritonError.INVALID_ARG)


def _failure(error: RuntimeError | MemoryError, photo: EncodedPhoto) -> Any:
    """Return the `TritonError` of a photo that failed alone: its own fault, in Pillow's words or DALI's, or not."""
    trouble = "no memory" if isinstance(error, MemoryError) else device_trouble(str(error))
    if trouble is not None:
        return _error(Refusal(Refused.FAILED, trouble))
    found = decoding_error(photo.data.tobytes())
    return _error(found or Refusal(Refused.CORRUPT, f"{DECODE_FAILED}: DALI: {cause(str(error))}"))


def _response(request: Any, answer: Answer) -> Any:
    if not isinstance(answer, dict):
        return pb_utils.InferenceResponse(error=answer)
    return response(request, answer)
