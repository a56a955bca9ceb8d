"""What trtexec is asked, and what it says where it fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fsengine.errors import ExportError
from fsengine.plans.build_key import BuildSettings
from fsengine.plans.profile import InputProfile
from fsengine.plans.trtexec import Trtexec, find_trtexec
from plan_toolchain import H200
from pretended_gpu import write_trtexec

PROFILE = (
    InputProfile(name="image", least=(1, 32, 32, 3), typical=(1, 1024, 1536, 3), greatest=(1, 2048, 2048, 3)),
    InputProfile(name="image_size", least=(1, 2), typical=(1, 2), greatest=(1, 2)),
)


def compile_step(folder: Path, step: str, **settings: object) -> dict[str, str]:
    """Have a graph compiled and return the options that trtexec got."""
    graph = folder / step / "1" / "model.onnx"
    graph.parent.mkdir(parents=True)
    graph.write_bytes(b"graph")
    toolchain = Trtexec(str(write_trtexec(folder, refused=["align"])), H200)
    assert toolchain.version == "11.4.0.106"
    options = BuildSettings(**settings)  # type: ignore[arg-type]
    toolchain.compile(graph, PROFILE, options, folder / "cache", folder / "plan", lambda *_: True)
    assert (folder / "plan").read_bytes() == b"graph"
    asked: dict[str, str] = json.loads((folder / "compiled").read_text().splitlines()[-1])
    return asked


def test_shapes_cache_and_settings_are_what_the_python_builder_takes(tmp_path: Path) -> None:
    asked = compile_step(tmp_path, "detect", optimization_level=5, workspace_mib=1024, tf32=False)
    assert asked["--minShapes"] == "image:1x32x32x3,image_size:1x2"
    assert asked["--optShapes"] == "image:1x1024x1536x3,image_size:1x2"
    assert asked["--maxShapes"] == "image:1x2048x2048x3,image_size:1x2"
    assert asked["--timingCacheFile"] == str(tmp_path / "cache")
    assert asked["--builderOptimizationLevel"] == "5"
    assert asked["--memPoolSize"] == "workspace:1024"
    assert "--noTF32" in asked
    # Of options that came or went with a version, those that its help names.
    assert "--skipInference" in asked
    assert "--stronglyTyped" not in asked


def test_why_it_refuses_a_graph_is_quoted(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"trtexec does not compile .*model\.onnx: .*no importer for align"):
        compile_step(tmp_path, "align")


def test_a_program_that_says_no_version_is_known_by_its_bytes(tmp_path: Path) -> None:
    for text in ("echo one", "echo two"):
        (tmp_path / text[-3:]).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / text[-3:]).chmod(0o755)
    versions = {Trtexec(str(tmp_path / name), H200).version for name in ("one", "two")}
    assert len(versions) == 2


def test_a_given_program_is_taken_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_trtexec(str(tmp_path / "nothing")) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_trtexec() is None
    program = write_trtexec(tmp_path)
    assert find_trtexec() == str(program)
