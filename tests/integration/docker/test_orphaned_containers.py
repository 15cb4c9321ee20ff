"""Containers that a killed run left: which are removed, and which are somebody's."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import pytest

from tasks.common.errors import InputError
from tasks.runtimes import docker_engine, job_owner, orphaned_containers
from tasks.runtimes.base import Job
from tasks.runtimes.container_settings import Bind, ContainerSpec
from tests.support import docker_daemon

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LABELS = {"test": "orphans"}


@pytest.fixture
def client() -> Iterator[Any]:
    """The engine; what a test starts is removed."""
    found = docker_daemon.client()
    yield found
    for left in docker_engine.orphans(found, LABELS):
        left.remove(force=True)


@pytest.fixture
def leave(client: Any, tmp_path: Path) -> Callable[..., Any]:
    """Start a container that writes to a folder, as if this owner had."""
    image = docker_daemon.tiny_image(client)

    def start(
        owner: str, folder: Path = tmp_path, *, waited_s: float | None = None, job: str = "training"
    ) -> Any:
        folder.mkdir(exist_ok=True)
        if waited_s is not None:
            beat = folder / orphaned_containers.HEARTBEAT
            beat.touch()
            os.utime(beat, (time.time() - waited_s,) * 2)
        binds = (Bind(folder, PurePosixPath("/out"), writable=True),)
        labels = {**LABELS, "job": job, "owner": owner}
        spec = ContainerSpec(image, ("sleep", "600"), binds, labels)
        return docker_engine.start(client, spec, lambda _: None).container

    return start


def dead() -> str:
    """The owner that a process was which has ended."""
    program = "from tasks.runtimes import orphaned_containers as orphans; print(orphans.owner())"
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.strip()


def elsewhere() -> str:
    """A process of another host."""
    return f"another-host:{os.getpid()}:1"


def test_what_a_dead_process_left_is_reaped(
    client: Any, leave: Callable[..., Any], tmp_path: Path
) -> None:
    """Unless somebody has just waited for it, it is this process's, or another host's."""
    gone = [leave(dead()).name, leave(dead(), tmp_path / "b", waited_s=60).name]
    kept = [
        leave(dead(), tmp_path / "c", waited_s=1).name,
        leave(job_owner.owner(), tmp_path / "d").name,
        leave(elsewhere(), tmp_path / "e").name,
    ]
    assert set(gone) <= set(orphaned_containers.reap(client))
    assert {one.name for one in docker_engine.orphans(client, LABELS)} == set(kept)


def test_a_shared_container_that_runs_has_an_owner(
    client: Any, leave: Callable[..., Any], tmp_path: Path
) -> None:
    """It ends with it, so that one whose owner cannot be seen here is left alone until then."""
    container = leave(dead(), job=orphaned_containers.SHARED)
    assert container.name not in orphaned_containers.reap(client)
    container.kill()
    container.wait()
    assert container.name in orphaned_containers.reap(client)
    # The next run of its own cycle sees that the owner is gone, and does not wait.
    leave(dead(), job=orphaned_containers.SHARED)
    orphaned_containers.clear_folder(client, orphaned_containers.SHARED, tmp_path)
    assert docker_engine.orphans(client, LABELS) == []


def test_an_earlier_start_of_the_same_job_is_cleared(
    client: Any, leave: Callable[..., Any], tmp_path: Path
) -> None:
    """At once, however lately its owner died; the same job in another folder is another job."""
    leave(dead(), waited_s=0)
    leave(job_owner.owner())
    other = leave(dead(), tmp_path / "other", waited_s=0)
    orphaned_containers.clear(client, Job("training", "launch_training.py", {}, tmp_path, (), {}))
    assert [one.name for one in docker_engine.orphans(client, LABELS)] == [other.name]


@pytest.mark.parametrize(
    "alive", [lambda: f"{job_owner.owner()}", elsewhere], ids=["here", "there"]
)
def test_a_job_that_runs_is_not_started_again(
    client: Any,
    leave: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    alive: Callable[[], str],
) -> None:
    """By a process of this host, or by one that this process cannot see."""
    container = leave(alive(), waited_s=0)
    monkeypatch.setattr(orphaned_containers, "owner", lambda: "this:1:1")
    with pytest.raises(InputError, match=f"{container.name} already runs this job"):
        orphaned_containers.clear(
            client, Job("training", "launch_training.py", {}, tmp_path, (), {})
        )
    assert len(docker_engine.orphans(client, LABELS)) == 1
