"""When int8 is offered, and with which speed."""

from __future__ import annotations

from pathlib import Path

import pytest

from fsclient.models.build_on_request import BuildChoice
from fsclient.models.int8_offer import cpu_flags, has_gpu, int8_offer, offer_for
from fsengine.repository.assemble import Target

FLAGS = "flags\t\t: fpu sse2 avx avx2 {more}\n"


@pytest.mark.parametrize(
    ("more", "speed"),
    [
        ("avx512f avx512_vnni", "2.3 times as fast on this CPU (VNNI)"),
        ("avx_vnni", "2.3 times as fast on this CPU (VNNI)"),
        ("avx512f", "1.4 times as fast on this CPU (AVX2; 2.3 with VNNI)"),
    ],
)
def test_the_speed_is_that_of_the_cpu_s_instructions(tmp_path: Path, more: str, speed: str) -> None:
    described = tmp_path / "cpuinfo"
    described.write_text("processor\t: 0\nmodel name\t: flags: none\n" + FLAGS.format(more=more) + "\n" + FLAGS)
    offer = int8_offer(cpu_flags(described))
    assert offer is not None
    assert speed in offer
    assert "\n" not in offer
    for moved in ("cosine", "attractiveness", "ethnicity", "age", "docs/guides/models.md"):
        assert moved in offer


@pytest.mark.parametrize("text", ["flags\t\t: fpu sse2 avx\n", "processor\t: 0\n", None])
def test_a_cpu_that_is_not_known_to_be_faster_gets_no_offer(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "cpuinfo").write_text(text)
    assert int8_offer(cpu_flags(tmp_path / "cpuinfo")) is None


def test_int8_is_offered_for_a_clip_encoder_in_fp32_on_this_cpu_alone() -> None:
    pytest.importorskip("fsexport")
    plain, here = BuildChoice(), None if has_gpu() else int8_offer(cpu_flags())
    for pack in ("official", "facestats-v4"):
        assert offer_for(pack, plain, Target.PIP) == here
    assert offer_for("./official", plain, Target.PIP) is None
    for precision in ("int8", "fp16"):
        assert offer_for("official", BuildChoice(precision=precision), Target.PIP) is None
    assert offer_for("official", BuildChoice(use={"embed": "mine"}), Target.PIP) is None
    assert offer_for("official", BuildChoice(use={"detect": "yunet"}), Target.PIP) == here
    for target in (Target.CONTAINER, Target.GPU, Target.PIP_GPU):
        assert offer_for("official", plain, target) is None
