"""Faces by an expression: what it selects, in which order, and what is refused before anything is run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fsdata.results import open_results
from fsdata.results.reading import Results
from fsdata.selection.selected_faces import scan_selected, select_faces
from fsengine.errors import InvalidInputError
from results_for_tests import row_of, write_parts

pytest.importorskip("duckdb", reason="DuckDB is missing: pip install 'facestats[analysis]'")


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return open_results(
        write_parts(
            tmp_path,
            [row_of("/photos/c.jpg", 3, value=0.1), row_of("/photos/a.jpg", 2, value=5.0)],
            [row_of("/photos/b.jpg", 1, value=0.2), row_of("/photos/é'\".jpg", 1), row_of("/photos/none.jpg", 0)],
        )
    )


def test_faces_come_in_the_order_of_their_sources(results: Results) -> None:
    found = select_faces(results, None, ["face_index", "source"])
    assert found.column_names == ["face_index", "source"]
    pairs = list(zip(found["source"].to_pylist(), found["face_index"].to_pylist(), strict=True))
    assert pairs == sorted(pairs)
    assert len(pairs) == 7


def test_an_expression_selects(results: Results) -> None:
    assert set(select_faces(results, "x0 > 3")["source"].to_pylist()) == {"/photos/a.jpg"}
    assert select_faces(results, 'X0 > 3 AND "face_index" = 1').num_rows == 1
    assert select_faces(results, "source LIKE '%c.jpg' -- a word").num_rows == 3
    assert select_faces(results, "source = '/photos/é''\".jpg'").num_rows == 1
    assert select_faces(results, "NULL").num_rows == 0
    assert select_faces(results, "x0 / 0 < 0").num_rows == 0


def test_every_column_comes_as_results_have_it(results: Results) -> None:
    whole, found = results.faces(), select_faces(results)
    assert found.schema.equals(whole.schema, check_metadata=True)
    order = np.lexsort([whole["face_index"].to_numpy(), whole["source"].to_numpy()])
    assert found.to_pylist() == whole.take(order).to_pylist()


def test_large_results_come_in_batches(results: Results) -> None:
    sizes = [batch.num_rows for batch in scan_selected(results, None, ["source"], batch_rows=3)]
    assert sum(sizes) == 7


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        (" \n", "is empty"),
        ("x0 >", "ends too early"),
        ("source = 'a", "unterminated"),
        ("gendr = 'a'", "did you mean gender"),
        ("gender = female", "text stands in single quotes"),
        ("faces.x0 > 1", "names faces"),
        ("a; DROP TABLE faces", "character 2"),
        ("1) FROM faces WHERE (1", "more than one expression"),
        ("1) UNION SELECT (1", "more than one expression|no expression"),
        ("true LIMIT 1", "no expression"),
        ("true) -- ", "ends too early"),
        ("true /*", "unterminated"),
        ("x0 > 1 AS y", "no expression"),
        ("x0 > (SELECT 1)", "a query within it"),
        ("EXISTS (FROM faces)", "a query within it"),
        ("row_number() OVER () > 1", "a window function"),
        ("COLUMNS('x0') > 1", "a star"),
        ("*", "a star|no expression"),
        ("x0 > ?", "parameter"),
        ("sum(x0) > 1", "aggregates"),
        ("'text'", "cannot be run"),
        ("read_text('/etc/passwd') IS NOT NULL", "cannot be run"),
        ("getenv('HOME') = ''", "cannot be run"),
        ("x0 > 1\0", "is empty"),
        ("x" * 20_000, "characters, expected"),
    ],
)
def test_what_is_no_single_expression_over_columns_is_refused(results: Results, text: str, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        select_faces(results, text, ["source"])
