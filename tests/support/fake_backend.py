"""An inference backend in this process: what the client does with a server's answers needs no server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsengine.contracts.served import ServedEnsemble, ServedHead, ServedModels

OUTPUTS = {
    "image_size": (1, 2),
    "faces_truncated": (1, 1),
    "face_box": (-1, 4),
    "face_landmarks": (-1, 5, 2),
    "face_score": (-1, 1),
    "face_embedding": (-1, 8),
    "gender_probability": (-1, 2),
    "age_years": (-1, 1),
}


def ensemble(model_set_id: str = "set-1") -> ServedEnsemble:
    models = ServedModels(
        pack="fake",
        model_set_id=model_set_id,
        preprocessing_id="pre-1",
        models={"detect": "detect-1-fp32"},
        labels={"gender": ["female", "male"]},
        marks={"demonstration": ["detect"]},
        licences={"detect": "Apache-2.0"},
    )
    return ServedEnsemble(models=models, outputs=OUTPUTS, runtime="fake 1")


HEAD_OUTPUTS: dict[str, dict[str, tuple[int, ...]]] = {
    "attractiveness": {"attractiveness": (-1, 1), "attractiveness_decile": (-1, 1)},
    "ethnicity": {"ethnicity_probability": (-1, 3)},
    "age_gender": {"gender_probability": (-1, 2), "age_years": (-1, 1)},
}


def ensemble_of(
    models: Mapping[str, str], *, age_gender_reads: str = "face_embedding", **changes: Any
) -> ServedEnsemble:
    """Return an ensemble of detect, align and embed with version 1, and of what `models` adds or replaces.

    Args:
        models: Step to its version, which is its model id.
        age_gender_reads: What the age/gender head reads.
        changes: Of `ServedModels`.
    """
    ids = {"detect": "1", "align": "1", "embed": "1", **models}
    outputs = {name: shape for name, shape in OUTPUTS.items() if name not in HEAD_OUTPUTS["age_gender"]}
    heads = {}
    for step in HEAD_OUTPUTS.keys() & ids.keys():
        outputs |= HEAD_OUTPUTS[step]
        source = age_gender_reads if step == "age_gender" else "face_embedding"
        made = {f"{step}_out{i}": name for i, name in enumerate(HEAD_OUTPUTS[step])}
        heads[step] = ServedHead(step=step, inputs={f"{step}_in": source}, outputs=made)
    set_id = "set-" + "-".join(f"{step}{ids[step]}" for step in sorted(ids)) + changes.get("preprocessing_id", "")
    base = ensemble(set_id)
    labels = {"gender": ["female", "male"], "ethnicity": ["one", "two", "three"]}
    models_served = replace(base.models, **{"models": ids, "marks": {}, "labels": labels, **changes})
    return replace(base, models=models_served, outputs=outputs, heads=heads)


def head_answer(served: ServedEnsemble, step: str, embeddings: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """Return what a head of `ensemble_of` makes of embeddings: their first number plus 100 times its version."""
    values = embeddings[:, :1] + 100 * float(served.models.models[step])
    return {
        name: np.repeat(values, served.outputs[name][1], axis=1).astype(np.float32)
        for name in served.heads[step].outputs.values()
    }


def answer(num_faces: int, outputs: Sequence[str], value: float = 0.5) -> dict[str, NDArray[Any]]:
    """Return a server's answer; a photo without a face has its placeholder row."""
    rows = max(num_faces, 1)
    arrays: dict[str, NDArray[Any]] = {}
    for name in outputs:
        shape = tuple(rows if size == -1 else size for size in OUTPUTS[name])
        arrays[name] = np.full(shape, value if num_faces else 0.0, np.float32)
    arrays["image_size"] = np.array([[640, 480]], np.int32)
    arrays["faces_truncated"] = np.array([[False]])
    return arrays


Respond = Callable[[bytes, Sequence[str]], dict[str, NDArray[Any]]]


class FakeBackend:
    """Answers with a function of the photo's bytes, and with another, where there is one, photos decoded alone."""

    def __init__(self, respond: Respond, *, respond_alone: Respond | None = None) -> None:
        self.respond = respond
        self.respond_alone = respond_alone
        self.requests: list[bytes] = []
        self.requests_alone: list[bytes] = []
        self.ensemble = ensemble()
        self.head_requests: list[tuple[str, int]] = []

    async def served(self) -> ServedEnsemble:
        return self.ensemble

    @property
    def isolates(self) -> bool:
        return self.respond_alone is not None

    async def infer(self, data: bytes, outputs: Sequence[str], *, alone: bool = False) -> dict[str, NDArray[Any]]:
        await asyncio.sleep(0)
        if alone:
            assert self.respond_alone is not None
            self.requests_alone.append(data)
            return self.respond_alone(data, outputs)
        self.requests.append(data)
        return self.respond(data, outputs)

    async def infer_head(self, head: ServedHead, embeddings: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        self.head_requests.append((head.step, len(embeddings)))
        await asyncio.sleep(0)
        return dict(head_answer(self.ensemble, head.step, embeddings))

    async def close(self) -> None:
        return None
