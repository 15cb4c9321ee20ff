"""The trial of decoding: what a text, a failure and a busy GPU are called."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tasks.runtimes.base import Job, JobResult
from tasks.stages import trial_decoding
from tasks.stages.check_result import CheckStatus
from tests.support.host_checks_cases import no_engine, run_context
from tests.support.hosts import CPU

if TYPE_CHECKING:
    from collections.abc import Callable


class Decoder:
    """A runtime whose decoder writes a text, or fails with a log."""

    hardware = CPU

    def __init__(self, text: str | None, log: str = "") -> None:
        self.text, self.log = text, log

    def path_mapper(self, *_: object) -> Callable[[Path], str]:
        """Every path is itself."""
        return str

    def execute(
        self, job: Job, on_line: Callable[[str], None], poll: Callable[[], None]
    ) -> JobResult:
        """Write what a decoder would."""
        job.work.mkdir(parents=True, exist_ok=True)
        job.log.write_text(self.log)
        if self.text is None:
            return JobResult(1)
        (one,) = job.request["jobs"][0]["sets"]
        Path(one["out"]).write_text(json.dumps({"audio": one["audio"][0], "hyp": self.text}) + "\n")
        on_line(json.dumps({"event": "model", "how": "CTC in float32 on cpu"}))
        on_line(json.dumps({"event": "set", "seconds": 0.5}))
        return JobResult(0)


@pytest.mark.parametrize(
    ("runtime", "state", "says"),
    [
        (Decoder("take a seat"), CheckStatus.OK, "CTC in float32 on cpu"),
        (Decoder("take a sheet"), CheckStatus.MISSING, "'take a sheet'"),
        (Decoder(None, "UnpicklingError: no\n"), CheckStatus.MISSING, "UnpicklingError"),
        (
            Decoder(None, "GpuBusy: another job holds GPU 1\n"),
            CheckStatus.NOTE,
            "not tried: gpu-busy",
        ),
    ],
)
def test_what_a_second_of_speech_decodes_to_is_told(
    monkeypatch: pytest.MonkeyPatch, runtime: Decoder, state: CheckStatus, says: str
) -> None:
    """The right text passes; another one or a failure is missing; a busy GPU is no fault."""
    monkeypatch.setattr(trial_decoding, "_make_runtime", lambda _: runtime)
    found = trial_decoding.decode(run_context()).finding
    assert found.state is state
    assert says in found.says


def test_decoding_is_not_tried_without_nemo_or_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other checks say so already."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert trial_decoding.decode(run_context()).finding.state is CheckStatus.NOTE
    no_engine(monkeypatch)
    assert trial_decoding.decode(run_context("container")).finding.state is CheckStatus.NOTE
