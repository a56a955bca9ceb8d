"""What a served ensemble says of itself: its model set, labels, marks and licences.

The facts travel in the `parameters` of the `facestats` config: `fsengine.packs.pack.Pack.served` states them, whoever
assembles a repository writes them, and a client reads them before its first photo and keeps no list of its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

from fsengine.errors import Action, InferenceError, Remedy
from fsengine.files.json_record import convert

CONTRACT = "3"
"""Version of requests and answers of `facestats`: raised when a request or a reader of version N would not work with
N + 1; outputs that are added raise nothing. 2: `orientation` beside the photo. 3: `face_count`, crops apart."""

_CONTRACT_PARAMETER = "contract"

PLAN_TAG = "plan"
"""Tag of a model's metrics, there the label `_plan`, of a step that could have a TensorRT plan: the state of
`fsengine.plans.built_plans.StepPlan`."""

GENDER = "gender"
ETHNICITY = "ethnicity"

RECOGNISES_PEOPLE = "recognises people"
"""The mark of an encoder whose embeddings tell people apart: each is a biometric template of a person."""

UNCERTAIN = "uncertain"
"""The label of a face whose likeliest class stays below the pack's threshold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedModels:
    """The identity of what is served.

    Attributes:
        pack: Name of the model pack.
        model_set_id: Hash of the models and the preprocessing; results of different sets never mix.
        preprocessing_id: See `fsengine.contracts.preprocessing`.
        models: Step to model id, for example `{"embed": "embed-0123456789ab-fp32"}`.
        labels: Head to its class labels in the order of its probabilities.
        marks: What a reader must know of the results (`recognises people`, `untrained weights`), and of which steps.
        licences: Step to the licence of its model.
        encoder_id: What the embedding means; see `Pack.encoder_id`. Empty in results of earlier versions.
        thresholds: Head to the least probability of its likeliest class; below it the head abstains.
    """

    pack: str
    model_set_id: str
    preprocessing_id: str
    models: Mapping[str, str]
    labels: Mapping[str, list[str]]
    marks: Mapping[str, list[str]]
    licences: Mapping[str, str]
    encoder_id: str = ""
    thresholds: Mapping[str, float] = field(default_factory=dict)

    def to_parameters(self) -> dict[str, str]:
        """Return the facts, and the version of the contract, as the strings that a Triton config holds."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        texts = {
            name: value if isinstance(value, str) else json.dumps(value, sort_keys=True)
            for name, value in values.items()
        }
        return {**texts, _CONTRACT_PARAMETER: CONTRACT}

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, str]) -> ServedModels:
        """Read the facts back from a Triton config.

        Raises:
            InferenceError: The config lacks one of them, so the server serves something else, or its requests are
                those of another version.
        """
        missing = [item.name for item in fields(cls) if item.name not in parameters]
        if missing:
            raise InferenceError(
                f"the server's `facestats` model does not state {', '.join(missing)} in its parameters; "
                "expected a repository that was assembled from a pack",
                remedy=Remedy(Action.ASSEMBLE, "container"),
            )

        if (contract := parameters.get(_CONTRACT_PARAMETER, "1")) != CONTRACT:
            raise InferenceError(
                f"the server's `facestats` model takes requests of contract {contract}, this version sends contract "
                f"{CONTRACT}: its repository was assembled by another version of facestats; assemble it again with "
                "this one and restart the server, or use the version that assembled it",
                remedy=Remedy(Action.ASSEMBLE, "container"),
            )

        def refused(reason: str) -> InferenceError:
            return InferenceError(f"the server's `facestats` parameters are not as expected: {reason}")

        texts = {name: parameters[name] for name in ("pack", "model_set_id", "preprocessing_id", "encoder_id")}
        try:
            values = {item.name: json.loads(parameters[item.name]) for item in fields(cls) if item.name not in texts}
        except (ValueError, RecursionError) as exc:
            raise InferenceError(f"the server's `facestats` parameters are not JSON: {exc}") from exc
        return convert({**texts, **values}, cls, refused)

    def label_of(self, head: str, probabilities: Sequence[float]) -> str:
        """Return the likeliest class of a head, or `UNCERTAIN` where it abstains.

        Args:
            head: `gender` or `ethnicity`.
            probabilities: In the order of its labels.
        """
        best = max(range(len(probabilities)), key=probabilities.__getitem__)
        return self.labels[head][best] if probabilities[best] >= self.thresholds.get(head, 0.0) else UNCERTAIN

    def precision(self, step: str) -> str:
        """Return the precision of a step, of `fsengine.packs.pack.PRECISIONS`; `fp32` of one without a model."""
        parts = self.models.get(step, "").split("-", 2)  # step-hash-precision
        return parts[2] if len(parts) == 3 else "fp32"

    @property
    def marks_text(self) -> str:
        """Return the marks for people, for example `untrained weights: embed, ethnicity`; empty without any."""
        return marks_text(self.marks)


def marks_text(marks: Mapping[str, Sequence[str]]) -> str:
    """Return marks, each with its steps, for people; empty without any."""
    return "; ".join(f"{mark}: {', '.join(steps)}" for mark, steps in sorted(marks.items()))


EMBEDDING = "face_embedding"
"""Output of the ensemble."""
EMBEDDING_READ = "face_embedding_internal"
"""The same numbers inside the ensemble, which a head reads where it needs no pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedHead:
    """A head as a model of its own.

    Attributes:
        step: Its step, and the name of its model on the server.
        inputs: Each of its model's inputs to the tensor of the ensemble that it reads.
        outputs: Each of its model's outputs to the output of the ensemble that it makes.
    """

    step: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]

    @property
    def reads_embedding(self) -> bool:
        """Return whether the embedding is all that it reads."""
        return list(self.inputs.values()) == [EMBEDDING_READ]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedEnsemble:
    """What a server says that it serves.

    Attributes:
        models: Identity, labels, marks and licences.
        outputs: Name of each output of the ensemble to its shape, -1 where it varies.
        runtime: Server and version, for example `triton 2.51.0`; no part of the model set.
        heads: Step to its head, of those that are served.
    """

    models: ServedModels
    outputs: Mapping[str, tuple[int, ...]]
    runtime: str
    heads: Mapping[str, ServedHead] = field(default_factory=dict)

    def without_embedding(self) -> ServedEnsemble:
        """Return what is asked for and stored where no embedding is wanted: no such output, and no mark about it."""
        marks = {mark: steps for mark, steps in self.models.marks.items() if mark != RECOGNISES_PEOPLE}
        outputs = {name: shape for name, shape in self.outputs.items() if name != EMBEDDING}
        return replace(self, models=replace(self.models, marks=marks), outputs=outputs)
