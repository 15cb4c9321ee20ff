"""The benchmarks of a GPU host: which are left out, and why."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.gpu_figures import BENCHMARKS, GpuBenchmark, reason_to_leave_out

NOTHING: dict[str, Path | None] = {"script": None, "older": None}
ALL: dict[str, Path | None] = {"script": Path("s.py"), "older": Path("tree")}


def named(name: str) -> GpuBenchmark:
    """The benchmark of a name."""
    return next(one for one in BENCHMARKS if one.name == name)


def test_a_host_with_everything_runs_all() -> None:
    """Names are unique: each benchmark has its own files."""
    assert [reason_to_leave_out(one, 2, ALL, 2000.0) for one in BENCHMARKS] == [""] * len(
        BENCHMARKS
    )
    assert len({one.name for one in BENCHMARKS}) == len(BENCHMARKS)


@pytest.mark.parametrize(
    ("name", "gpus", "given", "left_s", "reason"),
    [
        ("texts", 0, ALL, 2000.0, "needs 1 GPU(s), and this host has 0"),
        ("two-gpus", 1, ALL, 2000.0, "needs 2 GPU(s), and this host has 1"),
        ("epochs", 1, NOTHING, 2000.0, "needs --stock-script"),
        ("demo", 1, NOTHING, 2000.0, "needs --against"),
        ("rehearsal", 1, NOTHING, 299.0, "needs 300 s, and 299 s are left"),
        ("rehearsal", 1, NOTHING, -3.0, "needs 300 s, and 0 s are left"),
        ("rehearsal", 1, NOTHING, 300.0, ""),
    ],
)
def test_what_is_missing_is_named(
    name: str, gpus: int, given: dict[str, Path | None], left_s: float, reason: str
) -> None:
    """A benchmark that cannot end is not begun."""
    assert reason_to_leave_out(named(name), gpus, given, left_s) == reason
