"""Make the dictionary of columns and tensors from their contracts.

python tools/column_page.py > docs/reference/columns.md
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fsdata.results.schema import FACE_COLUMNS, PHOTO_FIELDS, UNITS
from fsengine.contracts.meanings import MEANINGS, Meaning

COLUMNS: Mapping[str, str] = {
    "source": "what the photo is called: its absolute path, its URL, or its shard or table, `!` and its name there",
    "bytes": "size of the file; -1 where it could not be looked at",
    "content_hash": "SHA-256 of the file, in hexadecimal; null where it could not be read",
    "status": "`ok`, `no_face`, `corrupt`, `unsupported`, `too_large` or `failed`",
    "reason": "why the status is not `ok` or `no_face`; null where it is",
    "faces_truncated": "whether the photo had more faces than the pack's limit, and the rest were left out",
    "model_set_id": "which models, labels and preprocessing; rows of different sets do not compare",
    "attempts": "requests that the photo took: 2 where it was asked for again alone",
}
"""Columns of a photo whose meaning is not among the units that each part states."""

FACE_TABLE: Mapping[str, str] = {
    "face_index": "number of the face in its photo, from 0, the surest first",
    "x0, y0, x1, y1": "corners of the box, in pixels of the upright photo",
    "ethnicity": "the likeliest class, or `uncertain` below the pack's threshold",
    "gender": "the likeliest class, or `uncertain` below the pack's threshold",
}
"""Columns of the master table that the parts do not have."""

_FACES = tuple(FACE_COLUMNS.items())


def column_page(contract: Path) -> str:
    """Return the page, as Markdown.

    Args:
        contract: The contract of the server as JSON.
    """
    return "\n".join(
        [
            "# Columns and tensors",
            "",
            "Every column of a part and of the master table, and every tensor of the server, with unit and range. "
            "Made from the contracts in the code.",
            "",
            "## A part: a row per photo",
            "",
            "| column | type | null | meaning |",
            "|---|---|---|---|",
            *_photo_rows(),
            "| `faces` | list of structs | no | the faces of the photo, see below; empty where there is none |",
            "",
            "## A face: a field of `faces`, and a column of the master table",
            "",
            "A head that the pack lacks has no column. In `_table/faces.parquet` each face is a row, with the columns "
            "of its photo `source`, `content_hash`, `width`, `height`, `faces_truncated` and `model_set_id` beside it.",
            "",
            "| column | meaning | range |",
            "|---|---|---|",
            *(f"| `{name}` | {MEANINGS[tensor].text} | {_range(MEANINGS[tensor])} |" for tensor, name in _FACES),
            "",
            "In the master table only:",
            "",
            "| column | meaning |",
            "|---|---|",
            *(f"| `{column}` | {text} |" for column, text in FACE_TABLE.items()),
            "",
            *_tensor_tables(json.loads(contract.read_text())),
        ]
    )


def _photo_rows() -> Iterator[str]:
    for field in PHOTO_FIELDS:
        text = COLUMNS.get(field.name) or UNITS[field.name]
        yield f"| `{field.name}` | {field.type} | {'yes' if field.nullable else 'no'} | {text} |"


def _range(meaning: Meaning) -> str:
    if meaning.low is None and meaning.high is None:
        return "any"
    low = "" if meaning.low is None else f"{meaning.low:g}"
    return f"{low} to {meaning.high:g}" if meaning.high is not None else f"{low} or more"


def _tensor_tables(contract: Mapping[str, Any]) -> Iterator[str]:
    yield from ("## Tensors of the server", "")
    sizes = "; ".join(f"{name}: {text}" for name, text in contract["sizes"].items())
    yield from (f"Sizes in shapes: {sizes}.", "")
    for name, model in contract["models"].items():
        yield from (
            f"### {name}: {model['what']}",
            "",
            "| | tensor | type | shape | meaning |",
            "|---|---|---|---|---|",
        )
        for way in ("inputs", "outputs"):
            for tensor in model[way]:
                shape = ", ".join(map(str, tensor["shape"]))
                yield f"| {way[:-1]} | `{tensor['name']}` | {tensor['dtype']} | [{shape}] | {tensor['meaning']} |"
        yield ""


if __name__ == "__main__":
    sys.stdout.write(column_page(Path(__file__).resolve().parents[1] / "docs" / "reference" / "contract.json"))
