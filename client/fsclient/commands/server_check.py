"""`fsclient models verify --server`: a running server compared with golden answers."""

from __future__ import annotations

from pathlib import Path

from fsclient.backend.address import Access, parse_address
from fsclient.models.name_to_repository import list_packs
from fsengine.contracts.served import ServedModels
from fsengine.errors import InvalidInputError
from fsengine.plans.built_plans import REFUSED
from fsengine.repository.golden.golden_answers import Answers, read_answers
from fsengine.repository.golden.questions import golden_client, served_models
from fsengine.repository.golden.recording import golden_file
from fsengine.repository.golden.verification import check_blocks, verify_server
from fsengine.server.listening import TOKEN_HEADER
from fsengine.terminal.messages import say
from fsengine.terminal.tables import show


def check_servers(server: str, access: Access, golden: Path | None) -> bool:
    """Compare each server of an address with golden answers, show how each of its models answers, and what it runs on.

    Args:
        server: See `fsclient.backend.address.parse_address`.
        access: What is shown to it.
        golden: File of golden answers; None for those of the pack that it serves.

    Returns:
        Whether all of them answered within every bound.

    Raises:
        InvalidInputError: It is no address, or there are no golden answers of what it serves.
        InferenceError: It does not answer.
    """
    address = parse_address(server, access)
    headers = None if access.token is None else {TOKEN_HEADER: access.token}
    files = {"root_certificates": access.ca, "private_key": access.key, "certificate_chain": access.certificate}
    tls = {"ssl": address.tls, **{name: str(path) for name, path in files.items() if path is not None}}
    passed = True
    for target in address.targets:
        with golden_client(target, headers, **tls) as asked:
            answers = _golden_answers(served_models(asked)) if golden is None else read_answers(golden)
            check = verify_server(asked, answers)
        show([f"{target}: {answers.served.pack}, {len(check.checks)} models asked about photos that ship", ""])
        show(check_blocks(check))
        if refused := [step for step, plan in check.plans.items() if plan == REFUSED]:
            say(
                f"WARNING: {', '.join(refused)} in ONNX Runtime: TensorRT refused it, or its plan differed. "
                "Right, and slower; the server's log says why (docker/README.md)"
            )
        for each in check.failed:
            say(f"{each.model} differs: {each.why}")
        passed = passed and not check.failed
    return passed


def _golden_answers(served: ServedModels) -> Answers:
    """Return the golden answers of what a server serves, recorded here if need be.

    Raises:
        InvalidInputError: No pack that is here has its models.
    """
    for entry in list_packs():
        if entry.pack is not None and served.models.items() <= entry.pack.served().models.items():
            return read_answers(golden_file(entry.folder, say))
    raise InvalidInputError(
        f"the server serves {served.pack} ({served.model_set_id}), and no pack that is here has the same models: build "
        "it with fsclient models build, or give the golden.npz of the repository that it serves with --golden"
    )
