"""How far a run is, for whoever wants to show it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from fsengine.contracts.served import RECOGNISES_PEOPLE, ServedModels
from fsengine.terminal.messages import Say


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestProgress:
    """How far a run is.

    Attributes:
        unit: What is counted: photos that are scored, or faces whose heads are run again while refreshing.
        done: How many are done.
        total: How many there are to do in this run; None as long as the sources are searched.
        num_faces: Faces so far.
    """

    unit: Literal["photo", "face"]
    done: int
    total: int | None
    num_faces: int


OnScored = Callable[[int, int, int | None], None]
"""Called with numbers of photos that were scored, of their faces, and of all that there are to do; None where that is
not known yet."""


class ProgressTeller:
    """Tells a caller how far a run is."""

    def __init__(self, on_progress: Callable[[IngestProgress], None] | None, on_message: Say) -> None:
        """Prepare.

        Args:
            on_progress: Called after each photo or some of them, or after each batch of faces; None tells nobody.
            on_message: Called with each line for people.
        """
        self._on_progress = on_progress
        self.say = on_message

    def tell_of_templates(self, models: ServedModels, *, embedding: bool) -> None:
        """Say that embeddings are biometric templates, where a run stores such.

        Args:
            models: What is served.
            embedding: Whether embeddings are stored.
        """
        if embedding and RECOGNISES_PEOPLE in models.marks:
            self.say(
                "note: the embeddings of these models recognise people and are biometric templates; "
                "--no-embedding stores none"
            )

    def photos(self) -> OnScored:
        """Begin with photos, and return what is called with numbers that were scored, their faces, and the total."""
        done = faces = 0

        def on_scored(num_photos: int, num_faces: int, total: int | None) -> None:
            nonlocal done, faces
            done += num_photos
            faces += num_faces
            self._tell("photo", done, total, faces)

        return on_scored

    def faces(self, total: int) -> Callable[[int], None]:
        """Begin with a number of faces, and return what is called with each number of them that was done."""
        done = 0

        def on_faces(number: int) -> None:
            nonlocal done
            done += number
            self._tell("face", done, total, done)

        return on_faces

    def _tell(self, unit: Literal["photo", "face"], done: int, total: int | None, num_faces: int) -> None:
        if self._on_progress is not None:
            self._on_progress(IngestProgress(unit=unit, done=done, total=total, num_faces=num_faces))
