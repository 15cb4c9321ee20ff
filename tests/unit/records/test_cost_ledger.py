"""The ledger of costs: nothing is lost, nothing is counted twice, a crash is told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tasks.common.errors import InputError
from tasks.records import cost_ledger
from tasks.records.cost_ledger import RentalOutcome

if TYPE_CHECKING:
    from pathlib import Path

START = 1_795_567_200.0  # 2026-11-25 00:40:00 UTC


def rental(
    cycle: int = 1, seconds: float = 1800, usd_per_hour: float = 1.5
) -> cost_ledger.LedgerEntry:
    """A rental that ended well."""
    return cost_ledger.entry(
        started=START,
        ended=START + seconds,
        cycle=cycle,
        run="run-1",
        provider="brev",
        sku="l40s",
        host="digital-health-clinical-asr-sft",
        usd_per_hour=usd_per_hour,
        outcome=RentalOutcome.COMPLETED,
    )


def test_an_entry_computes_its_cost() -> None:
    """Half an hour at 1.50 $ an hour is 75 cents; a clock that was set back costs nothing."""
    assert (rental().seconds, rental().usd) == (1800, 0.75)
    assert (rental().started, rental().ended) == ("2026-11-25T00:40:00Z", "2026-11-25T01:10:00Z")
    assert (rental(seconds=-60).seconds, rental(seconds=-60).usd) == (0, 0)


def test_what_is_appended_is_read_in_order(tmp_path: Path) -> None:
    """Every field comes back, and the sums are those of the entries."""
    new = [rental(1), rental(2, 3600), rental(1, 7200)]
    assert {cost_ledger.append(tmp_path, one) for one in new} == {tmp_path / "cost_ledger.jsonl"}
    found = cost_ledger.read(tmp_path)
    assert found.entries == tuple(new)
    assert found.torn == ()
    assert found.usd_by_cycle == {1: 3.75, 2: 1.5}
    assert found.usd == 5.25


def test_no_ledger_is_an_empty_one(tmp_path: Path) -> None:
    """A folder that never rented anything has cost nothing, and gets no file by being read."""
    assert cost_ledger.read(tmp_path).usd == 0
    assert not list(tmp_path.iterdir())


def test_every_cut_of_the_last_line_is_told_and_swallows_nothing(tmp_path: Path) -> None:
    """Wherever a crash cuts the line, the entries before and after it stay, and the cut is told."""
    path = cost_ledger.append(tmp_path, rental(1))
    whole = path.read_bytes()
    for length in range(1, len(whole) - 1):
        path.write_bytes(whole + whole[:length])
        (said,) = cost_ledger.read(tmp_path).torn
        assert "line 2 was cut short" in said
        cost_ledger.append(tmp_path, rental(3))
        found = cost_ledger.read(tmp_path)
        assert [one.cycle for one in found.entries] == [1, 3]
        assert found.torn == (said,)


def test_a_line_without_its_newline_is_an_entry(tmp_path: Path) -> None:
    """Only the newline was lost: the entry counts, and the next one begins a line of its own."""
    path = cost_ledger.append(tmp_path, rental(1))
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    cost_ledger.append(tmp_path, rental(2))
    assert [one.cycle for one in cost_ledger.read(tmp_path).entries] == [1, 2]


@pytest.mark.parametrize(
    ("field", "value"), [("usd", -1), ("outcome", "lost"), ("cycle", "x"), ("host", None)]
)
def test_a_line_that_was_edited_badly_is_named(tmp_path: Path, field: str, value: object) -> None:
    """The error names the file, the line, the field and the value."""
    path = cost_ledger.append(tmp_path, rental())
    path.write_text(json.dumps({**rental().model_dump(mode="json"), field: value}) + "\n")
    with pytest.raises(InputError) as refused:
        cost_ledger.read(tmp_path)
    assert f"{path}: line 1: {field}: " in str(refused.value)
    assert repr(value) in str(refused.value)


def test_an_unwritable_place_is_named(tmp_path: Path) -> None:
    """A folder in the ledger's place is an error with its path, not a traceback."""
    (tmp_path / "cost_ledger.jsonl").mkdir()
    with pytest.raises(InputError, match=r"cost_ledger\.jsonl: is a folder"):
        cost_ledger.append(tmp_path, rental())
