"""Imports NeMo once, and runs each entry program that it is sent in a fork of its own.

Usage: program_server.py DESCRIPTOR
       program_server.py --door SOCKET [FOLDER ...]

NeMo takes longer to import than a small set takes to decode, and a cycle runs four programs. The
descriptor is one end of a pair of Unix sockets that keep messages apart. The message "run" carries
three descriptors: a file with the JSON {"argv": [program, argument, ...], "cwd": path, "env":
{name: value}, the whole environment, or "more": {name: value}, beside the server's own}, a file
that becomes the program's standard output and standard error, and a socket. That socket gets
{"pid"} when the program has begun and {"exit": code, negative for a signal} when it has ended. The
program leads a process group of its own, as if it had been started from nothing. The message
"signal PID NUMBER" sends a signal to the group of a program that runs.

The server ends when the other end of its socket is closed, and takes running programs with it: its
owner is gone. It ends also when it has had nothing to do for ten minutes.

In a container, whose owner is outside, it connects to its owner's socket (--door), and waits for
work as long as the owner lives. After each program it leaves the container as a new one: processes
that the program left are killed, and files in the folders that were not there before are removed.
"exit" then comes with "oom_kills", how many processes the kernel has killed for the container's
memory meanwhile.

A fork cannot use a GPU if its parent has initialised CUDA's driver. What libraries ask the driver
while they are imported, forks answer. A server whose driver is initialised all the same ends before
it forks anything.
"""

from __future__ import annotations

import array
import atexit
import ctypes
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import threading
import traceback
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_IDLE_S = 600.0
_DESCRIPTORS = 3
_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of linux/prctl.h
_SET_CHILD_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of linux/prctl.h
_PARENT = 1  # of /proc/PID/stat's fields after the name
_DOOR = "--door"
# The kernel's counts of its own kills for memory: with version 2 of control groups, and with 1.
_OOM_COUNTS = (
    Path("/sys/fs/cgroup/memory.events"),
    Path("/sys/fs/cgroup/memory/memory.oom_control"),
)
_NOT_INITIALISED = 3  # CUDA_ERROR_NOT_INITIALIZED of cuda.h
_LIBRARIES = (
    "lightning.pytorch",
    "nemo.collections.asr",
    "nemo.core.config",
    "nemo.utils.exp_manager",
)
# What initialises the driver: module, function without arguments, kind of its answer.
_QUESTIONS = (
    ("numba.cuda", "is_available", bool),
    ("torch.cuda", "is_available", bool),
    ("torch.cuda", "device_count", int),
)


def import_libraries() -> None:
    """Import what the entry programs import, or most of it."""
    with questions_in_forks():
        for library in _LIBRARIES:
            importlib.import_module(library)
    if _driver_is_initialised():
        sys.exit("a library has initialised CUDA's driver, which no fork could use")
    # What is there now is never freed; a collection that looked at it would copy its pages.
    gc.collect()
    gc.freeze()


@contextmanager
def questions_in_forks() -> Iterator[None]:
    """Have forks ask whether there is a GPU, as NeMo does while it is imported."""
    kept = []
    for module, name, kind in _QUESTIONS:
        with suppress(ImportError):
            asked = importlib.import_module(module)
            kept.append((asked, name, getattr(asked, name)))
            setattr(asked, name, _in_a_fork(getattr(asked, name), kind))
    try:
        yield
    finally:
        for asked, name, function in kept:
            setattr(asked, name, function)


def _in_a_fork(function: Callable[[], int], kind: Callable[[int], int]) -> Callable[[], int]:
    """Wrap a function whose answer is true, false or a small number."""

    @wraps(function)
    def ask() -> int:
        pid = os.fork()
        if pid == 0:
            answer = 0
            with suppress(Exception):
                answer = int(function())
            os._exit(answer)
        _, status = os.waitpid(pid, 0)
        # A fork that died knows of no GPU.
        return kind(max(0, os.waitstatus_to_exitcode(status)))

    return ask


def _driver_is_initialised() -> bool:
    """Return whether this process has initialised CUDA's driver."""
    if "libcuda.so" not in Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace"):
        return False
    count = ctypes.c_int()
    code: int = ctypes.CDLL("libcuda.so.1").cuDeviceGetCount(ctypes.byref(count))
    return code != _NOT_INITIALISED


class Container:
    """The container that this process serves in: what a program leaves in it, and its memory.

    One program runs at a time.
    """

    def __init__(self, folders: list[str]) -> None:
        # Whatever a program leaves behind becomes a child of this process.
        ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1)
        self._folders = folders
        self._files = set(self._paths())
        self._processes = set(_children())
        self._oom_kills = _oom_kills()

    def leave_as_new(self) -> dict[str, int]:
        """Kill and remove what a program has left; return what its owner is told of it."""
        self._end_processes()
        for path in self._paths():
            if path not in self._files:
                with suppress(OSError):
                    (path.rmdir if path.is_dir() and not path.is_symlink() else path.unlink)()
        before, self._oom_kills = self._oom_kills, _oom_kills()
        return {"oom_kills": self._oom_kills - before}

    def _end_processes(self) -> None:
        # The children of a killed one come to light when it is gone.
        while left := set(_children()) - self._processes:
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                with suppress(ChildProcessError):
                    os.waitpid(pid, 0)

    def _paths(self) -> Iterator[Path]:
        """Yield what is in the folders, the content of a folder before itself."""
        for top in self._folders:
            for folder, names, files in os.walk(top, topdown=False):
                yield from (Path(folder) / name for name in (*files, *names))


def _children() -> Iterator[int]:
    """Yield this process's children."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            stat = (process / "stat").read_bytes().rpartition(b")")[2].split()
            if int(stat[_PARENT]) == os.getpid():
                yield int(process.name)


def _oom_kills() -> int:
    """Return how many processes of this container the kernel has killed for its memory."""
    for file in _OOM_COUNTS:
        with suppress(OSError):
            for line in file.read_text(encoding="ascii").splitlines():
                name, _, count = line.partition(" ")
                if name == "oom_kill":
                    return int(count)
    return 0


class Server:
    """Forks a program for each message until its owner is gone."""

    def __init__(self, owner: socket.socket, container: Container | None = None) -> None:
        self._owner = owner
        self._container = container
        self._running: dict[int, socket.socket] = {}
        self._woken, self._wake = socket.socketpair()
        for end in (self._woken, self._wake):
            end.setblocking(False)

    def serve(self) -> dict[str, Any] | None:
        """Serve; return a program's request in the fork that runs it, None when it is over."""
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        idle = _IDLE_S if self._container is None else None
        while True:
            ready, _, _ = select.select([self._owner, self._woken], [], [], idle)
            if self._woken in ready:
                self._woken.recv(4096)
                self._reap()
            if self._owner in ready:
                message, descriptors = _receive(self._owner)
                if not message:
                    self._end_all()
                    return None
                if not descriptors:
                    self._signal(message)
                elif (request := self._fork(*descriptors)) is not None:
                    return request
            if not ready and not self._running:
                return None

    def _fork(self, request_file: int, log: int, status: int) -> dict[str, Any] | None:
        with open(request_file, encoding="utf-8") as stream:
            request: dict[str, Any] = json.load(stream)
        answers = socket.socket(fileno=status)
        pid = os.fork()
        if pid == 0:
            answers.close()
            self._become_program(log, request)
            return request
        os.close(log)
        # The fork does the same; whoever is first, the group exists before its id is told.
        with suppress(OSError):
            os.setpgid(pid, pid)
        self._running[pid] = answers
        self._tell(pid, {"pid": pid})
        return None

    def _become_program(self, log: int, request: dict[str, Any]) -> None:
        """Leave everything of the server's behind, as a program that starts anew."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for end in (self._owner, self._woken, self._wake, *self._running.values()):
            end.close()
        with suppress(OSError):
            os.setsid()
        server = os.getppid()
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() != server:  # it died before the kernel was asked
            os._exit(1)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
        os.chdir(request["cwd"])
        if "env" in request:
            os.environ.clear()
        os.environ.update(request.get("env", request.get("more", {})))

    def _reap(self) -> None:
        """Tell how programs ended; several may have ended by one signal."""
        for pid in list(self._running):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                told = {"exit": os.waitstatus_to_exitcode(status)}
                if self._container is not None and len(self._running) == 1:
                    told |= self._container.leave_as_new()
                self._tell(pid, told)
                self._running.pop(pid).close()

    def _signal(self, message: bytes) -> None:
        """Send a signal to the group of a program that still runs."""
        _, pid, number = message.split()
        if int(pid) in self._running:
            with suppress(ProcessLookupError):
                os.killpg(int(pid), int(number))

    def _tell(self, pid: int, answer: dict[str, int]) -> None:
        try:
            self._running[pid].send(json.dumps(answer).encode())
        except OSError:  # nobody waits for this program any more
            _kill(pid)

    def _end_all(self) -> None:
        for pid in self._running:
            _kill(pid)


def _receive(owner: socket.socket) -> tuple[bytes, list[int]]:
    """Return a message and its descriptors, which no program started by a fork inherits."""
    space = socket.CMSG_LEN(_DESCRIPTORS * array.array("i").itemsize)
    message, ancillary, _, _ = owner.recvmsg(64, space, socket.MSG_CMSG_CLOEXEC)
    descriptors = array.array("i")
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(data)
    return message, list(descriptors)


def _kill(group: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def run(argv: list[str]) -> int:
    """Run a program as if the interpreter had been started with it; return its exit code.

    A fork may not end as an interpreter does: libraries would wait for threads of the server's,
    which no fork has. Python's own forks, those of multiprocessing, end in the same way.
    """
    sys.argv = argv
    sys.path[0] = str(Path(argv[0]).parent)
    code = 0
    try:
        runpy.run_path(argv[0], run_name="__main__")
    except SystemExit as wanted:
        code = _exit_code(wanted.code)
    except BaseException:  # noqa: BLE001 - as the interpreter does
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001 - waits for threads
    atexit._run_exitfuncs()  # noqa: SLF001 - multiprocessing calls it too
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    return code


def _exit_code(wanted: object) -> int:
    """Return the code of a SystemExit; a text is printed, and is an error."""
    if wanted is None:
        return 0
    if isinstance(wanted, int):
        return wanted & 0xFF
    print(wanted, file=sys.stderr)
    return 1


def main() -> None:
    """Serve; in a fork, run the program."""
    in_container = sys.argv[1] == _DOOR
    if in_container:
        owner = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        owner.connect(sys.argv[2])
    else:
        owner = socket.socket(fileno=int(sys.argv[1]))
        os.set_inheritable(owner.fileno(), False)
    import_libraries()
    request = Server(owner, Container(sys.argv[3:]) if in_container else None).serve()
    if request is not None:
        os._exit(run(request["argv"]))


if __name__ == "__main__":
    main()
