"""The benchmark of engines: the best turn counts, and texts are compared with NeMo's."""

from __future__ import annotations

from typing import Any

from benchmarks import edge_runtimes


def turn(wall: float, texts: list[str]) -> dict[str, Any]:
    """One turn of an arm."""
    return {
        "texts": texts,
        "load_s": wall,
        "bytes": 2_000_000,
        "peak_bytes": int(wall * 1e8),
        "latencies": [wall / 10] * 20,
        "one_by_one": [wall, wall / 2],
        "batches": [wall / 2, wall / 4],
    }


def test_the_better_turn_counts() -> None:
    """A busy machine troubles one of them; what differs from NeMo is counted."""
    found = edge_runtimes.summarise([turn(4.0, ["a", "x"]), turn(2.0, ["a", "x"])], 100, ["a", "b"])
    assert found["equal_texts"] == 1
    assert (found["rtfx_one_by_one"], found["rtfx_batches"]) == (50, 100)
    assert found["processor_ms_a_second_batches"] == 5
    assert (found["latency_ms_median"], found["peak_megabytes"]) == (200, 200)


def test_batches_hold_recordings_of_like_length() -> None:
    """The longest come first."""
    groups = edge_runtimes._by_length([float(n) for n in range(40)], 16)
    assert [len(group) for group in groups] == [16, 16, 8]
    assert groups[0][0] == 39
