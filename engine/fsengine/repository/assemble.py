"""Assemble the repository that Triton serves: the canonical configs, adapted to a pack and a target."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from fsengine.contracts import steps
from fsengine.contracts.served import ServedModels
from fsengine.errors import Action, InferenceError, InvalidInputError, PackError, Remedy
from fsengine.files.atomic import atomic_folder
from fsengine.files.json_record import read_object
from fsengine.files.writing_errors import unwritable
from fsengine.packs.pack import HALF_PRECISIONS, PACK_FILE, Pack, read_pack, verify_pack
from fsengine.packs.shipped import shipped_folder
from fsengine.repository.gpu_config import gpu_pipeline, put_on_gpu
from fsengine.repository.model_config import CONFIG_FILE, apply_ensemble, apply_spec, config_text, read_config
from fsengine.repository.onnx_contract import check_onnx
from fsengine.repository.queue_limits import limit_queue
from fsengine.repository.warm_up import add_warm_up

if TYPE_CHECKING:
    from tritonclient.grpc import model_config_pb2 as pb

    from fsengine.contracts.tensors import ModelSpec

GOLDEN_FILE = "golden.npz"
"""What the models answer for photos that ship, see `fsengine.repository.golden`: beside `pack.json` in a pack, beside
the manifest in a repository."""

MANIFEST_FILE = "facestats.json"
"""Written last: a repository that has it is whole."""

_DECODE_PIPELINE = "decode/1/dali.py"
_CANONICAL_FILES = {steps.DECODE: _DECODE_PIPELINE, steps.DECODE_ISOLATED: _DECODE_PIPELINE}
"""Step to the file below `model_repository/` that is its artifact in every pack."""
_FOREST_FILE = "checkpoint.tl"
_GRAPH_LEVEL_EXTENDED = 1


SMALL_ENCODER_BYTES = 32 << 20
"""Of an encoder up to this size, and of the detector beside it, the embedded CPU server runs two instances with half
of the threads each: a tenth more photos a second on two cores (docs/background/performance.md), for memory that CLIP
would take twice."""

_STEPS_OF_CROPS = 3
"""decode, detect, align."""

_DOUBLED_STEPS = (steps.DETECT, steps.EMBED)


class Target(str, Enum):
    """Who serves the repository.

    PIP: Triton 2.51 of `nvidia-pytriton` with the stand-in backends, on the CPU.
    CONTAINER: NVIDIA's Triton container with its native backends, on the CPU or whatever it finds.
    GPU: The same container on a GPU: decoding, graphs or plans, and the forest.
    PIP_GPU: The pip package's server with the stand-in backends on a GPU; the forest stays on the CPU.
    """

    PIP = "pip"
    CONTAINER = "container"
    GPU = "gpu"
    PIP_GPU = "pip-gpu"

    @property
    def in_pip(self) -> bool:
        """Return whether the pip package's Triton serves it, which knows fewer fields."""
        return self in (Target.PIP, Target.PIP_GPU)

    @property
    def on_gpu(self) -> bool:
        """Return whether it needs a GPU."""
        return self in (Target.GPU, Target.PIP_GPU)


def assemble(
    pack_folder: Path, out: Path, *, target: Target, without: tuple[str, ...] = (), golden: Path | None = None
) -> Pack:
    """Assemble a served repository, complete or not at all, and return the pack it serves.

    Every artifact is compared with its hash and every ONNX graph with its contract. An `out` that already
    holds the same assembly is left as it is; one that holds another repository is replaced.

    Args:
        pack_folder: Folder of the pack.
        out: Folder of the repository.
        target: Who serves it.
        without: Heads to switch off; they are then absent from steps, results and API.
        golden: The file of its golden answers, for a target on a GPU; by default the one that lies with the pack.

    Raises:
        PackError: The pack is incomplete, altered or does not fit its contracts, or `out` holds something else.
    """
    whole = read_pack(pack_folder)
    pack = whole.without(without)
    manifest = _manifest(pack, target)
    files = _files(pack, pack_folder, target)
    golden = golden or pack_folder / GOLDEN_FILE
    if target.on_gpu and golden.is_file():
        files[GOLDEN_FILE] = golden
    if _is_current(out, manifest, files):
        return pack
    if out.exists() and not (out / MANIFEST_FILE).is_file() and any(out.iterdir()):
        raise PackError(f"{out} holds something other than an assembled repository; choose another folder")
    verify_pack(pack_folder)
    try:
        with atomic_folder(out, f".{out.name}-") as temporary:
            _fill(temporary, files, {spec.name: spec for spec in pack.specs()})
            (temporary / MANIFEST_FILE).write_text(manifest)
    except OSError as exc:
        raise PackError(unwritable(out, exc, "choose another folder (--out, FACESTATS_MODELS)")) from exc
    return pack


def adapt(canonical: dict[str, pb.ModelConfig], pack: Pack, target: Target) -> dict[str, pb.ModelConfig]:
    """Return the configs of a pack for a target, made in place from the canonical ones.

    Steps that the pack lacks are left out, and so are fields that the target's Triton does not know.
    """
    specs = pack.specs()
    isolated = steps.decode_isolated_spec()
    configs = {spec.name: _adapt_step(canonical[spec.name], spec, pack, target) for spec in (*specs, isolated)}
    for name, chain, outputs in (
        (steps.ENSEMBLE, specs, steps.ENSEMBLE_OUTPUTS),
        (steps.ENSEMBLE_ISOLATED, [isolated, *specs[1:]], steps.ENSEMBLE_OUTPUTS),
        (steps.ENSEMBLE_CROPS, specs[:_STEPS_OF_CROPS], steps.CROPS_OUTPUTS),
    ):
        configs[name] = _adapt_ensemble(canonical[name], chain, outputs, target)
    for name, value in pack.served().to_parameters().items():
        configs[steps.ENSEMBLE].parameters[name].string_value = value
    return configs


def _adapt_step(config: pb.ModelConfig, spec: ModelSpec, pack: Pack, target: Target) -> pb.ModelConfig:
    """Return a step's config, adapted in place."""
    apply_spec(config, spec)
    model = pack.models.get(spec.name)
    if model is not None and model.precision in HALF_PRECISIONS:
        # ONNX Runtime's CPU provider crashes on an fp16 CLIP at its highest level.
        config.optimization.graph.level = _GRAPH_LEVEL_EXTENDED
    limit_queue(config, on_gpu=target.on_gpu)
    if target.on_gpu:
        put_on_gpu(config, forest=not target.in_pip)
    return config


def _adapt_ensemble(
    config: pb.ModelConfig, specs: list[ModelSpec], outputs: tuple[str, ...], target: Target
) -> pb.ModelConfig:
    """Return the config of an ensemble of some steps, adapted in place."""
    apply_ensemble(config, specs, outputs)
    if target.in_pip:
        config.ensemble_scheduling.ClearField("max_inflight_requests")  # Triton 25.11 and newer
    return config


def read_canonical(folder: Path | None = None) -> dict[str, pb.ModelConfig]:
    """Return every configuration of `model_repository/` by the name of its model."""
    root = shipped_folder("model_repository") if folder is None else folder
    return {path.parent.name: read_config(path) for path in sorted(root.glob(f"*/{CONFIG_FILE}"))}


def _files(pack: Pack, pack_folder: Path, target: Target) -> dict[str, str | Path]:
    """Return every file of a repository by its path in it: its text, or the artifact of the pack that it is."""
    root = shipped_folder("model_repository")
    files: dict[str, str | Path] = {}
    configs = adapt(read_canonical(root), pack, target)
    if target is Target.PIP and (pack_folder / pack.models[steps.EMBED].file).stat().st_size <= SMALL_ENCODER_BYTES:
        for step in _DOUBLED_STEPS:
            configs[step].instance_group[0].count = 2
    for name, config in configs.items():
        if target.on_gpu and name not in steps.ENSEMBLES:
            files.update({f"{name}/{path}": file for path, file in add_warm_up(config).items()})
        files[f"{name}/{CONFIG_FILE}"] = config_text(config)
        if name in _CANONICAL_FILES:
            source = root / _CANONICAL_FILES[name]
            text = source.read_text()
            files[f"{name}/1/{source.name}"] = gpu_pipeline(text) if target.on_gpu else text
        if name in pack.models:
            artifact = pack_folder / pack.models[name].file
            files[f"{name}/1/{_FOREST_FILE if artifact.suffix == '.tl' else f'model{artifact.suffix}'}"] = artifact
    return files


def _fill(out: Path, files: Mapping[str, str | Path], specs: Mapping[str, ModelSpec]) -> None:
    """Write configs and artifacts of every step."""
    for name, content in files.items():
        path = out / name
        step = path.relative_to(out).parts[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.parent != out:
            (out / step / "1").mkdir(exist_ok=True)  # an ensemble has a version and nothing in it
        if isinstance(content, str):
            path.write_text(content)
        else:
            if content.suffix == ".onnx":
                check_onnx(content, specs[step])
            link_or_copy(content, path)


def _manifest(pack: Pack, target: Target) -> str:
    """Return what decides an assembly, as text."""
    root = shipped_folder("model_repository")
    canonical = {
        str(path.relative_to(root)): path.read_text()
        for path in sorted([*root.glob(f"*/{CONFIG_FILE}"), *root.glob("*/1/*.py")])
    }
    record = {"target": target.value, "served": pack.served().to_parameters(), "canonical": canonical}
    return json.dumps(record, sort_keys=True)


def _is_current(out: Path, manifest: str, files: Mapping[str, str | Path]) -> bool:
    """Return whether a folder holds an assembly and nothing else, artifacts by their size."""
    try:
        if (out / MANIFEST_FILE).read_text() != manifest:
            return False
        found = {path.relative_to(out).as_posix() for path in out.rglob("*") if not path.is_dir()}
        return found == {MANIFEST_FILE, *files} and all(
            (out / name).read_text() == content
            if isinstance(content, str)
            else (out / name).stat().st_size == content.stat().st_size
            for name, content in files.items()
        )
    except (OSError, ValueError):
        return False


def link_or_copy(source: Path, target: Path) -> None:
    """Hard-link an artifact where the file system allows it, since some are hundreds of megabytes."""
    try:
        os.link(source.resolve(), target)  # of a link, what it points to
    except OSError:
        shutil.copyfile(source, target)


def is_pack(folder: Path) -> bool:
    """Return whether a folder is a pack."""
    return (folder / PACK_FILE).is_file()


def is_repository(folder: Path) -> bool:
    """Return whether a folder is an assembled repository."""
    return (folder / MANIFEST_FILE).is_file()


def read_manifest(folder: Path) -> tuple[str, Target]:
    """Return the pack of an assembled repository, and who it was assembled for.

    Raises:
        PackError: Its manifest is damaged.
    """
    path = folder / MANIFEST_FILE
    record = read_object(path, lambda text: PackError(f"{text}; assemble the repository again"))
    try:
        return str(record["served"]["pack"]), Target(record["target"])
    except (ValueError, KeyError, TypeError) as exc:
        raise PackError(f"{path} cannot be read ({type(exc).__name__}: {exc}); assemble the repository again") from exc


def read_served(folder: Path) -> ServedModels:
    """Return what a server of an assembled repository says that it serves.

    Raises:
        PackError: Its manifest is damaged.
    """
    path = folder / MANIFEST_FILE
    record = read_object(path, lambda text: PackError(f"{text}; assemble the repository again"))
    try:
        return ServedModels.from_parameters(record["served"])
    except (InferenceError, KeyError, TypeError) as exc:
        raise PackError(f"{path} cannot be read ({type(exc).__name__}: {exc}); assemble the repository again") from exc


def check_gpu_repository(folder: Path) -> None:
    """Check that a folder is an assembled repository for a GPU.

    Raises:
        InvalidInputError: It is something else, for another target, or not there.
        PackError: Its manifest is damaged.
    """
    again, remedy = "make one: assemble a pack for the target gpu", Remedy(Action.ASSEMBLE, Target.GPU.value)
    if not is_repository(folder):
        raise InvalidInputError(f"{folder} is no assembled repository; {again}", remedy=remedy)
    _, target = read_manifest(folder)
    if not target.on_gpu:
        raise InvalidInputError(
            f"{folder} was assembled for the target {target.value}, expected gpu or pip-gpu; {again}", remedy=remedy
        )
