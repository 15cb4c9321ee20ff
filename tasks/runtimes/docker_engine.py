"""One container in a Docker Engine, from the image's check to the container's removal.

The container never outlives the call: whatever ends it, an error, a signal, a cancelled run, the
container is stopped and removed. The engine's answers become faults with remedies.
"""

from __future__ import annotations

import queue
import re
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import docker
import requests
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.types import DeviceRequest, LogConfig, Mount, Ulimit

from tasks.runtimes.base import JobResult
from tasks.runtimes.failures import Fault, FaultError, from_engine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tasks.runtimes.container_settings import ContainerSpec

GRACE_S = 20
_POLL_S = 0.5
_LOG_WAIT_S = 10.0
_ENGINE_BACK_S = 30.0
_ALIVE = {"created", "running", "restarting", "paused"}
LABEL = "org.clinical-asr-flywheel"


def connect() -> Any:
    """Return a client of the engine that DOCKER_HOST names, or of the default one.

    Raises:
        FaultError: no engine answers, or its socket may not be used.
    """
    try:
        client = docker.from_env()
        client.ping()
    except DockerException as wrong:
        refused = "Permission denied" in str(wrong)
        fault = Fault.NO_PERMISSION if refused else Fault.ENGINE_DOWN
        raise FaultError(fault, str(wrong)) from wrong
    return client


def is_rootless(client: Any) -> bool:
    """Return whether the engine runs without root, so that its root is the caller."""
    return any("rootless" in option for option in client.info().get("SecurityOptions") or ())


def ensure_image(client: Any, image: str, report: Callable[[str], None]) -> str:
    """Pull the image if it is not here, before anything is created.

    Returns:
        Its digest in the registry, or its id where it never came from one.

    Raises:
        FaultError: it cannot be had.
    """
    try:
        local_image = client.images.get(image)
    except ImageNotFound:
        report(f"pulling {image}")
        _pull(client, image, report)
        local_image = client.images.get(image)
    except APIError as wrong:
        raise FaultError(from_engine(str(wrong)), str(wrong)) from wrong
    digests = local_image.attrs.get("RepoDigests") or []
    return str(digests[0] if digests else local_image.id)


def image_id(client: Any, image: str, report: Callable[[str], None]) -> str:
    """Return the id of an image's content; pull the image if it is absent.

    Raises:
        FaultError: it cannot be had.
    """
    ensure_image(client, image, report)
    with _engine_faults():
        return str(client.images.get(image).id)


def environment(client: Any, image: str) -> dict[str, str]:
    """Return the variables that an image sets.

    Raises:
        FaultError: the image is not here, or the engine went away.
    """
    with _engine_faults():
        variables = (client.images.get(image).attrs.get("Config") or {}).get("Env") or []
    return dict(line.partition("=")[::2] for line in variables)


def _pull(client: Any, image: str, report: Callable[[str], None]) -> None:
    repository, tag = docker.utils.parse_repository_tag(image)
    done: dict[str, tuple[int, int]] = {}
    try:
        for line in client.api.pull(repository, tag=tag or "latest", stream=True, decode=True):
            if "error" in line:
                raise FaultError(from_engine(line["error"]), line["error"])
            size = line.get("progressDetail") or {}
            if line.get("status") == "Downloading" and size.get("total"):
                done[line["id"]] = (size["current"], size["total"])
                received, total = (sum(pair) for pair in zip(*done.values(), strict=True))
                report(f"pulling {image}: {received >> 20} of {total >> 20} MiB")
    except APIError as wrong:
        raise FaultError(from_engine(str(wrong)), str(wrong)) from wrong
    except requests.ReadTimeout as stalled:
        raise FaultError(
            Fault.NO_NETWORK, f"{image}: the registry stalled ({stalled})"
        ) from stalled
    except requests.RequestException as lost:
        raise FaultError(Fault.ENGINE_LOST, str(lost)) from lost
    except DockerException as unhelpful:  # docker login's helper program is missing, or failed
        raise FaultError(Fault.NO_CREDENTIALS, str(unhelpful)) from unhelpful


def _options(spec: ContainerSpec) -> dict[str, Any]:
    return {
        "mounts": [
            Mount(str(bind.target), str(bind.source), type="bind", read_only=not bind.writable)
            for bind in spec.binds
        ],
        "environment": {"HOME": "/tmp", **spec.environment},  # noqa: S108 - its own tmpfs
        "user": spec.user or None,
        "labels": {LABEL: "1", **{f"{LABEL}.{name}": text for name, text in spec.labels.items()}},
        "device_requests": _devices(spec.gpus),
        "shm_size": spec.shm_bytes,
        "mem_limit": spec.memory_bytes,
        "network_mode": spec.network,
        # Threads of a data loader need stack; memlock is for RDMA and refused on some engines.
        "ulimits": [
            Ulimit(name="stack", soft=67108864, hard=67108864),
            *([Ulimit(name="memlock", soft=-1, hard=-1)] if spec.unlimited_memlock else []),
        ],
        "read_only": True,
        "tmpfs": {"/tmp": f"rw,exec,size={spec.tmp_bytes},mode=1777"},  # noqa: S108
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        # A plain first process ignores SIGTERM and reaps nobody.
        "init": True,
        # Whatever this engine does with logs by default: not at all, elsewhere, or cut short.
        "log_config": LogConfig(type=LogConfig.types.JSON, config={"max-size": "1g"}),
        "working_dir": "/tmp",  # noqa: S108
        "stdin_open": False,
        "tty": False,
    }


def _devices(gpus: str) -> list[DeviceRequest]:
    if not gpus:
        return []
    if gpus == "all":
        return [DeviceRequest(count=-1, capabilities=[["gpu"]])]
    if gpus.startswith("count="):
        return [DeviceRequest(count=int(gpus.removeprefix("count=")), capabilities=[["gpu"]])]
    return [DeviceRequest(device_ids=gpus.split(","), capabilities=[["gpu"]])]


@dataclass(frozen=True, slots=True)
class StartedContainer:
    """A started container, to be followed, waited for and removed in every outcome."""

    container: Any
    digest: str

    def follow(self, on_line: Callable[[str], None], poll: Callable[[], None]) -> None:
        """Pass on the container's output, line by line, until it no longer runs.

        Raises:
            FaultError: the engine went away.
        """
        with _engine_faults():
            _follow(self.container, on_line, poll)

    def is_running(self) -> bool:
        """Return whether the container runs, or is about to.

        Raises:
            FaultError: the engine went away.
        """
        try:
            with _engine_faults():
                _retry_connection(self.container.reload, lambda: None)
        except FaultError as gone:
            if gone.fault is Fault.STOPPED:
                return False
            raise
        return self.container.status in _ALIVE

    def output(self) -> bytes:
        """Return what the container has printed so far; nothing of one that is gone."""
        with suppress(APIError, requests.RequestException):
            return bytes(self.container.logs())
        return b""

    def ended(self) -> JobResult:
        """Wait for the container's end and return its result.

        Raises:
            FaultError: the engine went away.
        """
        with _engine_faults():
            return _job_result(self.container, self.digest)

    def remove(self) -> None:
        """Stop the container within the grace period, and remove it."""
        remove(self.container)


def start(client: Any, spec: ContainerSpec, report: Callable[[str], None]) -> StartedContainer:
    """Create and start a container; nothing is left of one that does not start.

    Raises:
        FaultError: the image cannot be had, or the engine refused, or went away.
    """
    digest = ensure_image(client, spec.image, report)
    with _engine_faults():
        container = client.containers.create(spec.image, list(spec.command), **_options(spec))
    try:
        with _engine_faults():
            container.start()
    except BaseException:
        remove(container)
        raise
    return StartedContainer(container, digest)


@contextmanager
def _engine_faults() -> Iterator[None]:
    """Translate the engine's refusals, and its silence, to faults."""
    try:
        yield
    except ImageNotFound as pruned:
        raise FaultError(Fault.IMAGE_ABSENT, str(pruned)) from pruned
    except NotFound as removed:
        raise FaultError(Fault.STOPPED, f"somebody removed the container ({removed})") from removed
    except APIError as wrong:
        raise FaultError(from_engine(str(wrong)), str(wrong)) from wrong
    except requests.RequestException as lost:
        raise FaultError(Fault.ENGINE_LOST, str(lost)) from lost


def run(
    client: Any,
    spec: ContainerSpec,
    on_line: Callable[[str], None],
    poll: Callable[[], None] = lambda: None,
) -> JobResult:
    """Run one container to its end.

    Args:
        client: from ``connect``.
        spec: what to run; the image is pulled if it is not here.
        on_line: gets each line of output, whole, without its line break.
        poll: is called a few times a second; what it raises stops the container.

    Raises:
        FaultError: the engine refused to start it, or went away.
    """
    started = start(client, spec, on_line)
    try:
        started.follow(on_line, poll)
        return started.ended()
    finally:
        started.remove()


def _follow(
    container: Any,
    on_line: Callable[[str], None],
    poll: Callable[[], None],
) -> None:
    """Pass on the log as it grows, until the container is no longer running.

    The log's end is not the end of the job, and only the engine knows that. An engine that is
    being restarted is waited for: under live-restore the container goes on meanwhile.
    """
    lines = OutputLines(on_line)
    log = _Log(container, lines.bytes_seen)
    running = True
    while running:
        _retry_connection(container.reload, poll)
        running = container.status in _ALIVE
        lines.feed(log.drain())
        if running:
            if log.is_over:  # the engine was restarted meanwhile
                lines.feed(log.drain())
                log = _Log(container, lines.bytes_seen)
            poll()
            time.sleep(_POLL_S)
    log.join()
    lines.feed(log.drain())
    # The stream may end before the last words; the log that the engine keeps has them.
    lines.feed(_retry_connection(container.logs, poll)[lines.bytes_seen :])
    lines.close()


def _retry_connection(ask: Callable[[], Any], poll: Callable[[], None]) -> Any:
    """Return the engine's answer; ask again for a while if the connection is lost."""
    lost_since: float | None = None
    while True:
        try:
            return ask()
        except APIError:
            raise
        except requests.RequestException:
            lost_since = lost_since or time.monotonic()
            if time.monotonic() - lost_since > _ENGINE_BACK_S:
                raise
        poll()
        time.sleep(_POLL_S)


class _Log:
    """A container's log, read by a thread: the stream blocks while the script is silent."""

    def __init__(self, container: Any, skip: int) -> None:
        self._chunks: queue.Queue[bytes] = queue.Queue()
        self._thread = threading.Thread(target=self._read, args=(container, skip), daemon=True)
        self._thread.start()

    def _read(self, container: Any, skip: int) -> None:
        # A broken stream is noticed by whoever asks the engine how the container is.
        with suppress(APIError, requests.RequestException):
            for chunk in container.logs(stream=True, follow=True):
                self._chunks.put(chunk[skip:])
                skip = max(0, skip - len(chunk))

    @property
    def is_over(self) -> bool:
        """Whether the stream has ended, or broken."""
        return not self._thread.is_alive()

    def drain(self) -> bytes:
        """Return the output that has arrived since the last call."""
        parts = []
        with suppress(queue.Empty):
            while True:
                parts.append(self._chunks.get_nowait())
        return b"".join(parts)

    def join(self) -> None:
        """Wait for the stream's end, for a limited time."""
        self._thread.join(_LOG_WAIT_S)


class OutputLines:
    """Joins chunks, which end anywhere, even inside a character, into whole lines."""

    def __init__(self, on_line: Callable[[str], None]) -> None:
        self._on_line = on_line
        self._rest = b""
        self.bytes_seen = 0

    def feed(self, data: bytes) -> None:
        """Take more output and hand on the lines that it completes."""
        self.bytes_seen += len(data)
        *lines, self._rest = re.split(rb"[\r\n]+", self._rest + data)
        for line in lines:
            self._on_line(line.decode("utf-8", errors="replace"))

    def close(self) -> None:
        """Hand on a last line without a line break."""
        if self._rest:
            self.feed(b"\n")


def _job_result(container: Any, digest: str) -> JobResult:
    wait_result = _retry_connection(lambda: container.wait(timeout=GRACE_S), lambda: None)
    code = int(wait_result["StatusCode"])
    _retry_connection(container.reload, lambda: None)
    state = container.attrs["State"]
    # An OOM kill of a child alone leaves the script to report it; the engine knows all the same.
    return JobResult(code, bool(state.get("OOMKilled")), digest)


def remove(container: Any) -> None:
    """Stop a container within the grace period and remove it; ignore one that is gone."""
    with suppress(NotFound, requests.RequestException):
        with suppress(APIError):  # not started, or stopped already
            container.stop(timeout=GRACE_S)
        container.remove(force=True, v=True)


def orphans(client: Any, labels: Mapping[str, str]) -> list[Any]:
    """List this project's containers that carry all these labels, running or not."""
    label_filter = [LABEL, *(f"{LABEL}.{name}={text}" for name, text in labels.items())]
    return list(client.containers.list(all=True, filters={"label": label_filter}))
