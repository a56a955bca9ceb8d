"""Pages that people look at: one HTML file each, without scripts, that needs no network."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsengine.errors import MissingDependencyError


@dataclass(frozen=True, slots=True)
class PageFigure:
    """A chart of a page.

    Attributes:
        title: What it shows.
        svg: The SVG element.
        text: What it shows, for those who do not see it.
        note: What a reader must know of it; empty for nothing.
        numbers: What is drawn, as rows of a table; the first is its head.
    """

    title: str
    svg: str
    text: str
    note: str = ""
    numbers: Sequence[Sequence[str]] = ()


def rendered_page(package: str, template: str, values: Mapping[str, Any]) -> str:
    """Return a page as HTML. The same values give the same bytes.

    Args:
        package: Whose folder `templates` holds the template.
        template: Its file; it extends `page.html.j2`, which takes `title`.
        values: What the template shows.

    Raises:
        LookupError: The template names a value that is not there.
        MissingDependencyError: jinja2 is not installed.
    """
    try:
        from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, UndefinedError
    except ImportError as exc:
        raise MissingDependencyError("pages need jinja2: pip install 'facestats[analysis]'") from exc
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("fsdata.pictures")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["words"] = lambda name: name.replace("_", " ")
    environment.filters["two"] = lambda number: re.sub(r"^-(0\.00)$", r"\1", f"{number:.2f}")
    environment.filters["sentence"] = lambda text: text[:1].upper() + text[1:]
    try:
        return environment.get_template(template).render(**values)
    except UndefinedError as exc:
        raise LookupError(str(exc)) from exc


def picture_uri(image: NDArray[np.uint8], form: str, side: int | None = None) -> str:
    """Return a picture as a data URI.

    Args:
        image: uint8 (H, W, 3), RGB.
        form: `PNG` or `JPEG`.
        side: Pixels of the square that it is shown as; None for its own size.
    """
    from PIL import Image

    picture = Image.fromarray(image)
    if side is not None:
        picture = picture.resize((side, side), Image.Resampling.LANCZOS)
    written = io.BytesIO()
    picture.save(written, form)
    return f"data:image/{form.lower()};base64,{base64.b64encode(written.getvalue()).decode()}"
