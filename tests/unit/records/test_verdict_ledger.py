"""How many verdicts the same held-out rows have given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.common import atomic_files, hashing
from tasks.data.cycle_folder import open_cycle
from tasks.records import verdict_ledger

if TYPE_CHECKING:
    from pathlib import Path


def test_each_model_counts_once_and_other_rows_for_themselves(cycle: Path) -> None:
    """The same model judged again is no new look; another split has its own count."""
    opened = open_cycle(cycle)
    rows = ["a", "b"]
    assert verdict_ledger.record(opened, rows, "first", "discard") == 1
    assert verdict_ledger.record(opened, rows[::-1], "first", "discard") == 1
    assert verdict_ledger.record(opened, rows, "second", "keep") == 2
    assert verdict_ledger.record(opened, ["a", "c"], "second", "keep") == 1
    assert verdict_ledger.record(opened, rows, "third", "keep", before=2) == 5


def test_few_verdicts_need_no_remark() -> None:
    """From the third on the number is told; a record of an older version knows none."""
    assert [verdict_ledger.remark(number) for number in (None, 1, 2)] == [None] * 3
    assert "given 3 verdicts" in (verdict_ledger.remark(verdict_ledger.MANY) or "")


def test_the_same_model_under_other_shifts_is_another_verdict(cycle: Path) -> None:
    """Who draws shifts until one of them keeps is told; a former version decoded rows once."""
    opened, rows = open_cycle(cycle), ["a", "b"]
    assert verdict_ledger.record(opened, rows, "model", "grow", shifts=(0, 40)) == 1
    assert verdict_ledger.record(opened, rows, "model", "grow", shifts=(0, 40)) == 1
    assert verdict_ledger.record(opened, rows, "model", "keep", shifts=(0, 60)) == 2
    former = {"held_out": "x", "model_sha256": "model", "verdict": "keep"}
    path = opened.path / verdict_ledger.NAME
    atomic_files.write_jsonl(path, [{**former, "held_out": hashing.fingerprint(rows)}])
    assert verdict_ledger.record(opened, rows, "model", "keep") == 1
