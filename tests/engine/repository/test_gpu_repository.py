"""The repository for a GPU: what NVIDIA's native backends read there, detail by detail, on the generated files."""

from __future__ import annotations

import ast
import io
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fsengine.contracts import steps
from fsengine.contracts.preprocessing import LEAST_SIDE_PX, MAX_SIDE_PX
from fsengine.errors import PackError
from fsengine.packs.shipped import shipped_folder
from fsengine.repository.assemble import Target, adapt, assemble, read_canonical
from fsengine.repository.gpu_config import gpu_pipeline
from packs_for_tests import official_pack

pytest.importorskip("onnxruntime")

DECODERS = (steps.DECODE, steps.DECODE_ISOLATED)
GRAPHS = (steps.DETECT, steps.ALIGN, steps.EMBED, steps.ATTRACTIVENESS, steps.AGE_GENDER)


def configs(target: Target) -> dict[str, Any]:
    return adapt(read_canonical(), official_pack(), target)


def kinds(target: Target) -> dict[str, str]:
    from tritonclient.grpc import model_config_pb2 as pb

    return {
        name: pb.ModelInstanceGroup.Kind.Name(config.instance_group[0].kind)
        for name, config in configs(target).items()
        if config.instance_group
    }


def test_every_step_runs_on_the_gpu_and_only_the_stand_in_s_forest_does_not() -> None:
    assert set(kinds(Target.GPU)) == {*DECODERS, *GRAPHS, steps.ETHNICITY}
    assert set(kinds(Target.GPU).values()) == {"KIND_GPU"}
    pip = kinds(Target.PIP_GPU)
    assert pip.pop(steps.ETHNICITY) == "KIND_CPU"
    assert set(pip.values()) == {"KIND_GPU"}
    assert set(kinds(Target.CONTAINER).values()) == {"KIND_AUTO"}


@pytest.mark.parametrize("target", [Target.GPU, Target.PIP_GPU])
def test_graphs_say_how_onnx_runtime_is_to_use_the_gpu(target: Target) -> None:
    for name in GRAPHS:
        config = configs(target)[name]
        # The backend overwrites these two with its defaults unless they are parameters of the model.
        assert {key: value.string_value for key, value in config.parameters.items()} == {
            "arena_extend_strategy": "1",
            "cudnn_conv_algo_search": "1",
        }
        accelerators = config.optimization.execution_accelerators.gpu_execution_accelerator
        named = {item.name: dict(item.parameters) for item in accelerators}
        assert named == ({"cuda": {"prefer_nhwc": "1"}} if name == steps.ALIGN else {})


def test_no_backend_is_named_where_the_artifact_decides() -> None:
    for name in GRAPHS:
        assert not configs(Target.GPU)[name].backend
        assert not configs(Target.GPU)[name].default_model_filename


@pytest.mark.parametrize("target", [Target.CONTAINER, Target.GPU])
def test_the_forest_has_the_names_and_parameters_that_fil_knows_since_25_09(target: Target) -> None:
    forest = configs(target)[steps.ETHNICITY]
    assert forest.backend == "fil"
    assert [tensor.name for tensor in (*forest.input, *forest.output)] == ["input__0", "output__0"]
    parameters = {name: value.string_value for name, value in forest.parameters.items()}
    assert parameters == {
        "model_type": "treelite_checkpoint",
        "is_classifier": "true",
        "predict_proba": "true",
        # Read without a default where is_classifier is true, whatever the documentation says.
        "threshold": "0.5",
    }
    assert not {"output_class", "algo", "threads_per_tree", "storage_type", "blocks_per_sm"} & set(parameters)


@pytest.mark.parametrize("target", [Target.CONTAINER, Target.GPU])
def test_photos_of_different_lengths_share_a_decode_and_those_alone_do_not(target: Target) -> None:
    decode, alone = (configs(target)[name] for name in DECODERS)
    for config in (decode, alone):
        assert config.backend == "dali"
        assert [tensor.name for tensor in config.input] == ["encoded_image", "orientation"]
        assert list(config.input[0].dims) == [-1]
        assert config.instance_group[0].count == 1
    assert decode.input[0].allow_ragged_batch
    assert not alone.input[0].allow_ragged_batch
    assert alone.max_batch_size == 1


@pytest.mark.parametrize("target", [Target.CONTAINER, Target.GPU])
def test_requests_inside_the_ensemble_are_bounded_and_no_queue_of_steps_that_run_beside_each_other(
    target: Target,
) -> None:
    for name, config in configs(target).items():
        if config.platform == "ensemble":
            assert config.ensemble_scheduling.max_inflight_requests > 0
        # Before 26.03 an ensemble hangs where such a queue is full.
        if name in steps.HEADS:
            assert config.dynamic_batching.default_queue_policy.max_queue_size == 0, name


def test_the_ensemble_batches_no_more_than_its_steps() -> None:
    for config in configs(Target.GPU).values():
        if config.platform == "ensemble":
            assert config.max_batch_size == 0


@pytest.mark.parametrize("target", list(Target))
def test_the_decode_pipeline_is_one_autoserialize_that_imports_dali_alone(target: Target, tmp_path: Path) -> None:
    assemble(shipped_folder("packs") / "lite", tmp_path / "repository", target=target)
    for name in DECODERS:
        tree = ast.parse((tmp_path / "repository" / name / "1" / "dali.py").read_text())
        imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
        assert {getattr(node, "module", None) for node in imports} == {"nvidia.dali", "nvidia.dali.plugin.triton"}
        decorators = [
            [item.id if isinstance(item, ast.Name) else item.func.id for item in node.decorator_list]  # type: ignore[attr-defined]
            for node in tree.body
            if isinstance(node, ast.FunctionDef)
        ]
        # autoserialize decorates a pipeline_def, once in a file; nothing is built on import.
        assert decorators == [["autoserialize", "pipeline_def"]]
        assert not [node for node in tree.body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)]


def test_the_gpu_s_pipeline_differs_in_the_device_alone_and_decodes_on_mixed(tmp_path: Path) -> None:
    pytest.importorskip("nvidia.dali")
    text = (shipped_folder("model_repository") / "decode" / "1" / "dali.py").read_text()
    changed = [
        pair for pair in zip(text.splitlines(), gpu_pipeline(text).splitlines(), strict=True) if len(set(pair)) > 1
    ]
    assert len(changed) == 1
    with pytest.raises(PackError, match="does not state"):
        gpu_pipeline(gpu_pipeline(text))
    (tmp_path / "dali.py").write_text(gpu_pipeline(text))
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import dali, re\n"
        "graph = dali.decode(batch_size=4, num_threads=1, device_id=None).serialize()\n"
        "print(len(re.findall(b'mixed', graph)), b'jpeg_fancy_upsampling' in graph, b'gpu' in graph)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True)
    mixed, fancy, gpu = done.stdout.split()
    assert int(mixed) >= 1
    assert (fancy, gpu) == ("True", "True")


@pytest.fixture(scope="module")
def decode_white() -> Callable[[tuple[int, int]], list[NDArray[Any]]]:
    """The decode step's outputs for a white photo of some width and height."""
    pytest.importorskip("nvidia.dali")
    from fsengine.backends.dali_loading import build_pipeline, serialize_pipeline

    path = shipped_folder("model_repository") / "decode" / "1" / "dali.py"
    pipeline = build_pipeline(serialize_pipeline(path, 1), 1, 1)

    def decode(size: tuple[int, int]) -> list[NDArray[Any]]:
        stored = io.BytesIO()
        Image.new("RGB", size, (255, 255, 255)).save(stored, "PNG")
        pipeline.feed_input("encoded_image", [np.frombuffer(stored.getvalue(), np.uint8)])
        pipeline.feed_input("orientation", [np.array([1], np.uint8)])
        return [np.array(output.as_cpu()[0]) for output in pipeline.run()]

    return decode


def white_size(pixels: NDArray[np.uint8]) -> tuple[int, int]:
    """Width and height of the white top left of a picture that is black elsewhere."""
    white = (pixels > 0).all(axis=2)
    width, height = int(white.any(axis=0).sum()), int(white.any(axis=1).sum())
    assert pixels[:height, :width].min() == 255
    assert pixels.astype(int).sum() == width * height * 3 * 255
    return width, height


SIZES = [(1, 1), (1, 900), (2560, 3), (641, 640), (2049, 2048), (3000, 1999), (640, 480)]
THIN_SIZES = [(31, 32), (33, 31), (32, 32), (4000, 61), (63, 4000), (2049, 31), (10000, 170)]


@pytest.mark.parametrize("size", SIZES)
def test_the_scale_is_that_of_the_rows_that_the_resize_made(decode_white: Any, size: tuple[int, int]) -> None:
    """The pipeline computes sizes from the header; the resize rounds them by itself."""
    _, seen, scale, image_size, _ = decode_white(size)
    assert tuple(image_size) == size
    width, height = white_size(seen)
    np.testing.assert_allclose(scale, [width / size[0], height / size[1]], rtol=1e-6)


@pytest.mark.parametrize("size", SIZES + THIN_SIZES)
def test_short_sides_are_padded_and_the_size_says_how_much_is_photo(decode_white: Any, size: tuple[int, int]) -> None:
    image = decode_white(size)[0]
    shrunk = min(1.0, MAX_SIDE_PX / max(size))
    expected = tuple(max(math.floor(side * shrunk + 0.5), 1) for side in size)
    assert white_size(image) == expected
    assert image.shape[1::-1] == tuple(max(side, LEAST_SIDE_PX) for side in expected)
