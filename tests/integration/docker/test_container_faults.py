"""What can go wrong while a container trains, provoked in a real engine.

The launcher is replaced by a shell script that behaves badly; image, mounts, log and removal are
real. Each fault has its message, and leaves no container and no model.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tasks.runtimes import docker_engine, images
from tasks.runtimes.container import ContainerRuntime
from tasks.runtimes.container_settings import ContainerSettings
from tasks.runtimes.failures import OF_A_CLUSTER, Fault, FaultError
from tasks.runtimes.hardware import Hardware
from tasks.training import fallback
from tasks.training import run as training_run
from tests.support import recorded_engine
from tests.support.needs import require
from tests.support.shell_launchers import GOOD, HELD, LABELS, SAVE, request_for, runtime

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass
class Stage:
    """What a fault is provoked with; the test looks at what is left afterwards."""

    client: Any
    request: training_run.SftRequest
    play: Callable[[str], None]
    folder: Path
    monkeypatch: pytest.MonkeyPatch

    def train(self, **settings: Any) -> None:
        """Go the whole way: ladder, runtime, engine, outcome."""
        fallback.train_with_fallback(self.request, runtime(self.client, **settings), lambda _: None)

    def plays(self, script: str, **settings: Any) -> None:
        """Train with this script in the launcher's place."""
        self.play(script)
        self.train(**settings)

    def says(self, *lines: str, code: int = 1) -> None:
        """Train with a script that prints this and ends so."""
        told = "\n".join(lines)
        self.plays(f"cat <<'END'\n{told}\nEND\nexit {code}")

    def holds(self, settings: dict[str, Any] | None = None, **held: object) -> None:
        """Train in an image in which the probe finds this."""
        told = images.PREFIX + json.dumps({**HELD, **held})
        (self.folder / "entry" / images.PROBE).write_text(f"echo '{told}'\n")
        self.train(**settings or {})

    def recorded(self, answers: dict[str, Any], **settings: Any) -> None:
        """Train in an engine that gives these answers."""
        socket = self.folder / "engine.sock"
        self.monkeypatch.setenv("DOCKER_HOST", f"unix://{socket}")
        with recorded_engine.answering(socket, answers) as engine_:
            try:
                chosen = ContainerSettings(python="sh", **settings)
                fallback.train_with_fallback(
                    self.request, ContainerRuntime(chosen, Hardware((), 2)), lambda _: None
                )
            finally:
                assert not engine_.containers_left

    def pull(self, error: str) -> None:
        """Train by an image that is not here and whose pull ends with this error."""
        self.recorded(
            {
                "GET /images/": (404, {"message": "No such image: nvcr.io/nvidia/nemo:25.11.01"}),
                "POST /images/create": (200, json.dumps({"error": error})),
            }
        )


def bad_mount(stage: Stage) -> None:
    """A folder of audio that is gone by now."""
    stage.request = replace(stage.request, audio_roots=(stage.folder, stage.folder / "gone"))
    stage.train()


def no_engine(stage: Stage) -> None:
    """Nobody listens."""
    stage.monkeypatch.setenv("DOCKER_HOST", f"unix://{stage.folder}/none.sock")
    stage.train()


def no_permission(_: Stage) -> None:
    """As another user; the fault comes back from a process of its own."""
    require("root")
    program = """
import os
from tasks.runtimes import docker_engine as engine
from tasks.runtimes.failures import FaultError
os.setgid(65534); os.setuid(65534)
try:
    engine.connect()
except FaultError as refused:
    print(refused.fault.value)
"""
    answer = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[3],
    )
    raise FaultError(Fault(answer.stdout.strip()), answer.stderr)


def disk_full(stage: Stage) -> None:
    """Under the work folder, while the script writes a checkpoint."""
    small = stage.folder / "small"
    small.mkdir()
    require("mount")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "none", str(small)], check=True)
    try:
        stage.play("dd if=/dev/zero of=/workspace/out/checkpoint bs=1M count=32; exit 1")
        stage.request = replace(stage.request, model_dir=small / "models" / "run")
        stage.train()
    finally:
        left = list(small.rglob("*"))
        subprocess.run(["umount", str(small)], check=True)
        # One log, and that only if there was room for it.
        assert {path.name for path in left} <= {"models", "run.failed.log"}


def removed_by_another(stage: Stage) -> None:
    """Somebody's `docker rm --force`."""
    stage.play("echo up; sleep 600")

    def remove() -> None:
        while (
            not (found := docker_engine.orphans(stage.client, LABELS))
            or found[0].status != "running"
        ):
            time.sleep(0.1)
        found[0].remove(force=True)

    thread = threading.Thread(target=remove)
    thread.start()
    try:
        stage.train()
    finally:
        thread.join()


def engine_gone(stage: Stage) -> None:
    """It answers until the container runs, and then no more."""
    stage.monkeypatch.setattr(docker_engine, "_ENGINE_BACK_S", 0.3)
    stage.monkeypatch.setattr(docker_engine, "_LOG_WAIT_S", 0.3)
    path = f"GET /containers/{recorded_engine.ID}/json"
    alive = recorded_engine.PRESENT[path]
    stage.recorded({path: [alive, alive, recorded_engine.VANISHES]})


OLD_DRIVER = (
    "OCI runtime create failed: nvidia-container-cli: requirement error: unsatisfied condition: "
    "cuda>=12.9, please update your driver to a newer version"
)
REACHED: dict[Fault, Callable[[Stage], None]] = {
    Fault.ENGINE_DOWN: no_engine,
    Fault.NO_PERMISSION: no_permission,
    Fault.IMAGE_ABSENT: lambda stage: stage.pull(
        "manifest for nvcr.io/nvidia/nemo:25.99 not found: manifest unknown"
    ),
    Fault.NO_CREDENTIALS: lambda stage: stage.pull(
        'Head "https://nvcr.io/v2/nvidia/nemo/manifests/25.11.01": unauthorized: authentication '
        "required"
    ),
    Fault.NO_NEMO: lambda stage: stage.holds(package="", asr=False),
    Fault.NO_SCRIPT: lambda stage: stage.holds(examples="", settings={"examples": "/opt/mine"}),
    Fault.NO_NETWORK: lambda stage: ContainerRuntime(
        ContainerSettings(image="registry.invalid/nemo:1"), Hardware((), 2)
    ).check(),
    Fault.NO_GPU_RUNTIME: lambda stage: stage.train(gpus="all"),
    Fault.NO_USABLE_GPU: lambda stage: stage.says("NoUsableGpu: CUDA finds no GPU"),
    Fault.DRIVER_TOO_OLD: lambda stage: stage.recorded(
        {f"POST /containers/{recorded_engine.ID}/start": (500, {"message": OLD_DRIVER})}
    ),
    Fault.DISK_FULL: disk_full,
    Fault.BAD_MOUNT: bad_mount,
    Fault.BAD_REQUEST: lambda stage: stage.train(python="no-such-interpreter"),
    Fault.GPU_BUSY: lambda stage: stage.says("GpuBusy: another job holds GPU GPU-aa", code=76),
    Fault.GPU_MEMORY: lambda stage: stage.says(
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."
    ),
    Fault.HOST_MEMORY: lambda stage: stage.plays(
        "dd if=/dev/zero of=/dev/null bs=1500M count=1", memory_gib=1
    ),
    Fault.SHARED_MEMORY: lambda stage: stage.says(
        "Unexpected bus error. This might be caused by insufficient shared memory (shm)."
    ),
    Fault.NAN_LOSS: lambda stage: stage.says(
        "FloatingPointError: NaN loss: the training loss became nan"
    ),
    Fault.UNK_COLLAPSE: lambda stage: stage.plays(
        "for n in 1 2 3 4 5 6 7 8 9; do echo 'WER predicted: ⁇ ⁇'; done; sleep 600"
    ),
    Fault.NO_BF16: lambda stage: stage.says(
        "Tesla T4 (compute capability 7.5) does not support bf16"
    ),
    Fault.ROWS_LOST: lambda stage: stage.says(
        "__main__.RowsLostError: train: NeMo would load 190 of 195 rows"
    ),
    Fault.BYTES_OVERWRITTEN: lambda stage: stage.says(
        "nvrtc_guard.CorruptedBytesError: the bytes b' ' do not read as themselves in this process"
    ),
    Fault.NO_BOOSTING: lambda stage: stage.says(
        "phrase boosting is not available: NeMo 2.4.0 has no boosting tree"
    ),
    Fault.STOPPED: removed_by_another,
    Fault.ENGINE_LOST: engine_gone,
    Fault.NO_MODEL: lambda stage: stage.plays(GOOD),
    Fault.SCRIPT_FAILED: lambda stage: stage.says("KeyError: tokenizer"),
}
REMEDIES = {
    Fault.ENGINE_DOWN: "systemctl start docker",
    Fault.NO_PERMISSION: "docker group",
    Fault.IMAGE_ABSENT: "nvcr.io/nvidia/nemo:25.11.01",
    Fault.NO_CREDENTIALS: "docker login nvcr.io",
    Fault.NO_NEMO: "nvcr.io/nvidia/nemo-speech:26.07.00",
    Fault.NO_SCRIPT: "Fix: name the folder",
    Fault.NO_NETWORK: "docker save",
    Fault.NO_GPU_RUNTIME: "NVIDIA Container Toolkit",
    Fault.NO_USABLE_GPU: "nvidia-smi",
    Fault.DRIVER_TOO_OLD: "Fix: update the driver",
    Fault.DISK_FULL: "Fix: free space",
    Fault.BAD_MOUNT: "exists on the engine's host",
    Fault.BAD_REQUEST: "interpreter",
    Fault.GPU_BUSY: "choose another GPU",
    Fault.GPU_MEMORY: "batch_size to 2 and raise accumulate_grad_batches to 2",
    Fault.HOST_MEMORY: "memory limit",
    Fault.SHARED_MEMORY: "Fix: raise shm_size",
    Fault.NAN_LOSS: "lower the learning rate",
    Fault.UNK_COLLAPSE: "nvidia/parakeet-tdt-0.6b-v2",
    Fault.NO_BF16: "fp32 with a smaller batch",
    Fault.ROWS_LOST: "Fix: check durations",
    Fault.BYTES_OVERWRITTEN: "report the versions",
    Fault.NO_BOOSTING: "leave boosting out",
    Fault.STOPPED: "goes on from its last checkpoint",
    Fault.ENGINE_LOST: "goes on from its last checkpoint",
    Fault.NO_MODEL: "without a whole .nemo",
    Fault.SCRIPT_FAILED: "the training script failed",
}


@pytest.mark.parametrize("fault", [fault for fault in Fault if fault not in OF_A_CLUSTER])
def test_each_fault_is_reached_told_and_leaves_nothing(
    fault: Fault,
    clean_engine: Any,
    play_launcher: Callable[[str], None],
    tmp_path: Path,
    lower_nemo: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No fault may be forgotten here: one that nothing reaches is no outcome."""
    request = request_for(tmp_path, lower_nemo)
    stage = Stage(clean_engine, request, play_launcher, tmp_path, monkeypatch)
    with pytest.raises(FaultError) as failed:
        REACHED[fault](stage)
    assert failed.value.fault is fault, failed.value
    assert str(failed.value).startswith(f"{fault.value}: ")
    assert REMEDIES[fault] in str(failed.value)
    models = request.model_dir.parent
    left = {path.name for path in models.iterdir()} if models.exists() else set()
    # What an engine that went away still runs may be writing there.
    assert left <= ({".run.work"} if fault is Fault.ENGINE_LOST else {"run.failed.log"})


ENDS_BADLY = {
    "a model cut short": (
        GOOD
        + "dd if=/opt/asr-flywheel/model.nemo bs=2000 count=1 "
        + "of=/workspace/out/experiment/sft/checkpoints/sft.nemo",
        Fault.NO_MODEL,
    ),
    "exit code 0 in mid-training": ("exit 0", Fault.STOPPED),
    "stopped by a signal": ("exit 143", Fault.STOPPED),
    "a driver too old for the image, by torch": (
        "echo 'The NVIDIA driver on your system is too old'; echo NoUsableGpu; exit 1",
        Fault.DRIVER_TOO_OLD,
    ),
    "a driver too old for CUDA graphs": (
        "echo 'CUDA error: operation not permitted when stream is capturing'; exit 1",
        Fault.DRIVER_TOO_OLD,
    ),
}


@pytest.mark.parametrize("name", ENDS_BADLY)
def test_other_ways_to_the_same_faults(
    name: str,
    clean_engine: Any,
    play_launcher: Callable[[str], None],
    tmp_path: Path,
    lower_nemo: Path,
) -> None:
    """Its own name; no container, no model folder."""
    script, fault = ENDS_BADLY[name]
    play_launcher(script)
    request = request_for(tmp_path, lower_nemo)
    with pytest.raises(FaultError) as failed:
        fallback.train_with_fallback(request, runtime(clean_engine), lambda _: None)
    assert failed.value.fault is fault
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
    clean_engine: Any,
    play_launcher: Callable[[str], None],
    tmp_path: Path,
    lower_nemo: Path,
) -> None:
    """It goes down until a rung holds, and says which ones did not."""
    play_launcher(
        f"case $(cat $1) in *{fits}*) ;; *) echo '{message}'; exit 1;; esac\n" + GOOD + SAVE
    )
    result = fallback.train_with_fallback(
        request_for(tmp_path, lower_nemo), runtime(clean_engine), lambda _: None
    )
    info = json.loads(result.info.read_text())
    assert [
        (rung["batch_size"], rung["accumulate_grad_batches"]) for rung in info["ladder"]
    ] == rungs
    assert info["recipe"]["effective_batch"] == 4
