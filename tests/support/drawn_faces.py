"""Faces drawn with a known structure, and what trains heads on them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fsdata.labels.record import LabelledPhoto
from fsdata.labels.training_faces import TrainingFaces
from fsengine.contracts.served import ETHNICITY
from fsengine.contracts.steps import (
    AGE_GENDER,
    ATTRACTIVENESS,
)
from fsexport.artifact.exported import Exported
from fstraining.heads.age_gender import train_age_gender
from fstraining.heads.attractiveness import train_attractiveness
from fstraining.heads.ethnicity import train_ethnicity
from fstraining.heads.training_options import TrainingOptions

WIDTH = 24


FACES = 260


ENCODER = "enc-0123456789ab"


KINDS = ["Black", "East Asian", "Indian"]  # in FairFace's own order


def drawn_faces(count: int = FACES, seed: int = 0, encoder_id: str = ENCODER) -> TrainingFaces:
    """Draw faces whose first axes say gender, ethnicity, age and rating, each with noise."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(count, WIDTH))
    gender, kind = rng.integers(0, 2, count), rng.integers(0, len(KINDS), count)
    years, rating = rng.uniform(18, 70, count), rng.uniform(1, 5, count)
    vectors[:, 0] += 4.0 * (gender - 0.5)
    vectors[np.arange(count), 1 + kind] += 2.5
    vectors[:, 5] = (years - 44) / 5 + 0.5 * rng.normal(size=count)
    vectors[:, 6] = (rating - 3) * 2.5 + 0.5 * rng.normal(size=count)
    embeddings = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    records = [
        LabelledPhoto(
            path=Path(f"/photos/{row}.jpg"),
            dataset="drawn",
            gender=["female", "male"][gender[row]],
            age_low_years=float(years[row]),
            age_high_years=float(years[row]) + 1,
            ethnicity=KINDS[kind[row]],
            rating=float(rating[row]),
            rating_std=float(rng.uniform(0.3, 1.0)),
            num_raters=int(rng.integers(2, 30)),
        )
        for row in range(count)
    ]
    hashes = [f"{seed}-{row}" for row in range(count)]
    return TrainingFaces(embeddings=embeddings, records=records, content_hashes=hashes, encoder_id=encoder_id)


TRAIN: dict[str, Callable[..., Exported]] = {
    ATTRACTIVENESS: train_attractiveness,
    ETHNICITY: train_ethnicity,
    AGE_GENDER: train_age_gender,
}


def say(_: str) -> None:
    return None


def options(out: Path, **changes: Any) -> TrainingOptions:
    values: dict[str, Any] = {"out": out, "data_name": "Drawn Faces", "data_licence": "Licence of a Test", "folds": 3}
    return TrainingOptions(**{**values, **changes})
