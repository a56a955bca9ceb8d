"""Examples of requests and answers, for OpenAPI. The numbers are those of a photo that ships."""

from __future__ import annotations

from typing import Any

PHOTO_EXAMPLE: dict[str, Any] = {
    "source": None,
    "status": "ok",
    "reason": None,
    "converted": None,
    "width": 512,
    "height": 512,
    "faces_truncated": False,
    "model_set_id": "set-3f47343df26d7d4e",
    "marks": {},
    "faces": [
        {
            "box": [179.9, 58.0, 270.7, 175.8],
            "landmarks": [[203.1, 104.6], [246.0, 103.9], [225.2, 130.7], [209.3, 149.5], [243.8, 148.9]],
            "score": 0.91,
            "age_years": 41.6,
            "age_interval_years": [25.9, 57.2],
            "gender": "female",
            "gender_probability": {"female": 0.97, "male": 0.03},
        }
    ],
}

BATCH_LINE_EXAMPLE: dict[str, Any] = {"index": 0, "id": "a", "photo": PHOTO_EXAMPLE}

_IMAGE = {"type": "string", "contentEncoding": "base64", "description": "An encoded photo, in base64."}
_BINARY = {"type": "string", "format": "binary"}
_FILES = {"schema": {"type": "object", "properties": {"photo": {"type": "array", "items": _BINARY}}}}

SCORE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": (
            "A photo as it is, whatever the Content-Type says but a form or JSON (`curl --data-binary @photo.jpg`); a "
            "form with files (`curl -F photo=@a.jpg -F photo=@b.jpg`); or JSON."
        ),
        "content": {
            "application/octet-stream": {"schema": _BINARY},
            "image/*": {"schema": _BINARY},
            "multipart/form-data": _FILES,
            "application/json": {
                "schema": {
                    "oneOf": [
                        {
                            "type": "object",
                            "properties": {"image": _IMAGE},
                            "required": ["image"],
                            "additionalProperties": False,
                        },
                        {
                            "type": "object",
                            "properties": {"images": {"type": "array", "items": _IMAGE, "minItems": 1}},
                            "required": ["images"],
                            "additionalProperties": False,
                        },
                    ]
                },
                "examples": {
                    "one": {"summary": "One photo, one object", "value": {"image": "/9j/4AAQSkZJRgABAQAA..."}},
                    "several": {
                        "summary": "A list answers a list",
                        "value": {"images": ["/9j/4AAQ...", "iVBORw0K..."]},
                    },
                },
            },
        },
    }
}

BATCH_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "A line of JSON for each photo, or a form with files.",
        "content": {
            "application/x-ndjson": {
                "schema": {
                    "type": "object",
                    "properties": {"image": _IMAGE, "id": {"type": ["string", "integer", "null"]}},
                    "required": ["image"],
                    "additionalProperties": False,
                },
                "example": {"id": "a", "image": "/9j/4AAQSkZJRgABAQAA..."},
            },
            "multipart/form-data": _FILES,
        },
    }
}
