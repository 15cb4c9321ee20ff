"""What can go wrong while a container trains, provoked in a real engine.

The launcher is replaced by a shell script that behaves badly; image, mounts, log and removal are
real. Each fault has its message, and leaves no container and no model.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tasks import container, engine, ladder, sft
from tasks.container import ContainerRuntime, ContainerSettings
from tasks.faults import Fault, FaultError
from tasks.hardware import Hardware
from tests import engines
from tests.needs import require
from tests.test_sft_request import WHOLE, request_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LABELS = {"run": "test-container-faults"}
ENGINE = Path(__file__).parent.parent / "deployments" / "engine" / "engine.sh"
GOOD = f"""
cat >/workspace/out/events.jsonl <<'END'
{chr(10).join(json.dumps(event) for event in WHOLE)}
END
mkdir -p /workspace/out/experiment/sft/checkpoints
"""
SAVE = "cat /opt/asr-flywheel/model.nemo >/workspace/out/experiment/sft/checkpoints/sft.nemo\n"


@pytest.fixture
def client() -> Iterator[Any]:
    """The engine; nothing of the test stays in it."""
    found = engines.client()
    yield found
    assert engine.orphans(found, LABELS) == []


@pytest.fixture
def play(
    tmp_path: Path, lower_nemo: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], None]:
    """Put a shell script in the launcher's place."""
    entry = tmp_path / "entry"
    entry.mkdir()
    shutil.copy(lower_nemo, entry / "model.nemo")
    monkeypatch.setattr(container, "ENTRY", entry)

    def write(script: str) -> None:
        (entry / "launch.py").write_text(script)

    return write


def runtime(client: Any, **settings: Any) -> ContainerRuntime:
    """The tiny image, whose interpreter is a shell."""
    image = engines.tiny_image(client)
    return ContainerRuntime(
        ContainerSettings(image=image, python="sh", **settings), Hardware((), 2)
    )


def request_for(folder: Path, nemo: Path) -> sft.SftRequest:
    """A run of the verified recipe."""
    return replace(request_in(folder, nemo), labels=LABELS)


ENDS_BADLY = {
    "exit code 0 without a model": (GOOD, Fault.NO_MODEL),
    "a model cut short": (
        GOOD
        + "dd if=/opt/asr-flywheel/model.nemo bs=2000 count=1 "
        + "of=/workspace/out/experiment/sft/checkpoints/sft.nemo",
        Fault.NO_MODEL,
    ),
    "exit code 0 in mid-training": ("exit 0", Fault.STOPPED),
    "validation all UNK": (
        "for n in 1 2 3 4 5 6 7 8 9; do echo 'WER predicted: ⁇ ⁇'; done; sleep 600",
        Fault.UNK_COLLAPSE,
    ),
    "loss not a number": (
        "echo 'FloatingPointError: NaN loss: the training loss became nan'; exit 1",
        Fault.NAN_LOSS,
    ),
    "shared memory": (
        "echo 'Bus error. It is possible that insufficient shared memory (shm)'; exit 1",
        Fault.SHARED_MEMORY,
    ),
    "GPU memory, whatever the batch": (
        "echo 'torch.OutOfMemoryError: CUDA out of memory. Tried to allocate'; exit 1",
        Fault.GPU_MEMORY,
    ),
    "driver": (
        "echo 'The NVIDIA driver on your system is too old (found version 11040)'; exit 1",
        Fault.DRIVER_TOO_OLD,
    ),
    "anything else": ("echo 'KeyError: tokenizer'; exit 1", Fault.SCRIPT_FAILED),
}


@pytest.mark.parametrize("name", ENDS_BADLY)
def test_each_fault_is_told_and_leaves_nothing(
    name: str, client: Any, play: Callable[[str], None], tmp_path: Path, lower_nemo: Path
) -> None:
    """Its own name and remedy; no container, no model folder."""
    script, fault = ENDS_BADLY[name]
    play(script)
    request = request_for(tmp_path, lower_nemo)
    with pytest.raises(FaultError) as failed:
        ladder.climb(request, runtime(client), lambda _: None)
    assert failed.value.fault is fault
    assert str(failed.value).startswith(f"{fault.value}: ")
    assert not request.model_dir.exists()


def test_the_host_ran_out_of_memory(
    client: Any, play: Callable[[str], None], tmp_path: Path, lower_nemo: Path
) -> None:
    """The kernel's kill is known for what it was."""
    play("dd if=/dev/zero of=/dev/null bs=1500M count=1")
    request = request_for(tmp_path, lower_nemo)
    with pytest.raises(FaultError) as failed:
        sft.train(request, runtime(client, memory_gib=1), lambda _: None)
    assert failed.value.fault is Fault.HOST_MEMORY
    assert not request.model_dir.exists()


@pytest.mark.parametrize(
    ("message", "fits", "rungs"),
    [
        ("CUDA out of memory", "train_ds.batch_size=1", [(4, 1), (2, 2)]),
        ("this GPU does not support bfloat16", "train_ds.batch_size=2", [(4, 1)]),
    ],
)
def test_the_ladder_in_real_containers(
    message: str,
    fits: str,
    rungs: list[tuple[int, int]],
    client: Any,
    play: Callable[[str], None],
    tmp_path: Path,
    lower_nemo: Path,
) -> None:
    """It goes down until a rung holds, and says which ones did not."""
    play(f"case $(cat $1) in *{fits}*) ;; *) echo '{message}'; exit 1;; esac\n" + GOOD + SAVE)
    result = ladder.climb(request_for(tmp_path, lower_nemo), runtime(client), lambda _: None)
    info = json.loads(result.info.read_text())
    assert [
        (rung["batch_size"], rung["accumulate_grad_batches"]) for rung in info["ladder"]
    ] == rungs
    assert info["recipe"]["effective_batch"] == 4


def test_disk_full(
    client: Any, play: Callable[[str], None], tmp_path: Path, lower_nemo: Path
) -> None:
    """A full disk under the work folder is told as one, whoever met it first."""
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(small)], check=False
    )
    if mounted.returncode != 0:
        pytest.skip("only root can mount a small disk")
    try:
        play("dd if=/dev/zero of=/workspace/out/checkpoint bs=1M count=9; sleep 1; exit 1")
        request = replace(request_for(tmp_path, lower_nemo), model_dir=small / "models" / "run")
        with pytest.raises(FaultError) as failed:
            sft.train(request, runtime(client), lambda _: None)
        assert failed.value.fault is Fault.DISK_FULL
        assert not request.model_dir.exists()
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_an_engine_that_is_killed_and_comes_back(
    play: Callable[[str], None],
    tmp_path: Path,
    lower_nemo: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The run says that the engine went away; the next start clears up and finishes."""
    engines.client()
    require("root", present=os.getuid() == 0, how="run the tests as root")
    # A socket's path may have no more than 107 characters.
    home = Path("/var/tmp") / f"flywheel-test-{os.getpid()}"  # noqa: S108
    environment = {
        **os.environ,
        "FLYWHEEL_ENGINE_DIR": str(home),
        "FLYWHEEL_ENGINE_SOCKET": str(home / "docker.sock"),
    }
    monkeypatch.setenv("DOCKER_HOST", f"unix://{home}/docker.sock")

    def control(verb: str) -> None:
        subprocess.run(["bash", str(ENGINE), verb], env=environment, check=True)

    control("up")
    try:
        own = engines.client()
        play("echo up; sleep 600")
        request = request_for(tmp_path, lower_nemo)

        def kill() -> None:
            log = request.work_dir / "training.log"
            while not (log.exists() and "up" in log.read_text()):
                time.sleep(0.1)
            for pid in (home / "docker.pid", home / "exec" / "containerd" / "containerd.pid"):
                os.kill(int(pid.read_text()), signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        with pytest.raises(FaultError) as failed:
            sft.train(request, runtime(own), lambda _: None)
        killer.join()
        assert failed.value.fault is Fault.ENGINE_LOST
        assert not request.model_dir.exists()

        control("up")
        play(GOOD + SAVE)
        result = sft.train(request, runtime(engines.client()), lambda _: None)
        assert result.model.read_bytes() == lower_nemo.read_bytes()
        assert engine.orphans(engines.client(), LABELS) == []
    finally:
        control("down")
        shutil.rmtree(home, ignore_errors=True)
