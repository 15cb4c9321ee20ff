"""The faults of a run, each with its own message and remedy.

The remedies are the specification's (Troubleshooting) where it has one. Faults are told from the
engine's own answers and from what the training script printed; both are text that other people
wrote, so that the patterns stand here in one place.
"""

from __future__ import annotations

import re
import shutil
from contextlib import contextmanager, suppress
from enum import StrEnum
from typing import TYPE_CHECKING

from tasks.common.errors import TrainingError, is_disk_full
from tasks.models.catalog import LEGACY_FALLBACK, RECOMMENDED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tasks.runtimes.base import JobResult

# SIGINT, SIGKILL and SIGTERM, as a shell and as subprocess tell them; 75: see
# entrypoints/heartbeat.py.
_STOPPED = {130, 137, 143, -2, -9, -15, 75}


_HARDLY_ANY = 1 << 16
"""Bytes that are free on a disk that is full."""


class Fault(StrEnum):
    """The causes for which a run made no model."""

    ENGINE_DOWN = "engine-down"
    NO_PERMISSION = "no-permission"
    IMAGE_ABSENT = "image-absent"
    NO_CREDENTIALS = "no-credentials"
    NO_NEMO = "no-nemo"
    NO_SCRIPT = "no-script"
    NO_NETWORK = "no-network"
    NO_GPU_RUNTIME = "no-gpu-runtime"
    NO_USABLE_GPU = "no-usable-gpu"
    DRIVER_TOO_OLD = "driver-too-old"
    DISK_FULL = "disk-full"
    BAD_MOUNT = "bad-mount"
    BAD_REQUEST = "bad-request"
    GPU_BUSY = "gpu-busy"
    GPU_MEMORY = "gpu-memory"
    HOST_MEMORY = "host-memory"
    SHARED_MEMORY = "shared-memory"
    NAN_LOSS = "nan-loss"
    UNK_COLLAPSE = "unk-collapse"
    NO_BF16 = "no-bf16"
    ROWS_LOST = "rows-lost"
    BYTES_OVERWRITTEN = "bytes-overwritten"
    NO_BOOSTING = "no-boosting"
    STOPPED = "stopped"
    ENGINE_LOST = "engine-lost"
    NO_MODEL = "no-model"
    SCRIPT_FAILED = "script-failed"
    SCHEDULER_DOWN = "scheduler-down"
    JOB_REFUSED = "job-refused"
    JOB_CANCELLED = "job-cancelled"
    JOB_FAILED = "job-failed"
    FOLDER_UNSEEN = "folder-unseen"
    TIME_LIMIT = "time-limit"
    NODE_LOST = "node-lost"


OF_A_CLUSTER = frozenset(
    {
        Fault.SCHEDULER_DOWN,
        Fault.JOB_REFUSED,
        Fault.JOB_CANCELLED,
        Fault.JOB_FAILED,
        Fault.FOLDER_UNSEEN,
        Fault.TIME_LIMIT,
        Fault.NODE_LOST,
    }
)
"""Faults that a cluster's job has, and no container."""

_REMEDIES = {
    Fault.ENGINE_DOWN: "the Docker Engine does not answer. Fix: start it (`systemctl start "
    "docker`), or point DOCKER_HOST at the one that runs.",
    Fault.NO_PERMISSION: "this user may not use the Docker Engine's socket. Fix: add the user to "
    "the docker group and log in again.",
    Fault.IMAGE_ABSENT: "the image is neither here nor in its registry. Fix: check its name and "
    "tag; the specification's is nvcr.io/nvidia/nemo:25.11.01.",
    Fault.NO_CREDENTIALS: "the registry refuses to hand out the image. Fix: log in to the "
    "registry that the image's name begins with. NVIDIA's: `docker login nvcr.io` (user "
    "$oauthtoken, an NGC key as the password); one of your own: `docker login registry.example` "
    "(your account there).",
    Fault.NO_NEMO: "the image holds no NeMo that trains speech recognition: from 26.04 on NVIDIA "
    "has that in nemo-speech, not in nemo. Fix: take nvcr.io/nvidia/nemo:25.11.01 (NeMo 2.6), or "
    "nvcr.io/nvidia/nemo-speech:26.07.00 (NeMo 3.0, driver 595.58 or newer).",
    Fault.NO_SCRIPT: "the image has no stock script in the folder that was named. Fix: name the "
    "folder that holds speech_to_text_finetune.py in the image (examples), or leave it out: an "
    "image without one is trained in by this project's own script.",
    Fault.NO_NETWORK: "the registry cannot be reached. Fix: pull the image where there is a "
    "network, or bring it with `docker save` and `docker load`.",
    Fault.NO_GPU_RUNTIME: "the engine has no NVIDIA runtime, or its host no driver. Fix: see "
    "that `nvidia-smi` works, install the NVIDIA Container Toolkit, then `nvidia-ctk runtime "
    "configure --runtime=docker` and restart the engine.",
    Fault.NO_USABLE_GPU: "the host has a GPU, and CUDA finds none where training runs. Fix: in a "
    "container: see that `docker run --gpus all IMAGE nvidia-smi` shows it. Here: install a torch "
    "with CUDA, or hide the GPU (CUDA_VISIBLE_DEVICES=) to train on the CPU.",
    Fault.DRIVER_TOO_OLD: "the host's NVIDIA driver is too old for the image, or for CUDA graphs "
    "(those want a driver for CUDA 12.6). Fix: update the driver, or use an image for an older "
    "CUDA.",
    Fault.DISK_FULL: "the disk is full, or too small. Fix: free space, or move the cycle to a "
    "larger disk. `docker system df` shows what images take, `docker image prune` removes unused "
    "ones. The specification's image alone is a download of about 12 GB.",
    Fault.BAD_MOUNT: "a folder that the container needs cannot be mounted. Fix: check that it "
    "exists on the engine's host and may be read.",
    Fault.BAD_REQUEST: "the engine refused to run the container as it was asked for. Fix: check "
    "the image's interpreter, and the container's user and limits.",
    Fault.GPU_BUSY: "another job of this host holds the GPU. Fix: wait for it, or choose another "
    "GPU.",
    Fault.GPU_MEMORY: "out of GPU memory. Fix: drop batch_size to 2 and raise "
    "accumulate_grad_batches to 2, which keeps the effective batch size; rows over 20 s cost the "
    "most.",
    Fault.HOST_MEMORY: "the container was killed for its memory (OOMKilled). Fix: raise its "
    "memory limit or lower the number of data-loader workers.",
    Fault.SHARED_MEMORY: "shared memory is too small for the data loader. Fix: raise shm_size.",
    Fault.NAN_LOSS: "the training loss stopped being a number. Fix: with fp16-mixed take "
    "bf16-mixed or fp32; otherwise lower the learning rate (recipe `conservative`).",
    Fault.UNK_COLLAPSE: "validation collapsed to all-UNK after the first step, as the cache-aware "
    f"streaming base does. Fix: do not retry with other hyperparameters: take {RECOMMENDED} or "
    f"{LEGACY_FALLBACK}.",
    Fault.NO_BF16: "this GPU does not support bf16 (Turing and Volta do not). Fix: use fp32 with "
    "a smaller batch; fp16-mixed only if that is too slow, watching for NaN losses.",
    Fault.ROWS_LOST: "NeMo would load fewer rows than were sent. Fix: check durations and limits.",
    Fault.BYTES_OVERWRITTEN: "a library overwrote bytes that its whole process shares, which can "
    "neither read nor write models after that. Nothing of it was kept. NeMo's CUDA-graph decoders "
    "do so, and the guard in tasks/entrypoints/nvrtc_guard.py does not know this release. Fix: "
    "take nemo_toolkit 3.0.0 with cuda-bindings 13.3.1, and report the versions that you have.",
    Fault.NO_BOOSTING: "phrases cannot be boosted here. NeMo has a boosting tree from 2.5 on, "
    "and a model must be decoded greedily and have a tokenizer. Fix: take another NeMo or another "
    "base, or leave boosting out.",
    Fault.STOPPED: "it was stopped from outside before its last epoch. Fix: start it again: it "
    "goes on from its last checkpoint.",
    Fault.ENGINE_LOST: "the Docker Engine went away during the run. Fix: start the engine and "
    "this cycle again: it goes on from its last checkpoint.",
    Fault.NO_MODEL: "the script ended without a whole .nemo.",
    Fault.SCRIPT_FAILED: "the training script failed.",
    Fault.SCHEDULER_DOWN: "Slurm does not answer. Fix: see that `sinfo` and `munge -n` work "
    "here, and ask the cluster's operators if they do not.",
    Fault.JOB_REFUSED: "Slurm does not take the job as it was asked for. Fix: check account, "
    "partition, time limit, gres and the other options of sbatch.",
    Fault.JOB_CANCELLED: "somebody cancelled Slurm's job. Fix: start it again: it goes on from "
    "its last checkpoint.",
    Fault.JOB_FAILED: "Slurm's job ended before it had begun. Fix: check the lines of `setup`, "
    "and that the node has this interpreter.",
    Fault.FOLDER_UNSEEN: "the node does not see the folder of the cycles. Fix: move them to a "
    "file system that login node and nodes share.",
    Fault.TIME_LIMIT: "the time limit ended the job. Fix: start it again with a longer "
    "--time-limit: it goes on from its last checkpoint.",
    Fault.NODE_LOST: "nodes failed, or the job was preempted, more often than it may be started "
    "again. Fix: start it again: it goes on from its last checkpoint.",
}

HOPELESS = frozenset({Fault.NAN_LOSS, Fault.UNK_COLLAPSE})
"""Where a second start from the last checkpoint would end in the same way."""

_IN_LOG = (
    (Fault.NO_BOOSTING, r"phrase boosting is not available"),
    (Fault.GPU_BUSY, r"GpuBusy: another job holds"),
    (Fault.GPU_MEMORY, r"CUDA out of memory|torch\.OutOfMemoryError|CUBLAS_STATUS_ALLOC_FAILED"),
    (Fault.SHARED_MEMORY, r"insufficient shared memory|unable to (open|allocate) shared memory"),
    (Fault.SHARED_MEMORY, r"unable to write to file </torch_"),
    (Fault.NO_BF16, r"(does not|doesn't) support (bfloat16|bf16)|bf16 is not supported"),
    (Fault.NO_BF16, r"CUBLAS_STATUS_NOT_SUPPORTED.*CUDA_R_16BF"),
    (Fault.NAN_LOSS, r"FloatingPointError: NaN loss"),
    (Fault.ROWS_LOST, r"RowsLost"),
    (Fault.BYTES_OVERWRITTEN, r"CorruptedBytes"),
    (Fault.DRIVER_TOO_OLD, r"CUDA driver version is insufficient|driver on your system is too old"),
    (Fault.DRIVER_TOO_OLD, r"compatibility mode is UNAVAILABLE|cudaErrorInsufficientDriver"),
    (Fault.DRIVER_TOO_OLD, r"CUDA failure! 35\b|cudaErrorStreamCapture|when stream is capturing"),
    (Fault.NO_USABLE_GPU, r"NoUsableGpu"),
    (Fault.DISK_FULL, r"No space left on device|Errno 28"),
    (Fault.DISK_FULL, r"unexpected pos \d+ vs \d+"),  # what torch.save says of it
    (Fault.BAD_REQUEST, r"\[FATAL tini"),  # there is no such interpreter in the image
)  # fmt: skip
_IN_ENGINE = (
    (Fault.NO_GPU_RUNTIME, r"could not select device driver|unknown or invalid runtime name"),
    (Fault.NO_GPU_RUNTIME, r"libnvidia-ml|driver not loaded"),
    (Fault.DRIVER_TOO_OLD, r"unsatisfied condition: (cuda|driver)|driver/library version mismatch"),
    (Fault.DISK_FULL, r"no space left on device"),
    (Fault.BAD_MOUNT, r"bind source path does not exist|invalid mount|mount denied|mounts denied"),
    (Fault.NO_CREDENTIALS, r"unauthorized|authentication required|access denied|forbidden"),
    (Fault.IMAGE_ABSENT, r"(manifest|name) unknown|(manifest|repository) .*not found"),
    (Fault.IMAGE_ABSENT, r"does not exist|no such image|invalid reference format"),
    (Fault.NO_NETWORK, r"dial tcp|no such host|i/o timeout|TLS handshake|Client\.Timeout"),
    (Fault.NO_NETWORK, r"connection reset by peer"),
    (Fault.NO_PERMISSION, r"permission denied"),
)  # fmt: skip


class FaultError(TrainingError):
    """A run that made no model: the fault, its remedy, and the reporter's message."""

    def __init__(self, fault: Fault, detail: str = "") -> None:
        self.fault = fault
        self.detail = detail
        super().__init__(f"{fault.value}: {_REMEDIES[fault]}" + (f"\n{detail}" if detail else ""))


@contextmanager
def disk_full_is_a_fault() -> Iterator[None]:
    """Turn the error of a full disk, which any write may meet, into its own fault."""
    try:
        yield
    except OSError as wrong:
        if not is_disk_full(wrong):
            raise
        raise FaultError(Fault.DISK_FULL, str(wrong)) from wrong


def from_log(text: str) -> Fault:
    """Return the fault that a failed script's output names."""
    # What was overcome quotes errors that ended nothing; see tasks/entrypoints/cuda_graphs.py.
    lines = [line for line in text.splitlines() if not line.startswith("CUDA graphs: ")]
    return _first(_IN_LOG, "\n".join(lines), Fault.SCRIPT_FAILED)


def from_engine(text: str) -> Fault:
    """Return the fault that the engine's refusal names."""
    return _first(_IN_ENGINE, text, Fault.BAD_REQUEST)


def _first(patterns: tuple[tuple[Fault, str], ...], text: str, otherwise: Fault) -> Fault:
    for fault, pattern in patterns:
        if re.search(pattern, text, re.IGNORECASE):
            return fault
    return otherwise


def _is_full(path: Path) -> bool:
    with suppress(OSError):
        return shutil.disk_usage(path.parent).free < _HARDLY_ANY
    return False


def fault_of(job_result: JobResult, log: Path) -> Fault | None:
    """Return a job's fault by the engine's state, the log and the exit code, or None."""
    if job_result.oom_killed:
        return Fault.HOST_MEMORY
    if job_result.exit_code == 0:
        return None
    fault = from_log(log.read_text(encoding="utf-8", errors="replace") if log.is_file() else "")
    if fault is Fault.SCRIPT_FAILED and _is_full(log):
        return Fault.DISK_FULL  # the log itself could not be written
    if fault is Fault.SCRIPT_FAILED and job_result.exit_code in _STOPPED:
        return Fault.STOPPED
    return fault
