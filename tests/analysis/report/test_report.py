"""The report: what stands on it, what it never loads, and that the same results give the same bytes."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from browser_for_tests import chromium, watched_page
from fsanalysis.report.commands import report
from fsanalysis.report.gathered import Histogram, gather
from fsanalysis.report.report_page import report_page
from fsclient.testing import ensemble
from fsdata.results import open_results
from fsdata.results.status import Status
from fsdata.selection.selected_faces import select_faces
from fsengine.errors import InvalidInputError
from results_for_tests import row_of, write_parts

for name in ("matplotlib", "jinja2"):
    pytest.importorskip(name, reason=f"{name} is missing: pip install 'facestats[analysis]'")

HOSTILE = "/photos/<script>alert(1)</script>\x1b[2J\u202e'\"&.jpg"


@pytest.mark.triton
def test_a_page_says_what_the_results_hold(scored: Path, tmp_path: Path) -> None:
    results = open_results(scored / "results")
    page = report_page(results)
    assert page == report_page(open_results(scored / "results"))
    words = html.unescape(re.sub(r"<svg.*?</svg>|<style>.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL))
    faces = select_faces(results)
    assert f"{faces.num_rows} faces in {results.num_photos} photos" in words
    for said in (
        *("recognises people", "lite", "Faces a photo", "Size of faces", "Score of the detector", "Age by gender"),
        *("Ethnicity, as annotators", "Map of the embeddings", "attractiveness", "Nothing here may decide"),
    ):
        assert said in words
    assert words.index("recognises people") < words.index("Faces a photo")
    assert page.count("<svg") == page.count("</svg>") == 8
    assert "<img" not in page
    assert len(page.encode()) < 2_000_000


@pytest.mark.triton
def test_it_loads_nothing_and_runs_nothing(scored: Path) -> None:
    page = report_page(open_results(scored / "results"), faces=True)
    assert "<script" not in page
    loaded = re.findall(r"""(?:src|href|action|data|poster)\s*=\s*["']([^"']*)""", page)
    assert loaded
    assert all(address.startswith(("#", "data:image/")) for address in loaded)
    assert not re.findall(r"url\((?!#)|@import", page)
    assert page.count("data:image/jpeg") >= 30


@pytest.mark.triton
def test_the_command_writes_it_with_mean_faces(scored: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    words = [str(scored / "results"), "--out", str(out)]
    assert CliRunner().invoke(report, [*words, "--composites"]).exit_code == 0
    page = html.unescape(out.read_text())
    # One photo has most of the faces, so most groups are too small: the page says so and shows no person.
    assert "faces can be used, expected 20" in page
    refused = CliRunner().invoke(report, words)
    assert "--overwrite" in str(refused.exception)


def test_names_of_files_are_text_whatever_they_hold(tmp_path: Path) -> None:
    row = replace(row_of(HOSTILE, 0, status=Status.CORRUPT), reason="<b>bold</b> & {{ 7*7 }}")
    folder = write_parts(tmp_path, [row, row_of("/photos/a.jpg", 2)])
    page = report_page(open_results(folder))
    assert "<script" not in page
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "&lt;b&gt;bold&lt;/b&gt; &amp; {{ 7*7 }}" in page


@pytest.mark.triton
def test_faces_whose_photos_are_gone_are_counted(scored: Path, tmp_path: Path) -> None:
    folder = write_parts(tmp_path, [row_of("/photos/gone.jpg", 3)])
    page = report_page(open_results(folder), faces=True)
    assert "3 drawn without a picture: the photo is gone" in page
    assert str(tmp_path) not in page
    assert 'aria-hidden="true"' in page


def test_many_failures_are_counted_and_the_first_named(tmp_path: Path) -> None:
    rows = [replace(row_of(f"/p/{number:03d}.jpg", 0, status=Status.FAILED), reason="gone") for number in range(50)]
    page = report_page(open_results(write_parts(tmp_path, rows)))
    assert "/p/019.jpg" in page
    assert "/p/020.jpg" not in page
    assert "and 30 more" in page


@pytest.mark.parametrize("num_faces", [0, 1, 2])
def test_few_faces_and_heads_that_are_not_there(tmp_path: Path, num_faces: int) -> None:
    served = ensemble()
    few = replace(
        served,
        outputs={
            name: shape
            for name, shape in served.outputs.items()
            if name in ("face_box", "face_score", "face_landmarks")
        },
    )
    folder = write_parts(tmp_path, [row_of("/photos/a.jpg", num_faces, served=few)], served=few)
    page = report_page(open_results(folder), faces=True, composites=True)
    assert f"{num_faces} faces in 1 photos" in page
    assert "Ethnicity, as annotators" not in page
    assert "Map of the embeddings" not in page


def test_numbers_are_counted_where_they_belong() -> None:
    histogram = Histogram(np.array([0.0, 10.0, 20.0]))
    histogram.add(np.array([-5.0, 0.0, 9.9, 10.0, 25.0, np.nan]))
    assert histogram.counts.tolist() == [3, 2]
    assert histogram.missing == 1
    assert histogram.mean == pytest.approx((-5 + 0 + 9.9 + 10 + 25) / 5)


def test_the_map_is_that_of_the_embeddings(tmp_path: Path) -> None:
    folder = write_parts(tmp_path, [row_of(f"/p/{n}.jpg", 1 + n % 3, value=0.1 * n) for n in range(20)])
    found = gather(open_results(folder))
    vectors = np.stack(open_results(folder).faces(["embedding"])["embedding"].to_pylist()).astype(np.float64)
    assert found.places is not None
    assert len(found.places) == len(vectors) == found.num_faces
    centred = vectors - vectors.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    np.testing.assert_allclose(np.abs(found.places[:, 0]), np.abs(centred @ axes[0]), atol=1e-4)


def test_a_query_reports_those_faces_alone(results_folder: Path) -> None:
    results = open_results(results_folder)
    everyone = gather(results)
    some = gather(results, "age_years >= 60")
    none = gather(results, "false")
    assert 0 < some.num_faces < everyone.num_faces
    assert some.ages is not None
    assert int(some.ages.counts[:12].sum()) == 0
    assert int(some.ages.counts.sum()) == some.num_faces == select_faces(results, "age_years >= 60").num_rows
    assert some.num_photos == everyone.num_photos
    assert some.places is not None
    assert len(some.places) == some.num_faces
    assert none.num_faces == 0
    page = report_page(results, where="age_years >= 60 AND '<b>' = '<b>'")
    assert "Faces where <code>age_years &gt;= 60 AND &#39;&lt;b&gt;&#39;" in page
    with pytest.raises(InvalidInputError, match="age_years"):
        report_page(results, where="age > 3")
    assert "is no expression" not in report_page(results, where="score > 0.5 -- sure ones", composites=True)


def test_no_name_of_an_element_is_there_twice(results_folder: Path) -> None:
    page = report_page(open_results(results_folder))
    names = re.findall(r'\bid="([^"]+)"', page)
    assert len(names) == len(set(names)) > 100
    assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', page)) <= set(names)


@pytest.mark.triton
def test_it_opens_in_a_browser_without_a_network(results_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(report_page(open_results(results_folder), faces=True), encoding="utf-8")
    with chromium() as browser, watched_page(browser, path.as_uri(), java_script_enabled=False) as watched:
        page = watched.page
        page.goto(path.as_uri())
        assert page.locator("figure svg").count() == 8
        assert page.locator("figure svg").first.is_visible()
        details = page.locator("figure details").first
        details.locator("summary").click()
        assert details.locator("td.number").first.is_visible()
        page.emulate_media(media="print")
        width = page.locator("body").bounding_box()["width"]
        assert all(box["width"] <= width for box in (one.bounding_box() for one in page.locator("figure svg").all()))
        assert not watched.elsewhere
        assert not watched.errors


def test_embeddings_that_are_no_numbers_leave_out_the_map(tmp_path: Path) -> None:
    results = open_results(write_parts(tmp_path / "results", [row_of("/p/a.jpg", 4, value=float("nan"))]))
    found = gather(results)
    assert (found.num_faces, found.place_classes) == (4, [])
    assert "</html>" in report_page(results)
