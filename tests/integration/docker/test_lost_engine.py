"""An engine that goes away while a container trains: restarted, killed, and the start after it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tasks.runtimes import docker_engine
from tasks.runtimes.failures import Fault, FaultError
from tasks.training import sft
from tests.support import docker_daemon
from tests.support.needs import require
from tests.support.shell_launchers import GOOD, LABELS, SAVE, request_for, runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ENGINE = Path(__file__).parents[3] / "deployments" / "engine" / "engine.sh"


@pytest.fixture
def control(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Up and down with an engine of the test's own, which may be killed."""
    docker_daemon.client()
    require("root", "dockerd", "curl")
    # A socket's path may have no more than 107 characters.
    home = Path("/var/tmp") / f"flywheel-test-{os.getpid()}"  # noqa: S108
    environment = {
        **os.environ,
        "FLYWHEEL_ENGINE_DIR": str(home),
        "FLYWHEEL_ENGINE_SOCKET": str(home / "docker.sock"),
    }
    monkeypatch.setenv("DOCKER_HOST", f"unix://{home}/docker.sock")

    def control(verb: str) -> None:
        if verb == "kill":
            for file in (home / "docker.pid", home / "exec" / "containerd" / "containerd.pid"):
                os.kill(int(file.read_text()), signal.SIGKILL)
        elif verb == "restart":
            pid = int((home / "docker.pid").read_text())
            os.kill(pid, signal.SIGTERM)
            while (
                Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_text()
            ):
                time.sleep(0.1)
            control("up")
        else:
            subprocess.run(["bash", str(ENGINE), verb], env=environment, check=True)

    control("up")
    try:
        yield control
    finally:
        control("down")
        shutil.rmtree(home, ignore_errors=True)


def test_an_engine_that_goes_away(
    control: Callable[[str], None],
    play_launcher: Callable[[str], None],
    tmp_path: Path,
    lower_nemo: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Restarted, it stopped the run; killed, it is lost. The next start clears up and finishes."""
    request = request_for(tmp_path, lower_nemo)

    def train_while(what: str) -> Fault:
        play_launcher("echo up; sleep 600")

        def happen() -> None:
            log = request.work_dir / "training.log"
            while not (log.exists() and "up" in log.read_text()):
                time.sleep(0.1)
            control(what)

        meanwhile = threading.Thread(target=happen)
        meanwhile.start()
        with pytest.raises(FaultError) as failed:
            sft.train(request, runtime(docker_daemon.client()), lambda _: None)
        meanwhile.join()
        assert not request.model_dir.exists()
        return failed.value.fault

    assert train_while("restart") is Fault.STOPPED
    assert docker_engine.orphans(docker_daemon.client(), LABELS) == []
    monkeypatch.setattr(docker_engine, "_ENGINE_BACK_S", 1)
    assert train_while("kill") is Fault.ENGINE_LOST
    control("up")
    play_launcher(GOOD + SAVE)
    result = sft.train(request, runtime(docker_daemon.client()), lambda _: None)
    assert result.model.read_bytes() == lower_nemo.read_bytes()
    assert docker_engine.orphans(docker_daemon.client(), LABELS) == []
