"""One container in a real Docker Engine: what it may do, how it ends, what is left of it."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import pytest

from tasks.runtimes import docker_engine
from tasks.runtimes.container import ContainerRuntime
from tasks.runtimes.container_settings import Bind, ContainerSettings, ContainerSpec
from tasks.runtimes.failures import Fault, FaultError
from tasks.runtimes.hardware import Hardware
from tests.support import docker_daemon

if TYPE_CHECKING:
    from tasks.runtimes.base import JobResult

LABELS = {"cycle": "/cycles/cycle1", "run": "test-engine"}


@pytest.fixture(scope="module")
def client() -> Any:
    """The engine."""
    return docker_daemon.client()


@pytest.fixture(scope="module")
def image(client: Any) -> str:
    """A tiny image."""
    return docker_daemon.tiny_image(client)


def spec(image: str, *command: str, **more: Any) -> ContainerSpec:
    """A container of the tiny image."""
    return ContainerSpec(image, command, more.pop("binds", ()), LABELS, **more)


def shell(client: Any, image: str, script: str, **more: Any) -> tuple[JobResult, list[str]]:
    """Run a shell script in a container; how it ended, and its lines."""
    lines: list[str] = []
    ended = docker_engine.run(client, spec(image, "sh", "-c", script, **more), lines.append)
    return ended, lines


@pytest.fixture(autouse=True)
def nothing_left(client: Any) -> Any:
    """Every test leaves no container behind."""
    yield
    assert docker_engine.orphans(client, LABELS) == []


def test_lines_come_whole_and_in_order(client: Any, image: str) -> None:
    """Output that arrives in pieces is handed on as whole lines, the last one too."""
    script = "printf 'on'; sleep 0.7; printf 'e\\ntwo\\rthree\\n'; printf 'é'; printf 'nd'"
    ended, lines = shell(client, image, script)
    assert lines == ["one", "two", "three", "énd"]
    assert (ended.exit_code, ended.oom_killed) == (0, False)
    assert ended.image.startswith("sha256:")


def test_ten_thousand_lines_are_all_there(client: Any, image: str) -> None:
    """A talkative script loses no line, although the log's end is not the job's end."""
    script = "i=0; while [ $i -lt 10000 ]; do echo line $i; i=$((i+1)); done"
    _, lines = shell(client, image, script)
    assert lines == [f"line {number}" for number in range(10000)]


def test_exit_code_is_the_programs(client: Any, image: str) -> None:
    """A failing program's exit code reaches the caller."""
    assert shell(client, image, "exit 7")[0].exit_code == 7


def test_container_can_write_only_where_it_may(client: Any, image: str, tmp_path: Path) -> None:
    """The root and inputs are read-only; the one writable mount gets the caller's files."""
    inputs, outputs = tmp_path / "in =,'$x", tmp_path / "out"
    inputs.mkdir()
    outputs.mkdir()
    (inputs / "a").write_text("seen")
    outputs.chmod(0o777)
    binds = (
        Bind(inputs, PurePosixPath("/in")),
        Bind(outputs, PurePosixPath("/out"), writable=True),
    )
    script = (
        "cat /in/a; touch /in/b || echo no; touch /b || echo no; touch /out/c /tmp/d && echo ok"
    )
    _, lines = shell(client, image, script, binds=binds, user="4321:4321")
    told = [line for line in lines if "Read-only" not in line]
    assert "".join(told) == "seennonook"
    assert (outputs / "c").stat().st_uid == 4321


def test_container_has_no_network_and_no_capability(client: Any, image: str) -> None:
    """It sees the loopback device alone, and has dropped every capability."""
    script = "ls /sys/class/net; cat /proc/self/status"
    _, lines = shell(client, image, script)
    assert lines[0] == "lo"
    assert not any(line.startswith("eth") for line in lines)
    assert "CapEff:\t0000000000000000" in lines
    assert "NoNewPrivs:\t1" in lines


def test_an_image_with_a_user_and_an_entry_point(client: Any, image: str, tmp_path: Path) -> None:
    """As NVIDIA's has: its banner comes first, and outputs belong to the caller all the same."""
    repository, tag = "asr-flywheel/tiny", "entry"
    script = '#!/bin/sh\necho banner; exec "$@"\n'
    made = client.containers.create(image, ["true"])
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        entry = tarfile.TarInfo("entry.sh")
        entry.size, entry.mode = len(script), 0o755
        tar.addfile(entry, io.BytesIO(script.encode()))
    made.put_archive("/", archive.getvalue())
    changes = 'ENTRYPOINT ["/entry.sh"]\nUSER 1000:1000\nWORKDIR /tmp'
    made.commit(repository, tag, changes=changes)
    made.remove()
    binds = (Bind(tmp_path, PurePosixPath("/out"), writable=True),)
    user = f"{os.getuid()}:{os.getgid()}"
    _, lines = shell(
        client, f"{repository}:{tag}", "touch /out/a && echo ok", binds=binds, user=user
    )
    assert lines == ["banner", "ok"]
    assert (tmp_path / "a").stat().st_uid == os.getuid()


def test_out_of_memory_is_known(client: Any, image: str) -> None:
    """A container that is killed for its memory says so, whatever its exit code."""
    eater = "dd if=/dev/zero of=/dev/null bs=300M count=1"
    ended, _ = shell(client, image, eater, memory_bytes=32 << 20)
    assert ended.oom_killed


def test_poll_that_raises_stops_the_container(client: Any, image: str) -> None:
    """A cancellation reaches a silent container within the grace period."""

    def cancel() -> None:
        raise KeyboardInterrupt

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        docker_engine.run(client, spec(image, "sleep", "600"), lambda _: None, cancel)
    assert time.monotonic() - started < docker_engine.GRACE_S + 5


def test_sigterm_to_the_owner_leaves_no_container(client: Any, image: str) -> None:
    """A process that turns SIGTERM into an exception cleans its container up."""
    program = f"""
import signal, sys
from tasks.runtimes import docker_engine as engine
from tasks.runtimes.container_settings import ContainerSpec
def stop(*_): raise SystemExit(3)
signal.signal(signal.SIGTERM, stop)
spec = ContainerSpec({image!r}, ("sh", "-c", "echo up; sleep 600"), (), {LABELS!r})
engine.run(engine.connect(), spec, lambda line: print(line, flush=True))
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "up\n"
        owner.send_signal(signal.SIGTERM)
        assert owner.wait(docker_engine.GRACE_S + 10) == 3


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"gpus": "all"}, Fault.NO_GPU_RUNTIME),
        ({"binds": (Bind(Path("/no/such/folder"), PurePosixPath("/in")),)}, Fault.BAD_MOUNT),
    ],
)
def test_refusals_have_their_own_fault(
    client: Any, image: str, changes: dict[str, Any], fault: Fault
) -> None:
    """What the engine refuses is told by its own name and remedy, and leaves nothing."""
    with pytest.raises(FaultError) as refused:
        docker_engine.run(client, spec(image, "true", **changes), lambda _: None)
    assert refused.value.fault is fault
    assert str(refused.value).startswith(f"{fault.value}: ")


def test_image_that_cannot_be_pulled(client: Any) -> None:
    """An image that is not here, on a machine without network, is told before anything is made."""
    with pytest.raises(FaultError) as refused:
        docker_engine.ensure_image(client, "registry.invalid/nemo:1", lambda _: None)
    assert refused.value.fault is Fault.NO_NETWORK


def test_image_name_that_is_none(client: Any) -> None:
    """A name that no image can have is refused as absent."""
    with pytest.raises(FaultError) as refused:
        docker_engine.ensure_image(client, "not a name", lambda _: None)
    assert refused.value.fault is Fault.IMAGE_ABSENT


def test_no_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without an engine the message says how to start one."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(FaultError, match="systemctl start docker") as refused:
        docker_engine.connect()
    assert refused.value.fault is Fault.ENGINE_DOWN


def test_a_container_stopped_by_another_is_noticed(client: Any, image: str) -> None:
    """Somebody else's `docker stop` ends the run; the caller learns the exit code."""

    def stop_it() -> None:
        for _ in range(50):
            for container in docker_engine.orphans(client, LABELS):
                if container.status == "running":
                    container.stop(timeout=1)
                    return
            time.sleep(0.1)

    thread = threading.Thread(target=stop_it)
    thread.start()
    ended, _ = shell(client, image, "sleep 60")
    thread.join()
    assert ended.exit_code in (137, 143)


@pytest.mark.usefixtures("client")
def test_the_runtime_asks_for_its_image_before_anything_is_made() -> None:
    """An image that cannot be had is told before the split is written."""
    told: list[str] = []
    runtime = ContainerRuntime(ContainerSettings(image="registry.invalid/nemo:1"), Hardware((), 2))
    with pytest.raises(FaultError) as refused:
        runtime.check(told.append)
    assert refused.value.fault is Fault.NO_NETWORK
    assert told == ["pulling registry.invalid/nemo:1"]
