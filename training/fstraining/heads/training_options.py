"""What every training takes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fsdata.labels.training_faces import TrainingFaces
from fsengine.errors import InvalidInputError
from fsexport.artifact.exported import RECORD_FILE, Origin, exported_step
from fstraining.data.face_splits import FaceSplits
from fstraining.evaluate.training_report import REPORT_FOLDER, TrainingData

ENCODER_NOT_STATED = "encoder not stated"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingOptions:
    """How a head is trained and where it goes.

    Attributes:
        out: Folder of the artifact; its report lies below it.
        seed: Of splits, weights and searches.
        trials: Trials of the hyper-parameter search; 0 takes the defaults.
        folds: Folds of the cross-validation.
        data_name: Name of the data set, for report and card.
        data_licence: Its licence, as the user states it.
        commercial_use: Whether that licence allows commercial use.
        threshold: Probability below which a head of classes that can abstain names none, 0 to 1; None finds the one
            at which right answers outnumber wrong ones by the most.
        shows_faces: Whether the report shows the faces that the head is most wrong about.
    """

    out: Path
    seed: int = 0
    trials: int = 0
    folds: int = 5
    data_name: str
    data_licence: str
    commercial_use: bool = False
    threshold: float | None = None
    shows_faces: bool = True

    def __post_init__(self) -> None:
        if self.folds < 2 or self.trials < 0:
            raise ValueError(f"folds is {self.folds} and trials {self.trials}, expected at least 2 and 0")
        if self.threshold is not None and not 0 <= self.threshold < 1:
            raise ValueError(f"threshold is {self.threshold}, expected 0 to 1")

    @property
    def report_folder(self) -> Path:
        """Return the folder of the report."""
        return self.out / REPORT_FOLDER

    @property
    def work_folder(self) -> Path:
        """Return the folder of the search's trials."""
        return self.out / "training"

    def claim_folder(self, step: str) -> None:
        """Make the folder, if it may be written into.

        Args:
            step: What will be trained.

        Raises:
            InvalidInputError: It holds something else than a head of this step and what training left, or cannot be
                made.
        """
        try:
            self.out.mkdir(parents=True, exist_ok=True)
            names = {path.name for path in self.out.iterdir()}
        except OSError as exc:
            raise InvalidInputError(f"--out {self.out} cannot be written: {exc.strerror or exc}") from exc
        if RECORD_FILE in names:
            found = exported_step(self.out)
            if found not in (None, step):
                raise InvalidInputError(f"--out {self.out} holds a head of {found}, not of {step}; choose another")
        elif others := sorted(names - {self.work_folder.name}):
            raise InvalidInputError(
                f"--out {self.out} holds {', '.join(others[:5])}, and no head; give an empty folder or a new one"
            )

    @contextmanager
    def claimed_folder(self, step: str) -> Iterator[None]:
        """Claim the folder; should nothing be made in it, it goes again, and so do the folders above it."""
        made = [folder for folder in (self.out, *self.out.parents) if not folder.exists()]
        try:
            self.claim_folder(step)
            yield
        except BaseException:
            with suppress(OSError):
                for folder in made:
                    folder.rmdir()
            raise

    def origin(self, source: str, encoder_id: str) -> Origin:
        """Return where the trained head comes from; a head whose encoder is not known says so wherever it is served."""
        return Origin(
            source=f"{source}, trained by fstrain on {self.data_name}",
            licence=self.data_licence,
            commercial_use=self.commercial_use,
            marks=() if encoder_id else (ENCODER_NOT_STATED,),
        )


def describe_data(
    faces: TrainingFaces, splits: FaceSplits, labels: NDArray[np.generic], options: TrainingOptions
) -> TrainingData:
    """Return what a head is trained on, for its report and its record."""
    digest = hashlib.sha256(faces.embeddings.tobytes() + np.ascontiguousarray(labels).tobytes()).hexdigest()[:16]
    return TrainingData(
        name=options.data_name,
        licence=options.data_licence,
        reads=faces.encoder_id,
        counts={
            "training": len(splits.train),
            "stopping and calibration": len(splits.validation),
            "figures": len(splits.test),
        },
        left_out=dict(faces.left_out),
        joined=dict(faces.joined),
        digest=digest,
    )
