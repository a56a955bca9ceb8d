"""A repository whose decode steps answer errors as Triton's native DALI backend does: one for every photo of a run."""

from __future__ import annotations

import shutil
from pathlib import Path

from fsengine.contracts import steps
from fsengine.repository.model_config import CONFIG_FILE, config_text, read_config

_MODEL = '''"""The stand-in for `dali` as a model of Triton's Python backend, with the native backend's errors."""

import json

import triton_python_backend_utils as pb_utils

from fsengine.backends import dali_backend
from fsengine.backends.parent_watch import exit_with_parent

exit_with_parent()


class TritonPythonModel(dali_backend.TritonPythonModel):
    def initialize(self, args):
        config = json.loads(args["model_config"])
        config["default_model_filename"] = "dali.py"  # Triton writes in the name of this file
        super().initialize({**args, "model_config": json.dumps(config)})

    def decode_together(self, photos):
        try:
            return self.run_pipeline(photos)
        except (RuntimeError, MemoryError) as exc:
            # One each: Triton dies of an error that two responses share.
            text = f"Runtime error: {exc}"
            return [pb_utils.TritonError(text, pb_utils.TritonError.UNKNOWN) for _ in photos]
'''


def with_native_decode_errors(repository: Path, out: Path) -> Path:
    """Copy an assembled repository to `out` and have one bad photo fail all photos of its execution there."""
    shutil.copytree(repository, out)
    for name in (steps.DECODE, steps.DECODE_ISOLATED):
        if (out / name).is_dir():
            path = out / name / CONFIG_FILE
            config = read_config(path)
            config.backend = "python"
            config.ClearField("default_model_filename")  # model.py, then
            path.write_text(config_text(config))
            (out / name / "1" / "model.py").write_text(_MODEL)
    return out
