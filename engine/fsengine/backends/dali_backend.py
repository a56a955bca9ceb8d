"""Stand-in for the `dali` backend: the repository's own pipeline, on the CPU or a GPU.

One photo never fails another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import triton_python_backend_utils as pb_utils

from fsengine.backends.config_rules import BackendConfig, read_backend_config
from fsengine.backends.dali_errors import cause, device_trouble
from fsengine.backends.dali_loading import build_pipeline, has_input, serialize_pipeline
from fsengine.backends.dali_rules import check_config, check_pipeline, merge_groups
from fsengine.backends.request_batches import response
from fsengine.contracts.steps import DECODE_FAILED, PHOTO_TOO_LARGE
from fsengine.contracts.tensors import DType
from fsengine.errors import PackError
from fsengine.photo.header import decoding_error, too_many_pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from nvidia.dali.pipeline import Pipeline

Sample = dict[str, "NDArray[Any]"]
Answer = Any
"""A `Sample`, or the `TritonError` that says why there is none."""


class TritonPythonModel:
    """One DALI pipeline."""

    def initialize(self, args: dict[str, str]) -> None:
        """Serialise the pipeline of `dali.py`, as the native backend does, and load it."""
        self._config: BackendConfig = read_backend_config(args, "dali.py")
        check_config(self._config)
        self._serialized = serialize_pipeline(self._config.artifact, self._config.max_batch_size, self._config.gpu)
        self._pipeline = self._build()
        check_pipeline(
            self._config,
            has_input=has_input(self._pipeline, self._config.inputs[0].name),
            num_outputs=self._pipeline.num_outputs,
        )

    def execute(self, requests: list[Any]) -> list[Any]:
        """Decode the photos of one execution."""
        name = self._config.inputs[0].name
        photos = [pb_utils.get_input_tensor_by_name(request, name).as_numpy() for request in requests]
        answers: dict[int, Answer] = {}
        lengths = [photo.shape[1] for photo in photos]
        for group in merge_groups(lengths, ragged=self._config.inputs[0].ragged):
            for index, answer in zip(group, self._decode([photos[i] for i in group]), strict=True):
                answers[index] = answer
        return [_response(request, answers[index]) for index, request in enumerate(requests)]

    def _decode(self, photos: list[NDArray[np.uint8]]) -> list[Answer]:
        """Decode photos, each uint8 (1, bytes); each answered by itself."""
        refusals = [_refusal(photo) for photo in photos]
        sound = [photo for photo, refusal in zip(photos, refusals, strict=True) if refusal is None]
        decoded = iter(self.decode_together(sound))
        return [next(decoded) if refusal is None else refusal for refusal in refusals]

    def decode_together(self, photos: list[NDArray[np.uint8]]) -> list[Answer]:
        """Decode photos, each uint8 (1, bytes), in one run, or one by one where one of them fails it."""
        try:
            return self.run_pipeline([photo[0] for photo in photos])
        except (RuntimeError, MemoryError) as exc:
            if len(photos) == 1:
                return [_failure(exc, photos[0])]
        return [self.decode_together([photo])[0] for photo in photos]

    def run_pipeline(self, encoded: list[NDArray[np.uint8]]) -> list[Sample]:
        """Run the pipeline once.

        Raises:
            RuntimeError: DALI could not decode one of them.
        """
        if not encoded:
            return []
        try:
            self._pipeline.feed_input(self._config.inputs[0].name, encoded)
            outputs = [output.as_cpu() for output in self._pipeline.run()]
        except (RuntimeError, MemoryError):
            # A pipeline that failed is not valid any more.
            self._pipeline = self._build()
            raise
        samples = []
        for row in range(len(encoded)):
            sample = {}
            for tensor, output in zip(self._config.outputs, outputs, strict=True):
                array = np.array(output[row])
                dtype = DType.from_triton(tensor.data_type)
                if dtype is None or array.dtype != dtype.numpy:
                    raise PackError(f"{tensor.name} is {array.dtype} in the pipeline, {tensor.data_type} configured")
                sample[tensor.name] = array[None]
            samples.append(sample)
        return samples

    def _build(self) -> Pipeline:
        threads = int(self._config.parameters.get("num_threads", "1"))
        return build_pipeline(self._serialized, self._config.max_batch_size, threads, self._config.gpu)


def _refusal(photo: NDArray[np.uint8]) -> Any | None:
    """Return the `TritonError` of a photo with too many pixels."""
    reason = too_many_pixels(photo.tobytes())
    return _invalid(f"{PHOTO_TOO_LARGE}: {reason}") if reason else None


def _invalid(text: str) -> Any:
    return pb_utils.TritonError(text, pb_utils.TritonError.INVALID_ARG)


def _failure(error: RuntimeError | MemoryError, photo: NDArray[np.uint8]) -> Any:
    """Return the `TritonError` of a photo that failed alone: its own fault, in Pillow's words or DALI's, or not."""
    try:
        trouble = "no memory" if isinstance(error, MemoryError) else device_trouble(str(error))
        if trouble is None:
            return _invalid(f"{DECODE_FAILED}: {decoding_error(photo.tobytes()) or f'DALI: {cause(str(error))}'}")
    except MemoryError:
        trouble = "no memory"
    return pb_utils.TritonError(f"the decoder gave out: {trouble}", pb_utils.TritonError.INTERNAL)


def _response(request: Any, answer: Answer) -> Any:
    if not isinstance(answer, dict):
        return pb_utils.InferenceResponse(error=answer)
    return response(request, answer)
