"""The rehearsal's commands: ended in time, recorded when they fail."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from threading import Barrier, Thread
from typing import TYPE_CHECKING, Any

import pytest

from asr_flywheel import rehearsal as runner
from asr_flywheel.rehearsal_commands import Commands, FailedError, RehearsalPlan, SkippedError
from tasks.records.rehearsal import Failure, StepStatus
from tests.support.rehearsal_cases import plan, step

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(autouse=True)
def _own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


def test_a_failed_step_is_recorded_and_the_next_ones_go_on(tmp_path: Path) -> None:
    """A command that fails, one that a signal ends, a bug of ours, and a step that cannot run."""

    def fails(_: RehearsalPlan, commands: Commands) -> dict[str, Any]:
        commands.program("-c", "import pickle; raise pickle.UnpicklingError('secret of a user')")
        return {}

    def killed(_: RehearsalPlan, commands: Commands) -> dict[str, Any]:
        commands.program("-c", "import os; os.kill(os.getpid(), 9)")
        return {}

    def buggy(*_: object) -> dict[str, Any]:
        raise KeyError("secret of a user")

    def cannot(*_: object) -> dict[str, Any]:
        raise SkippedError("no GPU")

    def passes(_: RehearsalPlan, commands: Commands) -> dict[str, Any]:
        return {"printed": len(commands.program("-c", "print('hello')"))}

    here = plan(tmp_path / "out")
    done: list[Callable[[RehearsalPlan, Commands], dict[str, Any]]]
    done = [fails, killed, buggy, cannot, passes]
    wanted = [step(str(n), do) for n, do in enumerate(done)]
    record = runner.rehearse(here, runner.begin(here), wanted)
    states = [(one.state, one.failure) for one in record.steps]
    assert states == [
        (StepStatus.FAILED, Failure("UnpicklingError", 1)),
        (StepStatus.FAILED, Failure("SIGKILL", -9)),
        (StepStatus.FAILED, Failure("KeyError")),
        (StepStatus.SKIPPED, None),
        (StepStatus.PASSED, None),
    ]
    assert not record.ok
    assert "secret" not in here.record_path.read_text()
    assert "secret of a user" in (here.out / "logs" / "0.log").read_text()


def test_a_command_that_hangs_is_ended(tmp_path: Path) -> None:
    """With its own name in the record, and the option that allows more."""
    commands = Commands(replace(plan(tmp_path), limit_s=1), "demo")
    with pytest.raises(FailedError) as failed:
        commands.program("-c", "import time; time.sleep(60)")
    assert failed.value.failure == Failure("TimeoutExpired")
    assert failed.value.reason == "ran over 1 s; --limit-s allows more"


def test_steps_at_a_time_may_wait_for_each_other(tmp_path: Path) -> None:
    """One job at a time is on a GPU, so a step that runs beside two has three times the seconds."""
    limits: dict[str, float] = {}

    def notes(_: RehearsalPlan, commands: Commands) -> dict[str, Any]:
        limits[commands.step] = commands.limit_s
        return {}

    here = replace(plan(tmp_path / "out"), jobs=3, limit_s=7.0)
    first = replace(step("doctor", notes), alone=True)
    later = [step(str(n), notes) for n in range(5)]
    assert runner.rehearse(here, runner.begin(here), [first, *later]).ok
    assert limits == {"doctor": 7.0} | dict.fromkeys("01234", 21.0)
    alone = replace(here, jobs=1)
    runner.rehearse(alone, runner.begin(alone), later)
    assert limits["0"] == 7.0


def test_a_stopped_rehearsal_ends_the_programs_of_its_threads(tmp_path: Path) -> None:
    """Its steps are no failures of the record, and start nothing more; a second start runs them."""
    here = replace(plan(tmp_path / "out"), jobs=2)
    begun = Barrier(3)

    def works(_: RehearsalPlan, commands: Commands) -> dict[str, Any]:
        program = commands.start("-c", "import time; time.sleep(60)")
        begun.wait()
        commands.wait(program, 60)
        with pytest.raises(FailedError, match="stopped"):
            commands.start("-c", "print('never')")
        return {}

    def interrupt() -> None:
        begun.wait()
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    stopping = Thread(target=interrupt)
    stopping.start()
    began = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            runner.rehearse(here, runner.begin(here), [step("1", works), step("2", works)])
    finally:
        stopping.join()
        signal.signal(signal.SIGINT, before)
    assert time.monotonic() - began < 30
    assert not here.record_path.exists()
