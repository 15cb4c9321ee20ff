"""The pairs of the strict view: no dangerous one is called equal."""

from __future__ import annotations

import pytest

from benchmarks.strict_view import DATA, StrictPair, judge, main, read_pairs

FILES = sorted(DATA.glob("strict_pairs_*.jsonl"))


@pytest.mark.parametrize("name", [path.name for path in FILES])
def test_no_dangerous_pair_is_called_equal(name: str) -> None:
    """And at most one harmless pair in twenty is called different."""
    result = judge(read_pairs(DATA / name))
    assert result.dangerous >= 25
    assert result.harmless >= 25
    assert result.misses == ()
    assert len(result.false_alarms) <= 0.05 * result.harmless


def test_there_are_four_hundred_pairs_of_two_writers() -> None:
    """Half of each dangerous, and no pair twice."""
    for name in ("own", "blind"):
        pairs = read_pairs(DATA / f"strict_pairs_{name}.jsonl")
        assert len({(pair.reference, pair.hypothesis) for pair in pairs}) == 200
        assert sum(pair.dangerous for pair in pairs) == 100


def test_a_miss_and_a_false_alarm_are_told_apart() -> None:
    """By what the pair says of itself."""
    miss = StrictPair("5 mg", "5 milligrams", "unit", dangerous=True, source="")
    alarm = StrictPair("5 mg", "6 mg", "number", dangerous=False, source="")
    result = judge([miss, alarm])
    assert (result.misses, result.false_alarms) == ((miss,), (alarm,))


def test_the_benchmark_prints_each_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With its counts."""
    monkeypatch.setattr("sys.argv", ["strict_view"])
    main()
    printed = capsys.readouterr().out
    assert all(path.name in printed for path in FILES)
    assert "0 of 100 dangerous pairs called equal" in printed
