"""The contract that other programs read is that of every configuration that is served."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from fsengine.contracts import steps
from fsengine.contracts.meanings import MEANINGS
from fsengine.packs.pack import Pack, read_pack
from fsengine.packs.shipped import SHIPPED_PACK, shipped_folder
from fsengine.repository.assemble import Target, adapt, read_canonical
from fsengine.repository.published_contract import PARAMETERS, SIZES, contract
from packs_for_tests import official_pack

PUBLISHED = Path(__file__).resolve().parents[3] / "docs" / "reference" / "contract.json"
LITE = read_pack(shipped_folder("packs") / SHIPPED_PACK)


def test_the_committed_contract_is_what_the_command_prints() -> None:
    assert json.loads(PUBLISHED.read_text()) == contract(), "fsengine contract > docs/reference/contract.json"


@pytest.mark.parametrize(
    "pack", [official_pack(), LITE, LITE.without(("ethnicity",))], ids=["official", "lite", "less"]
)
@pytest.mark.parametrize("target", list(Target))
def test_what_is_served_is_what_the_contract_says(pack: Pack, target: Target) -> None:
    configs = adapt(read_canonical(), pack, target)
    sizes: dict[str, set[int]] = {}
    for name, model in contract()["models"].items():
        config = configs[name]
        served = {tensor.name: tensor for tensor in (*config.input, *config.output)}
        told = {tensor["name"]: tensor for tensor in (*model["inputs"], *model["outputs"])}
        assert set(served) <= set(told)
        assert {tensor for tensor in set(told) - set(served) if not told[tensor].get("optional")} == set()
        for tensor_name, tensor in served.items():
            assert (
                f"TYPE_{told[tensor_name]['dtype']}"
                == type(tensor).DESCRIPTOR.fields_by_name["data_type"].enum_type.values_by_number[tensor.data_type].name
            )
            shape = told[tensor_name]["shape"]
            assert len(shape) == len(tensor.dims)
            for letter, size in zip(shape, tensor.dims, strict=True):
                if isinstance(letter, str):
                    sizes.setdefault(letter, set()).add(size)
                else:
                    assert letter == size
        assert [t["name"] for t in model["outputs"] if t["name"] in served] == [t.name for t in config.output]
    assert all(len(found) == 1 for found in sizes.values()), sizes
    assert sizes["F"] == sizes["N"] == {-1}
    assert set(configs[steps.ENSEMBLE].parameters) == set(PARAMETERS)


def test_a_crowd_s_answer_is_below_what_grpc_clients_take() -> None:
    sizes = {"F": 256, "D": 512, "E": 7, "G": 2}
    outputs = contract()["models"][steps.ENSEMBLE]["outputs"]
    numbers = sum(math.prod(sizes.get(size, size) for size in tensor["shape"]) for tensor in outputs)
    assert 4 * numbers < 1_000_000 < 4 << 20


def test_every_tensor_and_every_letter_is_explained() -> None:
    tensors = [t for model in contract()["models"].values() for t in (*model["inputs"], *model["outputs"])]
    assert {tensor["name"] for tensor in tensors} == set(MEANINGS)
    assert {size for tensor in tensors for size in tensor["shape"] if isinstance(size, str)} == set(SIZES)
