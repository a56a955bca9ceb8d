"""A server that answers at once: the gRPC of Triton with the configurations of a real repository, and no models.

Run as a program with a repository's folder; it prints the address that it listens on, and ends with its stdin.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

from fsengine.contracts.steps import ENSEMBLE
from fsengine.repository.model_config import CONFIG_FILE, read_config

FACES = (1, 2)
"""On every other photo, so that a photo has 1.5 in the mean."""

_DTYPES = {"INT32": np.int32, "BOOL": np.bool_, "FP32": np.float32}


class Stub(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """Answers as Triton does, with numbers that are the same for every photo."""

    def __init__(self, repository: Path) -> None:
        """Read the configurations."""
        self._configs = {path.parent.name: read_config(path) for path in repository.glob(f"*/{CONFIG_FILE}")}
        self._answers: dict[tuple[str, ...], list[pb.ModelInferResponse]] = {}
        self._number = 0

    def ServerMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Say what the server is."""
        return pb.ServerMetadataResponse(name="stub", version="1")

    def ModelReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Say whether a model is there."""
        return pb.ModelReadyResponse(ready=request.name in self._configs)

    def ModelConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Give a model's configuration."""
        return pb.ModelConfigResponse(config=self._configs[request.name])

    def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Answer for a photo."""
        names = tuple(output.name for output in request.outputs)
        if names not in self._answers:
            self._answers[names] = [self._answer(names, num_faces) for num_faces in FACES]
        self._number += 1
        return self._answers[names][self._number % len(FACES)]

    def _answer(self, names: tuple[str, ...], num_faces: int) -> pb.ModelInferResponse:
        answer = pb.ModelInferResponse(model_name=ENSEMBLE, model_version="1")
        outputs = {output.name: output for output in self._configs[ENSEMBLE].output}
        for name in names:
            output = outputs[name]
            dtype = type(output).DESCRIPTOR.fields_by_name["data_type"].enum_type
            kind = dtype.values_by_number[output.data_type].name.removeprefix("TYPE_")
            shape = [num_faces if side == -1 else side for side in output.dims]
            array = np.random.default_rng(len(name)).random(shape).astype(np.float32)
            values = {"image_size": [[1024, 768]], "faces_truncated": [[False]], "face_count": [num_faces]}
            array = np.asarray(values.get(name, array), _DTYPES[kind])
            answer.outputs.add(name=name, datatype=kind, shape=shape)
            answer.raw_output_contents.append(array.tobytes())
        return answer


def main() -> None:
    """Serve until stdin ends."""
    server = grpc.server(
        ThreadPoolExecutor(2),
        options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)],
    )
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Stub(Path(sys.argv[1])), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(f"127.0.0.1:{port}", flush=True)
    sys.stdin.read()
    server.stop(0)


if __name__ == "__main__":
    main()
