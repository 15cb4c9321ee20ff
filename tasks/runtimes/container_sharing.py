"""Which programs of this process share a container: start it, find it, end it.

Where a run that was killed had lent files to one, they are put back.
"""

from __future__ import annotations

import atexit
import os
import re
import socket
import threading
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from tasks.runtimes import docker_engine, job_owner, orphaned_containers, program_server
from tasks.runtimes.container_settings import Bind
from tasks.runtimes.exchange_folder import ExchangeFolder
from tasks.runtimes.orphaned_containers import SHARED
from tasks.runtimes.shared_container import SharedContainer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tasks.runtimes.container_settings import ContainerSpec
    from tasks.runtimes.hardware import Hardware

PROGRAM = "program_server.py"
_DOOR = PurePosixPath("/workspace/door")
_MOUNTS = PurePosixPath("/workspace/mounts")
_SOCKET = "socket"
# Where programs may leave files: both are in memory, and last as long as the container.
_SCRATCH = ("/tmp", "/dev/shm")  # noqa: S108 - the container's own
_ONE_AT_MOST = re.compile(r"auto|none|count=1|[0-9]+")


def reason_to_separate(
    gpus: str, host: Hardware, chosen: Hardware, programs: Path, *, trust: bool
) -> str:
    """Return why each program of a run must have a container of its own; "" where one will do.

    Args:
        gpus: as the settings name them.
        host: all that the host has.
        chosen: what a container gets.
        programs: the folder of the entry programs.
        trust: whether a .nemo may run code of its own.
    """
    # Without a list of the host's, only their name tells how many they are.
    several = len(chosen.gpus) > 1 or (not host.gpus and not _ONE_AT_MOST.fullmatch(gpus))
    for reason, holds in (
        (f"{program_server.SEPARATE_VARIABLE}=1", program_server.are_separate()),
        ("--trust lets a model run code, which must not outlast its program", trust),
        ("several GPUs have a process each", several),
        (f"{programs} has no {PROGRAM}", not (programs / PROGRAM).is_file()),
    ):
        if holds:
            return reason
    return ""


_shared: dict[Path, SharedContainer] = {}
"""By the folder in which the jobs' work folders lie."""
_shared_lock = threading.Lock()


def start(
    client: Any,
    folder: Path,
    reads: Sequence[Path],
    make_spec: Callable[[tuple[str, ...], tuple[Bind, ...], Mapping[str, str]], ContainerSpec],
    key: object,
    report: Callable[[str], None],
) -> SharedContainer:
    """Start the container for the jobs of a folder.

    Args:
        client: of the engine.
        folder: in which the jobs' work folders lie; jobs may read all of it.
        reads: what else jobs may read.
        make_spec: returns the container of a program's arguments, binds and labels.
        key: of the runtime.
        report: gets lines for people.

    Raises:
        OSError: the folder cannot hold what is needed for it.
        FaultError: the engine cannot start it.
    """
    close(folder)
    exchange = ExchangeFolder.make(folder)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        _listen(listener, exchange.door)
        real = [path.resolve() for path in (folder, *reads) if path.exists()]
        mounts = tuple(
            Bind(path, _MOUNTS / str(number)) for number, path in enumerate(dict.fromkeys(real))
        )
        binds = (
            Bind(exchange.out, PurePosixPath("/workspace/out"), writable=True),
            Bind(exchange.inputs, PurePosixPath("/workspace/in")),
            Bind(exchange.door, _DOOR),
            *mounts,
        )
        arguments = ("--door", str(_DOOR / _SOCKET), *_SCRATCH)
        labels = {"job": SHARED, "owner": job_owner.owner(), "cycle": str(folder)}
        started = docker_engine.start(client, make_spec(arguments, binds, labels), report)
    except BaseException:
        listener.close()
        exchange.remove()
        raise
    shared = SharedContainer(key, exchange, started, mounts, report, listener)
    with _shared_lock:
        _shared[folder] = shared
    return shared


def _listen(listener: socket.socket, door: Path) -> None:
    # A socket's path has 107 bytes at most, and a cycle's may be longer.
    handle = os.open(door, os.O_RDONLY | os.O_DIRECTORY)
    try:
        listener.bind(f"/proc/self/fd/{handle}/{_SOCKET}")
    finally:
        os.close(handle)
    (door / _SOCKET).chmod(0o777)  # the container's user may be another; see ExchangeFolder.make
    listener.listen(1)


def of_work(work: Path, key: object) -> SharedContainer | None:
    """Return the container of this process that runs a runtime's jobs of a work folder."""
    with _shared_lock:
        for folder, shared in _shared.items():
            if work.is_relative_to(folder) and shared.key == key:
                return shared
    return None


def restore(client: Any, work: Path) -> None:
    """Put a work folder's files back, which a run that was killed had lent.

    Raises:
        InputError: another live process still runs the container.
    """
    exchange = ExchangeFolder.of_work(work)
    if exchange is not None:
        orphaned_containers.clear_folder(client, SHARED, exchange.out)
        exchange.remove()


def restore_all(client: Any, folder: Path) -> None:
    """Put all files back that killed runs had lent, and remove what else is left of these.

    Raises:
        InputError: another live process still runs a container.
    """
    for exchange in ExchangeFolder.left_in(folder):
        orphaned_containers.clear_folder(client, SHARED, exchange.out)
        exchange.remove()
    for work in (folder / "models").glob(".*.work"):
        if work.is_symlink() and not work.exists():  # a purge has removed what it led to
            work.unlink()


def close(folder: Path) -> None:
    """End the container for the jobs of a folder, if there is one."""
    with _shared_lock:
        shared = _shared.pop(folder, None)
    if shared is not None:
        shared.close()


@contextmanager
def closing(folder: Path) -> Iterator[None]:
    """End the container for the jobs of a folder, if there is one, after the block."""
    try:
        yield
    finally:
        close(folder)


def _close_all() -> None:
    for folder in list(_shared):
        close(folder)


def _forget_all() -> None:
    """Leave the containers to the process that started them: a fork must not keep them alive."""
    global _shared_lock  # noqa: PLW0603 - a thread that is not in the fork may hold the old one
    _shared_lock = threading.Lock()
    for shared in _shared.values():
        shared.leave()
    _shared.clear()


atexit.register(_close_all)
os.register_at_fork(after_in_child=_forget_all)
