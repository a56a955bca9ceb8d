"""Any outputs of the served ensembles may be asked for: each request gets them, with the same numbers, and no more."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from encoded_photos import encoded
from fsengine.contracts import steps
from fsengine.server.embedded import EmbeddedServer
from long_tests import LONG

pytestmark = pytest.mark.triton

RANDOM_SUBSETS = 50 if LONG else 10
TIMEOUT_S = 30.0


class Asker:
    """A client that knows nothing but names and shapes."""

    def __init__(self, url: str) -> None:
        from tritonclient.grpc import InferenceServerClient

        self.client = InferenceServerClient(url)

    def outputs(self, ensemble: str) -> list[str]:
        return [tensor.name for tensor in self.client.get_model_config(ensemble).config.output]

    def ask(self, ensemble: str, photo: bytes, outputs: Sequence[str] = ()) -> dict[str, NDArray[Any]]:
        from tritonclient.grpc import InferInput, InferRequestedOutput

        image = InferInput("encoded_image", [1, len(photo)], "UINT8")
        image.set_data_from_numpy(np.frombuffer(photo, np.uint8)[None])
        orientation = InferInput("orientation", [1, 1], "UINT8")
        orientation.set_data_from_numpy(np.array([[1]], np.uint8))
        asked = [InferRequestedOutput(name) for name in outputs] or None
        result = self.client.infer(ensemble, [image, orientation], outputs=asked, client_timeout=TIMEOUT_S)
        return {tensor.name: result.as_numpy(tensor.name) for tensor in result.get_response().outputs}

    def executions(self) -> dict[str, int]:
        statistics = self.client.get_inference_statistics().model_stats
        return {model.name: model.execution_count for model in statistics}


@pytest.fixture(scope="module")
def asker(lite_server: EmbeddedServer) -> Iterator[Asker]:
    asker = Asker(lite_server.url)
    yield asker
    asker.client.close()


@pytest.fixture(scope="module")
def face(photos: Path) -> bytes:
    with Image.open(photos / "obama.jpg") as photo:
        return encoded("JPEG", photo.resize((photo.width // 3, photo.height // 3)))


def subsets(names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    yield from ((name,) for name in names)
    yield from combinations(names, 2)
    chosen = random.Random(1)
    for _ in range(RANDOM_SUBSETS):
        yield tuple(chosen.sample(names, chosen.randint(3, len(names) - 1)))


@pytest.mark.parametrize("has_face", [True, False], ids=["a face", "no face"])
def test_every_subset_of_outputs_is_answered_with_the_numbers_of_the_whole_answer(
    asker: Asker, face: bytes, has_face: bool
) -> None:
    photo = face if has_face else encoded("PNG")
    names = asker.outputs(steps.ENSEMBLE)
    whole = asker.ask(steps.ENSEMBLE, photo)
    assert sorted(whole) == sorted(names)
    assert whole["face_count"].tolist() == [int(has_face)]
    for asked in subsets(names):
        found = asker.ask(steps.ENSEMBLE, photo, asked)
        assert sorted(found) == sorted(asked)
        for name in asked:
            np.testing.assert_allclose(found[name], whole[name], rtol=1e-4, atol=1e-5, err_msg=f"{name} of {asked}")


def test_every_head_of_a_full_pack_is_answered_alone(full_server: EmbeddedServer, face: bytes) -> None:
    asker = Asker(full_server.url)
    whole = asker.ask(steps.ENSEMBLE, face)
    assert {"attractiveness", "attractiveness_percentile"} <= set(whole)
    for name in asker.outputs(steps.ENSEMBLE):
        np.testing.assert_allclose(
            asker.ask(steps.ENSEMBLE, face, [name])[name], whole[name], rtol=1e-3, atol=1e-4, err_msg=name
        )


def test_what_is_not_asked_for_is_not_computed(asker: Asker, face: bytes) -> None:
    before = asker.executions()
    asker.ask(steps.ENSEMBLE, face, ["face_box"])
    deadline = time.monotonic() + TIMEOUT_S
    while (after := asker.executions())["align"] == before["align"] and time.monotonic() < deadline:
        time.sleep(0.05)  # Triton answers before it counts
    assert after["align"] == before["align"] + 1
    for step in (steps.EMBED, steps.ETHNICITY, steps.AGE_GENDER):
        assert after[step] == before[step]


def test_crops_come_from_an_ensemble_of_their_own(asker: Asker, face: bytes) -> None:
    assert asker.outputs(steps.ENSEMBLE_CROPS) == list(steps.CROPS_OUTPUTS)
    before = asker.executions()
    found = asker.ask(steps.ENSEMBLE_CROPS, face)
    assert found["aligned_face"].dtype == np.uint8
    assert found["aligned_face"].shape[0] == found["face_count"][0] == 1
    assert found["aligned_face"].std() > 10
    assert asker.executions()[steps.EMBED] == before[steps.EMBED]
    for name in steps.CROPS_OUTPUTS:
        np.testing.assert_array_equal(asker.ask(steps.ENSEMBLE_CROPS, face, [name])[name], found[name])
