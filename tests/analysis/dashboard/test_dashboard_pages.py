"""Every page of the dashboard in a browser without a network: clicks, hover, lasso, upload."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from browser_for_tests import WAIT_MS, WatchedPage, chromium, watched_page
from fsengine.server.embedded import EmbeddedServer

pytest.importorskip("streamlit", reason="streamlit is missing: pip install 'facestats[analysis]'")

pytestmark = pytest.mark.triton

NUM_FACES = 32
SHOTS = os.environ.get("FACESTATS_SCREENSHOTS")
"""Folder for pictures of the pages, for people to look at."""


@pytest.fixture(scope="module")
def address(
    scored: Path, lite_server: EmbeddedServer, fsclient_command: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    log = tmp_path_factory.mktemp("dashboard") / "log"
    command = [*fsclient_command, "dashboard", str(scored / "results"), "--port", "0", "--server", lite_server.url]
    with log.open("w") as file, subprocess.Popen(command, stderr=file, stdout=file) as process:
        deadline = time.monotonic() + 120
        while not (found := re.search(r"http://127\.0\.0\.1:\d+", log.read_text())):
            assert time.monotonic() < deadline, log.read_text()
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
        yield found[0]
        process.terminate()
        process.wait(20)
    assert "Traceback" not in log.read_text()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


@pytest.fixture
def watched(browser: Any, address: str) -> Iterator[WatchedPage]:
    with watched_page(browser, address, viewport={"width": 1400, "height": 1100}) as page:
        yield page
        assert not page.elsewhere
        # Streamlit looks for itself below the page's own name first, and is told 404.
        assert not [error for error in page.errors if "404" not in error]
        assert page.page.get_by_test_id("stException").count() == 0


def go(watched: WatchedPage, address: str, name: str) -> Any:
    page = watched.page
    for wait_s in (0, 0.5, 1, 2):
        time.sleep(wait_s)
        try:
            page.goto(f"{address}/{name}")
            break
        except Exception as exc:  # it says its address a moment before it answers
            if "ERR_CONNECTION_REFUSED" not in str(exc):
                raise
    page.locator("h1").wait_for(timeout=WAIT_MS)
    settle(page)
    return page


def settle(page: Any) -> None:
    """Wait until no script of Streamlit's runs."""
    page.wait_for_timeout(300)
    page.locator("[data-test-script-state=notRunning]").first.wait_for(timeout=WAIT_MS)


def loaded(image: Any) -> None:
    """Wait until a picture is there."""
    image.evaluate("i => i.naturalWidth || new Promise((there, not) => { i.onload = there; i.onerror = not })")


def thumbnail_at(page: Any, x: float, y: float) -> bool:
    """Move the pointer, and return whether a face is shown there."""
    page.mouse.move(x, y)
    return bool(page.locator(".fs-thumb").is_visible())


def shot(page: Any, name: str) -> None:
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/{name}.png")


def query(page: Any, text: str) -> None:
    field = page.get_by_label("Faces where", exact=True)
    field.fill(text)
    field.press("Enter")
    settle(page)


def test_overview_and_models_say_what_was_made_with_what(watched: WatchedPage, address: str) -> None:
    page = go(watched, address, "")
    words = page.locator("section.stMain, [data-testid=stMain]").first.inner_text()
    for said in ("recognises people: embed", "lite", "Photos by status", "Every photo was scored"):
        assert said in words
    shot(page, "overview")
    page = go(watched, address, "models")
    assert "--artifact PATH" in page.get_by_test_id("stMain").inner_text()
    page = go(watched, address, "duplicates")
    page.get_by_text("There are none.").wait_for()
    page.get_by_text("nearly the same look").click()
    page.get_by_text("which hold what photos are compared by").wait_for()


def test_a_distribution_is_split_and_a_wrong_query_is_explained(watched: WatchedPage, address: str) -> None:
    page = go(watched, address, "distributions")
    assert page.get_by_text(f"age_years, n = {NUM_FACES}").count() == 1
    page.get_by_label("By", exact=False).first.click()
    page.get_by_role("option", name="gender", exact=True).click()
    settle(page)
    assert page.get_by_test_id("stImage").count() == 1
    shot(page, "distributions")
    query(page, "age_yeers > 3")
    assert "age_years" in page.get_by_test_id("stAlertContentError").inner_text()
    query(page, "1=1) OR (SELECT 1)=1 --")
    assert page.get_by_test_id("stAlertContentError").count() == 1
    query(page, "false")
    assert page.get_by_text("No face is selected").count() == 1


def test_faces_are_sorted_opened_and_compared(watched: WatchedPage, address: str) -> None:
    page = go(watched, address, "faces")
    faces = page.locator(".fs-cell button")
    faces.first.wait_for()
    assert faces.count() == NUM_FACES
    loaded(page.locator(".fs-cell img").first)
    assert re.fullmatch(r"score 0\.\d+", page.locator(".fs-caption").first.inner_text())
    shot(page, "faces")
    faces.nth(2).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_test_id("stImage").first.wait_for()
    settle(page)
    assert dialog.get_by_text(".jpg").count() >= 1
    shot(page, "face")
    dialog.get_by_role("button", name="Sort faces by similarity to this one").click()
    page.get_by_text("how alike two pictures are to the encoder").wait_for()
    settle(page)
    first, second = (page.locator(".fs-caption").nth(number).inner_text() for number in (0, 1))
    assert first in ("similarity 1", "similarity 1.0")
    assert float(second.split()[1]) < 1
    shot(page, "similar")
    page.locator(".fs-cell input").nth(0).check()
    page.locator(".fs-cell input").nth(1).check()
    page.get_by_role("button", name="Make the 2 marked faces the selection").click()
    page.get_by_text("selection: 2 faces, marked by hand").wait_for()


def test_a_lasso_on_the_map_selects_what_it_holds(watched: WatchedPage, address: str) -> None:
    page = go(watched, address, "map")
    page.locator(".fs-map[data-drawn]").wait_for(timeout=WAIT_MS)
    canvas = page.locator(".fs-map canvas")
    box = canvas.bounding_box()
    key = page.locator(".fs-map").get_attribute("data-drawn")
    points = np.frombuffer(httpx.get(f"{address}/facestats/points/{key}.bin", trust_env=False).content, "<f4")[1:]
    half = box["height"] / 2
    hovered = any(
        thumbnail_at(page, box["x"] + box["width"] / 2 + half * x, box["y"] + half - half * y)
        for x, y in points.reshape(4, -1)[1:3].T
    )
    assert hovered
    loaded(page.locator(".fs-thumb img"))
    shot(page, "map-hover")
    page.get_by_role("button", name="Lasso").click()
    left, right = box["x"] + 0.15 * box["width"], box["x"] + 0.5 * box["width"]
    top, bottom = box["y"] + 60, box["y"] + box["height"] - 40
    page.mouse.move(left, top)
    page.mouse.down()
    for x, y in ((right, top), (right, bottom), (left, bottom), (left, top + 5)):
        page.mouse.move(x, y, steps=12)
    page.mouse.up()
    chosen = page.get_by_text(re.compile(r"selection: [\d,]+ faces, a lasso"))
    chosen.wait_for()
    settle(page)
    said = re.search(r"(\d+) of the drawn faces in the lasso", page.locator(".fs-said").inner_text())
    assert said is not None
    counted = int(said[1])
    assert 0 < counted < NUM_FACES
    assert f"selection: {counted} faces" in chosen.inner_text()
    page.locator(".fs-cell").first.wait_for()
    assert page.locator(".fs-cell").count() == counted
    shot(page, "map-lasso")
    with page.expect_download() as download:
        page.get_by_role("button", name="As CSV").click()
    lines = Path(download.value.path()).read_text().splitlines()
    assert len(lines) == counted + 1
    assert "age_years" in lines[0]
    page.get_by_role("link", name="Faces", exact=True).click()
    page.get_by_role("heading", name="Faces", exact=True).wait_for()
    page.locator(".fs-cell").first.wait_for()
    assert page.locator(".fs-cell").count() == counted


def test_two_groups_are_averaged_side_by_side(watched: WatchedPage, address: str) -> None:
    page = go(watched, address, "groups")
    field = page.get_by_label("Faces of one photo that count")
    field.fill("40")
    field.press("Enter")
    other = page.get_by_label("compared with faces where")
    other.fill("score > 0")
    other.press("Enter")
    settle(page)
    page.get_by_role("button", name="Average the faces").click()
    page.get_by_role("button", name="As PNG").wait_for(timeout=WAIT_MS)
    assert page.get_by_test_id("stImage").count() == 1
    shot(page, "groups")
    query(page, "age_years > 120")
    page.get_by_role("button", name="Average the faces").click()
    alert = page.get_by_test_id("stAlertContentError")
    alert.wait_for()
    assert "select more" in alert.inner_text()


def test_an_uploaded_photo_is_scored_and_kept_nowhere(watched: WatchedPage, address: str, photos: Path) -> None:
    page = go(watched, address, "photo")
    page.locator("input[type=file]").set_input_files(str(photos / "hopper.jpg"))
    page.get_by_role("heading", name="Face 1").wait_for(timeout=WAIT_MS)
    settle(page)
    assert "percentile" not in page.get_by_test_id("stAlertContentError").all_inner_texts()
    assert re.search(r"age \d+ \[\d+ to \d+\]|age \d+", page.get_by_test_id("stMain").inner_text())
    shot(page, "photo")
    page.locator("input[type=file]").set_input_files({"name": "x.jpg", "mimeType": "image/jpeg", "buffer": b"no photo"})
    page.get_by_test_id("stAlertContentError").wait_for()
