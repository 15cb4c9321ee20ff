"""SFT: stock full-model fine-tuning (specification, 4d).

The local runtime and the container get the same Hydra overrides. A run's files grow in a hidden
work folder, where a second start finds the last checkpoint of the first; the model folder gets the
model when it is whole, and training_run_info.json, written last, marks it complete.
"""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.common import atomic_files, hashing
from tasks.common.errors import InputError
from tasks.common.schemas import Schema
from tasks.models.nemo_archive import open_archive
from tasks.runtimes.base import Job, Runtime
from tasks.runtimes.failures import HOPELESS, Fault, FaultError, disk_full_is_a_fault
from tasks.runtimes.job_seconds import read_phases
from tasks.training import hydra_overrides, progress, run_info
from tasks.training.progress import (
    Events,
    ProgressReader,
    TrainingProgress,
    UnkCollapseDetector,
    check_outcome,
)
from tasks.training.recipes import least_memory_mib
from tasks.training.run import (
    EVENTS_NAME,
    EXPERIMENT,
    INFO_NAME,
    LOG_NAME,
    MODEL_NAME,
    SftRequest,
    SftResult,
    failed_log,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tasks.runtimes.hardware import Hardware
    from tasks.training.recipes import Recipe

_LAUNCHER = "launch_training.py"
_FIELDS = ("duration", "text", "lang")
# Best, last, the one that is being written and one that was resumed from, each of weights and two
# moments; two .nemo, and the weights that NeMo unpacks. In sizes of the base's archive.
_DISK_PER_BASE = 15
_DISK_PER_CHECKPOINT = 3


def check_request(request: SftRequest, runtime: Runtime) -> None:
    """Refuse a request that cannot succeed, before anything is spent.

    Raises:
        InputError: a TDT base without a GPU, a GPU that is too small, or no script to run.
        FaultError: the disk cannot hold what training writes.
    """
    check_fit(request.base, request.base_name, runtime.hardware)
    _check_disk(request)
    runtime.check()


def _check_disk(request: SftRequest) -> None:
    place = request.work_dir
    while not place.exists():
        place = place.parent
    sizes = _DISK_PER_BASE + _DISK_PER_CHECKPOINT * (request.averaged - 1)
    needed, free = sizes * request.base.stat().st_size, shutil.disk_usage(place).free
    if place != request.work_dir and free < needed:
        raise FaultError(
            Fault.DISK_FULL,
            f"{request.model_dir.parent}: training writes about {needed / 1e9:.1f} GB there "
            f"(checkpoints and models), and {free / 1e9:.1f} GB are free.",
        )


def check_fit(base: Path, name: str, hardware: Hardware) -> None:
    """Refuse a base that this host cannot train at all.

    Raises:
        InputError: a TDT base without a GPU, or a GPU that is too small for the base.
    """
    if not hardware.has_gpu:
        if open_archive(base).decoder.is_tdt:
            raise InputError(
                f"{name}: a TDT base cannot train on a CPU (its loss needs CUDA). "
                "Fix: run on a GPU host, or take a CTC base."
            )
        return
    smallest = min(hardware.gpus, key=lambda gpu: gpu.memory_mib)
    # An archive holds at most four bytes a parameter, and hardly anything else.
    needed = least_memory_mib(base.stat().st_size // 4)
    if 0 < smallest.memory_mib < needed:
        raise InputError(
            f"{name}: tuning needs {needed} MiB for weights, gradients and optimiser alone, and "
            f"{smallest.name} has {smallest.memory_mib} MiB. Fix: take a larger GPU or a smaller "
            "base."
        )


def train(
    request: SftRequest, runtime: Runtime, report: Callable[[TrainingProgress], None]
) -> SftResult:
    """Train, keep the best checkpoint, write adapted_model.nemo and training_run_info.json.

    Args:
        request: what to train.
        runtime: where to train.
        report: is called with the progress, a few times a second at most.

    Raises:
        InputError: the request cannot end well; nothing was started.
        FaultError: training ended without the model that was asked for; says why.
    """
    check_request(request, runtime)
    try:
        request.work_dir.mkdir(parents=True, exist_ok=True)
    except OSError as wrong:
        raise InputError(f"{request.work_dir}: cannot be made ({wrong}).") from wrong
    job = _job(request, runtime)
    try:
        with disk_full_is_a_fault():
            _write_copies(request, runtime)
            outcome = _run(request, runtime, job, report)
            return _publish(request, runtime, outcome)
    except FaultError as failed:
        log = _clean_up_failed_run(request, job, failed.fault)
        if log is None:
            raise
        raise FaultError(failed.fault, f"{failed.detail}\nThe whole log: {log}") from failed
    except BaseException:
        _clean_up_failed_run(request, job, Fault.STOPPED)
        raise


def _run(
    request: SftRequest, runtime: Runtime, job: Job, report: Callable[[TrainingProgress], None]
) -> run_info.TrainingOutcome:
    """Start the script and follow it to its end."""
    reader = ProgressReader(request.events, request.recipe.epochs)
    detector = UnkCollapseDetector()

    def poll() -> None:
        progress = reader.read()
        detector.validated(progress.validated)
        report(progress)

    started = time.time()
    job_result = runtime.execute(job, detector.observe, poll)
    ended = time.time()
    # While another job held the GPU, this one cost nothing.
    waited = read_phases(job.phases_file, started, ended).get("wait", 0.0)
    seconds = ended - started - waited
    events = list(Events(request.events).read())
    epochs = check_outcome(job_result, events, request.recipe.epochs, job.log)
    return run_info.TrainingOutcome(epochs, events, seconds, job_result.image, job.log)


def _clean_up_failed_run(request: SftRequest, job: Job, fault: Fault) -> Path | None:
    """Keep a failed run's checkpoints, or only its log; return the log's path."""
    checkpoints = any(request.experiment.rglob("*.ckpt"))
    # An engine that went away may have left the container running, with its folder in use.
    if fault is Fault.ENGINE_LOST or (checkpoints and fault not in HOPELESS):
        return job.log if job.log.is_file() else None
    log = failed_log(request)
    if job.log.is_file() and job.log.stat().st_size:
        progress.hide_texts(job.log)
        job.log.replace(log)
    shutil.rmtree(request.work_dir, ignore_errors=True)
    if log.is_file():
        return log
    with suppress(OSError):  # other runs are in it
        request.work_dir.parent.rmdir()
    return None


def discard_checkpoints(request: SftRequest) -> None:
    """Discard the checkpoints, which belong to the batch that they were made with."""
    shutil.rmtree(request.experiment, ignore_errors=True)
    request.events.unlink(missing_ok=True)


def _write_copies(request: SftRequest, runtime: Runtime) -> None:
    """Write copies of the rows to train and to validate on, whose paths resolve there.

    The script's validation set is selection.jsonl, where rows choose. They hold what training needs
    and nothing else: NeMo gives other fields, which may be a user's own (audio_filename, offset,
    context), meanings that would change what it trains on.
    """
    map_path = runtime.path_mapper(request.work_dir, request.reads)
    validates_on, _ = request.data.validates_on
    sources = {"train": request.data.train, "validation": validates_on}
    if request.data.distillation is not None:
        sources["distillation"] = request.data.distillation
    for side, source in sources.items():
        atomic_files.write_jsonl(
            request.copy(side),
            (
                {
                    "audio_filepath": map_path(Path(row["audio_filepath"])),
                    **{name: row[name] for name in _FIELDS if name in row},
                }
                for row in atomic_files.read_jsonl(source)
            ),
        )


def _job(request: SftRequest, runtime: Runtime) -> Job:
    map_path = runtime.path_mapper(request.work_dir, request.reads)
    override_list = hydra_overrides.overrides(request, runtime)
    return Job(
        name="training",
        program=_LAUNCHER,
        request={
            "events": map_path(request.events),
            "seed": request.recipe.seed,
            "script": runtime.script.path,
            "config": runtime.script.config,
            "arguments": [*runtime.script.arguments, *map(str, override_list)],
            "keys": [override.key for override in override_list if not override.added],
            "manifests": {side: map_path(request.copy(side)) for side in ("train", "validation")},
            "rows": {
                "train": request.data.train_rows,
                "validation": request.data.validates_on[1],
            },
            "limits": [request.recipe.min_duration, request.recipe.max_duration],
            "base": map_path(request.base),
            "checkpoints": map_path(request.checkpoints),
            "model_name": f"{EXPERIMENT}.nemo",
            "epochs": request.recipe.epochs,
            "average": request.averaged > 1,
            "keeps_last": request.keeps_last,
            "precision": request.recipe.precision.lightning,
            "frozen_share": request.recipe.frozen_share,
            **_compiling(request.recipe),
            **_distilling(request, map_path),
        },
        work=request.work_dir,
        reads=request.reads,
        labels=request.labels,
    )


def _compiling(recipe: Recipe) -> dict[str, Any]:
    """Return the launcher's order to compile layers; nothing where the recipe does not say so."""
    if not recipe.compiled:
        return {}
    order = {
        "rows": recipe.batch_size,
        "by_length": recipe.by_length,
        "fused_adamw": recipe.fused_adamw,
    }
    return {"compile": order}


def _distilling(request: SftRequest, map_path: Callable[[Path], str]) -> dict[str, Any]:
    """Return the launcher's order to teach the base's outputs; nothing where there is no such."""
    if (request.data.distillation is None) == bool(request.recipe.distillation):
        raise ValueError("a recipe teaches the base's outputs where there are sentences for it")
    if request.data.distillation is None:
        return {}
    order = {
        "manifest": map_path(request.copy("distillation")),
        "weight": request.recipe.distillation,
        "rows": request.recipe.batch_size,
        "seed": request.recipe.seed,
    }
    return {"distillation": order}


def _publish(request: SftRequest, runtime: Runtime, outcome: run_info.TrainingOutcome) -> SftResult:
    """Move the model and its record to their place; the record, moved last, completes it."""
    produced = request.checkpoints / f"{EXPERIMENT}.nemo"
    try:
        open_archive(produced)
    except InputError as broken:
        raise FaultError(Fault.NO_MODEL, str(broken)) from broken
    model_sha256 = hashing.sha256_file(produced)
    ready = request.work_dir / "ready"
    ready.mkdir(exist_ok=True)
    progress.hide_texts(outcome.log)
    role_files = request.roles.write(ready)
    override_texts = [str(override) for override in hydra_overrides.overrides(request, runtime)]
    record = run_info.build_run_info(request, runtime, outcome, model_sha256, override_texts)
    atomic_files.write_json(ready / INFO_NAME, Schema.TRAINING.mark(record))
    request.model_dir.mkdir(parents=True, exist_ok=True)
    # All of it is written by now: what follows renames files and cannot meet a full disk.
    for source, name in (
        (produced, MODEL_NAME),
        (outcome.log, LOG_NAME),
        (request.events, EVENTS_NAME),
        *((path, path.name) for path in role_files),
        (ready / INFO_NAME, INFO_NAME),
    ):
        atomic_files.move(source, request.model_dir / name)
    hashing.record_hash(request.model_dir / MODEL_NAME, model_sha256)
    shutil.rmtree(request.work_dir)
    failed_log(request).unlink(missing_ok=True)
    return SftResult(
        request.model_dir / MODEL_NAME, model_sha256, request.model_dir / INFO_NAME, outcome.epochs
    )
