"""Real photos as inputs of exports: what one that does not decode does to the others."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("nvidia.dali", reason="DALI decodes photos")

from fsexport.inputs.decoded_photos import decoded, default_photos


def test_a_photo_that_does_not_decode_does_not_take_the_next_with_it(tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(default_photos()[0].read_bytes()[:3000])
    good = default_photos()[1]
    found = [photo is not None for photo in decoded([good, broken, good])]
    assert found == [True, False, True]
