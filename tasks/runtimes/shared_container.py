"""One container for all programs of a run, which are forks of one import of NeMo in it.

Its process (tasks/entrypoints/program_server.py) connects to a socket of the run's process, and
ends when that is closed: by the run's end, or by whatever ends the run's process. A job's files are
lent to it while the job runs (exchange_folder.py). What a job reads has the path that it has in a
container of its own, as a link to where the shared one has it. So a job may run in either.

One job runs at a time. A second one, one that reads what was not mounted, and all jobs of a
container whose server ends by itself, get containers of their own.
"""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tasks.runtimes.base import JobResult
from tasks.runtimes.docker_engine import GRACE_S, OutputLines
from tasks.runtimes.program_server import ServerGoneError, send_program

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path, PurePosixPath

    from tasks.runtimes.base import Job
    from tasks.runtimes.container_settings import Bind
    from tasks.runtimes.docker_engine import StartedContainer
    from tasks.runtimes.exchange_folder import ExchangeFolder
    from tasks.runtimes.program_server import ServedProgram

_POLL_S = 0.25
# An image's own first program may look for GPUs before it starts ours.
_CONNECT_S = 120.0


class NotSharedError(Exception):
    """A job that the shared container cannot run, and why; nothing of it has begun."""


@dataclass
class SharedContainer:
    """A container that runs one program after the other.

    Attributes:
        key: of the runtime whose jobs it runs.
        exchange: where it and the host meet.
        started: the container.
        mounts: folders and files here, and where it has them.
        report: gets lines for people.
    """

    key: object
    exchange: ExchangeFolder
    started: StartedContainer
    mounts: tuple[Bind, ...]
    report: Callable[[str], None]
    _listener: socket.socket
    _server: socket.socket | None = None
    _broken: str = ""
    _busy: threading.Lock = field(default_factory=threading.Lock)

    def run(
        self,
        job: Job,
        inputs: Sequence[Bind],
        request: Mapping[str, Any],
        on_line: Callable[[str], None],
        poll: Callable[[], None],
    ) -> JobResult:
        """Run a job to its end.

        Args:
            job: whose request is written.
            inputs: what it reads, and where a container of its own would have it.
            request: for the server: "argv", "cwd", "more".
            on_line: gets each line of its output.
            poll: is called a few times a second; what it raises stops the job.

        Raises:
            NotSharedError: the job must have a container of its own.
            FaultError: the engine went away, or somebody removed the container.
        """
        if not self._busy.acquire(blocking=False):
            raise NotSharedError("another program runs in the shared one")
        try:
            links = {bind.target.name: self._inside(bind.source) for bind in inputs}
            server = self._connected(poll)
            with self._lent(job.work), job.log.open("wb") as log:
                self.exchange.link_inputs(links)
                log.write(self.started.output())  # as a container of its own begins
                log.flush()
                program = self._begun(server, request, log.fileno(), poll)
                try:
                    _follow(program, job.log, on_line, poll)
                except BaseException:
                    self._stop(program, server)
                    raise
            return self._result(program)
        finally:
            self._busy.release()

    def _inside(self, path: Path) -> PurePosixPath:
        """Return where the container has a file or folder."""
        real = path.resolve()
        for bind in self.mounts:
            # The engine names a folder that is gone; a program would name its first file.
            if real.is_relative_to(bind.source) and real.exists():
                return bind.target / real.relative_to(bind.source)
        raise NotSharedError(f"{path} was not mounted when the shared one was started")

    def _connected(self, poll: Callable[[], None]) -> socket.socket:
        deadline = time.monotonic() + _CONNECT_S
        while self._server is None and not self._broken:
            self._listener.settimeout(_POLL_S)
            with suppress(TimeoutError):
                self._server, _ = self._listener.accept()
                self._server.settimeout(None)
                self._listener.close()
                break
            if not self.started.is_running():
                self._end(self._last_words())
            elif time.monotonic() > deadline:
                self._end(f"it has not connected within {_CONNECT_S:.0f} s")
            else:
                poll()
        if self._server is None:
            raise NotSharedError(self._broken)
        return self._server

    @contextmanager
    def _lent(self, work: Path) -> Iterator[None]:
        try:
            self.exchange.take(work)
        except OSError as wrong:
            raise NotSharedError(f"its files cannot be moved ({wrong})") from wrong
        try:
            yield
        finally:
            self.exchange.give_back()

    def _begun(
        self,
        server: socket.socket,
        request: Mapping[str, Any],
        log: int,
        poll: Callable[[], None],
    ) -> ServedProgram:
        try:
            program = send_program(server, request, log)
            while not program.has_begun(_POLL_S):
                poll()
        except ServerGoneError:
            self._end(self._last_words())
            raise NotSharedError(self._broken) from None
        except BaseException:
            # It imports still, and would begin the program when nobody waits for it.
            self._end("it was stopped")
            raise
        return program

    def _stop(self, program: ServedProgram, server: socket.socket) -> None:
        """Stop a program and its children, as a container is stopped."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(OSError, subprocess.TimeoutExpired):
                server.send(f"signal {program.pid} {number}".encode())
                program.wait(GRACE_S)
            if program.poll() is not None:
                return
        self._end("a program of it could not be stopped")

    def _result(self, program: ServedProgram) -> JobResult:
        if program.server_is_gone:
            try:
                return self.started.ended()
            finally:
                self._end("its server was ended from outside")
        code = program.wait()
        # As a container tells a signal.
        code = code if code >= 0 else 128 - code
        return JobResult(code, program.oom_kills > 0, self.started.digest)

    def _last_words(self) -> str:
        lines = self.started.output().decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else "it ended, or was removed, and said nothing"

    def _end(self, why: str) -> None:
        """End the container; nothing runs in it any more."""
        self._broken = why
        self.leave()
        self.started.remove()

    def leave(self) -> None:
        """Let go of the container, whose server then ends."""
        for one in (self._listener, self._server):
            if one is not None:
                one.close()
        self._server = None

    def close(self) -> None:
        """End the container, and remove the folder."""
        self._end(self._broken or "it was closed")
        self.exchange.remove()


def _follow(
    program: ServedProgram, log: Path, on_line: Callable[[str], None], poll: Callable[[], None]
) -> None:
    """Pass on a program's output, line by line, until it has ended."""
    lines = OutputLines(on_line)
    with log.open("rb") as reader:
        running = True
        while running:
            running = program.poll() is None
            lines.feed(reader.read())
            poll()
            if running:
                time.sleep(_POLL_S)
    lines.close()
