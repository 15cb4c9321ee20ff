"""Remove containers that a killed run left behind, unless a live process still owns them.

A container carries its owner, a process, as a label, and its owner touches a heartbeat file in the
one folder that the container writes to. What nobody waits for is removed; it would end itself in
two minutes, but the next run need not wait for that.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.common.errors import InputError
from tasks.runtimes import docker_engine
from tasks.runtimes.job_owner import is_local, is_running, owner

if TYPE_CHECKING:
    from tasks.runtimes.base import Job

HEARTBEAT = "heartbeat"
SHARED = "programs"
"""The job that a run's one container is labelled with; see container_sharing.py."""
_TOUCH_EVERY_S = 2.0
# Some of the owner's periods: a busy host may be late.
_FRESH_S = 10.0


class OwnerHeartbeat:
    """Touches a file, but not more often than needed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last = 0.0

    def touch(self) -> None:
        """Touch the heartbeat file, so that the job knows that its owner still waits."""
        if time.monotonic() - self._last > _TOUCH_EVERY_S:
            self._last = time.monotonic()
            self._path.touch()


def _owner_of(container: Any) -> str:
    return str(container.labels.get(f"{docker_engine.LABEL}.owner", ""))


def _folders(container: Any) -> list[Path]:
    """Return the folders of the host that a container may write to."""
    mounts = container.attrs.get("Mounts") or []
    return [Path(mount["Source"]) for mount in mounts if mount.get("RW")]


def _is_awaited(container: Any) -> bool:
    """Return whether an owner that is invisible here waits: it has touched the heartbeat lately.

    A shared container, which waits for jobs itself, ends with its owner.
    """
    if container.labels.get(f"{docker_engine.LABEL}.job") == SHARED:
        return str(container.status) == "running"
    beats = [folder / HEARTBEAT for folder in _folders(container)]
    return any(beat.exists() and time.time() - beat.stat().st_mtime < _FRESH_S for beat in beats)


def reap(client: Any) -> list[str]:
    """Remove every container of this project whose owner, on this host, is gone.

    Returns:
        Their names.
    """
    removed = []
    for container in docker_engine.orphans(client, {}):
        container_owner = _owner_of(container)
        if (
            is_local(container_owner)
            and not is_running(container_owner)
            and not _is_awaited(container)
        ):
            docker_engine.remove(container)
            removed.append(str(container.name))
    return removed


def clear(client: Any, job: Job) -> None:
    """Remove the containers that an earlier start of this job left.

    Two starts of one job write to the same folder.

    Raises:
        InputError: another live process runs it.
    """
    clear_folder(client, job.name, job.work)


def clear_folder(client: Any, name: str, work: Path) -> None:
    """Remove the containers of a job's name that write to a folder.

    Raises:
        InputError: another live process runs one.
    """
    for container in docker_engine.orphans(client, {"job": name}):
        if work.resolve() not in {folder.resolve() for folder in _folders(container)}:
            continue
        container_owner = _owner_of(container)
        if container_owner != owner() and (
            is_running(container_owner)
            # Its host is another one, or its processes are hidden from this one.
            or (not is_local(container_owner) and _is_awaited(container))
        ):
            raise InputError(
                f"container {container.name} already runs this job for process {container_owner}. "
                "Fix: wait for it, or stop that process."
            )
        docker_engine.remove(container)
