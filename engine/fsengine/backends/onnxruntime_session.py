"""A session of ONNX Runtime on the device that a configuration asks for."""

from __future__ import annotations

from typing import Any

from fsengine.backends.config_rules import BackendConfig
from fsengine.backends.onnxruntime_rules import cuda_provider_options
from fsengine.errors import PackError

_CUDA = "CUDAExecutionProvider"


def open_session(config: BackendConfig, options: Any) -> Any:
    """Return a session on the device of a configuration.

    Raises:
        PackError: It asks for a GPU, and ONNX Runtime cannot run it there; it would fall back to the CPU silently.
    """
    import onnxruntime as ort

    if config.gpu is None:
        return ort.InferenceSession(str(config.artifact), options, providers=["CPUExecutionProvider"])
    providers = [(_CUDA, cuda_provider_options(config)), "CPUExecutionProvider"]
    if _CUDA in ort.get_available_providers():
        ort.preload_dlls()  # CUDA and cuDNN of the wheels, which the loader does not find by itself
        session = ort.InferenceSession(str(config.artifact), options, providers=providers)
        if session.get_providers()[0] == _CUDA:
            return session
    raise PackError(
        f"model {config.name!r} is to run on GPU {config.gpu}, and ONNX Runtime {ort.__version__} here has "
        f"{ort.get_available_providers()}; pip install 'facestats[gpu]' (in place of onnxruntime), and see whether its "
        "CUDA libraries load"
    )
