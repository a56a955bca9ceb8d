"""A record that is wrong in one way is refused with the path, the place, what was found and what was expected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from fsengine.errors import FaceStatsError, PackError
from fsengine.files.json_record import parse_json, read_json, read_object, write_json


class Colour(str, Enum):
    RED = "red"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    sizes: tuple[int, ...]
    colour: Colour = Colour.RED

    def __post_init__(self) -> None:
        if not self.sizes:
            raise ValueError("an inner record needs sizes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outer:
    name: str
    inner: Inner
    more: Mapping[str, Inner] = field(default_factory=dict)
    anything: Mapping[str, Any] = field(default_factory=dict)
    share: float | None = None


RECORD = Outer(
    name="ä", inner=Inner(sizes=(1, 2)), more={"a.b": Inner(sizes=(3,))}, anything={"deep": [{"k": None}]}, share=0.5
)


def test_a_record_comes_back_as_it_was_written(tmp_path: Path) -> None:
    write_json(tmp_path / "record.json", RECORD)
    assert read_json(tmp_path / "record.json", Outer, PackError) == RECORD
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "cannot be read as JSON"),
        ("", "cannot be read as JSON"),
        ("[" * 100_000, "nests too deep"),
        ("[]", "array stands at the top, expected object"),
        ('{"name": "a"}', "missing required field `inner`"),
        ('{"name": 5, "inner": {"sizes": [1]}}', "name is 5, expected str"),
        ('{"name": "a", "inner": {"sizes": [1, "two"]}}', r"inner.sizes\[1\] is 'two', expected int"),
        ('{"name": "a", "inner": {"sizes": []}}', "an inner record needs sizes"),
        ('{"name": "a", "inner": {"sizes": [1], "colour": "blue"}}', "blue"),
        ('{"name": "a", "inner": {"sizes": [1]}, "extra": 1}', r"unknown keys \['extra'\]; expected \['anything'"),
        ('{"name": "a", "inner": {"sizes": [1], "size": 1}}', r"unknown keys \['size'\]; expected \['colour', 'sizes"),
        ('{"name": "a", "inner": {"sizes": [1]}, "more": {"x": {"sizes": [1], "y": 1}}}', r"unknown keys \['y'\]"),
        ('{"name": "a", "inner": {"sizes": [1]}, "more": {"a.b": {"sizes": 5}}}', "Expected `array`, got `int`"),
        ('{"name": "a", "inner": {"sizes": [1]}, "share": "half"}', "share is 'half', expected float or null"),
        ('{"name": "%s", "inner": 1}' % ("long" * 100), "inner is 1, expected object"),
    ],
)
def test_a_record_that_is_wrong_in_one_way_is_refused(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_text(text)
    with pytest.raises(PackError, match=said) as refused:
        read_json(path, Outer, PackError)
    assert str(path) in str(refused.value)


def test_a_file_that_is_not_there_or_no_text_is_said(tmp_path: Path) -> None:
    for read in (lambda path: read_json(path, Outer, PackError), lambda path: read_object(path, PackError)):
        with pytest.raises(PackError, match=r"record\.json cannot be read: No such file"):
            read(tmp_path / "record.json")
        (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8")
        with pytest.raises(PackError, match=r"photo\.jpg cannot be read as JSON"):
            read(tmp_path / "photo.jpg")


def test_an_object_is_read_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text('{"a": [1]}')
    assert read_object(tmp_path / "record.json", PackError) == {"a": [1]}
    (tmp_path / "record.json").write_text("[1]")
    with pytest.raises(PackError, match=r"record\.json holds \[1\], expected an object"):
        read_object(tmp_path / "record.json", PackError)


def test_a_caller_may_add_what_to_do() -> None:
    with pytest.raises(FaceStatsError, match=r"^the table: array stands at the top, expected object; make it again$"):
        parse_json("[]", Outer, lambda reason: FaceStatsError(f"the table: {reason}; make it again"))
