"""What a rehearsal is made of: its choices, a step, and the commands that a step starts."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tasks.common.processes import end_with_parent
from tasks.records import rehearsal
from tasks.records.rehearsal import Failure

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tasks.runtimes.hardware import Hardware

LIMIT_S = 600.0
"""Of a command that runs alone: a step that hangs ends, and the next ones go on."""


class SkippedError(Exception):
    """A step cannot run here; the message says why."""


class FailedError(Exception):
    """A step failed.

    Attributes:
        failure: what the record says.
        figures: what was measured before.
    """

    def __init__(
        self, failure: Failure, reason: str = "", figures: dict[str, Any] | None = None
    ) -> None:
        super().__init__(reason)
        self.failure = failure
        self.reason = reason
        self.figures = figures or {}


@dataclass(frozen=True, slots=True)
class RehearsalPlan:
    """The choices of a rehearsal, and its host.

    Attributes:
        out: folder of the record, the logs and the cycles.
        host: this machine.
        base: the user's base; None for the bundled ones.
        image: of the container runtime; None for the local runtime.
        trust: whether the user's base may hold more than weights.
        jobs: steps at a time, once doctor is done; a lock lets one job at a time on a GPU.
        limit_s: seconds of a command that runs alone; beside other steps each of them adds as many.
    """

    out: Path
    host: Hardware
    base: Path | None = None
    image: str | None = None
    jobs: int = 1
    trust: bool = False
    limit_s: float = LIMIT_S
    speech_lock: threading.Lock = field(default_factory=threading.Lock, compare=False, repr=False)

    @property
    def demo(self) -> Path:
        """The demo's folder."""
        return self.out / "demo"

    @property
    def speech(self) -> Path:
        """The folder of the other steps' synthetic speech: cycle1 and general."""
        return self.out / "speech"

    @property
    def runtime(self) -> list[str]:
        """The options that choose the runtime."""
        if self.image is None:
            return []
        return ["--runtime", "container", "--image", self.image]

    @property
    def options(self) -> list[str]:
        """Return the options that choose the runtime and let commands load the user's base."""
        return [*self.runtime, *(["--trust"] if self.trust else [])]

    @property
    def record_path(self) -> Path:
        """The record's file."""
        return self.out / "rehearsal.json"


@dataclass(frozen=True, slots=True)
class RehearsalStep:
    """One rehearsed step.

    Attributes:
        name: as ``--only`` takes it.
        does: what it does, for people.
        run: does it and returns its figures.
        alone: whether no other step may run beside it.
    """

    name: str
    does: str
    run: Callable[[RehearsalPlan, Commands], dict[str, Any]]
    alone: bool = False


@dataclass(frozen=True, slots=True)
class StartedProgram:
    """A program that was started, and where its output begins in the log."""

    process: subprocess.Popen[bytes]
    begins: int

    def end(self) -> None:
        """End it if it still runs; the kernel ends its jobs with it."""
        for ask in (self.process.terminate, self.process.kill):
            if self.process.poll() is not None:
                return
            ask()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(15)


@dataclass(slots=True)
class StartedPrograms:
    """All programs that a rehearsal's steps start, so that a signal can end them.

    Attributes:
        is_stopped: whether it has; what is started after it ends at once.
    """

    is_stopped: bool = False
    _started: list[StartedProgram] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, program: StartedProgram) -> StartedProgram:
        """Know of a program that was started just now, and return it.

        Raises:
            FailedError: the rehearsal was stopped.
        """
        with self._lock:
            self._started = [one for one in self._started if one.process.poll() is None]
            self._started.append(program)
            if not self.is_stopped:
                return program
        program.end()
        raise FailedError(Failure("Stopped"), "the rehearsal was stopped")

    def end_all(self) -> None:
        """End all of them; the steps that wait for them end too."""
        with self._lock:
            self.is_stopped = True
        for program in self._started:
            program.process.terminate()
        for program in self._started:
            program.end()


@dataclass
class Commands:
    """Starts commands for one step and keeps what they print.

    Attributes:
        plan: of the rehearsal.
        step: its name.
        at_once: how many steps run at a time, this one included.
    """

    plan: RehearsalPlan
    step: str
    programs: StartedPrograms = field(default_factory=StartedPrograms)
    at_once: int = 1
    _log: Path = field(init=False)

    def __post_init__(self) -> None:
        self._log = self.plan.out / "logs" / f"{self.step}.log"
        self._log.parent.mkdir(parents=True, exist_ok=True)

    @property
    def limit_s(self) -> float:
        """Seconds that one command may take: it may wait for the GPU while all others use it."""
        return self.plan.limit_s * self.at_once

    def flywheel(self, *arguments: str | Path) -> str:
        """Run an `asr-flywheel` command to its end and return what it printed.

        Raises:
            FailedError: it did not end with exit code 0.
        """
        return self.program("-m", "asr_flywheel", *arguments)

    def program(self, *arguments: str | Path) -> str:
        """Run a Python program to its end and return what it printed.

        Raises:
            FailedError: it did not end with exit code 0.
        """
        code, printed = self.wait(self.start(*arguments), self.limit_s)
        if code != 0:
            raise FailedError(rehearsal.failure(printed, code))
        return printed

    def start(self, *arguments: str | Path) -> StartedProgram:
        """Start a Python program with the interpreter of this process.

        Raises:
            FailedError: the rehearsal was stopped.
        """
        line = [*end_with_parent(), sys.executable, *map(str, arguments)]
        with self._log.open("ab") as out:
            out.write(f"$ {' '.join(line)}\n".encode())
            out.flush()
            output_start = out.tell()
            process = subprocess.Popen(
                line,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=self.plan.out,
                env=self._make_environment(),
            )
        return self.programs.add(StartedProgram(process, output_start))

    def wait(self, program: StartedProgram, limit_s: float) -> tuple[int, str]:
        """Return a program's exit code and output; end one that runs too long.

        Raises:
            FailedError: it ran longer than ``limit_s``.
        """
        try:
            code = program.process.wait(limit_s)
        except subprocess.TimeoutExpired as timeout:
            program.end()
            reason = f"ran over {limit_s:.0f} s; --limit-s allows more"
            raise FailedError(Failure("TimeoutExpired"), reason) from timeout
        finally:
            program.end()
        return code, self._read_output(program)

    def _read_output(self, program: StartedProgram) -> str:
        with self._log.open("rb") as log:
            log.seek(program.begins)
            return log.read().decode("utf-8", errors="replace")

    def _make_environment(self) -> dict[str, str]:
        """Return an environment with a Prefect of the step's own, apart from the user's site."""
        without = {"PREFECT_API_URL", "PREFECT_API_KEY", "PREFECT_PROFILE"}
        environment = {name: value for name, value in os.environ.items() if name not in without}
        home = self.plan.out / "prefect" / self.step
        home.mkdir(parents=True, exist_ok=True)
        return {
            **environment,
            "PREFECT_HOME": str(home),
            # A new home's server makes its database first, several of them at a time.
            "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
            "PYTHONUNBUFFERED": "1",
        }
