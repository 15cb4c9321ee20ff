"""Scoring a long file by several processes, in flat memory."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tasks.evaluation.hypotheses import write_hypotheses
from tasks.evaluation.incremental_scoring import score_file
from tasks.evaluation.score_summary import summary_as_dict
from tests.support.incremental_scoring_cases import assert_same, many

if TYPE_CHECKING:
    from pathlib import Path


def test_several_processes_count_what_one_does(tmp_path: Path) -> None:
    """A stretch of the file each; figures, intervals and what lies beyond are the same."""
    found = many(3000)
    path = tmp_path / "h.jsonl"
    write_hypotheses(path, found)
    one, two = score_file(path, 1), score_file(path, 2)
    assert_same(one, found)
    first, second = summary_as_dict(one), summary_as_dict(two)
    for name in ("n", "ker", "ser", "by", "false_keywords", "near_misses", "strict"):
        assert first[name] == second[name]
    assert first["wer"] == pytest.approx(second["wer"])


PEAK = """
import resource, sys
from pathlib import Path
from tasks.evaluation.incremental_scoring import score_file
score_file(Path(sys.argv[1]), 1)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_ten_times_the_rows_take_no_more_memory(tmp_path: Path) -> None:
    """Peak resident memory of a process of its own: within 15 MB."""
    peaks = []
    for n in (3_000, 30_000):
        path = tmp_path / f"{n}.jsonl"
        write_hypotheses(path, many(n))
        done = subprocess.run(
            [sys.executable, "-c", PEAK, path], capture_output=True, text=True, check=True
        )
        peaks.append(int(done.stdout))
    assert peaks[1] - peaks[0] < 15_000
