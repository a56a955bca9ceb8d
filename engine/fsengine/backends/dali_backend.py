"""Stand-in for the `dali` backend: the repository's own pipeline, on the CPU, one photo never failing another."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import triton_python_backend_utils as pb_utils

from fsengine.backends.config_rules import NUMPY_TYPES, BackendConfig, read_backend_config
from fsengine.backends.dali_pipeline import build_pipeline, has_input, serialize_pipeline
from fsengine.backends.dali_rules import check_config, check_pipeline, merge_groups
from fsengine.errors import PackError
from fsengine.photo_header import decoding_error, too_many_pixels
from fsengine.steps import DECODE_FAILED, PHOTO_TOO_LARGE

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from nvidia.dali.pipeline import Pipeline

Sample = dict[str, "NDArray[Any]"]


class TritonPythonModel:
    """One DALI pipeline."""

    def initialize(self, args: dict[str, str]) -> None:
        """Serialise the pipeline of `dali.py`, as the native backend does, and load it."""
        self._config: BackendConfig = read_backend_config(args, "dali.py")
        check_config(self._config)
        self._serialized = serialize_pipeline(self._config.artifact, self._config.max_batch_size)
        self._pipeline = self._build()
        check_pipeline(
            self._config,
            has_input=has_input(self._pipeline, self._config.inputs[0].name),
            num_outputs=self._pipeline.num_outputs,
        )

    def execute(self, requests: list[Any]) -> list[Any]:
        """Decode the photos of one execution, each answered by itself."""
        name = self._config.inputs[0].name
        photos = [pb_utils.get_input_tensor_by_name(request, name).as_numpy() for request in requests]
        answers: list[Sample | str] = [""] * len(requests)
        lengths = [photo.shape[1] for photo in photos]
        for group in merge_groups(lengths, ragged=self._config.inputs[0].ragged):
            for index, answer in zip(group, self._decode([photos[i] for i in group]), strict=True):
                answers[index] = answer
        return [_response(request, answer) for request, answer in zip(requests, answers, strict=True)]

    def _decode(self, photos: list[NDArray[np.uint8]]) -> list[Sample | str]:
        """Decode photos, each uint8 (1, bytes); a string says why one could not be."""
        answers: list[Sample | str] = [_refusal(photo) or "" for photo in photos]
        sound = [i for i, answer in enumerate(answers) if answer == ""]
        try:
            for index, sample in zip(sound, self._run([photos[i][0] for i in sound]), strict=True):
                answers[index] = sample
        except RuntimeError:
            for index in sound:
                try:
                    answers[index] = self._run([photos[index][0]])[0]
                except RuntimeError as exc:
                    answers[index] = f"{DECODE_FAILED}: {_reason(exc, photos[index])}"
        return answers

    def _run(self, encoded: list[NDArray[np.uint8]]) -> list[Sample]:
        """Run the pipeline once.

        Raises:
            RuntimeError: DALI could not decode one of them.
        """
        if not encoded:
            return []
        try:
            self._pipeline.feed_input(self._config.inputs[0].name, encoded)
            outputs = [output.as_cpu() for output in self._pipeline.run()]
        except RuntimeError:
            # A pipeline that failed is not valid any more.
            self._pipeline = self._build()
            raise
        samples = []
        for row in range(len(encoded)):
            sample = {}
            for tensor, output in zip(self._config.outputs, outputs, strict=True):
                array = np.array(output[row])
                if array.dtype != NUMPY_TYPES[tensor.data_type]:
                    raise PackError(f"{tensor.name} is {array.dtype} in the pipeline, {tensor.data_type} configured")
                sample[tensor.name] = array[None]
            samples.append(sample)
        return samples

    def _build(self) -> Pipeline:
        threads = int(self._config.parameters.get("num_threads", "1"))
        return build_pipeline(self._serialized, self._config.max_batch_size, threads)


def _refusal(photo: NDArray[np.uint8]) -> str | None:
    reason = too_many_pixels(photo.tobytes())
    return f"{PHOTO_TOO_LARGE}: {reason}" if reason else None


def _reason(error: RuntimeError, photo: NDArray[np.uint8]) -> str:
    """Return what is wrong with a photo: Pillow's words, or where it decodes the photo the telling line of DALI's."""
    text = str(error)
    match = re.search(r"encountered:\s*(.*?)(?:\n\n|Stacktrace|Current pipeline|$)", text, re.DOTALL)
    lines = (match[1] if match else text).split("\n")
    telling = [re.sub(r"^\[.*?\]\s*|^Error in thread \d+:\s*", "", line.strip()) for line in lines if line.strip()]
    return decoding_error(photo.tobytes()) or f"DALI: {' '.join(telling)[:300] or 'unknown error'}"


def _response(request: Any, answer: Sample | str) -> Any:
    if isinstance(answer, str):
        return pb_utils.InferenceResponse(error=pb_utils.TritonError(answer, pb_utils.TritonError.INVALID_ARG))
    names = request.requested_output_names()
    return pb_utils.InferenceResponse([pb_utils.Tensor(name, answer[name]) for name in names])
