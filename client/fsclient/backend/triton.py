"""The inference backend that talks to a Triton server over gRPC."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fsclient.backend.statistics import ModelStatistics
from fsengine.contracts.served import ServedEnsemble, ServedHead, ServedModels
from fsengine.contracts.steps import (
    DECODE,
    DECODE_ISOLATED,
    ENCODED_IMAGE,
    ENSEMBLE,
    ENSEMBLE_ISOLATED,
    HEADS,
    ORIENTATION,
)
from fsengine.errors import (
    DeadlineError,
    InferenceError,
    InvalidInputError,
    PhotoRejectedError,
    ServerUnavailableError,
)
from fsengine.server.loopback import channel_options

if TYPE_CHECKING:
    from tritonclient.grpc import InferInput, aio, model_config_pb2, service_pb2

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 20.0
REQUEST_TIMEOUT_S = 120.0

_UNAVAILABLE_STATES = ("UNAVAILABLE", "CANCELLED", "RESOURCE_EXHAUSTED")
_SICK_SERVER_MARKS = ("is not healthy", "Stub process", "shared memory", "Shared memory")
"""What Triton writes when a Python backend died or /dev/shm is full: the photo is not to blame."""
_RESTRICTED_MARK = "protocol is restricted"
"""What Triton writes when it keeps its statistics from clients."""


class TritonBackend:
    """One gRPC channel to a Triton server that serves the `facestats` ensemble."""

    def __init__(self, url: str, *, request_timeout_s: float = REQUEST_TIMEOUT_S) -> None:
        """Prepare a connection; nothing is sent yet.

        Args:
            url: `host:port` of the server's gRPC endpoint.
            request_timeout_s: The longest wait for one photo.

        Raises:
            InvalidInputError: `url` is not `host:port`.
        """
        self._url = checked_address(url)
        self._request_timeout_s = request_timeout_s
        self._client: aio.InferenceServerClient | None = None
        self._isolates = False

    @property
    def isolates(self) -> bool:
        """Return whether the server can decode a photo alone; see `InferenceBackend.isolates`."""
        return self._isolates

    async def served(self) -> ServedEnsemble:
        """Return what the server serves; see `InferenceBackend.served`."""
        try:
            return await self._served()
        except PhotoRejectedError as exc:
            raise ServerUnavailableError(
                f"the server at {self._url} is unavailable: it does not serve {ENSEMBLE!r} ({exc}); it is stopping, or "
                "is another server"
            ) from exc

    async def _served(self) -> ServedEnsemble:
        client = self._connected()
        with _translated(self._url):
            config = (await client.get_model_config(ENSEMBLE, client_timeout=CONNECT_TIMEOUT_S)).config
            metadata = await client.get_server_metadata(client_timeout=CONNECT_TIMEOUT_S)
            if not await client.is_model_ready(ENSEMBLE, client_timeout=CONNECT_TIMEOUT_S):
                raise ServerUnavailableError(f"the server at {self._url} is not ready yet; try again")
            self._isolates = await self._serves_twin_of(config)
        return ServedEnsemble(
            models=ServedModels.from_parameters(
                {name: value.string_value for name, value in config.parameters.items()}
            ),
            outputs={tensor.name: tuple(tensor.dims) for tensor in config.output},
            runtime=f"{metadata.name} {metadata.version}",
            heads=_heads(config),
        )

    async def _serves_twin_of(self, config: model_config_pb2.ModelConfig) -> bool:
        """Return whether the server also has the ensemble whose decoding is not shared."""
        client = self._connected()
        if not await client.is_model_ready(ENSEMBLE_ISOLATED, client_timeout=CONNECT_TIMEOUT_S):
            return False
        twin = (await client.get_model_config(ENSEMBLE_ISOLATED, client_timeout=CONNECT_TIMEOUT_S)).config
        if is_isolated_twin(config, twin):
            return True
        logger.warning(
            "%s at %s has other steps or outputs than %s: photos of a failed decode are not asked for again",
            ENSEMBLE_ISOLATED,
            self._url,
            ENSEMBLE,
        )
        return False

    async def infer(
        self, data: bytes, outputs: Sequence[str], *, orientation: int, alone: bool = False
    ) -> dict[str, NDArray[Any]]:
        """Score one photo; see `InferenceBackend.infer`."""
        from tritonclient.grpc import InferInput

        encoded = InferInput(ENCODED_IMAGE.name, [1, len(data)], ENCODED_IMAGE.dtype.value)
        encoded.set_data_from_numpy(np.frombuffer(data, np.uint8)[None])
        number = InferInput(ORIENTATION.name, [1, 1], ORIENTATION.dtype.value)
        number.set_data_from_numpy(np.array([[orientation]], np.uint8))
        return await self._ask(ENSEMBLE_ISOLATED if alone else ENSEMBLE, [encoded, number], list(outputs))

    async def infer_head(self, head: ServedHead, embeddings: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        """Run one head on embeddings; see `InferenceBackend.infer_head`."""
        from tritonclient.grpc import InferInput

        (name,) = head.inputs
        rows = InferInput(name, list(embeddings.shape), "FP32")
        rows.set_data_from_numpy(embeddings)
        try:
            arrays = await self._ask(head.step, [rows], list(head.outputs))
        except PhotoRejectedError as exc:
            raise InferenceError(
                f"the {head.step} model at {self._url} refused {len(embeddings)} embeddings: {exc}; "
                "see the server's log, and run again"
            ) from exc
        return {head.outputs[name]: array for name, array in arrays.items()}

    async def statistics(self) -> dict[str, ModelStatistics] | None:
        """Return what the server counted of each model, or None where it does not give its statistics."""
        client = self._connected()
        try:
            with _translated(self._url):
                answer = await client.get_inference_statistics(client_timeout=CONNECT_TIMEOUT_S)
        except ServerUnavailableError as exc:
            if _RESTRICTED_MARK in str(exc):
                return None
            raise
        return {model.name: _counted(model) for model in answer.model_stats}

    async def instances(self) -> dict[str, int]:
        """Return the ensemble's steps in its order, each with the number of its model's instances.

        Where the server can decode a photo alone, as `served` last found, the step that does is among them.
        """
        client = self._connected()
        numbers = {}
        with _translated(self._url):
            ensemble = (await client.get_model_config(ENSEMBLE, client_timeout=CONNECT_TIMEOUT_S)).config
            steps = [step.model_name for step in ensemble.ensemble_scheduling.step]
            if self._isolates:
                steps.insert(steps.index(DECODE) + 1, DECODE_ISOLATED)
            for step in steps:
                config = (await client.get_model_config(step, client_timeout=CONNECT_TIMEOUT_S)).config
                # A group has its count on each of its GPUs.
                numbers[step] = sum(group.count * max(len(group.gpus), 1) for group in config.instance_group)
        return numbers

    async def _ask(self, model: str, inputs: list[InferInput], outputs: list[str]) -> dict[str, NDArray[Any]]:
        """Make one request."""
        from tritonclient.grpc import InferRequestedOutput

        client = self._connected()
        with _translated(self._url):
            result = await client.infer(
                model,
                inputs,
                outputs=[InferRequestedOutput(name) for name in outputs],
                client_timeout=self._request_timeout_s,
            )
            arrays = {name: result.as_numpy(name) for name in outputs}
        if missing := [name for name, array in arrays.items() if array is None]:
            raise InferenceError(f"the server at {self._url} sent no {', '.join(missing)}; expected {outputs}")
        return arrays

    async def close(self) -> None:
        """Close the channel."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    def _connected(self) -> aio.InferenceServerClient:
        """Return the client, made inside the running event loop on first use."""
        if self._client is None:
            from tritonclient.grpc import aio

            self._client = aio.InferenceServerClient(self._url, channel_args=channel_options(self._url))
        return self._client


_ADDRESS = re.compile(r"(?:[^\s:/,\[\]\x00-\x1f\x7f]+|\[[0-9A-Fa-f:.%]+\]):(?P<port>[0-9]{1,5})")
"""A name or an IPv4 address, or an IPv6 address in brackets: gRPC takes the colons of a bare one for part of a port."""


def checked_address(url: str) -> str:
    """Return a server's address.

    Raises:
        InvalidInputError: It is not `host:port`.
    """
    found = _ADDRESS.fullmatch(url)
    if found is None or not 1 <= int(found["port"]) <= 65535:
        raise InvalidInputError(
            f"server {url!r} is not HOST:PORT, for example localhost:8001 or [::1]:8001 (the gRPC port)"
        )
    return url


def _heads(config: model_config_pb2.ModelConfig) -> dict[str, ServedHead]:
    """Return the heads that the ensemble's configuration wires, with what they read and make."""
    return {
        step.model_name: ServedHead(step=step.model_name, inputs=dict(step.input_map), outputs=dict(step.output_map))
        for step in config.ensemble_scheduling.step
        if step.model_name in HEADS
    }


def is_isolated_twin(config: model_config_pb2.ModelConfig, twin: model_config_pb2.ModelConfig) -> bool:
    """Return whether two ensembles of a server differ in their decode step alone, so that their answers agree."""
    steps, others = config.ensemble_scheduling.step, twin.ensemble_scheduling.step
    return (
        len(steps) == len(others)
        and all(
            other.model_name == (DECODE_ISOLATED if step.model_name == DECODE else step.model_name)
            and dict(other.input_map) == dict(step.input_map)
            and dict(other.output_map) == dict(step.output_map)
            for step, other in zip(steps, others, strict=True)
        )
        and list(config.output) == list(twin.output)
    )


def _counted(model: service_pb2.ModelStatistics) -> ModelStatistics:
    """Return a model's counters.

    Triton counts an execution's time for each request of its batch, but in `batch_stats` once.
    """
    totals = model.inference_stats
    durations = (totals.compute_input, totals.compute_infer, totals.compute_output)
    return ModelStatistics(
        requests=totals.success.count,
        rows=model.inference_count,
        executions=model.execution_count,
        request_ns=totals.success.ns,
        queue_ns=totals.queue.ns,
        compute_ns=sum(duration.ns for duration in durations),
        busy_ns=sum(b.compute_input.ns + b.compute_infer.ns + b.compute_output.ns for b in model.batch_stats),
    )


@contextmanager
def _translated(url: str) -> Iterator[None]:
    """Turn the exceptions of tritonclient and grpc into ours."""
    from grpc import RpcError
    from tritonclient.utils import InferenceServerException

    try:
        yield
    except InferenceServerException as exc:
        state, message = str(exc.status() or ""), exc.message()
        if "DEADLINE_EXCEEDED" in state or "Deadline Exceeded" in message:
            raise DeadlineError(f"the server at {url} did not answer in time") from exc
        if any(name in state for name in _UNAVAILABLE_STATES) or any(m in message for m in _SICK_SERVER_MARKS):
            raise ServerUnavailableError(f"the server at {url} is unavailable: {message}") from exc
        raise PhotoRejectedError(message) from exc
    except RpcError as exc:
        raise ServerUnavailableError(f"the connection to {url} broke: {exc}") from exc
