"""The table of SKUs: the specification's figures, and what fits where."""

from __future__ import annotations

import pytest

from tasks.common.errors import InputError
from tasks.gpu_hosts import gpu_prices

BIG = 1_100_000_000


def shape(
    name: str, rows: int = 100, parameters: int = gpu_prices.REFERENCE_PARAMETERS
) -> gpu_prices.CostShape:
    """A smoke run of rows of 3 s, batch 4, three epochs."""
    work = gpu_prices.work([3.0] * rows, 0.2, 3, 4, parameters)
    return gpu_prices.cost_shape(gpu_prices.sku(name), work, disk_gb=200)


def test_the_l40s_costs_what_the_specification_says() -> None:
    """15 to 30 minutes and 0.40 to 0.75 $ a run; 36 $ a night, about 250 $ a week, 20 $ of disk."""
    found = shape("l40s")
    assert 15 <= found.minutes <= 30
    assert 0.40 <= found.usd_run <= 0.75
    assert (found.usd_night, found.usd_week, found.usd_disk_month) == (36.0, 252.0, 20.0)
    shown = "\n".join(found.lines())
    for figure in ("1.50 $ an hour", "36.00 $", "252.00 $", "20.00 $ a month (200 GB disk)"):
        assert figure in shown


@pytest.mark.parametrize(
    ("batch", "audio_s", "measured"),
    [(4, 3, 0.267), (16, 3, 0.286), (4, 19.8, 0.259), (16, 19.8, 0.309), (32, 19.8, 0.439)],
)
def test_step_times_meet_the_measured_ones(batch: int, audio_s: float, measured: float) -> None:
    """Within a tenth of each row of docs/log."""
    work = gpu_prices.work([audio_s] * 264, 0.2, 1, batch, gpu_prices.REFERENCE_PARAMETERS)
    assert gpu_prices.step_seconds(gpu_prices.SKUS["h100"], work) == pytest.approx(
        measured, rel=0.1
    )


def test_only_the_card_that_was_measured_is_not_called_an_estimate() -> None:
    """Scaled figures are marked, in words too."""
    assert [name for name in gpu_prices.SKUS if not shape(name).estimated] == ["h100"]
    assert "(estimated)" in shape("l40s").lines()[1]


@pytest.mark.parametrize(
    ("name", "parameters", "batch"),
    [
        ("a10g", gpu_prices.REFERENCE_PARAMETERS, 4),
        ("l40s", gpu_prices.REFERENCE_PARAMETERS, 16),
        ("a100", gpu_prices.REFERENCE_PARAMETERS, 32),
        ("h100", gpu_prices.REFERENCE_PARAMETERS, 32),
        ("l40s", BIG, 4),
        ("a100", BIG, 16),
        ("h100", BIG, 16),
        ("l40s", 7_000_000, 16),
    ],
)
def test_batches_follow_memory_and_base(name: str, parameters: int, batch: int) -> None:
    """The specification's batches for 0.6 B; a base of 1.1 B takes one size less."""
    assert gpu_prices.fit(gpu_prices.SKUS[name], parameters).batch == batch


def test_a_large_base_on_a_small_card_is_warned_of() -> None:
    """1.1 B on 24 GB trains with short rows only; a batch that does not fit is named."""
    assert "only with short rows" in " ".join(shape("a10g", parameters=BIG).warnings)
    work = gpu_prices.work([3.0] * 100, 0.2, 3, 32, BIG)
    (said,) = gpu_prices.cost_shape(gpu_prices.sku("l40s"), work, 200).warnings
    assert "a batch of 32 is more than the 4 that fit" in said


def test_a_base_that_cannot_fit_is_refused_with_what_would_do() -> None:
    """Nothing is rented for 2 B parameters on 24 GB; the message names the cards that hold them."""
    with pytest.raises(
        InputError, match=r"sku a10g: 24 GB are too little .* Fix: take a100 or h100"
    ):
        shape("a10g", parameters=2_000_000_000)


def test_more_work_takes_longer_and_costs_more() -> None:
    """Rows, epochs and a larger base all cost time; a row without a duration counts as 20 s."""
    assert shape("l40s", 1000).minutes > shape("l40s", 100).minutes
    assert shape("l40s", parameters=BIG).minutes > shape("l40s").minutes
    assert gpu_prices.work([None, 3.0], 0.2, 3, 4, 1).audio_seconds == 23.0


@pytest.mark.parametrize(
    ("base", "size", "parameters"),
    [
        ("nvidia/parakeet-tdt-0.6b-v2", None, gpu_prices.REFERENCE_PARAMETERS),
        ("nvidia/parakeet-ctc-1.1b", None, BIG),
        ("my-model.nemo", 13_800_000, 3_450_000),
        ("my-model", None, gpu_prices.REFERENCE_PARAMETERS),
        ("folder-1.1b/my.nemo", 4_000, 1_000),
    ],
)
def test_parameters_come_from_name_or_file(base: str, size: int | None, parameters: int) -> None:
    """A catalogue name tells its size; a file of one's own tells it by its bytes."""
    assert gpu_prices.parameters_of(base, size) == parameters


def test_an_unknown_sku_is_named() -> None:
    """With the ones that there are."""
    with pytest.raises(InputError, match=r"sku 'rtx4090': .* l40s, a10g, a100 or h100"):
        gpu_prices.sku("rtx4090")


def test_a_host_of_ones_own_is_free_until_its_owner_says_otherwise() -> None:
    """No list price, no price of forgetting it, no disk; with a price of one's own, its costs."""
    kind = gpu_prices.sku("l40s")
    work = gpu_prices.work([3.0] * 100, 0.2, 3, 4, gpu_prices.REFERENCE_PARAMETERS)
    free = gpu_prices.own_cost_shape(kind, work)
    assert (free.usd_per_hour, free.usd_run) == (0.0, 0.0)
    said = "\n".join(free.lines())
    assert "0.00 $ an hour (a host of your own" in said
    assert not any(word in said for word in ("forgotten", "stopped", "1.50"))
    priced = "\n".join(gpu_prices.own_cost_shape(kind, work, 0.5).lines())
    assert "0.50 $ an hour (your own figure)" in priced
    assert "forgotten: 12.00 $" in priced
    assert "disk" not in priced
