"""Check a server against golden answers, and say what each of its steps runs on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fsengine.contracts import steps
from fsengine.contracts.served import PLAN_TAG
from fsengine.errors import InferenceError, InvalidInputError
from fsengine.repository.golden.answer_checks import ModelCheck, OutputCheck, compare_answers
from fsengine.repository.golden.golden_answers import Answers
from fsengine.repository.golden.questions import GoldenClient, ask_everything, served_models
from fsengine.terminal.tables import Block, Table

_MOST_OUTPUTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerCheck:
    """What a server's models answered.

    Attributes:
        checks: Of each step, then of each ensemble.
        runs_on: Step to what runs it, for example `tensorrt, GPU`.
        plans: Step to the state of its plan, of those that have one.
    """

    checks: Sequence[ModelCheck]
    runs_on: Mapping[str, str]
    plans: Mapping[str, str]

    @property
    def failed(self) -> list[ModelCheck]:
        """Return the checks that were not passed."""
        return [check for check in self.checks if not check.passed]


def verify_server(server: GoldenClient, golden: Answers) -> ServerCheck:
    """Ask every step and ensemble of a server and compare.

    Args:
        server: The server.
        golden: Answers of the same models.

    Raises:
        InferenceError: It does not answer at all.
        InvalidInputError: It serves other models than the golden answers are of.
    """
    served = served_models(server)
    if not served.models.items() <= golden.served.models.items():
        raise InvalidInputError(
            f"the server serves {served.pack} ({served.model_set_id}), the golden answers are of {golden.served.pack} "
            f"({golden.served.model_set_id}); give those of its pack"
        )
    found, silent = ask_everything(server, golden)
    checks = compare_answers(golden, found, silent)
    runs_on, plans = {}, {}
    for model in (each.model for each in checks if each.model not in steps.ENSEMBLES):
        runs_on[model], plan = _configured(server, model)
        plans.update({model: plan} if plan else {})
    return ServerCheck(checks=checks, runs_on=runs_on, plans=plans)


def _configured(server: GoldenClient, model: str) -> tuple[str, str]:
    """Return what runs a step, and the state of its plan, as its configuration says."""
    from tritonclient.grpc import model_config_pb2 as pb

    try:
        config = server.config(model)
    except InferenceError:
        return "not served", ""
    kinds = {pb.ModelInstanceGroup.Kind.Name(group.kind).removeprefix("KIND_") for group in config.instance_group}
    text = f"{config.backend or config.platform}, {'/'.join(sorted(kinds)) or 'AUTO'}"
    return text, config.metric_tags.get(PLAN_TAG, "")


def check_blocks(check: ServerCheck) -> list[Block]:
    """Return a check as a table for people: of each step and ensemble the largest differences, by their bounds."""
    rows = [
        (
            each.model,
            check.runs_on.get(each.model, "ensemble"),
            check.plans.get(each.model, "-"),
            "ok" if each.passed else "DIFFERS",
            each.why if not each.passed else ", ".join(map(_text, _nearest_to_bound(each))),
        )
        for each in check.checks
    ]
    return [
        Table(
            header=("model", "runs on", "plan", "", "largest differences, of what is accepted"),
            rows=rows,
            align="lllll",
        )
    ]


def _nearest_to_bound(check: ModelCheck) -> list[OutputCheck]:
    measured = [each for each in check.outputs.values() if each.limit]
    return sorted(measured, key=lambda each: each.difference / each.limit, reverse=True)[:_MOST_OUTPUTS]


def _text(check: OutputCheck) -> str:
    return f"{check.output} {check.difference:.2g} of {check.limit:g} {check.unit}".rstrip()
