"""The progress bar of `fsclient ingest`."""

from __future__ import annotations

from types import TracebackType

from fsclient.ingest.reporting.progress import IngestProgress
from fsengine.terminal.messages import counted
from fsengine.terminal.progress_bar import ProgressBar


class IngestBar:
    """Shows how far a run is, one bar after the other: faces while it refreshes, then photos."""

    def __init__(self) -> None:
        self._unit: str | None = None
        self._bar: ProgressBar | None = None

    def __enter__(self) -> IngestBar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()
        self._unit = self._bar = None

    def __call__(self, progress: IngestProgress) -> None:
        """Show how far the run is."""
        if self._bar is None or progress.unit != self._unit:
            self.close()
            self._unit = progress.unit
            what = "ingest" if progress.unit == "photo" else "refresh"
            self._bar = ProgressBar(what, progress.total, progress.unit)
        if progress.unit == "photo":
            self._bar.note = counted(progress.num_faces, "face")
        self._bar.reach(progress.done, progress.total)
