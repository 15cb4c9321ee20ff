"""A real MLflow server with SQLite, in a process group and an environment of its own."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from tests.support.needs import require
from tests.support.prefect_site import free_port, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlflow.tracking import MlflowClient


class MlflowServer:
    """A server on a fixed free port, which can be killed and started again on the same database."""

    def __init__(self, folder: Path) -> None:
        require("mlflow-server")
        self.folder = folder
        self.uri = f"http://127.0.0.1:{free_port()}"
        self._process: subprocess.Popen[bytes] | None = None

    def on(self) -> None:
        """Start it, and wait until it answers."""
        line = [os.environ["FLYWHEEL_MLFLOW"], "server", "--host", "127.0.0.1", "--workers", "1"]
        line += ["--port", self.uri.rpartition(":")[2]]
        line += ["--backend-store-uri", f"sqlite:///{self.folder}/mlflow.db"]
        line += ["--artifacts-destination", str(self.folder / "artifacts")]
        self._process = subprocess.Popen(
            line,
            cwd=self.folder,
            env={
                **os.environ,
                "PATH": os.pathsep.join([str(Path(line[0]).parent), os.environ["PATH"]]),
                "MLFLOW_DISABLE_TELEMETRY": "true",
                # Scorers and traces, which no test here looks at.
                "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        wait_for(self._answers, 120)

    def off(self) -> None:
        """Kill it, as a host that is switched off does."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.uri}/health", timeout=5).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    @property
    def client(self) -> MlflowClient:
        """MLflow's own client."""
        # Every process of the tier imports this module; MLflow was a third of that.
        from mlflow.tracking import MlflowClient  # noqa: PLC0415 - the reason above

        return MlflowClient(self.uri, self.uri)

    def runs(self, experiment: str) -> list[Any]:
        """The runs of an experiment, the oldest first."""
        found = self.client.get_experiment_by_name(experiment)
        if found is None:
            return []
        runs = self.client.search_runs([found.experiment_id], order_by=["attributes.start_time"])
        return list(runs)

    def files(self, run: Any) -> set[str]:
        """The paths of a run's artifacts."""
        found: set[str] = set()
        folders = [""]
        while folders:
            for one in self.client.list_artifacts(run.info.run_id, folders.pop() or None):
                if one.is_dir:
                    folders.append(one.path)
                else:
                    found.add(one.path)
        return found


@contextmanager
def running_server(folder: Path) -> Iterator[MlflowServer]:
    """Run a server in a new folder, and kill it at the end of the block."""
    folder.mkdir()
    server = MlflowServer(folder)
    server.on()
    try:
        yield server
    finally:
        server.off()
