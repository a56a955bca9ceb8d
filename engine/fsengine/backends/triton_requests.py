"""A request of Triton's Python backend as arrays, and arrays as its answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import triton_python_backend_utils as pb_utils

if TYPE_CHECKING:
    from numpy.typing import NDArray


def input_arrays(request: Any, names: Iterable[str]) -> dict[str, NDArray[Any]]:
    """Return a request's inputs by name."""
    return {name: pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in names}


def response(request: Any, outputs: Mapping[str, NDArray[Any]]) -> Any:
    """Return the response with those outputs that a request asks for."""
    return pb_utils.InferenceResponse(
        [pb_utils.Tensor(name, outputs[name]) for name in request.requested_output_names()]
    )
