"""Golden answers: those that ship are those of the models that ship, and a fault in a step is found in that step."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fsengine.contracts import steps
from fsengine.errors import InvalidInputError, PackError
from fsengine.packs.shipped import shipped_folder
from fsengine.repository.assemble import GOLDEN_FILE, Target, assemble
from fsengine.repository.golden.answer_checks import ModelCheck, compare_answers, compare_photo
from fsengine.repository.golden.bounds import BOUNDS
from fsengine.repository.golden.golden_answers import Answers, read_answers, write_answers
from fsengine.repository.golden.questions import GoldenClient, block_means, golden_client
from fsengine.repository.golden.recording import find_golden, golden_file
from fsengine.repository.golden.sample_inputs import BLANK
from fsengine.repository.golden.verification import check_blocks, verify_server
from fsengine.server.embedded import EmbeddedServer
from fsengine.terminal.tables import plain_text

LITE = shipped_folder("packs") / "lite"
SOLVAY = "solvay_conference_1927.jpg"


@pytest.fixture(scope="module")
def golden() -> Answers:
    return read_answers(LITE / GOLDEN_FILE)


def asked(server: EmbeddedServer) -> AbstractContextManager[GoldenClient]:
    return golden_client(server.url)


@pytest.mark.triton
def test_those_that_ship_are_what_the_models_answer(golden: Answers, lite_server: EmbeddedServer) -> None:
    with asked(lite_server) as client:
        check = verify_server(client, golden)
    assert [each.model for each in check.checks] == [
        *("decode", "detect", "align", "embed", "ethnicity", "age_gender"),
        *steps.ENSEMBLES,
    ]
    assert not check.failed, plain_text(check_blocks(check))
    assert check.runs_on["embed"] == "onnxruntime, CPU"
    compared = {name for each in check.checks for name in each.outputs}
    assert compared == set(BOUNDS) & {name for of in golden.of.values() for outputs in of.values() for name in outputs}
    # Faces of every number, and none.
    assert golden.of["align"][SOLVAY]["face_count"] == 29
    assert golden.of["align"][BLANK]["face_count"] == 0
    assert not golden.of["detect"][BLANK]["detected_score"].any()


def _shifted(output: str, by: float) -> Callable[[Path], None]:
    """Return what adds a number to an output of a graph."""

    def spoil(graph: Path) -> None:
        onnx = pytest.importorskip("onnx")
        model = onnx.load(graph)
        for node in model.graph.node:
            for index, name in enumerate(node.output):
                if name == output:
                    node.output[index] = "right"
        for node in model.graph.node:
            for index, name in enumerate(node.input):
                if name == output:
                    node.input[index] = "right"
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(by, np.float32), "shift"))
        model.graph.node.append(onnx.helper.make_node("Add", ["right", "shift"], [output]))
        onnx.save(model, graph)

    return spoil


def _with_other_leaves(forest: Path) -> None:
    treelite = pytest.importorskip("treelite")
    model = treelite.Model.deserialize(str(forest))
    header = model.get_header_accessor()
    header.set_field("base_scores", header.get_field("base_scores") + np.arange(len(header.get_field("base_scores"))))
    model.serialize(str(forest))


def _in_bgr(pipeline: Path) -> None:
    pipeline.write_text(pipeline.read_text().replace("types.RGB", "types.BGR"))


FAULTS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "decode": ("image", _in_bgr),
    "detect": ("detected_box", _shifted("detected_box", 3.0)),
    "align": ("face_landmarks", _shifted("face_landmarks", 3.0)),
    "embed": ("face_embedding", _shifted("face_embedding", 0.01)),
    "ethnicity": (steps.FIL_OUTPUT, _with_other_leaves),
    "age_gender": ("age_years", _shifted("age_years", 2.0)),
}
"""Step to the output that a fault shows in first, and what plants it in its artifact."""


@pytest.mark.triton
def test_a_fault_is_found_in_every_step_that_has_one(golden: Answers, tmp_path: Path) -> None:
    assemble(LITE, tmp_path / "repository", target=Target.PIP)
    for step, (_, spoil) in FAULTS.items():
        (artifact,) = (tmp_path / "repository" / step / "1").glob("*.*")
        own = artifact.with_suffix(".own")
        shutil.copyfile(artifact, own)  # the file is a link to the pack's
        own.replace(artifact)
        spoil(artifact)
    # decode_isolated is left as it was: each step is asked for itself.
    with EmbeddedServer(tmp_path / "repository") as server, asked(server) as client:
        check = verify_server(client, golden)
    found = {each.model: each for each in check.failed}
    assert set(FAULTS) <= set(found)
    for step, (output, _) in FAULTS.items():
        assert not found[step].outputs[output].within
        assert output in found[step].why
    # A fault spoils no other step: what a step is asked about comes from the golden answers.
    assert found["align"].outputs["face_box"].within
    assert found["detect"].outputs["detected_score"].within
    assert found["age_gender"].outputs["gender_probability"].within
    assert {"facestats", "facestats_isolated"} <= set(found)
    assert "DIFFERS" in plain_text(check_blocks(check))


def detect_check(golden: Answers, change: Callable[[dict[str, np.ndarray]], None], photo: str = SOLVAY) -> ModelCheck:
    """Return how a detect step is judged that answers about a photo with a change."""
    expected = golden.of["detect"][photo]
    found = {name: array.copy() for name, array in expected.items()}
    change(found)
    check = ModelCheck(model="detect")
    compare_photo(check, photo, expected, found, golden, "fp32")
    return check


def test_equal_faces_may_come_in_another_order(golden: Answers) -> None:
    def reverse(found: dict[str, np.ndarray]) -> None:
        count = int((found["detected_score"] > 0).sum())
        for name in ("detected_box", "detected_landmarks", "detected_score"):
            found[name][0, :count] = found[name][0, :count][::-1].copy()

    assert detect_check(golden, reverse).passed


def test_a_face_that_is_missing_or_new_is_found(golden: Answers) -> None:
    def drop(found: dict[str, np.ndarray]) -> None:
        found["detected_score"][0, 0] = 0
        found["detected_box"][0, 0] = 0

    def none(found: dict[str, np.ndarray]) -> None:
        found["detected_score"][:] = 0

    def invent(found: dict[str, np.ndarray]) -> None:
        found["detected_score"][0, 0] = 0.9
        found["detected_box"][0, 0] = 10

    assert "detected_box" in detect_check(golden, drop).why
    assert "no face" in detect_check(golden, none).why
    assert "faces that are not there" in detect_check(golden, invent, BLANK).why


def test_not_a_number_never_passes(golden: Answers) -> None:
    def spoil(found: dict[str, np.ndarray]) -> None:
        found["detected_landmarks"][0, 3] = np.nan

    check = detect_check(golden, spoil)
    assert not check.passed
    assert "detected_landmarks by nan" in check.why


def test_precision_decides_how_far_an_embedding_may_be(golden: Answers) -> None:
    expected = {"face_embedding": np.eye(1, 192)}
    found = {"face_embedding": np.eye(1, 192) + 0.0027}  # 1 - cos = 7e-4
    passed = {}
    for precision in ("fp32", "fp16", "int8", "int8-symmetric", "fp8"):
        check = ModelCheck(model="embed")
        compare_photo(check, SOLVAY, expected, found, golden, precision)
        passed[precision] = check.passed
    assert passed == {"fp32": False, "fp16": False, "int8": True, "int8-symmetric": True, "fp8": True}


def test_a_step_that_is_silent_or_gives_another_shape_fails_and_a_head_that_is_off_does_not(golden: Answers) -> None:
    models = {step: name for step, name in golden.served.models.items() if step != "age_gender"}
    of = {model: dict(photos) for model, photos in golden.of.items() if model != "age_gender"}
    of["embed"][SOLVAY] = {name: array[:3] for name, array in golden.of["embed"][SOLVAY].items()}
    found = Answers(served=replace(golden.served, models=models), of=of)
    checks = {each.model: each for each in compare_answers(golden, found, {"align": "align: no kernel"})}
    assert "age_gender" not in checks
    assert checks["align"].why == "align: no kernel"
    assert "face_embedding [3, 192], expected [29, 192]" in checks["embed"].why
    assert checks["detect"].passed


@pytest.mark.parametrize(
    "change",
    [
        lambda found: found.clear(),
        lambda found: found.pop("detected_score"),
        lambda found: found.update(detected_box=found["detected_box"].ravel()),
        lambda found: found.update(detected_score=np.full((1, 256), b"one", object)),
        lambda found: found.update(detected_landmarks=found["detected_landmarks"][:, :1]),
    ],
    ids=["nothing", "an output less", "flat", "text", "fewer rows"],
)
def test_answers_of_another_kind_are_a_fault_of_their_step_alone(
    golden: Answers, change: Callable[[dict[str, np.ndarray]], object]
) -> None:
    photos = {photo: dict(outputs) for photo, outputs in golden.of["detect"].items()}
    for outputs in photos.values():
        change(outputs)
    found = Answers(served=golden.served, of={**golden.of, "detect": photos})
    failed = [each for each in compare_answers(golden, found, {}) if not each.passed]
    assert [each.model for each in failed] == ["detect"]
    assert failed[0].why


def test_a_check_of_nothing_does_not_pass() -> None:
    assert not ModelCheck(model="embed").passed


def test_a_file_is_read_back_and_something_else_is_refused(golden: Answers, tmp_path: Path) -> None:
    write_answers(golden, tmp_path / "again.npz")
    again = read_answers(tmp_path / "again.npz")
    assert again.served == golden.served
    assert not [each for each in compare_answers(golden, again, {}) if not each.passed]
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    (tmp_path / "text.npz").write_text("no archive")
    altered = bytearray((tmp_path / "again.npz").read_bytes())
    altered[5000:5040] = bytes(40)
    (tmp_path / "altered.npz").write_bytes(altered)
    for name in ("other.npz", "text.npz", "nothing.npz", "altered.npz"):
        with pytest.raises(PackError, match="holds no golden answers"):
            read_answers(tmp_path / name)


def test_those_of_other_models_are_not_used(golden: Answers, lite_server: EmbeddedServer, tmp_path: Path) -> None:
    models = {**golden.served.models, "embed": "embed-0-fp32"}
    other = replace(golden, served=replace(golden.served, models=models))
    with asked(lite_server) as client, pytest.raises(InvalidInputError, match="the golden answers are of lite"):
        verify_server(client, other)
    write_answers(other, tmp_path / GOLDEN_FILE)
    assert find_golden(golden.served, tmp_path / GOLDEN_FILE) is None
    assert find_golden(golden.served, tmp_path / GOLDEN_FILE, LITE / GOLDEN_FILE) == LITE / GOLDEN_FILE
    assert golden_file(LITE, print, without=("age_gender",)) == LITE / GOLDEN_FILE


def test_blocks_are_means_and_small_pictures_have_one() -> None:
    picture = np.zeros((1, 33, 48, 3), np.uint8)
    picture[0, :16, 16:32] = 100
    means = block_means(picture)
    assert means.shape == (1, 2, 3, 3)
    assert means[0, 0, 1].tolist() == [100, 100, 100]
    assert means.sum() == 300
    assert block_means(np.full((1, 5, 7, 3), 9, np.uint8)).tolist() == [[[[9, 9, 9]]]]
