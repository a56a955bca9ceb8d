"""What a configuration says where its model runs on a GPU, and the decode pipeline's rendering for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fsengine.contracts import steps
from fsengine.errors import PackError

if TYPE_CHECKING:
    from tritonclient.grpc import model_config_pb2 as pb


CUDA_ACCELERATOR = "cuda"

CUDA_PARAMETERS = {"arena_extend_strategy": "1", "cudnn_conv_algo_search": "1"}
"""Parameters of a model in ONNX Runtime's CUDA provider: memory as requested rather than doubled, and no exhaustive
search for every new batch size. The backend's newer place for such options is the accelerator, but it then overwrites
these two with its defaults (onnxruntime_backend:src/onnxruntime.cc)."""

ALIGN_CUDA_OPTIONS = {"prefer_nhwc": "1"}
"""The CUDA provider has GridSample in its NHWC form alone; otherwise the photo would be sampled on the CPU."""

_CPU_RENDERING = 'DECODE_DEVICE = "cpu"'
_GPU_RENDERING = 'DECODE_DEVICE = "mixed"'


def put_on_gpu(config: pb.ModelConfig, *, forest: bool) -> None:
    """Have a step run on the GPU.

    Args:
        config: Of a step, adapted in place.
        forest: Whether the target's FIL backend evaluates forests on the GPU; the stand-in does not.
    """
    from tritonclient.grpc import model_config_pb2 as pb

    on_cpu = config.backend == "fil" and not forest
    for group in config.instance_group:
        group.kind = pb.ModelInstanceGroup.KIND_CPU if on_cpu else pb.ModelInstanceGroup.KIND_GPU
    if config.backend:
        return
    for name, value in CUDA_PARAMETERS.items():
        config.parameters[name].string_value = value
    if config.name == steps.ALIGN:
        accelerator = config.optimization.execution_accelerators.gpu_execution_accelerator.add(name=CUDA_ACCELERATOR)
        for name, value in ALIGN_CUDA_OPTIONS.items():
            accelerator.parameters[name] = value


def gpu_pipeline(text: str) -> str:
    """Return the GPU rendering of `decode/1/dali.py`: nvJPEG, on the hardware decoder where there is one.

    Raises:
        PackError: The text does not state its device once.
    """
    if text.count(_CPU_RENDERING) != 1:
        raise PackError(f"the decode pipeline does not state {_CPU_RENDERING} once; install facestats again")
    return text.replace(_CPU_RENDERING, _GPU_RENDERING)
