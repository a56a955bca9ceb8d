"""Types of command-line arguments that name a file or a folder, here or in a store."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from fsengine.errors import FaceStatsError
from fsengine.files.stores.store_path import AnyPath, any_path
from fsengine.files.stores.store_urls import is_url, mistyped, public_url


class LocalPath(click.Path):
    """A path of this machine that is written to; a URL is refused, which would become a folder called `s3:`."""

    def convert(
        self, value: str | os.PathLike[str], param: click.Parameter | None, ctx: click.Context | None
    ) -> str | bytes | os.PathLike[str]:
        """Return the path that a text names."""
        if isinstance(value, str) and (is_url(value) or mistyped(value) is not None):
            self.fail(f"{public_url(value)} is a URL, and this is written to a disk: expected a path", param, ctx)
        return super().convert(value, param, ctx)


class FolderType(click.Path):
    """A folder by its path, or where a command can do that, by its URL in a store."""

    def __init__(self, *, exists: bool = False, stores: bool = False) -> None:
        """Make the type.

        Args:
            exists: Whether a folder here must be there.
            stores: Whether a URL of a store will do; else it is refused with words that say what helps.
        """
        super().__init__(path_type=Path, file_okay=False, exists=exists)
        self._stores = stores

    def convert(  # type: ignore[override]
        self, value: str | os.PathLike[str], param: click.Parameter | None, ctx: click.Context | None
    ) -> AnyPath | Any:
        """Return the place that a text names."""
        if not isinstance(value, str) or not (is_url(value) or mistyped(value)):
            return super().convert(value, param, ctx)
        try:
            place = any_path(value)
        except FaceStatsError as exc:
            self.fail(str(exc), param, ctx)
        if isinstance(place, Path):
            return super().convert(place, param, ctx)
        if not self._stores:
            self.fail(
                f"{public_url(value)} lies in a store, and this command reads a folder on a disk: copy it there first, "
                "for example with the store's own `sync`",
                param,
                ctx,
            )
        return place
