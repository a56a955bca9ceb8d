"""A headless Chromium that reaches one address alone, and tells what a page did wrong."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

_WEBGL_IN_SOFTWARE = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")


WAIT_MS = 120_000
"""Of a page, at most: machines that run tests may be busy."""


@dataclass
class WatchedPage:
    """A page of a browser.

    Attributes:
        page: Playwright's page.
        elsewhere: Addresses of other hosts that it asked for; none was reached.
        errors: What it wrote to the console as an error, and exceptions of its scripts.
    """

    page: Any
    elsewhere: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


@contextmanager
def chromium() -> Iterator[Any]:
    """Give a browser; the test is skipped where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is missing: pip install playwright")
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("there is no Chromium: apt-get install chromium")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=program, args=["--no-sandbox", *_WEBGL_IN_SOFTWARE])
        yield browser
        browser.close()


@contextmanager
def watched_page(browser: Any, base: str, **options: Any) -> Iterator[WatchedPage]:
    """Give a page that reaches addresses below one alone.

    Args:
        browser: See `chromium`.
        base: Beginning of every address that may be asked for.
        options: Of Playwright's `new_context`.
    """
    context = browser.new_context(**options)
    context.set_default_timeout(WAIT_MS)
    watched = WatchedPage(context.new_page())

    def look(route: Any) -> None:
        if route.request.url.startswith((base, "data:", "blob:")):
            route.continue_()
        else:
            watched.elsewhere.append(route.request.url)
            route.abort()

    context.route("**/*", look)
    watched.page.on("console", lambda said: watched.errors.append(said.text) if said.type == "error" else None)
    watched.page.on("pageerror", lambda error: watched.errors.append(str(error)))
    yield watched
    context.close()
