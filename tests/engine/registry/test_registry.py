"""The table of model sources, the store and what fetching does around a download."""

from __future__ import annotations

import hashlib
import io
import json
import random
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fsengine.errors import Action, FaceStatsError, FetchError, InvalidInputError, Remedy
from fsengine.registry.fetch import FetchPolicy, fetch
from fsengine.registry.home import hold_models_home
from fsengine.registry.model_source import REGISTRY_VARIABLE, ModelSource, find_source, read_registry
from fsengine.registry.store import import_file, read_record, require, source_path, stored, verify_source
from weights_server import WeightsServer, weights_server

CONTENT = b"weights" * 1000


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FACESTATS_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture
def server() -> Iterator[WeightsServer]:
    with weights_server() as running:
        running.files["weights.bin"] = CONTENT
        yield running


def record(**changes: Any) -> dict[str, Any]:
    values = {
        "name": "mine",
        "task": "embed",
        "about": "a test",
        "file": "weights.bin",
        "licence": "MIT",
        "licence_url": "https://licence.example",
        "commercial_use": True,
        "reference": "https://paper.example",
    }
    return {**values, **changes}


def source(**changes: Any) -> ModelSource:
    return ModelSource(**record(**changes))


def get(*sources: ModelSource, accept: bool = True, commercial_ok: bool = False) -> list[str]:
    lines: list[str] = []
    policy = FetchPolicy(accept=lambda *_: accept, commercial_ok=commercial_ok)
    fetch(sources, policy, lines.append, lambda _: lambda *_: None)
    return lines


def archive(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()


def test_the_table_that_ships_covers_the_mission() -> None:
    table = read_registry()
    assert {
        "clip-vit-b32-openai",
        "clip-vit-b32-laion2b",
        "scrfd-10g",
        "scrfd-500m",
        "genderage",
        "yunet",
        "blazeface-short",
        "blazeface-full",
        "face-mesh",
        "facestats-v4-attractiveness",
    } <= set(table)
    for entry in table.values():
        assert entry.licence_url.startswith("https://")
        assert entry.reference.startswith("https://")
        assert (entry.sha256 is None) == (entry.hash_source is None)
        assert entry.commercial_use == ("InsightFace" not in entry.licence)
    assert table["clip-vit-b32-openai"].settings["architecture"] == "ViT-B-32-quickgelu"
    assert table["clip-vit-b32-laion2b"].settings["architecture"] == "ViT-B-32"
    # OpenAI's addresses hold the hash of the file.
    assert f"/{table['clip-vit-b32-openai'].sha256}/" in str(table["clip-vit-b32-openai"].url)


def test_the_hashes_of_the_table_are_those_of_the_files(shared: Path) -> None:
    for name, file in (
        ("scrfd-500m", "insightface/det_500m.onnx"),
        ("genderage-v1", "genderage_v1/genderage_v1_112.onnx"),
        ("facestats-v4-attractiveness", "facestats_v4/src_models/attractiveness_regressor.pt"),
        ("facestats-v4-attractiveness-wide", "facestats_v4/models/attractiveness_regressor.pt"),
        ("facestats-v4-scores", "facestats_v4/metadata/attractiveness_scores.parquet"),
        ("facestats-v4-gender", "facestats_v4/src_models/gender_clf.pkl"),
        ("facestats-v4-ethnicity", "facestats_v4/src_models/ethnicity_clf.pkl"),
    ):
        entry = find_source(name)
        assert import_file(entry, shared / "weights" / file).pinned_here is False
        assert source_path(entry).stat().st_size == entry.size_bytes
        assert verify_source(entry).sha256 == entry.sha256


def test_a_table_of_ones_own_adds_and_replaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "own.json"
    own.write_text(json.dumps([record(), record(name="yunet", url="https://mirror.example/y.onnx")]))
    monkeypatch.setenv(REGISTRY_VARIABLE, str(own))
    assert find_source("mine").licence == "MIT"
    assert find_source("yunet").url == "https://mirror.example/y.onnx"
    assert find_source("scrfd-10g").file == "det_10g.onnx"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not a table"),
        ("{}", "object stands at the top, expected array"),
        (json.dumps([record(colour="red")]), "unknown keys \\['colour'\\]"),
        (json.dumps([record(file="../evil")]), "plain file name"),
        (json.dumps([record(name="../evil")]), "lower-case letters"),
        (json.dumps([record(sha256="abc")]), "64 hex digits"),
        (json.dumps([record(url="file:///etc/passwd")]), "expected one of https"),
        (json.dumps([record(url="https://a", package="b==1", member="m")]), "one of them at most"),
        (json.dumps([record(package="b==1")]), "no member"),
        (json.dumps([{"name": "mine"}]), "missing"),
        (json.dumps([record(commercial_use="no")]), "commercial_use is 'no', expected bool"),
        (json.dumps([record(url=5)]), "url is 5, expected str or null"),
        (json.dumps([record(licence=None)]), "licence is None, expected str"),
        (json.dumps([record(size_bytes=0)]), "expected a positive number"),
        (json.dumps([record(size_bytes=True)]), "size_bytes is True"),
        (json.dumps([record(settings=[])]), "settings is \\[\\], expected object"),
        (json.dumps(["mine"]), "is not a table"),
        (json.dumps([record(about="\ud800")]), "cannot be printed"),
        (json.dumps([record(file="")]), "plain file name"),
        (json.dumps([record(file="record.json")]), "plain file name"),
        (json.dumps([record(file="a\0b")]), "cannot be printed"),
        (json.dumps([record(url="http://[bad/x")]), "is not a table"),
        (json.dumps([record(package="/tmp/evil", member="m")]), "expected NAME==VERSION"),
        (json.dumps([record(package="-r/etc/hostname", member="m")]), "expected NAME==VERSION"),
        (json.dumps([record(package="evil @ file:///tmp/evil", member="m")]), "expected NAME==VERSION"),
        ("[" * 100_000, "is not a table"),
        (json.dumps([record(marks=3)]), "is not a table"),
    ],
)
def test_a_table_that_is_wrong_in_one_way_is_refused(
    text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own.json").write_text(text)
    monkeypatch.setenv(REGISTRY_VARIABLE, str(tmp_path / "own.json"))
    with pytest.raises(InvalidInputError, match=message):
        read_registry()


def test_a_hash_that_is_not_known_is_pinned_on_first_fetch(server: WeightsServer) -> None:
    entry = source(url=server.url("good", "weights.bin"))
    assert "not known before: pinned" in "\n".join(get(entry))
    found = stored(entry)
    assert found is not None
    assert found.pinned_here
    assert found.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert get(entry) == [f"mine: here already, {source_path(entry)}"]
    # The pin outlives the file: what comes again must be the same.
    source_path(entry).unlink()
    server.files["weights.bin"] = CONTENT + b"!"
    with pytest.raises(FetchError, match="pinned when it first came"):
        get(entry)
    assert not source_path(entry).exists()
    server.files["weights.bin"] = CONTENT
    get(entry)
    assert require(entry).read_bytes() == CONTENT


def test_a_licence_is_accepted_before_anything_is_fetched(server: WeightsServer) -> None:
    entry = source(url=server.url("good", "weights.bin"), licence="Strange-1.0")
    with pytest.raises(InvalidInputError, match=r"Strange-1.0, https://licence.example.*accept it") as refused:
        get(entry, accept=False)
    assert refused.value.remedy == Remedy(Action.ACCEPT_LICENCE, "mine")
    assert server.requests == []
    get(entry)
    source_path(entry).unlink()
    get(entry, accept=False)  # it was accepted before
    with pytest.raises(InvalidInputError, match="was not accepted"):
        get(source(url=server.url("good", "weights.bin"), licence="Stranger-2.0", name="other"), accept=False)


def test_commercial_ok_refuses_other_weights(server: WeightsServer) -> None:
    entry = source(url=server.url("good", "weights.bin"), commercial_use=False, licence="research only")
    with pytest.raises(InvalidInputError, match=r"--commercial-ok refuses mine \(research only\)"):
        get(entry, commercial_ok=True)
    assert server.requests == []


def test_one_archive_is_fetched_once_for_all_that_it_holds(
    server: WeightsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files["pack.zip"] = archive(**{"folder/a.onnx": b"aaa", "b.onnx": b"bbb", "c.onnx": b"ccc"})
    url = server.url("dies", "pack.zip")
    rows = [record(name=n, file=f"{n}.onnx", member=f"{n}.onnx", url=url) for n in ("a", "b")]
    own = tmp_path / "own.json"
    own.write_text(json.dumps(rows))
    monkeypatch.setenv(REGISTRY_VARIABLE, str(own))
    get(find_source("a"), find_source("b"))
    assert require(find_source("a")).read_bytes() == b"aaa"
    assert require(find_source("b")).read_bytes() == b"bbb"
    assert sum(asked is None for _, asked in server.requests) == 1
    assert not list((tmp_path / "models" / "downloads").glob("*.zip*"))


def test_an_archive_without_the_member_or_damaged_installs_nothing(server: WeightsServer, tmp_path: Path) -> None:
    entry = source(member="a.onnx", file="a.onnx", url=server.url("good", "pack.zip"))
    server.files["pack.zip"] = archive(**{"b.onnx": b"bbb"})
    with pytest.raises(InvalidInputError, match=r"0 members named a\.onnx"):
        get(entry)
    damaged = bytearray(archive(**{"a.onnx": b"a" * 1000}))
    damaged[200] ^= 255
    (tmp_path / "damaged.zip").write_bytes(damaged)
    with pytest.raises(FetchError, match="damaged"):
        import_file(entry, tmp_path / "damaged.zip")
    assert stored(entry) is None
    assert [path.name for path in source_path(entry).parent.iterdir()] == [".lock"]


def test_a_member_larger_than_stated_is_not_unpacked_to_its_end(tmp_path: Path) -> None:
    entry = source(member="a.onnx", file="a.onnx", size_bytes=1000)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.onnx", bytes(50_000_000))
    with pytest.raises(FetchError, match="larger than the 1,000 bytes"):
        import_file(entry, tmp_path / "bomb.zip")
    assert [path.name for path in source_path(entry).parent.iterdir()] == [".lock"]


def test_an_altered_file_is_found(server: WeightsServer) -> None:
    entry = source(url=server.url("good", "weights.bin"))
    get(entry)
    source_path(entry).write_bytes(CONTENT[:-1] + b"?")
    with pytest.raises(FetchError, match="was altered"):
        verify_source(entry)
    source_path(entry).unlink()
    for ask in (verify_source, require):
        with pytest.raises(InvalidInputError, match="mine is not here; fetch it, or import it from a file") as absent:
            ask(entry)
        assert absent.value.remedy == Remedy(Action.FETCH_SOURCE, "mine")
    with pytest.raises(InvalidInputError, match="import it from a file") as absent:
        require(source(name="other"))
    assert absent.value.remedy == Remedy(Action.IMPORT_SOURCE, "other")


def test_a_record_that_was_altered_with_its_file_does_not_outdo_the_table(server: WeightsServer) -> None:
    entry = source(url=server.url("good", "weights.bin"), sha256=hashlib.sha256(CONTENT).hexdigest())
    get(entry)
    other = CONTENT[:-1] + b"?"
    source_path(entry).write_bytes(other)
    path = source_path(entry).with_name("record.json")
    path.write_text(path.read_text().replace(hashlib.sha256(CONTENT).hexdigest(), hashlib.sha256(other).hexdigest()))
    with pytest.raises(FetchError, match="was altered"):
        verify_source(entry)
    assert stored(entry) is None


def test_a_source_without_an_address_asks_for_an_import(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="no address"):
        get(source())
    (tmp_path / "anything").write_bytes(CONTENT)
    import_file(source(), tmp_path / "anything")
    assert require(source()).read_bytes() == CONTENT
    assert read_record(source()) is not None


def test_two_processes_do_not_fetch_the_same(server: WeightsServer, tmp_path: Path) -> None:
    lock = tmp_path / "models" / "sources" / "mine" / ".lock"
    with hold_models_home(lock, "mine"), pytest.raises(FetchError, match="another process is busy with mine"):
        get(source(url=server.url("good", "weights.bin")))
    get(source(url=server.url("good", "weights.bin")))


def test_what_a_killed_run_left_is_gone_after_the_next(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(CONTENT)
    left = source_path(source()).with_name(".weights.bin.writing")
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    import_file(source(), tmp_path / "file")
    assert sorted(path.name for path in left.parent.iterdir()) == [".lock", "record.json", "weights.bin"]


@pytest.mark.parametrize("kind", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_archive_of_any_kind_is_explained(kind: int, tmp_path: Path) -> None:
    path = tmp_path / "pack.zip"
    with zipfile.ZipFile(path, "w", kind) as file:
        file.writestr("a.onnx", random.Random(1).randbytes(5000))
    content = bytearray(path.read_bytes())
    content[500:540] = bytes(40)
    path.write_bytes(content)
    with pytest.raises(FetchError, match="damaged"):
        import_file(source(member="a.onnx", file="a.onnx"), path)


@pytest.mark.parametrize("folder", ["~nobody-of-this-name/x", "FILE"])
def test_a_store_that_cannot_be_is_explained(folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(CONTENT)
    monkeypatch.setenv("FACESTATS_MODELS", folder.replace("FILE", str(tmp_path / "file")))
    with pytest.raises(FaceStatsError, match="FACESTATS_MODELS"):
        import_file(source(), tmp_path / "file")


def test_an_empty_file_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(FetchError, match="is empty"):
        import_file(source(), tmp_path / "file")
