"""The process that waits for a job: its name, and whether it still runs on this host."""

from __future__ import annotations

import os
import socket

from tasks.common.processes import process_status


def owner() -> str:
    """Return this process's identity, by which another process can see whether it still runs."""
    own = process_status(os.getpid())
    return f"{socket.gethostname()}:{os.getpid()}:{own.started if own else ''}"


def is_local(job_owner: str) -> bool:
    """Return whether the owner is, or was, a process of this host."""
    return job_owner.startswith(f"{socket.gethostname()}:")


def is_running(job_owner: str) -> bool:
    """Return whether the owner is a process that runs on this host."""
    host, _, process = job_owner.partition(":")
    pid, _, started = process.partition(":")
    if host != socket.gethostname() or not pid.isdigit():
        return False
    status = process_status(int(pid))
    return status is not None and status.started == started
