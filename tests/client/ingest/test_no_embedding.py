"""`--no-embedding`: none is asked for, none is stored, and a folder is gone on with as it was begun."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray

from fake_photos import PIXELS, many_photos
from fsclient import AsyncClient, Client, InvalidInputError, ResultsError
from fsclient.cli import main
from fsclient.testing import FakeBackend, answer
from fsdata.results import open_results
from fsdata.results.ledger import read_ledger
from fsdata.results.master_reading import MasterTable
from fsdata.results.master_table import build_table
from fsdata.results.parts import part_paths
from fsengine.contracts.served import RECOGNISES_PEOPLE, marks_text
from packs_for_tests import official_pack

_PACK = official_pack()
RECOGNISING = replace(
    _PACK,
    models={
        **_PACK.models,
        "detect": replace(_PACK.models["detect"], marks=("untrained weights",)),
        "embed": replace(_PACK.models["embed"], marks=(RECOGNISES_PEOPLE,)),
    },
)
"""A pack whose embeddings are biometric templates."""


class Recording(FakeBackend):
    """Two faces on every photo; remembers the outputs that it was asked for."""

    def __init__(self, *, recognises: bool = False) -> None:
        super().__init__(self._two)
        self.asked: list[set[str]] = []
        if recognises:
            self.ensemble = replace(self.ensemble, models=RECOGNISING.served())

    def _two(self, data: bytes, outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        self.asked.append(set(outputs))
        return answer(2, outputs)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return many_photos(tmp_path / "photos", 3)


def ingested(folder: Path, **options: Any) -> Path:
    with Client(backend=FakeBackend(2)) as client:
        assert client.ingest(folder, folder.parent / "out", **options).num_rows == 3
    return folder.parent / "out"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, list(map(str, arguments)))


def test_none_is_asked_for_and_the_parts_have_no_such_column(folder: Path, tmp_path: Path) -> None:
    backend = Recording()
    with Client(backend=backend) as client:
        summary = client.ingest(folder, tmp_path / "out", embedding=False)
    assert (summary.num_faces, len(backend.asked)) == (6, 3)
    assert all("face_embedding" not in asked and "age_years" in asked for asked in backend.asked)
    (path,) = part_paths(tmp_path / "out")
    faces = {field.name for field in pq.read_schema(path).field("faces").type.value_type}
    assert "embedding" not in faces
    assert {"box", "age_years", "gender_probability"} <= faces


def test_scores_have_none_in_either_client() -> None:
    async def asynchronous(backend: Recording) -> list[Any]:
        async with AsyncClient(backend=backend) as client:
            one = await client.score(PIXELS, embedding=False)
            return [one, *[photo async for photo in client.score_many([PIXELS] * 2, embedding=False)]]

    def blocking(backend: Recording) -> list[Any]:
        with Client(backend=backend) as client:
            return [client.score(PIXELS, embedding=False), *client.score_many([PIXELS] * 2, embedding=False)]

    for scores in (lambda backend: asyncio.run(asynchronous(backend)), blocking):
        backend = Recording(recognises=True)
        photos = scores(backend)
        assert not any("face_embedding" in asked for asked in backend.asked)
        assert [[(face.embedding, face.gender) for face in photo.faces] for photo in photos] == [
            [(None, "female")] * 2
        ] * 3
        assert {marks_text(photo.marks) for photo in photos} == {"untrained weights: detect"}
    with Client(backend=Recording(recognises=True)) as client:
        (face, _) = client.score(PIXELS).faces
        assert face.embedding is not None
        assert RECOGNISES_PEOPLE in client.score(PIXELS).marks


@pytest.mark.parametrize(
    ("begun", "told"),
    [
        (
            True,
            r"out holds embeddings, and --no-embedding stores none: choose another --out, .*--models PACK to remove",
        ),
        (False, r"out holds no embeddings, .*choose another --out, or give --no-embedding again"),
    ],
)
def test_a_folder_is_gone_on_with_as_it_was_begun(begun: bool, told: str, folder: Path) -> None:
    out = ingested(folder, embedding=begun)
    before = sorted(path.name for path in out.iterdir())
    (folder / "new.png").write_bytes((folder / "00.png").read_bytes())
    backend = FakeBackend(2)
    with Client(backend=backend) as client:
        with pytest.raises(ResultsError, match=told):
            client.ingest(folder, out, embedding=not begun)
        assert backend.requests == []
        assert sorted(path.name for path in out.iterdir()) == before
        assert client.ingest(folder, out, embedding=begun).num_rows == 1


def test_parts_with_and_without_that_lie_together_are_named(folder: Path, tmp_path: Path) -> None:
    out = ingested(folder)
    with Client(backend=FakeBackend(2)) as client:
        client.ingest(folder, tmp_path / "bare", embedding=False)
    (out / "part-000002.parquet").write_bytes(part_paths(tmp_path / "bare")[0].read_bytes())
    with pytest.raises(ResultsError, match=r"part-000002\.parquet holds no embeddings, .* keep them in different"):
        read_ledger(out)


def test_tables_are_built_and_say_so_and_whoever_needs_embeddings_is_told(folder: Path) -> None:
    out = ingested(folder, embedding=False)
    assert "embedding none stored (--no-embedding)" in run("table", "info", out).output
    table = build_table(out)
    assert pq.read_table(table).num_rows == 6
    told = run("table", "info", out)
    assert (told.exit_code, "embedding none stored" in told.output) == (0, True), told.output
    assert "float[8]" not in told.output
    results = open_results(out)
    assert results.faces().num_rows == 6
    for read in (results.embeddings, lambda: MasterTable(table)):
        with pytest.raises(InvalidInputError, match=r"holds no embeddings: .*--no-embedding.*another --out"):
            read()


def test_biometric_templates_are_told_of_once_where_they_are_stored(folder: Path, tmp_path: Path) -> None:
    def lines(out: str, **options: Any) -> list[str]:
        said: list[str] = []
        with Client(backend=Recording(recognises=True), on_message=said.append) as client:
            client.ingest(folder, tmp_path / out, **options)
        return [line for line in said if "biometric templates" in line]

    assert lines("stored") == [
        "note: the embeddings of these models recognise people and are biometric templates; --no-embedding stores none"
    ]
    assert lines("stored") == []  # nothing was left to do
    assert len(lines("stored", refresh=True)) == 1
    assert lines("bare", embedding=False) == []
    assert lines("bare", refresh=True) == []
    said: list[str] = []
    with Client(backend=Recording(), on_message=said.append) as client:
        client.ingest(folder, tmp_path / "other")
    assert "biometric" not in "".join(said)


@pytest.mark.triton
def test_the_commands_keep_none_with_a_real_server(photos: Path, tmp_path: Path, lite_server: Any) -> None:
    server = ("--server", lite_server.url)
    whole, bare = (run("score", photos / "hopper.jpg", "--json", *server, *rest) for rest in ((), ("--no-embedding",)))
    assert bare.exit_code == 0, bare.output
    ((face,), (other,)) = (json.loads(done.stdout)[0]["faces"] for done in (whole, bare))
    assert len(face.pop("embedding")) == 192
    assert face == other
    done = run("ingest", photos / "hopper.jpg", "--out", tmp_path / "out", "--no-embedding", *server)
    assert done.exit_code == 0, done.output
    assert not open_results(tmp_path / "out").has_embeddings
    (row,) = open_results(tmp_path / "out").faces().to_pylist()
    assert row["age_years"] == pytest.approx(face["age_years"])
    refused = run("ingest", photos / "obama.jpg", "--out", tmp_path / "out", *server)
    assert (refused.exit_code, "holds no embeddings" in refused.output) == (1, True)
