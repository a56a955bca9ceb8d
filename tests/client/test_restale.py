from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from fake_backend import FakeBackend, answer, ensemble_of, head_answer
from fsclient.cli import main
from fsclient.inference import ServedEnsemble, ServedHead
from fsclient.ingest import IngestConfig, IngestSummary, Progress, find_inputs, ingest
from fsclient.parts import locked, part_paths
from fsclient.restale import restale
from fsclient.restale_staging import drop_staged, finish_replacement, refuse_interrupted
from fsclient.schema import part_schema, read_info
from fsclient.scoring import RetryPolicy
from fsclient.serving import ServerChoice, open_server
from fsclient.table import build_table
from fsdata.sample_photos import sample_folder
from fsengine.errors import InferenceError, InvalidInputError, ResultsError, ServerUnavailableError
from fsengine.hashing import file_sha256
from fsengine.packs import read_pack, write_pack
from fsengine.shipped import shipped_folder

QUICK = RetryPolicy(attempts=2, first_wait_s=0.0, longest_wait_s=0.0)
OLD = ensemble_of({"ethnicity": "1", "age_gender": "1"})
PNG = b"\x89PNG\r\n\x1a\n"
"""What is needed to be sent to a backend; the byte after it says how many faces there are."""


class Backend(FakeBackend):
    """A photo with n faces whose embeddings begin with 0.01, 0.02 ...; heads answer as they do alone."""

    def __init__(self, served: ServedEnsemble) -> None:
        super().__init__(self._photo)
        self.ensemble = served

    def _photo(self, data: bytes, outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        num_faces = data[len(PNG)]
        arrays = answer(num_faces, [name for name in outputs if not self._of_a_head(name)])
        embeddings = np.zeros((max(num_faces, 1), 8), np.float32)
        embeddings[:, 0] = 0.01 * np.arange(1, len(embeddings) + 1)
        arrays["face_embedding"] = embeddings
        for step in self.ensemble.heads:
            arrays |= head_answer(self.ensemble, step, embeddings)
        return arrays

    def _of_a_head(self, name: str) -> bool:
        return any(name in head.outputs.values() for head in self.ensemble.heads.values())


class Told:
    """A progress that remembers."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.num_faces: list[int] = []
        self.total = 0

    def say(self, line: str) -> None:
        self.lines.append(line)

    def faces(self, total: int) -> Callable[[int], None]:
        self.total = total
        return self.num_faces.append

    def photos(self, total: int) -> Progress:
        return lambda _: None


def write_photos(folder: Path, counts: dict[str, int]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, num_faces in counts.items():
        (folder / name).write_bytes(PNG + bytes([num_faces]) + name.encode())
    return folder


def run(
    backend: FakeBackend, out: Path, *sources: Path, told: Told | None = None, plain: bool = False, **settings: Any
) -> IngestSummary:
    config = IngestConfig(
        sources=tuple(map(str, sources)),
        out=out,
        part_size=2,
        concurrency=1,
        retry=QUICK,
        restale=not plain,
        **settings,
    )
    paths = find_inputs(config)
    with locked(out):
        if plain:
            return asyncio.run(ingest(config, paths, backend, lambda _: None))
        finish_replacement(out)
        return asyncio.run(restale(config, paths, backend, told or Told()))


def rows_of(out: Path) -> dict[str, dict[str, Any]]:
    """Return the rows of a folder by the name of their photo, each once."""
    rows = [row for path in part_paths(out) for row in pq.read_table(path).to_pylist()]
    assert len({row["source"] for row in rows}) == len(rows)
    return {os.path.basename(row["source"]): row for row in rows}


def assert_same_results(out: Path, expected: Path, *, timings: bool = False) -> None:
    found, wanted = rows_of(out), rows_of(expected)
    assert found.keys() == wanted.keys()
    for name, row in wanted.items():
        for column in row.keys() - (set() if timings else {"read_ms", "infer_ms", "attempts"}):
            assert found[name][column] == row[column], (name, column)


def assert_made_with(out: Path, served: ServedEnsemble) -> None:
    assert part_paths(out)
    for path in part_paths(out):
        schema = pq.read_schema(path)
        assert schema.equals(part_schema(served))
        assert read_info(schema, str(path)).models == served.models
        assert set(pq.read_table(path, columns=["model_set_id"]).column(0).to_pylist()) == {served.models.model_set_id}
    assert not list(out.glob(".restale-*"))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_photos(tmp_path / "photos", {"a.png": 0, "b.png": 1, "c.png": 2, "d.png": 200, "e.png": 100})


@pytest.fixture
def results(tmp_path: Path, photos: Path) -> Path:
    """Five photos with 303 faces in three parts."""
    run(Backend(OLD), tmp_path / "out", photos, plain=True)
    assert len(part_paths(tmp_path / "out")) == 3
    return tmp_path / "out"


HEAD_CHANGES = {
    "changed": ensemble_of({"ethnicity": "2", "age_gender": "1"}),
    "both changed": ensemble_of({"ethnicity": "2", "age_gender": "2"}),
    "added": ensemble_of({"ethnicity": "1", "age_gender": "1", "attractiveness": "4"}),
    "gone": ensemble_of({"ethnicity": "1"}),
    "swapped": ensemble_of({"attractiveness": "4", "age_gender": "1"}),
    "another age_gender reads a crop and stays": ensemble_of(
        {"ethnicity": "2", "age_gender": "1"}, age_gender_reads="age_gender_crop"
    ),
    "without any head": ensemble_of({}),
}


@pytest.mark.parametrize("served", HEAD_CHANGES.values(), ids=HEAD_CHANGES)
def test_heads_are_run_on_the_stored_embeddings_and_no_photo_is_read(
    served: ServedEnsemble, results: Path, photos: Path, tmp_path: Path
) -> None:
    run(Backend(served), tmp_path / "fresh", photos, plain=True)
    before = rows_of(results)
    shutil.rmtree(photos)
    backend, told = Backend(served), Told()
    summary = run(backend, results, told=told)
    assert backend.requests == []
    assert_made_with(results, served)
    assert_same_results(results, tmp_path / "fresh")
    after = rows_of(results)
    for column in ("attempts", "read_ms", "infer_ms", "content_hash", "mtime_ns", "bytes"):
        assert {name: row[column] for name, row in after.items()} == {n: row[column] for n, row in before.items()}
    assert sum(told.num_faces) == told.total == 303
    assert max([rows for _, rows in backend.head_requests], default=0) <= 256
    assert (summary.num_inputs, summary.num_left, summary.exit_code) == (5, 0, 0)


def test_only_the_changed_head_is_asked_and_the_summary_says_so(results: Path) -> None:
    backend = Backend(HEAD_CHANGES["changed"])
    summary = run(backend, results)
    assert {step for step, _ in backend.head_requests} == {"ethnicity"}
    assert summary.restaled == "restaled: ethnicity on 303 faces of 5 photos, no photo was read"
    assert "age_gender removed" in str(run(Backend(ensemble_of({"ethnicity": "2"})), results).restaled)


def test_new_photos_of_the_sources_are_scored_after_that(results: Path, photos: Path, tmp_path: Path) -> None:
    served = HEAD_CHANGES["changed"]
    write_photos(photos, {"new.png": 3})
    backend = Backend(served)
    summary = run(backend, results, photos)
    assert len(backend.requests) == 1
    assert (summary.num_done_before, summary.num_rows, summary.exit_code) == (5, 1, 0)
    run(Backend(served), tmp_path / "fresh", photos, plain=True)
    assert_same_results(results, tmp_path / "fresh")
    assert_made_with(results, served)


def test_the_same_models_are_a_plain_ingest(results: Path, photos: Path) -> None:
    write_photos(photos, {"new.png": 3})
    untouched = [(path.name, path.stat().st_mtime_ns) for path in part_paths(results)]
    backend = Backend(OLD)
    summary = run(backend, results, photos)
    assert (len(backend.requests), backend.head_requests, summary.num_rows) == (1, [], 1)
    assert [(path.name, path.stat().st_mtime_ns) for path in part_paths(results)][:3] == untouched
    assert "nothing" in str(summary.restaled)


def test_an_empty_folder_is_a_plain_ingest(photos: Path, tmp_path: Path) -> None:
    summary = run(Backend(OLD), tmp_path / "new", photos)
    assert (summary.num_rows, summary.exit_code, summary.restaled) == (5, 0, None)
    assert_made_with(tmp_path / "new", OLD)
    with pytest.raises(InvalidInputError, match="holds no file"):
        run(Backend(OLD), tmp_path / "newer")


@pytest.mark.parametrize(
    "changes",
    [
        {"labels": {"gender": ["f", "m"], "ethnicity": ["1", "2", "3"]}},
        {"thresholds": {"gender": 0.6}},
        {"marks": {"poor": ["detect"]}},
    ],
)
def test_metadata_alone_is_written_again(changes: dict[str, Any], results: Path, tmp_path: Path) -> None:
    shutil.copytree(results, tmp_path / "before")
    served = replace(OLD, models=replace(OLD.models, **changes))
    backend = Backend(served)
    summary = run(backend, results)
    assert (backend.requests, backend.head_requests) == ([], [])
    assert "no photo was read" in str(summary.restaled)
    assert_made_with(results, served)
    assert_same_results(results, tmp_path / "before", timings=True)


def without_in_metadata(out: Path, *keys: bytes) -> None:
    """Rewrite parts as an earlier version wrote them."""
    for path in part_paths(out):
        table = pq.read_table(path)
        text = table.schema.metadata[b"facestats"]
        for key in keys:
            assert key in text
            text = text.replace(b", " + key, b"")
        pq.write_table(table.replace_schema_metadata({b"facestats": text}), path)


def test_results_of_an_earlier_version_are_restaled(results: Path) -> None:
    without_in_metadata(results, b'"encoder_id": ""', b'"thresholds": {}')
    served = HEAD_CHANGES["changed"]
    served = replace(served, models=replace(served.models, encoder_id="enc-1", thresholds={"ethnicity": 0.5}))
    backend = Backend(served)
    run(backend, results)
    assert backend.requests == []
    assert_made_with(results, served)


PHOTO_CHANGES = {
    "detect": (ensemble_of({"detect": "2", "ethnicity": "1", "age_gender": "1"}), "the detect model changed"),
    "align": (ensemble_of({"align": "2", "ethnicity": "1", "age_gender": "1"}), "the align model changed"),
    "embed": (ensemble_of({"embed": "2", "ethnicity": "1", "age_gender": "1"}), "the embed model changed"),
    "crop": (
        ensemble_of({"ethnicity": "1", "age_gender": "2"}, age_gender_reads="age_gender_crop"),
        "it reads a crop",
    ),
    "preprocessing": (
        ensemble_of({"ethnicity": "1", "age_gender": "1"}, preprocessing_id="pre-2"),
        "the preprocessing changed",
    ),
}


@pytest.mark.parametrize(("served", "reason"), PHOTO_CHANGES.values(), ids=PHOTO_CHANGES)
def test_a_deeper_change_scores_every_photo_again(
    served: ServedEnsemble, reason: str, results: Path, photos: Path, tmp_path: Path
) -> None:
    other = write_photos(tmp_path / "other", {"new.png": 3})
    backend, told = Backend(served), Told()
    summary = run(backend, results, other, told=told)
    assert (len(backend.requests), backend.head_requests) == (6, [])
    assert reason in told.lines[0]
    assert reason in str(summary.restaled)
    assert (summary.num_inputs, summary.num_rows, summary.exit_code) == (6, 6, 0)
    assert_made_with(results, served)
    run(Backend(served), tmp_path / "fresh", photos, other, plain=True)
    assert_same_results(results, tmp_path / "fresh")


def test_parts_without_embeddings_are_scored_again_with_an_explanation(results: Path) -> None:
    for path in part_paths(results):
        table = pq.read_table(path)
        faces = table.column("faces").combine_chunks()
        struct = faces.flatten()
        kept = [i for i, field in enumerate(struct.type) if field.name != "embedding"]
        values = pa.StructArray.from_arrays([struct.field(i) for i in kept], fields=[struct.type[i] for i in kept])
        stripped = pa.ListArray.from_arrays(faces.offsets, values)
        pq.write_table(table.set_column(table.schema.get_field_index("faces"), "faces", stripped), path)
    backend, told = Backend(HEAD_CHANGES["changed"]), Told()
    run(backend, results, told=told)
    assert len(backend.requests) == 5
    assert "no column embedding" in told.lines[0]
    assert_made_with(results, HEAD_CHANGES["changed"])


def test_faces_of_a_photo_that_is_gone_are_not_thrown_away(results: Path, photos: Path, tmp_path: Path) -> None:
    shutil.copytree(results, tmp_path / "before")
    (photos / "c.png").rename(tmp_path / "c.png")
    served = PHOTO_CHANGES["embed"][0]
    with pytest.raises(ResultsError, match=r"1 that .* are gone .*c\.png.*another --out"):
        run(Backend(served), results)
    assert_same_results(results, tmp_path / "before", timings=True)
    (tmp_path / "c.png").rename(photos / "c.png")
    run(Backend(served), results)
    assert_made_with(results, served)


def test_a_server_that_goes_away_leaves_the_old_results_and_the_next_run_goes_on(
    results: Path, photos: Path, tmp_path: Path
) -> None:
    shutil.copytree(results, tmp_path / "before")

    class Flaky(Backend):
        async def infer_head(self, head: ServedHead, embeddings: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
            if len(self.head_requests) >= 2:
                raise ServerUnavailableError("away")
            return await super().infer_head(head, embeddings)

    served = HEAD_CHANGES["changed"]
    with pytest.raises(ServerUnavailableError):
        run(Flaky(served), results)
    assert_same_results(results, tmp_path / "before", timings=True)
    for read in (lambda: run(Backend(OLD), results, photos, plain=True), lambda: build_table(results)):
        with pytest.raises(ResultsError, match=r"interrupted.*--restale.*to go on, or remove .*\.restale-set"):
            read()
    whole = Backend(served)
    run(Backend(OLD), tmp_path / "count", photos, plain=True)
    all_requests = Backend(served)
    run(all_requests, tmp_path / "count")
    run(whole, results)
    assert 0 < len(whole.head_requests) < len(all_requests.head_requests)
    assert_made_with(results, served)


def test_photos_that_were_scored_again_before_an_interruption_are_not_scored_a_third_time(
    results: Path, tmp_path: Path
) -> None:
    shutil.copytree(results, tmp_path / "before")
    served = PHOTO_CHANGES["embed"][0]

    def away(data: bytes, outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        if len(flaky.requests) > 3:
            raise ServerUnavailableError("away")
        return flaky._photo(data, outputs)

    flaky = Backend(served)
    flaky.respond = away
    summary = run(flaky, results)
    assert (summary.num_rows, summary.num_left, summary.exit_code) == (3, 2, 4)
    assert "not restaled yet" in str(summary.restaled)
    assert_same_results(results, tmp_path / "before", timings=True)
    backend = Backend(served)
    assert run(backend, results).exit_code == 0
    assert len(backend.requests) == 2
    assert_made_with(results, served)


def test_another_target_than_the_interrupted_one_starts_anew(results: Path) -> None:
    class Broken(Backend):
        async def infer_head(self, head: ServedHead, embeddings: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
            raise InferenceError(f"{head.step} {len(embeddings)} broken")

    with pytest.raises(InferenceError, match="broken"):
        run(Broken(HEAD_CHANGES["changed"]), results)
    assert "nothing" in str(run(Backend(OLD), results).restaled)
    assert_made_with(results, OLD)
    with pytest.raises(InferenceError, match="broken"):
        run(Broken(HEAD_CHANGES["changed"]), results)
    run(Backend(HEAD_CHANGES["added"]), results)
    assert_made_with(results, HEAD_CHANGES["added"])


def test_a_server_that_changes_its_models_meanwhile_is_refused(results: Path, tmp_path: Path) -> None:
    shutil.copytree(results, tmp_path / "before")

    class Changing(Backend):
        async def infer_head(self, head: ServedHead, embeddings: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
            made = await super().infer_head(head, embeddings)
            self.ensemble = HEAD_CHANGES["both changed"]
            return made

    with pytest.raises(InferenceError, match="now serves"):
        run(Changing(HEAD_CHANGES["changed"]), results)
    assert_same_results(results, tmp_path / "before", timings=True)


def test_the_refusal_of_another_model_set_names_restale(results: Path, photos: Path) -> None:
    with pytest.raises(ResultsError, match="or --restale to bring them to it"):
        run(Backend(HEAD_CHANGES["changed"]), results, photos, plain=True)


def test_sources_may_be_left_out_with_restale_alone(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["ingest", "--out", str(tmp_path / "out")])
    assert done.exit_code == 2
    assert "SOURCE" in done.output


def kill_before_every_change_of_the_folder(results: Path, killed: Path, served_name: str) -> int:
    """Restale copies of results in processes that kill themselves before their n-th change of a file; return n."""
    program = f"""
import os, signal, shutil, sys
sys.path[:0] = [{str(Path(__file__).parents[1] / "support")!r}, {str(Path(__file__).parent)!r}]
import test_restale as t
from pathlib import Path
served = {{**t.HEAD_CHANGES, **{{k: v[0] for k, v in t.PHOTO_CHANGES.items()}}}}[{served_name!r}]
WATCHED = {{"os.rename", "os.remove", "os.rmdir", "os.mkdir", "shutil.rmtree"}}
for number in range(1, 200):
    out = Path({str(killed)!r}) / str(number)
    shutil.copytree({str(results)!r}, out)
    child = os.fork()
    if not child:
        seen = 0
        def watch(event, arguments):
            global seen
            if event in WATCHED or event == "open" and isinstance(arguments[1], str) and "w" in arguments[1]:
                seen += 1
                if seen == number:
                    os.kill(os.getpid(), signal.SIGKILL)
        sys.addaudithook(watch)
        t.run(t.Backend(served), out)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    if status == 0:
        print(number)
        break
    assert os.WIFSIGNALED(status), status
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.parametrize("name", ["changed", "embed"])
def test_killed_at_any_change_of_the_folder_the_same_command_finishes(
    name: str, results: Path, photos: Path, tmp_path: Path
) -> None:
    served = {"changed": HEAD_CHANGES["changed"], "embed": PHOTO_CHANGES["embed"][0]}[name]
    # Four old parts, and three new ones where photos are scored again, so that one must go.
    extra = write_photos(tmp_path / "extra", {"f.png": 1})
    run(Backend(OLD), results, extra, plain=True)
    assert len(part_paths(results)) == 4
    run(Backend(served), tmp_path / "fresh", photos, extra, plain=True)
    number = kill_before_every_change_of_the_folder(results, tmp_path / "killed", name)
    assert number > 12
    mixed = 0
    for attempt in range(1, number + 1):
        out = tmp_path / "killed" / str(attempt)
        sets = {read_info(pq.read_schema(path), "").models.model_set_id for path in part_paths(out)}
        if len(sets) > 1:
            mixed += 1
            for read in (lambda o=out: run(Backend(served), o, photos, plain=True), lambda o=out: build_table(o)):
                with pytest.raises(ResultsError, match=r"interrupted while new parts replaced.*to finish it"):
                    read()
        elif not list(out.glob(".restale-*/*.json")):
            build_table(out)
        run(Backend(served), out)
        assert_made_with(out, served)
        assert_same_results(out, tmp_path / "fresh")
    assert mixed >= 2


def fsclient(command: list[str], *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True, timeout=240, check=False)


def pack_with_another_ethnicity_head(embeddings: NDArray[np.float32], folder: Path) -> Path:
    """Return a copy of the demo pack whose ethnicity forest was fitted to something else."""
    from fsexport.trees import export_trees, fit_classifier

    shutil.copytree(shipped_folder("packs") / "demo", folder)
    pack = read_pack(folder)
    features = np.tile(embeddings, (4, 1))
    labels = np.arange(len(features), dtype=np.int64) % len(pack.labels["ethnicity"])
    booster = fit_classifier(features, labels, len(pack.labels["ethnicity"]), rounds=5, leaves=4, seed=1)
    head = pack.models["ethnicity"]
    (folder / head.file).unlink()
    export_trees(booster, folder / head.file)
    head = replace(head, sha256=file_sha256(folder / head.file))
    write_pack(replace(pack, models={**pack.models, "ethnicity": head}), folder)
    return folder


@pytest.mark.triton
def test_a_changed_head_of_a_real_pack_is_brought_in_without_the_photos(
    tmp_path: Path, fsclient_command: list[str]
) -> None:
    pytest.importorskip("lightgbm")
    photos, out, fresh = tmp_path / "photos", tmp_path / "out", tmp_path / "fresh"
    shutil.copytree(sample_folder(), photos)
    first = fsclient(fsclient_command, "ingest", photos, "--out", out, "--part-size", "4")
    assert first.returncode == 0, first.stderr
    lacking = tmp_path / "lacking"
    assert not fsclient(fsclient_command, "ingest", photos, "--out", lacking, "--without", "age_gender").returncode
    before = rows_of(out)
    embeddings = np.array([face["embedding"] for row in before.values() for face in row["faces"]], np.float32)
    pack = pack_with_another_ethnicity_head(embeddings, tmp_path / "pack")
    with open_server(ServerChoice(models=str(pack)), print) as server:
        plain = fsclient(fsclient_command, "ingest", photos, "--out", fresh, "--server", server.url)
        assert plain.returncode == 0, plain.stderr
        photos.rename(tmp_path / "away")
        refused = fsclient(fsclient_command, "ingest", tmp_path / "away", "--out", out, "--server", server.url)
        assert refused.returncode == 1
        assert "--restale to bring them to it" in refused.stderr
        shutil.copytree(out, tmp_path / "killed")
        arguments = ["ingest", "--restale", "--server", server.url, "--out"]
        done = fsclient(fsclient_command, *arguments, out)
        kill_while_staged([*fsclient_command, *arguments, str(tmp_path / "killed")], tmp_path / "killed")
        again = fsclient(fsclient_command, *arguments, tmp_path / "killed")
        added = fsclient(fsclient_command, *arguments, lacking)
    assert done.returncode == 0, done.stderr
    assert "restaled: ethnicity, age_gender on" in added.stderr
    for name, row in rows_of(fresh).items():
        for one, other in zip(rows_of(lacking)[name]["faces"], row["faces"], strict=True):
            assert list(one) == list(other)
            # ONNX Runtime sums in another order in a batch of another size.
            np.testing.assert_allclose(one["age_years"], other["age_years"], atol=1e-3)
            np.testing.assert_allclose(one["gender_probability"], other["gender_probability"], atol=1e-5)
    faces = len(embeddings)
    assert f"restaled: ethnicity on {faces:,} faces of 11 photos, no photo was read" in done.stderr
    assert again.returncode == 0, again.stderr
    for folder in (out, tmp_path / "killed"):
        assert_like_fresh(rows_of(folder), rows_of(fresh), before)
        assert len(part_paths(folder)) == 3
        assert not list(folder.glob(".restale-*"))
        assert pq.read_schema(part_paths(folder)[0]).equals(pq.read_schema(part_paths(fresh)[0]), check_metadata=True)
    assert pq.read_table(build_table(out)).num_rows == faces
    found, old = rows_of(out)["hopper.jpg"]["faces"][0], before["hopper.jpg"]["faces"][0]
    assert np.abs(np.subtract(found["ethnicity_probability"], old["ethnicity_probability"])).max() > 1e-3


def assert_like_fresh(
    found: dict[str, dict[str, Any]], fresh: dict[str, dict[str, Any]], before: dict[str, dict[str, Any]]
) -> None:
    assert found.keys() == fresh.keys() == before.keys()
    for name, row in fresh.items():
        for column in row.keys() - {"faces", "read_ms", "infer_ms", "mtime_ns"}:
            assert found[name][column] == row[column], (name, column)
        for column in ("read_ms", "infer_ms", "mtime_ns"):
            assert found[name][column] == before[name][column]
        for one, other in zip(found[name]["faces"], row["faces"], strict=True):
            assert list(one) == list(other)
            for column in one:
                tolerance = 1e-5 if column == "ethnicity_probability" else 0
                # The same graphs on the same photos; only the head was run in other batches.
                np.testing.assert_allclose(one[column], other[column], rtol=0, atol=tolerance, err_msg=column)


def kill_while_staged(command: list[str], out: Path) -> None:
    """Kill a restale as soon as it has staged something."""
    victim = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and victim.poll() is None and not list(out.glob(".restale-*/part-*.parquet")):
        time.sleep(0.001)
    victim.send_signal(signal.SIGKILL)
    victim.wait()


def test_what_the_user_keeps_under_a_like_name_is_neither_read_nor_removed(results: Path) -> None:
    backup = results / ".restale-backup"
    backup.mkdir()
    (backup / "complete.json").write_text("{")
    (results / ".restale-notes").write_text("precious")
    run(Backend(HEAD_CHANGES["changed"]), results)
    assert (backup / "complete.json").read_text() == "{"
    assert (results / ".restale-notes").read_text() == "precious"


@pytest.mark.parametrize("name", ["plan.json", "complete.json"])
@pytest.mark.parametrize("content", ["", "{", "[]", "{}"])
def test_a_damaged_record_of_a_restale_is_named(name: str, content: str, results: Path) -> None:
    staging = results / ".restale-set-0123456789abcdef"
    staging.mkdir()
    (staging / name).write_text(content)
    with pytest.raises(ResultsError, match=f"{name} is damaged.*remove .*{staging.name}"):
        refuse_interrupted(results)


def test_a_strange_file_in_a_staging_folder_is_kept(results: Path) -> None:
    staging = results / ".restale-set-0123456789abcdef"
    staging.mkdir()
    (staging / "precious.txt").write_text("precious")
    drop_staged(results)
    assert (staging / "precious.txt").read_text() == "precious"
