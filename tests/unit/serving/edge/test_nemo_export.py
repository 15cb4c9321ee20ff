"""NeMo's export is asked for in a process of its own, and its failure is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tasks.common.errors import FlywheelError
from tasks.runtimes.base import JobResult
from tasks.serving.edge import nemo_export

if TYPE_CHECKING:
    from pathlib import Path

    from tasks.runtimes.base import Job


@dataclass
class FakeRuntime:
    """Ends a job with a code; with 0 it leaves what the program leaves."""

    code: int
    job: Any = None

    def path_mapper(self, _work: Path, _reads: object) -> Any:
        """Map each file to itself."""
        return str

    def execute(self, job: Job, *_: object) -> JobResult:
        """Write a log, and with code 0 an export."""
        self.job = job
        job.log.write_text("reading\nValueError: no model\n")
        if not self.code:
            (job.work / "export.json").write_text('{"labels": ["a"], "features": {"nfilt": 80}}')
            arrays: Any = {"0": np.zeros((80, 3)), "1": np.ones((80, 2))}
            np.savez(job.work / "features.npz", **arrays)
        return JobResult(self.code)


def test_the_end_of_the_log_is_in_the_message(tmp_path: Path) -> None:
    """Which model it was, and what NeMo said last."""
    runtime: Any = FakeRuntime(1)
    with pytest.raises(FlywheelError, match=r"(?s)m\.nemo: NeMo could not export.*no model"):
        nemo_export.export(tmp_path / "m.nemo", tmp_path / "work", runtime=runtime)


def test_features_come_back_in_the_order_of_the_recordings(tmp_path: Path) -> None:
    """The program reads model and recordings, and writes into its work folder alone."""
    runtime: Any = FakeRuntime(0)
    recordings = [tmp_path / "b.wav", tmp_path / "a.wav"]
    exported = nemo_export.export(
        tmp_path / "m.nemo", tmp_path / "work", recordings=recordings, runtime=runtime
    )
    assert runtime.job.request["features"] == [str(one) for one in recordings]
    assert runtime.job.reads == (tmp_path / "m.nemo", *recordings)
    assert [one.shape for one in exported.features] == [(80, 3), (80, 2)]
    assert exported.labels == ("a",)
