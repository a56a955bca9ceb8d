"""What the answers look like, for OpenAPI: made from the dataclasses that they are made of, so that it cannot drift."""

from __future__ import annotations

import collections.abc
import dataclasses
import inspect
import re
import types
from enum import Enum
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np

from fsclient.score.answers import Face, ScoredPhoto
from fsengine.contracts.served import ServedModels
from fsgateway.problems import MEDIA_TYPE, TITLES, Problem

Schema = dict[str, Any]

PHOTO = "Photo"
FACE = "Face"
MODELS = "Models"
PROBLEM = "Problem"
BATCH_LINE = "BatchLine"

_NUMBERS: Schema = {"type": "array", "items": {"type": "number"}}
_PRIMITIVES = {bool: "boolean", int: "integer", float: "number", str: "string"}
_ATTRIBUTE = re.compile(r"^ {4}(\w+): (.*(?:\n {8,}.*)*)", re.MULTILINE)


def components() -> dict[str, Schema]:
    """Return the named schemas."""
    problem = {"type": {"type": "string"}, "title": {"type": "string"}, "status": {"type": "integer"}}
    more = {"detail": {"type": "string"}, "request_id": {"type": "string"}}
    models = _object_of(ServedModels, always=True)
    models["properties"]["heads"] = {
        "type": "array",
        "items": {"type": "string"},
        "description": "Heads that are served; what others would give is in no answer.",
    }
    models["required"].append("heads")
    return {
        FACE: _object_of(Face, always=False),
        PHOTO: _object_of(ScoredPhoto, always=True),
        MODELS: models,
        PROBLEM: {
            "type": "object",
            "description": "RFC 9457. `type` is `urn:facestats:problem:` and one of " + ", ".join(sorted(TITLES)),
            "properties": {**problem, **more},
            "required": [*problem, *more],
        },
        BATCH_LINE: {
            "type": "object",
            "description": "The answer for one photo; `problem` in place of `photo` where it failed.",
            "properties": {
                "index": {
                    "type": ["integer", "null"],
                    "description": "Of the photo in the request, from 0; null in a last line where it ended early.",
                },
                "id": {"type": ["string", "integer", "null"], "description": "What the caller called the photo."},
                "photo": ref(PHOTO),
                "problem": ref(PROBLEM),
            },
            "required": ["index", "id"],
        },
    }


def ref(name: str) -> Schema:
    """Return a reference to a named schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def problem_responses(*kinds: str) -> dict[int | str, Schema]:
    """Return the problems of a route by their status."""
    found: dict[int | str, Schema] = {}
    for kind in ("bad-request", "unauthorized", *kinds):
        problem = Problem(kind, "What was found, what was expected, and what to do.")
        example = problem.to_dict("6f9c1f0e4d0b4c8d9a1e2b3c4d5e6f70")
        found[problem.status] = {
            "description": problem.title,
            "content": {MEDIA_TYPE: {"schema": ref(PROBLEM), "example": example}},
        }
        if "Retry-After" in problem.headers:
            found[problem.status]["headers"] = {
                "Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}
            }
    return found


def _object_of(kind: type[Any], *, always: bool) -> Schema:
    """Return the schema of a dataclass.

    Args:
        kind: It.
        always: Whether a field without a value is there and null; otherwise it is left out.
    """
    said = {name: " ".join(text.split()) for name, text in _ATTRIBUTE.findall(inspect.getdoc(kind) or "")}
    hints = get_type_hints(kind)
    properties, required = {}, []
    for field in dataclasses.fields(kind):
        schema, optional = _schema_of(hints[field.name])
        if optional and always:
            schema = {"anyOf": [schema, {"type": "null"}]}
        if always or not optional:
            required.append(field.name)
        properties[field.name] = {**schema, "description": said[field.name]} if field.name in said else schema
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _schema_of(hint: Any) -> tuple[Schema, bool]:
    """Return the schema of a type, and whether None is one of its values."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        (inner,) = [argument for argument in arguments if argument is not type(None)]
        return _schema_of(inner)[0], True
    if hint in _PRIMITIVES:
        return {"type": _PRIMITIVES[hint]}, False
    if hint is Face:
        return ref(FACE), False
    if isinstance(hint, type) and issubclass(hint, Enum):
        return {"type": "string", "enum": [member.value for member in hint]}, False
    if isinstance(hint, type) and hasattr(hint, "_fields"):  # a named tuple of numbers
        length = len(hint._fields)
        return {**_NUMBERS, "minItems": length, "maxItems": length}, False
    if origin is np.ndarray:
        return dict(_NUMBERS), False
    if origin in (tuple, list):
        items = _schema_of(arguments[0])[0]
        fixed = (
            {}
            if arguments[-1] is Ellipsis or origin is list
            else {"minItems": len(arguments), "maxItems": len(arguments)}
        )
        return {"type": "array", "items": items, **fixed}, False
    if origin is collections.abc.Mapping:
        return {"type": "object", "additionalProperties": _schema_of(arguments[1])[0]}, False
    raise TypeError(f"{hint} has no schema yet: add it here")
