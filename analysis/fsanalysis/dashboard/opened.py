"""The results that this process shows: opened once, shared by every page, session and request."""

from __future__ import annotations

import collections
import functools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsanalysis.crops.crop_store import CropStore
from fsanalysis.dashboard.faces.alike import similarities
from fsanalysis.dashboard.faces.face_table import FaceTable, Rows
from fsanalysis.dashboard.faces.map_places import MapPlaces, find_places
from fsclient.backend.server_choice import ServerChoice
from fsdata.pictures.cutting import MissingCrop, to_jpeg
from fsdata.pictures.photo_faces import COLUMNS, faces_of_photo, read_photo, rows_of
from fsdata.results.reading import Results, open_results

_CUT_AT_ONCE = 2
_CUT_HELD = 1000
_MAPS_HELD = 8
_SIMILAR_HELD = 4
_PHOTO_PX = 1280
"""Longest side of a photo that is shown whole."""


@dataclass(slots=True, kw_only=True)
class DashboardChoice:
    """What the command was told.

    Attributes:
        folder: Of the results.
        artifacts: Folders of trained heads whose cards are shown.
        server: What scores an uploaded photo.
    """

    folder: Path
    artifacts: tuple[Path, ...] = ()
    server: ServerChoice = field(default_factory=ServerChoice)


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnMap:
    """A map as a page draws it.

    Attributes:
        points: See `packed_points`.
        colours: Hex colours, one a class, or the steps of a scale.
        legend: What they mean; see `scatter_map`.
    """

    points: bytes
    colours: tuple[str, ...]
    legend: dict[str, Any]


class OpenedResults:
    """Results with what pages ask of them again and again.

    Attributes:
        choice: What the command was told.
        results: The results.
        table: Their faces and photos.
        maps: Maps by the key that a page asks for their points with.
    """

    def __init__(self, choice: DashboardChoice, on_face: Callable[[int], object] | None = None) -> None:
        """Open a folder.

        Args:
            choice: Which.
            on_face: Called with the number of faces after each batch of them.

        Raises:
            InvalidInputError: The folder holds no results.
            MissingDependencyError: DuckDB is not installed.
            ResultsError: A part or a file of crops is damaged.
        """
        self.choice = choice
        self.results: Results = open_results(choice.folder)
        self.table = FaceTable(self.results, on_face)
        self.maps: collections.OrderedDict[str, DrawnMap] = collections.OrderedDict()
        self._store = CropStore(choice.folder)
        self._cutting = threading.Semaphore(_CUT_AT_ONCE)
        self._cut = functools.lru_cache(_CUT_HELD)(self._cut_out)
        self._places: dict[str, MapPlaces] = {}
        self._places_lock = threading.Lock()
        self.similarities = functools.lru_cache(_SIMILAR_HELD)(self._similarities)

    @property
    def num_crops(self) -> int:
        """Return the number of crops that are kept."""
        return len(self._store)

    def crop(self, row: int) -> bytes | str:
        """Return the crop of a face as JPEG, or why there is none.

        Raises:
            ResultsError: The file of crops that holds it is damaged.
        """
        found = self.table.take(np.array([row]), COLUMNS)
        if not found.num_rows:
            return "there is no such face"
        (face,) = rows_of(found)
        kept = self._store.jpeg(face["source"], face["content_hash"], face["face_index"])
        return self._cut(row) if kept is None else kept

    def photo(self, row: int) -> bytes | str:
        """Return the photo of a face with its box drawn, as JPEG of at most 1280 px, or why there is none."""
        import cv2

        found = self.table.take(np.array([row]), COLUMNS)
        if not found.num_rows:
            return "there is no such face"
        (face,) = rows_of(found)
        with self._cutting:
            pixels = read_photo(face)
        if isinstance(pixels, str):
            return pixels
        scale = min(1.0, _PHOTO_PX / max(pixels.shape[:2]))
        size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
        image = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
        corners = [round(face[name] * scale) for name in ("x0", "y0", "x1", "y1")]
        for colour, thickness in (((0, 0, 0), 5), ((86, 180, 233), 3)):
            cv2.rectangle(image, (corners[0], corners[1]), (corners[2], corners[3]), colour, thickness, cv2.LINE_AA)
        return to_jpeg(image)

    def places(self, method: str, on_faces: Callable[[int], object] | None = None) -> MapPlaces:
        """Return the places of all faces; see `find_places`."""
        with self._places_lock:
            if method not in self._places:
                self._places[method] = find_places(self.results, self.table.num_faces, method, on_faces)
            return self._places[method]

    def map(self, key: str, make: Callable[[], DrawnMap]) -> DrawnMap:
        """Return a map by its key, made where it is not held; the few that were used last are."""
        found = self.maps.get(key)
        if found is None:
            found = self.maps[key] = make()
        self.maps.move_to_end(key)
        while len(self.maps) > _MAPS_HELD:
            self.maps.popitem(last=False)
        return found

    def _cut_out(self, row: int) -> bytes | str:
        with self._cutting:
            (crop,) = faces_of_photo(list(rows_of(self.table.take(np.array([row]), COLUMNS))))
        return crop.reason if isinstance(crop, MissingCrop) else to_jpeg(crop.image)

    def _similarities(self, row: int) -> NDArray[np.float32]:
        return similarities(self.results, row)


_opened: OpenedResults | None = None


def show(opened: OpenedResults) -> None:
    """Make results those that this process shows."""
    global _opened
    _opened = opened


def opened_results() -> OpenedResults:
    """Return the results that this process shows."""
    assert _opened is not None, "`fsclient dashboard` opens the results before a page is asked for"
    return _opened


__all__ = ["DashboardChoice", "OpenedResults", "Rows", "opened_results", "show"]
