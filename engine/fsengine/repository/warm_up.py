"""Requests that a server on a GPU asks itself before it is ready: kernels are chosen and memory is taken in them.

On an H100 the detector's first batch took ONNX Runtime 5 to 13 s (docs/guides/gpu.md), which a caller would have waited
for.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fsengine.contracts import steps
from fsengine.contracts.tensors import DYNAMIC
from fsengine.packs.shipped import shipped_photos

if TYPE_CHECKING:
    from tritonclient.grpc import model_config_pb2 as pb

PHOTO_FILE = "photo"
"""An encoded photo in the folder `warmup` of decode, where Triton looks for what requests hold."""

_PHOTO_HW = (1024, 1536)
_MANY_ROWS = 16


def add_warm_up(config: pb.ModelConfig) -> dict[str, Path]:
    """Write warm-up requests into the configuration of a step: of one row, and of many where it batches.

    Args:
        config: Of a step, adapted in place.

    Returns:
        Files that the requests read, by their path in the model's folder.
    """
    batches = (1, _MANY_ROWS) if config.max_batch_size >= _MANY_ROWS else (1,)
    files: dict[str, Path] = {}
    for batch in batches:
        request = config.model_warmup.add(name=f"{batch} rows", batch_size=batch)
        for tensor in config.input:
            given = request.inputs[tensor.name]
            given.data_type = tensor.data_type
            if tensor.name == steps.ENCODED_IMAGE.name:
                photo = shipped_photos()[0]
                given.dims.append(photo.stat().st_size)
                given.input_data_file = PHOTO_FILE
                files[f"warmup/{PHOTO_FILE}"] = photo
            else:
                sides = iter(_PHOTO_HW)
                given.dims.extend(next(sides) if size == DYNAMIC else size for size in tensor.dims)
                given.zero_data = True
    return files
