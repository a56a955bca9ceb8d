"""What a user names is found, and what the table knows of it is found by its hash."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from fsengine.errors import Action, FetchError, InvalidInputError, Remedy
from fsengine.registry.model_source import REGISTRY_VARIABLE, find_source
from fsengine.registry.store import import_file, source_path
from fsexport.artifact.origins import LICENCE_NOT_STATED, StatedLicence, resolve

CONTENT = b"weights" * 100


@pytest.fixture(autouse=True)
def _own_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    common: dict[str, Any] = {
        "task": "embed",
        "about": "a test",
        "file": "weights.bin",
        "licence": "MIT",
        "licence_url": "https://licence.example",
        "commercial_use": True,
        "reference": "https://paper.example",
        "marks": ["not validated"],
    }
    digest = hashlib.sha256(CONTENT).hexdigest()
    rows = [{"name": "known", "sha256": digest, "hash_source": "this test", **common}, {"name": "pinned", **common}]
    (tmp_path / "table.json").write_text(json.dumps(rows))
    monkeypatch.setenv(REGISTRY_VARIABLE, str(tmp_path / "table.json"))
    monkeypatch.setenv("FACESTATS_MODELS", str(tmp_path / "models"))


def test_a_file_is_known_by_its_hash_whatever_it_is_called(tmp_path: Path) -> None:
    (tmp_path / "renamed").write_bytes(CONTENT)
    (tmp_path / "other").write_bytes(b"other")
    given = resolve([str(tmp_path / "renamed")], StatedLicence())
    assert (given.origin.licence, given.origin.commercial_use, given.known) == ("MIT", True, True)
    assert given.origin.marks == ("not validated",)
    assert given.origin.sources == {"renamed": hashlib.sha256(CONTENT).hexdigest()}
    both = resolve([str(tmp_path / "renamed"), str(tmp_path / "other")], StatedLicence())
    assert (both.origin.licence, both.origin.commercial_use) == (f"MIT and {LICENCE_NOT_STATED}", False)
    assert not both.known
    stated = resolve([str(tmp_path / "other")], StatedLicence(text="ours", commercial_use=True))
    assert (stated.origin.licence, stated.origin.commercial_use) == ("ours", True)


def test_a_source_whose_file_was_altered_is_not_exported(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(CONTENT)
    for name in ("known", "pinned"):
        import_file(find_source(name), tmp_path / "file")
        assert resolve([name], StatedLicence()).files == (source_path(find_source(name)),)
        source_path(find_source(name)).write_bytes(CONTENT[:-1] + b"?")
        with pytest.raises(FetchError, match="was altered"):
            resolve([name], StatedLicence())


def test_a_hash_that_was_only_pinned_is_not_one_that_is_known(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"anything")
    import_file(find_source("pinned"), tmp_path / "file")
    assert not resolve(["pinned"], StatedLicence()).known


def test_a_name_that_is_neither_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="neither a file nor a model source"):
        resolve(["nothing"], StatedLicence())
    with pytest.raises(InvalidInputError, match="known is not here; fetch it") as absent:
        resolve(["known"], StatedLicence())
    assert absent.value.remedy == Remedy(Action.IMPORT_SOURCE, "known")
