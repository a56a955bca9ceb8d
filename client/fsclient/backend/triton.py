"""The inference backend that talks to a Triton server over gRPC."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fsclient.backend.address import NO_ACCESS, Access
from fsclient.backend.grpc_errors import translated_errors
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
from fsengine.errors import AccessDeniedError, DeadlineError, InferenceError, PhotoRejectedError, ServerUnavailableError
from fsengine.server.listening import TOKEN_HEADER
from fsengine.server.loopback import channel_options, unlimited_messages

if TYPE_CHECKING:
    from tritonclient.grpc import InferInput, InferResult, aio, model_config_pb2, service_pb2

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 20.0
REQUEST_TIMEOUT_S = 120.0
_GIVEN_UP_AFTER_S = 60.0
"""How long the server goes on with a request that came too late for the caller."""


class TritonBackend:
    """One gRPC channel to a Triton server that serves the `facestats` ensemble."""

    def __init__(
        self,
        url: str,
        *,
        tls: bool = False,
        access: Access = NO_ACCESS,
        request_timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> None:
        """Prepare a connection; nothing is sent yet.

        Args:
            url: `host:port` of the server's gRPC endpoint, or `dns:///host:port` for all addresses of a name in turn.
            tls: Whether it speaks TLS.
            access: What is shown to it.
            request_timeout_s: The longest wait for one photo.
        """
        self._url = url
        self._tls = tls
        self._access = access
        self._headers = None if access.token is None else {TOKEN_HEADER: access.token}
        self._options = {"headers": self._headers, "client_timeout": CONNECT_TIMEOUT_S}
        self._request_timeout_s = request_timeout_s
        self._client: aio.InferenceServerClient | None = None
        self._isolates = False
        self._requests: set[asyncio.Task[InferResult]] = set()

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
        with translated_errors(self._url, tls=self._tls):
            config = (await client.get_model_config(ENSEMBLE, **self._options)).config
            metadata = await client.get_server_metadata(**self._options)
            if not await client.is_model_ready(ENSEMBLE, **self._options):
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
        if not await client.is_model_ready(ENSEMBLE_ISOLATED, **self._options):
            return False
        twin = (await client.get_model_config(ENSEMBLE_ISOLATED, **self._options)).config
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
            with translated_errors(self._url, tls=self._tls):
                answer = await client.get_inference_statistics(**self._options)
        except AccessDeniedError:
            return None
        return {model.name: _counted(model) for model in answer.model_stats}

    async def instances(self) -> dict[str, int]:
        """Return the ensemble's steps in its order, each with the number of its model's instances.

        Where the server can decode a photo alone, as `served` last found, the step that does is among them.
        """
        client = self._connected()
        numbers = {}
        with translated_errors(self._url, tls=self._tls):
            ensemble = (await client.get_model_config(ENSEMBLE, **self._options)).config
            steps = [step.model_name for step in ensemble.ensemble_scheduling.step]
            if self._isolates:
                steps.insert(steps.index(DECODE) + 1, DECODE_ISOLATED)
            for step in steps:
                config = (await client.get_model_config(step, **self._options)).config
                # A group has its count on each of its GPUs.
                numbers[step] = sum(group.count * max(len(group.gpus), 1) for group in config.instance_group)
        return numbers

    async def _ask(self, model: str, inputs: list[InferInput], outputs: list[str]) -> dict[str, NDArray[Any]]:
        """Make one request."""
        from tritonclient.grpc import InferRequestedOutput

        client = self._connected()
        with translated_errors(self._url, tls=self._tls):
            result = await self._to_the_end(
                client.infer(
                    model,
                    inputs,
                    outputs=[InferRequestedOutput(name) for name in outputs],
                    headers=self._headers,
                    client_timeout=self._request_timeout_s + _GIVEN_UP_AFTER_S,
                )
            )
            arrays = {name: result.as_numpy(name) for name in outputs}
        if missing := [name for name, array in arrays.items() if array is None]:
            raise InferenceError(f"the server at {self._url} sent no {', '.join(missing)}; expected {outputs}")
        return arrays

    async def _to_the_end(self, request: Coroutine[Any, Any, InferResult]) -> InferResult:
        """Wait for an answer; the request goes on where nobody waits for it any more, as Triton can die of a cancel.

        Raises:
            DeadlineError: It is not answered in time.
        """
        task = asyncio.ensure_future(request)
        self._requests.add(task)
        task.add_done_callback(self._forget)
        try:
            return await asyncio.wait_for(asyncio.shield(task), self._request_timeout_s)
        except asyncio.TimeoutError as exc:
            raise DeadlineError(f"the server at {self._url} did not answer in time") from exc

    def _forget(self, request: asyncio.Task[InferResult]) -> None:
        self._requests.discard(request)
        if not request.cancelled():
            request.exception()  # looked at, so that nothing is logged of one that was given up

    async def close(self) -> None:
        """Close the channel."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    def _connected(self) -> aio.InferenceServerClient:
        """Return the client, made inside the running event loop on first use."""
        if self._client is None:
            from tritonclient.grpc import aio

            files = self._access
            self._client = aio.InferenceServerClient(
                self._url,
                ssl=self._tls,
                root_certificates=_text(files.ca),
                private_key=_text(files.key),
                certificate_chain=_text(files.certificate),
                channel_args=_channel_options(self._url),
            )
        return self._client


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


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _channel_options(target: str) -> Sequence[tuple[str, int | str]] | None:
    """Return the options of a channel; None for those that tritonclient gives by itself."""
    if target.startswith("dns:///"):
        return [*unlimited_messages(), ("grpc.lb_policy_name", "round_robin")]
    return channel_options(target)
