"""Stand-in for the `fil` backend: a Treelite forest, evaluated by Treelite's own GTIL.

GTIL needs no compiler on the user's machine, unlike tl2cgen, and a photo has few faces; see
benchmarks/forest.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from fsengine.backends.config_rules import read_backend_config
from fsengine.backends.fil_rules import ARTIFACTS, FilSettings, forest_settings, model_type
from fsengine.contracts.steps import FIL_INPUT, FIL_OUTPUT
from fsengine.errors import PackError
from fsengine.server.threads import step_threads


class TritonPythonModel:
    """One forest of class probabilities."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the forest and compare it with the configuration."""
        import treelite

        raw = json.loads(args["model_config"]).get("parameters", {})
        kind = model_type({key: value["string_value"] for key, value in raw.items()})
        config = read_backend_config(args, ARTIFACTS[kind])
        if config.gpu is not None:
            raise PackError(f"model {config.name!r} asks for a GPU; forests of the embedded server run on the CPU")
        self._settings: FilSettings = forest_settings(config)
        if kind == "lightgbm":
            self._model = treelite.frontend.load_lightgbm_model(str(config.artifact))
        else:
            # Treelite follows links to the user's own path, and cannot open one that is not ASCII in a C locale.
            self._model = treelite.Model.deserialize_bytes(config.artifact.read_bytes())
        width = config.inputs[0].dims[0]
        if self._model.num_feature != width:
            raise PackError(
                f"model {config.name!r}: the forest has {self._model.num_feature} features, {width} configured"
            )
        classes = self._probabilities(np.zeros((1, width), np.float32)).shape[1]
        if classes != self._settings.num_classes:
            raise PackError(
                f"model {config.name!r}: the forest has {classes} classes, {self._settings.num_classes} configured"
            )

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer the requests of one execution as one batch."""
        rows = [pb_utils.get_input_tensor_by_name(request, FIL_INPUT).as_numpy() for request in requests]
        merged = self._probabilities(np.concatenate(rows))
        parts = np.split(merged, np.cumsum([len(row) for row in rows])[:-1])
        return [pb_utils.InferenceResponse([pb_utils.Tensor(FIL_OUTPUT, part)]) for part in parts]

    def _probabilities(self, features: np.ndarray[Any, np.dtype[np.float32]]) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Return float32 (N, classes) for float32 (N, features)."""
        import treelite

        threads = self._settings.num_threads or step_threads()
        # (N, 1, classes) -> (N, classes)
        result = treelite.gtil.predict(self._model, features, nthread=threads)
        return np.ascontiguousarray(result.reshape(len(features), -1), np.float32)
