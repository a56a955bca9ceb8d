"""`fsclient models` as a user types it, against a local server that offers files of the real layouts."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from fsclient.models.int8_offer import cpu_flags, has_gpu, int8_offer
from fsengine.registry.model_source import read_registry
from weights_server import WeightsServer, weights_server

Run = Callable[..., subprocess.CompletedProcess[str]]

TIMEOUT_S = 600
SMALL = "ViT-S-32-alt"
"""open_clip's smallest ViT of 224 px, with embeddings of 256 numbers."""


@pytest.fixture
def server() -> Iterator[WeightsServer]:
    with weights_server() as running:
        yield running


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def run(fsclient_command: list[str], home: Path, tmp_path: Path) -> Run:
    """Run fsclient with a store and a table of its own."""

    def call(*arguments: str, exit_code: int = 0) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "FACESTATS_MODELS": str(home),
            "FACESTATS_REGISTRY": str(tmp_path / "table.json"),
            "NO_PROXY": "127.0.0.1",
        }
        done = subprocess.run(
            [*fsclient_command, *arguments],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
            env=environment,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == exit_code, done.stderr
        return done

    offer(tmp_path, {})
    return call


def offer(
    folder: Path, files: dict[str, tuple[str, bytes | None]], settings: dict[str, dict[str, Any]] | None = None
) -> None:
    """Write a table whose sources are those that ship, at other addresses and with other content.

    Args:
        folder: Where the table lies.
        files: Source to its address and its content; None where its hash shall not be known.
        settings: Source to settings in place of those that ship.
    """
    table = read_registry()
    rows = []
    for name, (url, content) in files.items():
        source = table[name]
        rows.append(
            {
                "name": name,
                "task": source.task,
                "about": source.about,
                "file": source.file,
                "url": url,
                "member": source.member,
                "sha256": None if content is None else hashlib.sha256(content).hexdigest(),
                "hash_source": None if content is None else "this test",
                "licence": source.licence,
                "licence_url": source.licence_url,
                "commercial_use": source.commercial_use,
                "reference": source.reference,
                "marks": list(source.marks),
                "settings": (settings or {}).get(name, dict(source.settings)),
            }
        )
    (folder / "table.json").write_text(json.dumps(rows))


def test_fetch_verify_and_list(run: Run, server: WeightsServer, tmp_path: Path, home: Path) -> None:
    server.files["yunet.onnx"] = content = b"weights" * 10_000
    offer(tmp_path, {"yunet": (server.url("dies", "yunet.onnx"), content)})
    refused = run("models", "fetch", "yunet", exit_code=2)
    assert "licence of yunet: MIT; commercial use allowed" in refused.stderr
    assert "models fetch yunet --accept-license" in refused.stderr
    assert server.requests == []
    done = run("models", "fetch", "yunet", "--accept-license")
    assert Path(done.stdout.strip()).read_bytes() == content
    assert "as expected" in done.stderr
    listed = json.loads(run("models", "list", "--json").stdout)
    (row,) = [row for row in listed["sources"] if row["name"] == "yunet"]
    assert (row["here"], row["size_bytes"], row["licence"]) == (True, len(content), "MIT")
    assert "known from this test" in run("models", "verify", "yunet").stdout
    Path(done.stdout.strip()).write_bytes(content + b"!")
    assert "was altered" in run("models", "verify", exit_code=1).stderr
    assert str(home) in done.stdout


def test_a_hash_that_is_not_known_is_shown_as_pinned(run: Run, server: WeightsServer, tmp_path: Path) -> None:
    server.files["yunet.onnx"] = b"weights"
    offer(tmp_path, {"yunet": (server.url("redirect", "yunet.onnx"), None)})
    assert "hash pinned on first fetch" in run("models", "list").stdout
    assert "not known before: pinned" in run("models", "fetch", "yunet", "--accept-license").stderr
    assert "pinned when it first came" in run("models", "verify", "yunet").stdout


def test_corrupt_weights_are_refused(run: Run, server: WeightsServer, tmp_path: Path, home: Path) -> None:
    server.files["yunet.onnx"] = b"weights" * 1000
    offer(tmp_path, {"yunet": (server.url("corrupt", "yunet.onnx"), b"weights" * 1000)})
    assert "expected sha256" in run("models", "fetch", "yunet", "--accept-license", exit_code=1).stderr
    assert not list((home / "sources").rglob("*.onnx"))


def test_commercial_ok_hides_and_refuses(run: Run) -> None:
    shown = run("models", "list", "--commercial-ok").stdout
    assert "yunet" in shown
    assert "scrfd" not in shown
    assert (
        "--commercial-ok refuses scrfd-10g"
        in run("models", "fetch", "scrfd-10g", "--commercial-ok", exit_code=2).stderr
    )
    refused = run("models", "build", "official", "--commercial-ok", exit_code=2).stderr
    assert "--use detect=yunet --use age_gender=none" in refused
    assert "lite" in run("models", "build", "lite", "--commercial-ok").stdout


def test_import_takes_the_file_or_its_archive_and_no_other(run: Run, shared: Path, tmp_path: Path) -> None:
    weights = shared / "weights"
    refused = run("models", "import", "scrfd-500m", str(weights / "insightface" / "det_500m.onnx"), exit_code=2)
    assert "was not accepted" in refused.stderr
    done = run("models", "import", "scrfd-500m", str(weights / "insightface" / "det_500m.onnx"), "--accept-license")
    assert Path(done.stdout.strip()).is_file()
    assert "non-commercial" in done.stderr
    other = str(weights / "insightface" / "det_500m.onnx")
    wrong = run("models", "import", "scrfd-10g", other, "--accept-license", exit_code=1)
    assert "expected 5838f7fe" in wrong.stderr
    assert "nothing was installed" in wrong.stderr
    assert "no model source named" in run("models", "import", "x", str(weights / "MANIFEST.tsv"), exit_code=2).stderr


def test_wrong_choices_are_explained(run: Run) -> None:
    for options, message in (
        (("official", "--use", "detect"), "expected STEP=SOURCE"),
        (("official", "--use", "detect=none"), "a pack needs it"),
        (("official", "--use", "teeth=yunet"), "there is no step 'teeth'"),
        (("official", "--use", "embed=yunet", "--use", "embed=x"), "names embed twice"),
        (("lite", "--use", "ethnicity=nothing"), "holds no artifact.json"),
        (("lite", "--precision", "int8"), "not made on request"),
        (("official",), "was not accepted"),
    ):
        assert message in run("models", "build", *options, exit_code=2).stderr


@pytest.mark.triton
def test_the_official_pack_is_fetched_exported_assembled_and_served(
    run: Run, server: WeightsServer, shared: Path, photos: Path, tmp_path: Path
) -> None:
    """Every file has the layout of the real one; the encoder, open_clip's smallest, and the age/gender network have
    seeded weights."""
    pytest.importorskip("torch", reason="torch makes and exports the encoder")
    from seeded_weights import buffalo_zip, genderage, openai_archive

    openai_archive(SMALL, tmp_path / "ViT-B-32.pt")
    genderage(tmp_path / "genderage.onnx")
    detector = (shared / "weights" / "insightface" / "scrfd_2.5g_bnkps_dynamic.onnx").read_bytes()
    age_gender = (tmp_path / "genderage.onnx").read_bytes()
    server.files["ViT-B-32.pt"] = encoder = (tmp_path / "ViT-B-32.pt").read_bytes()
    server.files["buffalo_l.zip"] = buffalo_zip(detector, age_gender)
    archive = server.url("dies", "buffalo_l.zip")
    offer(
        tmp_path,
        {
            "clip-vit-b32-openai": (server.url("good", "ViT-B-32.pt"), encoder),
            "scrfd-10g": (archive, detector),
            "genderage": (archive, age_gender),
        },
        settings={"clip-vit-b32-openai": {"architecture": SMALL}},
    )
    done = run("models", "build", "official", "--accept-license")
    assert "embedding: within" in done.stderr
    assert "faces of 11 photos" in done.stderr
    assert ("note: --precision int8" in done.stderr) == (not has_gpu() and int8_offer(cpu_flags()) is not None)
    repository = Path(done.stdout.strip())
    assert {path.name for path in repository.iterdir() if path.is_dir()} == {
        "facestats",
        "facestats_crops",
        "facestats_isolated",
        "decode",
        "decode_isolated",
        "detect",
        "align",
        "embed",
        "age_gender",
    }
    again = run("models", "build", "official")
    assert again.stderr.count("unchanged") == 3
    assert again.stdout == done.stdout
    run("ingest", str(photos), "--models", "official", "--out", str(tmp_path / "results"))
    rows = {Path(row["source"]).name: row for row in pq.read_table(tmp_path / "results").to_pylist()}
    assert len(rows["obama.jpg"]["faces"]) == 1
    assert len(rows["solvay_conference_1927.jpg"]["faces"]) >= 20
    face = rows["obama.jpg"]["faces"][0]
    assert len(face["embedding"]) == 256
    assert sum(face["gender_probability"]) == pytest.approx(1, abs=1e-5)
    assert "attractiveness" not in face
    # For a GPU, in the container's repository, without a head, of what is here already.
    half = run(
        "models", "build", "official", "--precision", "fp16", "--target", "container", "--use", "age_gender=none"
    )
    assert "int8" not in half.stderr
    for step in ("detect", "embed"):
        assert "level: 1" in (Path(half.stdout.strip()) / step / "config.pbtxt").read_text()
    assert not (Path(half.stdout.strip()) / "age_gender").exists()
    assert half.stderr.count("(fp16)") == 2  # detector and encoder are exported anew
    assert "unchanged" not in half.stderr
    assert "official_age_gender_none_fp16" in half.stdout  # for the container, whose DALI takes no hyphens


@pytest.mark.triton
def test_the_heads_of_facestats_v4_are_served_with_their_own_labels(
    run: Run, server: WeightsServer, shared: Path, photos: Path, tmp_path: Path
) -> None:
    """Real heads behind an encoder of the right layout with seeded weights, since theirs may not be had here."""
    torch = pytest.importorskip("torch", reason="torch makes and exports the encoder")
    from fsexport.embed.open_clip_loader import import_open_clip

    import_open_clip()
    import open_clip

    torch.manual_seed(1)
    weights = shared / "weights" / "facestats_v4"
    model = open_clip.create_model("ViT-B-32-quickgelu", load_weights=False)
    torch.save({k: v.half() for k, v in model.state_dict().items()}, tmp_path / "ViT-B-32.pt")
    contents = {
        "clip-vit-b32-openai": (tmp_path / "ViT-B-32.pt").read_bytes(),
        "facestats-v4-attractiveness": (weights / "src_models" / "attractiveness_regressor.pt").read_bytes(),
        "facestats-v4-scores": (weights / "metadata" / "attractiveness_scores.parquet").read_bytes(),
        "facestats-v4-ethnicity": (weights / "src_models" / "ethnicity_clf.pkl").read_bytes(),
        "facestats-v4-gender": (weights / "src_models" / "gender_clf.pkl").read_bytes(),
    }
    server.files.update(contents)
    offer(tmp_path, {name: (server.url("good", name), content) for name, content in contents.items()})
    detector = str(shared / "weights" / "insightface" / "det_500m.onnx")
    run("models", "import", "scrfd-500m", detector, "--accept-license")
    run("models", "build", "facestats-v4", "--accept-license", "--use", "detect=scrfd-500m")
    name = "facestats-v4-detect-scrfd-500m"
    assert f"pack {name}: here" in run("models", "list").stdout
    assert "pack facestats-v4: not built" in run("models", "list").stdout
    (scored,) = json.loads(run("score", str(photos / "obama.jpg"), "--json", "--models", name).stdout)
    assert scored["marks"]["not validated"] == ["attractiveness", "ethnicity", "age_gender"]
    (face,) = scored["faces"]
    assert list(face["gender_probability"]) == ["female", "male", "unknown"]
    assert set(face["ethnicity_probability"]) == {
        "black",
        "east_or_southeast_asian",
        "indian",
        "latino/hispanic",
        "middle_eastern",
        "unknown",
        "white",
    }
    assert "age_years" not in face
    assert 0 <= face["attractiveness_percentile"] <= 100
    run("ingest", str(photos), "--models", name, "--out", str(tmp_path / "results"))
    run("table", "build", str(tmp_path / "results"))
    table = pq.read_table(tmp_path / "results" / "_table" / "faces.parquet")
    assert {"gender", "ethnicity", "attractiveness"} <= set(table.column_names)
    assert "age_years" not in table.column_names
