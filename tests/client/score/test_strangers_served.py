"""Other clients of the embedded server get the same answers: it has the same gate; and drawings show what is scored."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fsclient import Client
from fsclient.backend.triton import TritonBackend
from fsclient.score.annotated_photo import laid_out
from fsclient.score.draw import draw_photo
from fsclient.score.photo_request import refusal
from fsclient.testing import FakeBackend
from fsdata.results.rows import PER_PHOTO_OUTPUTS
from fsdata.results.schema import face_outputs
from fsdata.results.status import Status
from fsengine.contracts.steps import ENCODED_IMAGE, ENSEMBLE
from fsengine.errors import PhotoRejectedError
from fsengine.photo.convert import Ready, make_ready, read_pixels
from fsengine.photo.gate import judge
from fsengine.server.embedded import EmbeddedServer

FILES = ("B08/p_6_badcrc.png", "B10/rgb16.png", "B12/second_person_erased.png", "ICC/adobe_rgb.webp")


def report(shared: Path, name: str) -> Path:
    path = shared / "samples" / "reports" / name
    if not path.is_file():
        pytest.skip(f"{path} is missing")
    return path


@pytest.mark.triton
@pytest.mark.parametrize("name", FILES)
def test_a_client_that_sends_files_as_they_are_gets_the_same_faces(
    lite_server: EmbeddedServer, shared: Path, name: str
) -> None:
    data = report(shared, name).read_bytes()
    ready = make_ready(data, judge(data))
    assert isinstance(ready, Ready)
    assert ready.converted is not None

    async def both() -> list[dict[str, np.ndarray]]:
        backend = TritonBackend(lite_server.url)
        try:
            outputs = [*PER_PHOTO_OUTPUTS, *face_outputs(await backend.served())]
            sent = ((data, judge(data).orientation), (ready.data, ready.orientation))
            return [await backend.infer(photo, outputs, orientation=number) for photo, number in sent]
        finally:
            await backend.close()

    raw, converted = asyncio.run(both())
    assert len(raw["face_box"])
    for output in raw:
        np.testing.assert_array_equal(raw[output], converted[output])


@pytest.mark.triton
def test_the_server_refuses_what_the_client_would_not_send(lite_server: EmbeddedServer, shared: Path) -> None:
    expected = {"B14/hidden_240mp.png": Status.TOO_LARGE, "B11/IMG_0001.dng": Status.UNSUPPORTED}

    async def told(path: Path) -> str:
        backend = TritonBackend(lite_server.url)
        try:
            with pytest.raises(PhotoRejectedError) as caught:
                await backend.infer(path.read_bytes(), [*PER_PHOTO_OUTPUTS], orientation=1)
            return str(caught.value)
        finally:
            await backend.close()

    for name, status in expected.items():
        assert refusal(asyncio.run(told(report(shared, name))))[0] is status


@pytest.mark.triton
def test_a_request_without_an_orientation_is_refused_by_its_name(lite_server: EmbeddedServer, photos: Path) -> None:
    from tritonclient import grpc
    from tritonclient.utils import InferenceServerException

    data = np.frombuffer((photos / "hopper.jpg").read_bytes(), np.uint8)[None]
    encoded = grpc.InferInput(ENCODED_IMAGE.name, list(data.shape), "UINT8")
    encoded.set_data_from_numpy(data)
    told = pytest.raises(InferenceServerException, match="orientation")
    with grpc.InferenceServerClient(lite_server.url) as client, told:
        client.infer(ENSEMBLE, [encoded])


@pytest.mark.parametrize("name", ["B08/xmp_only_6_upright_pixels.jpg", "B10/rgb16.png", "B14/comfyui_workflow.png"])
def test_a_drawing_shows_the_pixels_that_were_scored(shared: Path, name: str) -> None:
    path = report(shared, name)
    scored = read_pixels(path.read_bytes()).astype(int)
    assert scored.shape == (650, 485, 3)
    with Client(backend=FakeBackend(0)) as client:
        photo = client.score(path)
    layout = laid_out(photo, 485, 650)
    left, top, right, bottom = map(round, layout.photo)
    drawn = np.asarray(draw_photo(photo).crop((left, top, right, bottom))).astype(float)
    blocks = drawn.reshape(650, layout.enlarged, 485, layout.enlarged, 3).mean(axis=(1, 3))
    assert np.abs(blocks - scored).mean() < 1  # as near as enlarging and averaging again comes
    with Image.open(report(shared, "ICC/srgb.jpg")) as reference:
        assert np.abs(blocks - np.asarray(reference)).mean() < 4
