"""The inference backend that talks to a Triton server over gRPC."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fsclient.backend.address import NO_ACCESS, Access
from fsclient.backend.served_capacity import ServedCapacity, num_instances, served_capacity
from fsclient.backend.statistics import ModelStatistics
from fsclient.backend.wire.grpc_channel import opened_channel
from fsclient.backend.wire.grpc_errors import translated_errors
from fsclient.backend.wire.infer_message import Tensor, answered_arrays, infer_request
from fsengine.contracts.served import ServedEnsemble, ServedHead
from fsengine.contracts.steps import (
    DECODE,
    DECODE_ISOLATED,
    ENCODED_IMAGE,
    ENSEMBLE,
    ENSEMBLE_ISOLATED,
    HEADS,
    ORIENTATION,
)
from fsengine.contracts.tensors import DType
from fsengine.errors import AccessDeniedError, DeadlineError, InferenceError, PhotoRejectedError, ServerUnavailableError
from fsengine.repository.model_config import served_by
from fsengine.server.listening import TOKEN_HEADER

if TYPE_CHECKING:
    from grpc import aio
    from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

logger = logging.getLogger(__name__)

_INFER = "/inference.GRPCInferenceService/ModelInfer"

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
        self.connect_again = partial(TritonBackend, url, tls=tls, access=access, request_timeout_s=request_timeout_s)
        self._url = url
        self._tls = tls
        self._access = access
        self._metadata = None if access.token is None else ((TOKEN_HEADER, access.token),)
        self._options = {"metadata": self._metadata, "timeout": CONNECT_TIMEOUT_S}
        self._request_timeout_s = request_timeout_s
        self._channel: aio.Channel | None = None
        self._stub: service_pb2_grpc.GRPCInferenceServiceStub | None = None
        self._infer: aio.UnaryUnaryMultiCallable[bytes, bytes] | None = None
        self._isolates = False
        self._capacity = ServedCapacity()
        self._calls: set[aio.UnaryUnaryCall[bytes, bytes]] = set()

    @property
    def isolates(self) -> bool:
        """Return whether the server can decode a photo alone; see `InferenceBackend.isolates`."""
        return self._isolates

    @property
    def capacity(self) -> ServedCapacity:
        """Return how much the server can take; see `InferenceBackend.capacity`."""
        return self._capacity

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
        from tritonclient.grpc import service_pb2 as pb

        with translated_errors(self._url, tls=self._tls):
            config = await self._config(ENSEMBLE)
            metadata = await self._connected().ServerMetadata(pb.ServerMetadataRequest(), **self._options)
            if not await self._is_ready(ENSEMBLE):
                raise ServerUnavailableError(f"the server at {self._url} is not ready yet; try again")
            self._isolates = await self._serves_twin_of(config)
            steps = await self._step_configs(config)
        self._capacity = served_capacity(config, steps, isolates=self._isolates)
        return ServedEnsemble(
            models=served_by(config),
            outputs={tensor.name: tuple(tensor.dims) for tensor in config.output},
            runtime=f"{metadata.name} {metadata.version}",
            heads=_heads(config),
        )

    async def _step_configs(self, ensemble: model_config_pb2.ModelConfig) -> dict[str, model_config_pb2.ModelConfig]:
        """Return the configuration of each step of the ensemble, in its order."""
        names = [step.model_name for step in ensemble.ensemble_scheduling.step]
        return dict(zip(names, await asyncio.gather(*map(self._config, names)), strict=True))

    async def _config(self, model: str) -> model_config_pb2.ModelConfig:
        """Return the configuration of a model."""
        from tritonclient.grpc import service_pb2 as pb

        answer = await self._connected().ModelConfig(pb.ModelConfigRequest(name=model), **self._options)
        return answer.config

    async def _is_ready(self, model: str) -> bool:
        """Return whether a model can be asked."""
        from tritonclient.grpc import service_pb2 as pb

        answer = await self._connected().ModelReady(pb.ModelReadyRequest(name=model), **self._options)
        return bool(answer.ready)

    async def _serves_twin_of(self, config: model_config_pb2.ModelConfig) -> bool:
        """Return whether the server also has the ensemble whose decoding is not shared."""
        if not await self._is_ready(ENSEMBLE_ISOLATED):
            return False
        twin = await self._config(ENSEMBLE_ISOLATED)
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
        encoded = Tensor(ENCODED_IMAGE.name, ENCODED_IMAGE.dtype, (1, len(data)), data)
        number = Tensor(ORIENTATION.name, ORIENTATION.dtype, (1, 1), bytes([orientation]))
        return await self._ask(ENSEMBLE_ISOLATED if alone else ENSEMBLE, [encoded, number], outputs)

    async def infer_head(self, head: ServedHead, embeddings: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        """Run one head on embeddings; see `InferenceBackend.infer_head`."""
        (name,) = head.inputs
        rows = Tensor(name, DType.FP32, embeddings.shape, embeddings.astype("<f4", copy=False).tobytes())
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
        from tritonclient.grpc import service_pb2 as pb

        try:
            with translated_errors(self._url, tls=self._tls):
                answer = await self._connected().ModelStatistics(pb.ModelStatisticsRequest(), **self._options)
        except AccessDeniedError:
            return None
        return {model.name: _counted(model) for model in answer.model_stats}

    async def instances(self) -> dict[str, int]:
        """Return the ensemble's steps in its order, each with the number of its model's instances.

        Where the server can decode a photo alone, as `served` last found, the step that does is among them.
        """
        numbers = {}
        with translated_errors(self._url, tls=self._tls):
            ensemble = await self._config(ENSEMBLE)
            for step, config in (await self._step_configs(ensemble)).items():
                numbers[step] = num_instances(config)
                if step == DECODE and self._isolates:
                    numbers[DECODE_ISOLATED] = num_instances(await self._config(DECODE_ISOLATED))
        return numbers

    async def _ask(self, model: str, inputs: list[Tensor], outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Make one request."""
        self._connected()
        assert self._infer is not None
        with translated_errors(self._url, tls=self._tls):
            call = self._infer(
                infer_request(model, inputs, tuple(outputs)),
                metadata=self._metadata,
                timeout=self._request_timeout_s + _GIVEN_UP_AFTER_S,
            )
            found = answered_arrays(await self._to_the_end(call))
        if missing := [name for name in outputs if name not in found]:
            raise InferenceError(f"the server at {self._url} sent no {', '.join(missing)}; expected {list(outputs)}")
        return {name: found[name] for name in outputs}

    async def _to_the_end(self, call: aio.UnaryUnaryCall[bytes, bytes]) -> bytes:
        """Wait for an answer; the request goes on where nobody waits for it any more, as Triton can die of a cancel.

        Raises:
            DeadlineError: It is not answered in time.
        """
        answered = asyncio.get_running_loop().create_future()

        def forget(call: aio.UnaryUnaryCall[bytes, bytes]) -> None:
            self._calls.discard(call)
            if not answered.done():
                answered.set_result(None)

        self._calls.add(call)
        call.add_done_callback(forget)
        try:
            await asyncio.wait_for(answered, self._request_timeout_s)
        except asyncio.TimeoutError as exc:
            raise DeadlineError(f"the server at {self._url} did not answer in time") from exc
        answer: bytes = await call
        return answer

    async def close(self) -> None:
        """Close the channel."""
        channel, self._channel, self._stub, self._infer = self._channel, None, None, None
        if channel is not None:
            await channel.close()

    def _connected(self) -> service_pb2_grpc.GRPCInferenceServiceStub:
        """Return what the server can be asked, made inside the running event loop on first use."""
        if self._stub is None:
            from tritonclient.grpc import service_pb2_grpc

            self._channel = opened_channel(self._url, tls=self._tls, access=self._access)
            self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
            self._infer = self._channel.unary_unary(_INFER)
        return self._stub


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
