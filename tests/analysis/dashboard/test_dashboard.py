"""The dashboard without a browser: who reaches it, what it reads, and what it says of odd results."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from click.testing import CliRunner

from browser_for_tests import WAIT_MS, chromium, watched_page
from fsanalysis.dashboard.commands import dashboard
from fsanalysis.dashboard.dashboard_app import check_host
from fsanalysis.dashboard.faces.alike import similarities
from fsanalysis.dashboard.faces.face_table import FaceTable
from fsanalysis.dashboard.faces.map_places import find_places
from fsanalysis.dashboard.same_origin import SameOrigin
from fsanalysis.dashboard.widgets.plain_words import plain
from fsanalysis.dashboard.widgets.scatter_map import inside
from fsdata.results import open_results
from fsengine.errors import InvalidInputError, ResultsError
from results_for_tests import SERVED, row_of, write_parts

pytest.importorskip("streamlit", reason="streamlit is missing: pip install 'facestats[analysis]'")

MARKDOWN = "![p](http://evil.example/p.png) [l](http://evil.example/l) WWW.evil.example a@b.evil :red[r] a_b_c $x$ ->"
"""What Streamlit would make pictures, links, colours and formulas of."""

VENDORED = Path(__file__).resolve().parents[3] / "analysis/fsanalysis/dashboard/widgets/vendored"


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results whose photos are nowhere, one with an odd name, and of a pack with another."""
    folder = tmp_path_factory.mktemp("odd") / "results"
    rows = [row_of("/gone/<b>&\x1b[2J'.jpg", 2, value=0.1), row_of("/gone/none.jpg", 0), row_of("/gone/c.jpg", 1)]
    return write_parts(folder, rows, served=replace(SERVED, models=replace(SERVED.models, pack=MARKDOWN)))


@pytest.fixture(scope="module")
def address(odd: Path, fsclient_command: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("log") / "log"
    with log.open("w") as file:
        process = subprocess.Popen([*fsclient_command, "dashboard", str(odd), "--port", "0"], stderr=file, stdout=file)
    deadline = time.monotonic() + 120
    while not (found := re.search(r"http://127\.0\.0\.1:\d+", log.read_text())):
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)
    with httpx.Client(trust_env=False) as client:
        while True:
            try:
                client.get(found[0])
                break
            except httpx.ConnectError:
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
    yield found[0]
    process.terminate()
    process.wait(20)


def test_only_its_own_pages_are_answered(address: str) -> None:
    port = address.rpartition(":")[2]
    with httpx.Client(base_url=address, trust_env=False) as client:
        page = client.get("/")
        assert page.status_code == 200
        assert "connect-src 'self'" in page.headers["content-security-policy"]
        for headers in (
            {"host": f"evil.example:{port}"},
            {"origin": "http://evil.example"},
            {"origin": f"http://localhost:{int(port) + 1}"},
            {"origin": "null"},
            {"origin": "http://["},
            {"sec-fetch-site": "cross-site"},
        ):
            refused = client.get("/facestats/faces/0.jpg", headers=headers)
            assert refused.status_code == 403, headers
            assert "its own pages alone" in refused.text
        assert client.get("/facestats/faces/0.jpg", headers={"origin": address}).status_code == 200


def test_what_there_is_not_is_said_and_no_path_leads_out(address: str) -> None:
    with httpx.Client(base_url=address, trust_env=False) as client:
        gone = client.get("/facestats/faces/0.jpg")
        assert gone.headers["content-type"].startswith("image/svg")
        assert "the photo" in gone.text
        assert "no such face" in client.get("/facestats/faces/99999.jpg").text
        for number in (2**63, 10**30, "9" * 5000):
            assert client.get(f"/facestats/faces/{number}.jpg").status_code == 404
        for path in ("faces/-1.jpg", "faces/a.jpg", "faces/..%2f..%2fx.jpg", "points/x.bin", "vendored/../routes.py"):
            answer = client.get(f"/facestats/{path}")  # what is no address of ours is Streamlit's page
            assert answer.status_code in (400, 404) or answer.headers["content-type"].startswith("text/html"), path
        assert "fsanalysis" not in client.get("/facestats/vendored/%2e%2e/%2e%2e/routes.py").text


def test_names_and_queries_are_shown_letter_by_letter(address: str) -> None:
    with chromium() as browser, watched_page(browser, address) as watched:
        page = watched.page
        page.goto(f"{address}/faces")
        page.get_by_label("Faces where").fill(f"source = '{MARKDOWN}' OR score > 0")
        page.keyboard.press("Enter")
        page.get_by_text("sorted by score").get_by_text("a_b_c").wait_for(timeout=WAIT_MS)
        shown = page.inner_text("body").replace("\u2060", "")
        assert f"pack {MARKDOWN}" in shown
        assert f"source = '{MARKDOWN}' OR score > 0" in shown
        assert page.locator("a[href*=evil], img[src*=evil]").count() == 0
        assert not watched.elsewhere


def test_what_no_terminal_shows_is_escaped_in_pages_too() -> None:
    assert plain("\x1b[2J\n# a") == r"\\x1b\[2J\\n\# a"
    assert plain("年 straße 5") == "年 straße 5"


def test_nothing_is_written_beside_the_results(address: str, odd: Path) -> None:
    before = sorted((path, path.stat().st_mtime_ns) for path in odd.rglob("*"))
    with httpx.Client(base_url=address, trust_env=False) as client:
        client.get("/facestats/photos/0.jpg")
    assert sorted((path, path.stat().st_mtime_ns) for path in odd.rglob("*")) == before


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", ""])
def test_an_address_that_others_reach_is_refused(host: str, odd: Path) -> None:
    refused = CliRunner().invoke(dashboard, [str(odd), "--host", host])
    assert isinstance(refused.exception, InvalidInputError)
    assert "--expose-faces" in str(refused.exception)
    check_host(host, expose=True)


@pytest.mark.parametrize(
    ("called", "open_status", "closed_status"),
    [("192.0.2.1:8501", 200, 403), ("[::1]:8501", 200, 200), ("evil.example:8501", 403, 403), ("", 403, 403)],
)
def test_beyond_loopback_it_is_called_by_addresses_and_its_own_names(
    called: str, open_status: int, closed_status: int
) -> None:
    async def page(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def asked(app: SameOrigin) -> int:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "path": "/x", "headers": [(b"host", called.encode())]}
        await app(scope, page, send)  # type: ignore[arg-type]
        return int(sent[0]["status"])

    names = ["127.0.0.1", "localhost", "::1"]
    assert asyncio.run(asked(SameOrigin(page, names, any_address=True))) == open_status
    assert asyncio.run(asked(SameOrigin(page, names, any_address=False))) == closed_status


def test_a_folder_without_results_says_so(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "holds no parts" in str(CliRunner().invoke(dashboard, [str(tmp_path / "empty")]).exception)
    half = write_parts(tmp_path / "half", [row_of("/p/a.jpg")])
    (part,) = half.glob("*.parquet")
    os.truncate(part, 100)
    assert part.name in str(CliRunner().invoke(dashboard, [str(half)]).exception)


def test_the_table_numbers_faces_as_embeddings_come(odd: Path) -> None:
    results = open_results(odd)
    table = FaceTable(results)
    assert (table.num_faces, table.num_photos) == (3, 3)
    order = [source for batch, _ in results.embeddings(["source"]) for source in batch[0].to_pylist()]
    assert table.take(table.find(None), ["source"])["source"].to_pylist() == order
    assert table.take(np.array([2, 0, 7]), ["source", "face_index"]).to_pylist() == [
        {"source": order[2], "face_index": 0},
        {"source": order[0], "face_index": 0},
    ]
    assert table.find("score > 1").tolist() == [1]
    assert table.find(None, "score").tolist() == [1, 2, 0]
    assert "source" not in table.classes()
    for wrong in ("face_row > 1", "embedding[1] > 0", "(SELECT 1) = 1", "true; DROP TABLE faces", "age_years = 'x'"):
        with pytest.raises(InvalidInputError):
            table.find(wrong)
    with pytest.raises(InvalidInputError, match="no column"):
        table.find(None, "score; --")


def test_similarity_is_the_cosine(tmp_path: Path) -> None:
    rows = [row_of(f"/p/{number}.jpg", 1, value=float(number + 1)) for number in range(4)]
    results = open_results(write_parts(tmp_path / "results", rows))
    vectors = np.concatenate([numbers for _, numbers in results.embeddings()])
    np.testing.assert_allclose(similarities(results, 2), vectors @ vectors[2], rtol=1e-6)
    with pytest.raises(InvalidInputError, match="expected 0 to 3"):
        similarities(results, 4)


def test_places_are_those_of_the_principal_axes(scored: Path) -> None:
    results = open_results(scored / "results")
    vectors = np.concatenate([numbers for _, numbers in results.embeddings()]).astype(np.float64)
    found = find_places(results, len(vectors), "PCA")
    centred = vectors - vectors.mean(axis=0)
    expected = centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T
    for column in (0, 1):
        assert abs(np.corrcoef(found.places[:, column], expected[:, column])[0, 1]) > 0.9999
    assert np.abs(found.places).max() == pytest.approx(1)
    np.testing.assert_array_equal(found.places, find_places(results, len(vectors), "PCA").places)
    with pytest.raises(InvalidInputError, match="three faces"):
        find_places(results, 2, "PCA")


def test_embeddings_that_are_no_numbers_have_no_places(tmp_path: Path) -> None:
    results = open_results(write_parts(tmp_path / "results", [row_of("/p/a.jpg", 3, value=float("nan"))]))
    with pytest.raises(ResultsError, match="no numbers"):
        find_places(results, 3, "PCA")


def test_umap_is_the_same_each_time(scored: Path) -> None:
    pytest.importorskip("umap", reason="umap is missing: pip install 'facestats[map]'")
    results = open_results(scored / "results")
    number = sum(len(vectors) for _, vectors in results.embeddings())
    found = find_places(results, number, "UMAP")
    assert found.places.shape == (number, 2)
    np.testing.assert_array_equal(found.places, find_places(results, number, "UMAP").places)


@pytest.mark.parametrize(
    "text",
    [
        "![x](http://evil.example/a.png)",
        "[here](javascript:alert(1))",
        "<img src=x onerror=alert(1)>",
        "$x$ :red[x] :material/face: `x` *x* _x_ ~x~ # x",
        "www.evil.example http://evil.example a@evil.example",
    ],
)
def test_names_of_others_are_no_markdown(text: str) -> None:
    shown = plain(text)
    assert re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", shown).replace("\u2060", "") == text
    bare = re.sub(r"\\.", "", shown)
    assert not re.search(r"[!-/:-@\[-`{-~]|https?:|www\.", bare)


def test_a_lasso_holds_what_lies_within_it() -> None:
    places = np.array([[0, 0], [0.5, 0.5], [2, 0], [0.9, 0.05], [-0.1, 0.2]], np.float32)
    triangle = [[-0.2, -0.2], [1.5, -0.2], [-0.2, 1.5]]
    assert inside(places, triangle).tolist() == [True, True, False, True, True]
    assert not inside(places, triangle[:2]).any()


def test_vendored_files_are_those_that_were_published() -> None:
    for line in (VENDORED / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split()
        assert hashlib.sha256((VENDORED / name).read_bytes()).hexdigest() == digest
        assert (VENDORED / f"{name.removesuffix('.js').removesuffix('.min')}.LICENSE").is_file()
