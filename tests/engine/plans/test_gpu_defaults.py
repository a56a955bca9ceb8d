"""How the steps share a GPU, by its memory."""

from __future__ import annotations

import pytest

from fsengine.plans.gpu_defaults import LEAST_IN_FLIGHT, TABLE, gpu_defaults, photos_in_flight, pool_mib

L4, A100_40, H100, H200 = 23_034, 40_960, 81_559, 143_771


def test_every_memory_has_a_row_and_more_memory_never_less_of_anything() -> None:
    rows = [gpu_defaults(memory) for memory in (0, 6_000, 12_000, L4, A100_40, H100, H200)]
    assert set(rows) == set(TABLE)
    for field in ("decode_batch", "decode_instances", "detect_batch", "detect_instances", "align_instances"):
        values = [getattr(row, field) for row in rows]
        assert values == sorted(values)


def test_a_full_batch_of_the_largest_photos_that_are_sent_together_fits() -> None:
    for row in TABLE:
        decoding_mib = row.decode_batch * row.decode_instances * 25e6 * 3 / (1 << 20)
        assert decoding_mib <= 0.3 * max(row.least_mib, 4_000)


@pytest.mark.parametrize(("memory_mib", "least", "most"), [(L4, 64, 99), (H100, 200, 400), (H200, 400, 800)])
def test_photos_in_flight_are_tens_on_24_gb_and_hundreds_on_80(memory_mib: int, least: int, most: int) -> None:
    main, other = photos_in_flight(memory_mib)
    assert least <= main <= most
    assert other < main


@pytest.mark.parametrize("memory_mib", [1_000, 4_000, 8_192])
def test_never_so_few_that_the_ensembles_threads_wait_for_each_other(memory_mib: int) -> None:
    main, other = photos_in_flight(memory_mib)
    assert min(main, other) >= LEAST_IN_FLIGHT


def test_the_pool_grows_with_the_gpu_to_its_end_and_the_limit_with_the_number_of_gpus() -> None:
    assert pool_mib(H100) == int(0.12 * H100)
    assert pool_mib(1 << 20) == 16 << 10
    assert photos_in_flight(H100, 8)[0] == pytest.approx(8 * photos_in_flight(H100)[0], rel=0.05)
