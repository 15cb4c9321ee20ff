"""A whole site on one machine: server, GPU pool, deployments, blocks and a worker, on loopback.

For trying out and for a team of one; deployments/compose.yaml is a site for several. Everything it
writes lies in one folder. ``down`` ends what ``up`` started and keeps the folder.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx

from flows.deployment_names import POOL, PROJECT
from tasks.common import atomic_files
from tasks.common.errors import FlywheelError
from tasks.common.processes import group_lives, process_status
from tasks.common.shell_words import in_shell

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_WAIT_S = 120.0
_GRACE_S = 10.0


@dataclass(frozen=True, slots=True)
class Site:
    """A site's folder and port.

    Attributes:
        folder: holds the database, the logs and the processes' ids.
        port: of server and UI.
        settings: more of Prefect's, such as another database or credentials.
    """

    folder: Path
    port: int
    settings: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def url(self) -> str:
        """The address of the UI."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """The environment that connects Prefect's programs to this site."""
        return {
            **os.environ,
            "PREFECT_HOME": str(self.folder / "prefect"),
            "PREFECT_API_URL": f"{self.url}/api",
            "PREFECT_SERVER_UI_API_URL": f"{self.url}/api",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            # A run goes on through a restart of the server.
            "PREFECT_CLIENT_MAX_RETRIES": "8",
            "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "false",
            # The command line silences it, and the logs of server and worker would be empty.
            "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "INFO",
            # A schedule that is set now may fire within a minute.
            "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "10",
            # On disk: a restarted server still knows who holds a GPU slot. In memory, its default,
            # it forgets the holder but not the slot, which then stays taken for ever.
            "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage."
            "filesystem",
            # What the automation "lost runs" listens to.
            "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "60",
            **self.settings,
        }

    def up(self, runs_at_once: int = 4) -> None:
        """Start what does not run yet; again is as good as once.

        Raises:
            FlywheelError: a part did not start; names its log.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self.start_server()
        self.configure()
        self.start_worker(runs_at_once)

    def start_server(self) -> None:
        """Start the server and wait until it answers.

        Raises:
            FlywheelError: it does not, and its log says why; or the port is somebody else's.
        """
        if self._is_running("server"):
            if (port := self._read_record("server").get("port", self.port)) != self.port:
                raise FlywheelError(
                    f"{self.folder}: this site runs on port {port}. Fix: use that one, or end it: "
                    f"asr-flywheel site down --dir {in_shell(self.folder)}"
                )
        elif self.answers():
            # It would answer for ours, and get our deployments and a worker of ours.
            raise FlywheelError(
                f"port {self.port}: another Prefect server answers there. "
                "Fix: choose another port, or end that server."
            )
        program = [sys.executable, "-m", "asr_flywheel.site.server"]
        self._start("server", [*program, "--host", "127.0.0.1", "--port", str(self.port)])
        deadline = time.monotonic() + _WAIT_S
        while not self.answers():
            if time.monotonic() > deadline or not self._is_running("server"):
                raise FlywheelError(
                    f"the server did not start on port {self.port}. Fix: see "
                    f"{self.folder / 'server.log'}; is the port taken?"
                )
            time.sleep(0.2)

    def answers(self) -> bool:
        """Return whether a server answers there."""
        with suppress(httpx.HTTPError):
            return httpx.get(f"{self.url}/api/health", timeout=3).status_code == httpx.codes.OK
        return False

    def configure(self) -> None:
        """Make pool, deployments and block types on the server.

        Raises:
            FlywheelError: Prefect refuses; holds its words.
        """
        self._run(["-m", "asr_flywheel.site.register"])

    def start_worker(self, runs_at_once: int = 4) -> None:
        """Start a worker of the GPU pool."""
        arguments = ["worker", "--pool", POOL, "--at-once", str(runs_at_once)]
        self._start("worker", [sys.executable, "-m", "asr_flywheel.cli", *arguments])

    def down(self) -> list[str]:
        """End worker and server, in this order.

        Returns:
            The names of what was ended.
        """
        return [name for name in ("worker", "server") if self.stop(name)]

    def stop(self, name: str, first_signal: signal.Signals = signal.SIGINT) -> bool:
        """End one of the processes with all its children; whether there was one."""
        pid = self._find_pid(name)
        self._record_path(name).unlink(missing_ok=True)
        if pid is None:
            return False
        for kind in (first_signal, signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(pid, kind)
            deadline = time.monotonic() + _GRACE_S
            while group_lives(pid) and time.monotonic() < deadline:
                time.sleep(0.1)
            if not group_lives(pid):
                break
        return True

    def _run(self, arguments: Sequence[str]) -> None:
        process = subprocess.run(
            [sys.executable, *arguments],
            cwd=PROJECT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if process.returncode != 0:
            raise FlywheelError(f"{' '.join(arguments)}:\n{process.stdout}{process.stderr}")

    def _start(self, name: str, line: Sequence[str]) -> None:
        if self._is_running(name):
            return
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                line,
                cwd=PROJECT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        noted = {"pid": process.pid, "started": _start_time(process.pid), "port": self.port}
        atomic_files.write_json(self._record_path(name), noted)

    def _record_path(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    def _read_record(self, name: str) -> dict[str, Any]:
        """Read the record of a process from its start; {} if there is none."""
        if not self._record_path(name).is_file():
            return {}
        return dict(json.loads(self._record_path(name).read_text(encoding="utf-8")))

    def _find_pid(self, name: str) -> int | None:
        """Return the process's id, if it is still the one that was started."""
        if not (noted := self._read_record(name)):
            return None
        pid = int(noted["pid"])
        return pid if noted["started"] and _start_time(pid) == noted["started"] else None

    def _is_running(self, name: str) -> bool:
        return self._find_pid(name) is not None


def _start_time(pid: int) -> str:
    """Return the start time of a process that runs, else an empty string."""
    status = process_status(pid)
    return "" if status is None or status.is_zombie else status.started
