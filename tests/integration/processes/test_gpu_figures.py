"""The benchmarks of a GPU host as processes: what is written of each, and who is ended."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from benchmarks import gpu_figures
from benchmarks.gpu_figures import GpuBenchmark, run_one
from tasks.runtimes import hardware

if TYPE_CHECKING:
    from pathlib import Path

SLEEPS = (
    "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
)


def test_a_benchmark_beyond_its_limit_is_ended_with_its_children(tmp_path: Path) -> None:
    """Nothing of it is left that could disturb the next one."""
    started = time.monotonic()
    ended = run_one(
        [sys.executable, "-c", f"print('begun', flush=True); {SLEEPS}"], tmp_path / "log", 2
    )
    assert ended["exit_code"] is None
    assert 2 <= time.monotonic() - started < 30
    assert (tmp_path / "log").read_text() == "begun\n"


def test_one_that_fails_does_not_end_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record has each; the exit code tells of a failure."""
    planned = (
        GpuBenchmark("fails", ("-c", "raise SystemExit(3)"), 1, 20, gpus=0),
        GpuBenchmark("writes", ("-c", "print('{budget}', '{out}')"), 1, 50, gpus=0),
        GpuBenchmark("two", ("-c", ""), 1, 20, gpus=2),
    )
    monkeypatch.setattr(gpu_figures, "BENCHMARKS", planned)
    monkeypatch.setattr(hardware, "detect", lambda: hardware.Hardware((), 2))
    monkeypatch.setattr(sys, "argv", ["gpu_figures", "--out", str(tmp_path / "made")])
    with pytest.raises(SystemExit) as exited:
        gpu_figures.main()
    assert exited.value.code == 1
    record = json.loads((tmp_path / "made" / "figures.json").read_text())["benchmarks"]
    assert (record["fails"]["exit_code"], record["writes"]["exit_code"]) == (3, 0)
    assert record["two"] == {"left_out": "needs 2 GPU(s), and this host has 0"}
    assert (tmp_path / "made" / "writes.log").read_text() == f"30 {tmp_path / 'made' / 'writes'}\n"


@pytest.mark.by_night
def test_every_command_is_understood(tmp_path: Path) -> None:
    """An option that a benchmark no longer has would be found on a rented host only."""
    given = {"out": tmp_path / "x", "script": tmp_path, "older": tmp_path, "budget": 1}
    for benchmark in gpu_figures.BENCHMARKS:
        arguments = [one.format_map(given) for one in benchmark.arguments]
        # A value that is no choice is refused at once, an option that is unknown only without it.
        asked = subprocess.run(
            [sys.executable, *arguments, "--help"], capture_output=True, text=True, check=False
        )
        assert asked.returncode == 0, asked.stderr
        options = [one for one in arguments if one.startswith("--")]
        assert [one for one in options if one not in asked.stdout] == []
