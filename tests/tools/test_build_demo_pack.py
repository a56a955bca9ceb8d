"""The demo pack: what ships, and the numbers behind it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from demo_pack.fairface_crops import Split, read_fairface, split_of
from demo_pack.pack_card import CARD_FILE, card_text, head_figures
from demo_pack.projection import fit_projection
from fsengine.errors import InvalidInputError
from fsengine.packs.pack import verify_pack
from fsengine.packs.shipped import shipped_folder
from fstraining.evaluate.figures import mean_with_interval, share_with_interval

DEMO = shipped_folder("packs") / "demo"


def test_what_ships_is_whole_small_and_permissive() -> None:
    pack = verify_pack(DEMO)
    assert {model.licence for model in pack.models.values()} == {"Apache-2.0"}
    assert set(pack.models) == {"detect", "align", "embed", "ethnicity", "age_gender"}
    assert set(pack.served().marks) == {"demonstration"}
    assert sum((DEMO / model.file).stat().st_size for model in pack.models.values()) < 8e6
    assert set(pack.models["detect"].source_sha256.values()) == {
        "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
        "2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1",
    }


def test_its_heads_are_better_than_chance_on_crops_kept_out() -> None:
    figures = json.loads((DEMO / "figures.json").read_text())
    for name in ("gender_accuracy", "ethnicity_accuracy"):
        assert figures[name]["interval"][0] > figures[name]["chance"]
    age = figures["age_mean_absolute_error_years"]
    assert age["interval"][1] < age["chance"]


def test_its_card_says_what_was_measured() -> None:
    figures = json.loads((DEMO / "figures.json").read_text())
    assert (DEMO / CARD_FILE).read_text() == card_text(verify_pack(DEMO), figures)


def test_the_encoder_gives_unit_rows_alike_for_a_face_its_mirror_image_and_in_any_batch() -> None:
    ort = pytest.importorskip("onnxruntime")
    session = ort.InferenceSession(str(DEMO / "embed" / "model.onnx"), providers=["CPUExecutionProvider"])
    crops = np.random.default_rng(0).integers(0, 256, (5, 192, 192, 3), np.uint8)
    (found,) = session.run(None, {"portrait_crop": crops})
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    (mirrored,) = session.run(None, {"portrait_crop": np.ascontiguousarray(crops[:, :, ::-1])})
    np.testing.assert_allclose(found, mirrored, atol=1e-4)
    (alone,) = session.run(None, {"portrait_crop": crops[3:4]})
    np.testing.assert_allclose(alone[0], found[3], atol=1e-5)
    assert np.abs(found[0] - found[1]).max() > 0.01


def test_a_projection_keeps_distances_and_puts_the_targets_first() -> None:
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(300, 6))
    features = (hidden @ rng.normal(size=(6, 40)) + rng.normal(size=(300, 40)) * 0.01).astype(np.float32)
    target = hidden[:, :1]
    projection = fit_projection(features, target, 6, ridge=0.01)
    embedded = projection.embed(features)
    np.testing.assert_allclose(np.linalg.norm(embedded, axis=1), 1, atol=1e-5)
    correlations = [abs(np.corrcoef(embedded[:, i], target[:, 0])[0, 1]) for i in range(6)]
    assert int(np.argmax(correlations)) == 0
    assert correlations[0] > 0.8


def test_figures_are_shares_with_wilson_intervals() -> None:
    # Wilson's interval for 8 of 10, as in Agresti and Coull 1998: 0.490 to 0.943.
    share = share_with_interval(np.array([True] * 8 + [False] * 2))
    assert share == {"n": 10, "value": 0.8, "interval": [0.49, 0.943]}
    mean = mean_with_interval(np.array([1.0, 2.0, 3.0]))
    assert (mean["value"], mean["n"]) == (2.0, 3)
    figures = head_figures(
        genders=np.array([0, 1, 1, 1]),
        predicted_genders=np.array([0, 0, 1, 1]),
        ethnicities=np.array([0, 1, 2, 2]),
        predicted_ethnicities=np.array([0, 1, 2, 2]),
        years=np.array([10.0, 20.0, 30.0, 40.0]),
        predicted_years=np.array([12.0, 18.0, 30.0, 40.0]),
    )
    assert (figures["gender_accuracy"]["value"], figures["gender_accuracy"]["chance"]) == (0.75, 0.75)
    assert figures["age_mean_absolute_error_years"]["value"] == 1.0
    assert figures["age_mean_absolute_error_years"]["chance"] == 10.0


def test_a_copy_of_a_crop_is_on_the_same_side() -> None:
    contents = [os.urandom(32) for _ in range(300)]
    assert [split_of(content) for content in contents] == [split_of(bytes(content)) for content in contents]
    shares = {split: sum(split_of(c) is split for c in contents) / 300 for split in Split}
    assert shares[Split.FIT] > shares[Split.TEST] > shares[Split.CALIBRATE] > 0


def test_labels_of_another_kind_are_refused(tmp_path: Path) -> None:
    table = tmp_path / "labels.tsv"
    table.write_text("file\tage\na.jpg\t3\n")
    with pytest.raises(InvalidInputError, match="age_bucket"):
        read_fairface(table)
