"""Ask a server's steps and ensembles for the golden samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fsengine.contracts import steps
from fsengine.contracts.served import ServedModels
from fsengine.errors import InferenceError, ServerUnavailableError
from fsengine.repository.golden.golden_answers import Answers
from fsengine.repository.golden.sample_inputs import Arrays, Sample, cut_faces, samples
from fsengine.repository.model_config import ensemble_name, served_by
from fsengine.server.loopback import channel_options

if TYPE_CHECKING:
    from tritonclient.grpc import InferenceServerClient
    from tritonclient.grpc import model_config_pb2 as pb
    from tritonclient.utils import InferenceServerException

_CROP_RANK = 4

BLOCK_PX = 16
"""Pictures are compared by the means of blocks of this side: kernels and decoders round single pixels differently."""

_TIMEOUT_S = 120.0
"""A first question may wait for kernels to be chosen."""


def _error(model: str, exc: InferenceServerException) -> InferenceError:
    unavailable = str(exc.status()).endswith("UNAVAILABLE")
    return (ServerUnavailableError if unavailable else InferenceError)(f"{model}: {exc.message()}")


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenClient:
    """A server that is asked.

    Attributes:
        client: A client of its gRPC.
        headers: Sent with every request, such as a token.
    """

    client: InferenceServerClient
    headers: Mapping[str, str] | None = None
    _configs: dict[str, pb.ModelConfig] = field(default_factory=dict, init=False, repr=False)

    def config(self, model: str) -> pb.ModelConfig:
        """Return the configuration of a model, which is asked for once.

        Raises:
            InferenceError: The server has no such model, or does not answer.
        """
        from tritonclient.utils import InferenceServerException

        if model not in self._configs:
            try:
                answer = self.client.get_model_config(model, headers=self.headers, client_timeout=_TIMEOUT_S)
            except InferenceServerException as exc:
                raise _error(model, exc) from exc
            self._configs[model] = answer.config
        return self._configs[model]

    def answers(self, timeout_s: float) -> bool:
        """Return whether the server is up."""
        from tritonclient.utils import InferenceServerException

        try:
            return bool(self.client.is_server_ready(headers=self.headers, client_timeout=timeout_s))
        except InferenceServerException:
            return False

    def is_ready(self, model: str) -> bool:
        """Return whether a model is loaded; False where the server does not answer."""
        from tritonclient.utils import InferenceServerException

        try:
            return bool(self.client.is_model_ready(model, headers=self.headers, client_timeout=_TIMEOUT_S))
        except InferenceServerException:
            return False

    def ask(self, model: str, inputs: Arrays) -> Arrays:
        """Return every output of a model.

        Raises:
            InferenceError: It is not there, or fails.
        """
        from tritonclient.grpc import InferInput
        from tritonclient.utils import InferenceServerException, np_to_triton_dtype

        given = []
        for name, array in inputs.items():
            tensor = InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
            tensor.set_data_from_numpy(np.ascontiguousarray(array))
            given.append(tensor)
        try:
            answer = self.client.infer(model, given, headers=self.headers, client_timeout=_TIMEOUT_S)
        except InferenceServerException as exc:
            raise _error(model, exc) from exc
        names = [output.name for output in answer.get_response().outputs]
        if missing := sorted({output.name for output in self.config(model).output} - set(names)):
            raise InferenceError(f"{model}: it gives no {', '.join(missing)}")
        try:
            return {name: np.asarray(answer.as_numpy(name)) for name in names}
        except (ValueError, TypeError) as exc:
            raise InferenceError(f"{model}: its answer is not what it says: {exc}") from exc


@contextmanager
def golden_client(url: str, headers: Mapping[str, str] | None = None, **tls: Any) -> Iterator[GoldenClient]:
    """Give a client of a server.

    Args:
        url: `host:port` of its gRPC.
        headers: See `GoldenClient`.
        **tls: As `tritonclient.grpc.InferenceServerClient` takes it.
    """
    from tritonclient.grpc import InferenceServerClient

    client = InferenceServerClient(url, channel_args=channel_options(url), **tls)
    try:
        yield GoldenClient(client=client, headers=headers)
    finally:
        client.close()


def served_models(server: GoldenClient) -> ServedModels:
    """Return what a server says that it serves.

    Raises:
        InferenceError: It does not answer, or serves something else.
    """
    return served_by(server.config(steps.ENSEMBLE))


def ask_everything(server: GoldenClient, golden: Answers | None = None) -> tuple[Answers, dict[str, str]]:
    """Ask each step and each ensemble of a server for every sample.

    Args:
        server: The server.
        golden: Answers whose faces and embeddings the later steps are asked about; None to use the server's own, as the
            one that records them does.

    Returns:
        What it answered, pictures as the means of their blocks, and model to why it gave no answer.
    """
    served = served_models(server)
    of: dict[str, dict[str, Arrays]] = {}
    silent: dict[str, str] = {}
    known = of if golden is None else golden.of
    photos = samples()
    for step in server.config(steps.ENSEMBLE).ensemble_scheduling.step:
        of[step.model_name] = {}
        for sample in photos:
            if (feed := step_inputs(step.model_name, sample, known, server.config)) is not None:
                _answer(server, step.model_name, sample, feed, of, silent)
    for name in steps.ENSEMBLES:
        of[name] = {}
        for sample in photos:
            if sample.encoded is not None:
                _answer(server, name, sample, sample.request, of, silent)
    return Answers(served=served, of=of), silent


def _answer(
    server: GoldenClient,
    model: str,
    sample: Sample,
    feed: Arrays,
    of: dict[str, dict[str, Arrays]],
    silent: dict[str, str],
) -> None:
    try:
        outputs = server.ask(model, feed)
    except InferenceError as exc:
        silent.setdefault(model, str(exc))
        return
    of[model][sample.name] = kept(outputs)


def step_inputs(
    step: str, sample: Sample, known: Mapping[str, Mapping[str, Arrays]], config_of: Callable[[str], pb.ModelConfig]
) -> Arrays | None:
    """Return what a step is asked about a photo; None where there is nothing to ask: no file, or no face.

    Args:
        step: The step.
        sample: The photo.
        known: Outputs of the steps before it, see `Answers.of`.
        config_of: Gives the configuration of a model.
    """
    if step == steps.DECODE:
        return None if sample.encoded is None else sample.request
    ensemble = config_of(steps.ENSEMBLE).ensemble_scheduling
    values = dict(sample.decoded)
    for earlier in ensemble.step:
        if earlier.model_name not in (step, steps.DECODE):
            outputs = known.get(earlier.model_name, {}).get(sample.name, {})
            values.update({ensemble_name(name): array for name, array in outputs.items()})
    wired = next(each.input_map for each in ensemble.step if each.model_name == step)
    if step in (steps.DETECT, steps.ALIGN):
        return {name: values[key] for name, key in wired.items()} if set(wired.values()) <= values.keys() else None
    if not values.get(steps.FACE_COUNT.name, np.zeros(1)).sum():
        return None
    shapes = {tensor.name: tuple(tensor.dims) for tensor in config_of(step).input}
    feed = {}
    for name, key in wired.items():
        if len(shapes[name]) == _CROP_RANK - 1:
            boxes = np.asarray(values[steps.FACE_BOX.name] * np.tile(_shrunk(values), 2), np.float32)
            feed[name] = cut_faces(values[ensemble_name(steps.IMAGE.name)], boxes, shapes[name])
        elif key in values:
            feed[name] = values[key]
        else:
            return None
    return feed


def _shrunk(values: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
    """Return (x, y), pixels of the image at hand per pixel of the photo."""
    _, height, width, _ = values[ensemble_name(steps.IMAGE.name)].shape
    size = values[ensemble_name(steps.IMAGE_SIZE.name)][0]
    shrunk: NDArray[np.float32] = np.array([width, height], np.float32) / size.astype(np.float32)
    return shrunk


def kept(outputs: Arrays) -> Arrays:
    """Return outputs as they are kept: pictures as the means of their blocks."""
    return {
        name: block_means(array) if array.dtype == np.uint8 and array.ndim == _CROP_RANK else array
        for name, array in outputs.items()
    }


def block_means(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the means of the blocks of pictures, uint8 (N, H, W, 3) to (N, H / 16, W / 16, 3), ends cut off."""
    count, height, width, channels = pictures.shape
    rows, columns = max(height // BLOCK_PX, 1), max(width // BLOCK_PX, 1)
    cut = pictures[:, : rows * BLOCK_PX, : columns * BLOCK_PX]
    blocks = cut.reshape(count, rows, -1, columns, cut.shape[2] // columns, channels)
    means: NDArray[np.uint8] = np.round(blocks.mean(axis=(2, 4))).astype(np.uint8)
    return means
