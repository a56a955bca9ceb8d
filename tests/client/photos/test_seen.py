"""The set of texts that takes 16 bytes for each."""

from __future__ import annotations

import random

from fsclient.photos.finding.seen import SeenTexts


def test_it_answers_as_a_set_does() -> None:
    draw = random.Random(1)
    seen, expected = SeenTexts(), set[bytes]()
    for number in range(200_000):
        text = b"%d" % draw.randrange(150_000)
        if number % 1000 == 7:
            seen.discard(text)
            expected.discard(text)
        else:
            assert seen.add(text) is (text not in expected)
            expected.add(text)
    assert len(seen) == len(expected)
    for number in range(0, 160_000, 7):
        assert (b"%d" % number in seen) is (b"%d" % number in expected)
