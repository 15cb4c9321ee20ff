"""SFT: stock full-model fine-tuning (specification, 4d).

The local runtime and the container get the same Hydra overrides. A run's files grow in a hidden
work folder, where a second start finds the last checkpoint of the first; the model folder gets the
model when it is whole, and training_run_info.json, written last, marks it complete.
"""

from __future__ import annotations

import platform
import shutil
import statistics
import time
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from tasks import files
from tasks.course import (
    Epoch,
    Events,
    Progress,
    Rung,
    UnkWatch,
    check_outcome,
    epochs_validated,
    progress,
)
from tasks.errors import InputError
from tasks.faults import Fault, FaultError, disk_full_is_a_fault
from tasks.nemo_archive import open_archive
from tasks.overrides import Override
from tasks.recipes import least_memory_mib
from tasks.runtime import Job, Runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tasks.hardware import Hardware
    from tasks.recipes import Recipe
    from tasks.training_set import TrainingSet

MODEL_NAME = "adapted_model.nemo"
INFO_NAME = "training_run_info.json"
RECORDINGS_NAME = "trained_recordings.txt"
LOG_NAME = "training.log"
EVENTS_NAME = "training_events.jsonl"
_LAUNCHER = "launch.py"
_EXPERIMENT = "sft"
_EVENTS = "events.jsonl"
_VALIDATION_BATCH = 16


@dataclass(frozen=True, slots=True)
class SftRequest:
    """One tuning run.

    Attributes:
        base: the .nemo file to start from.
        base_name: as the user named it.
        data: the training set; its files name audio by host paths.
        recipe: hyperparameters.
        model_dir: models/<run> of the cycle.
        audio_roots: folders under which all audio lies.
        labels: how a container of this run is found again.
        key: the run's fingerprint, from ``run_key``; a rung of the ladder does not change it.
        trained_before: recordings (content hashes) that the base itself was tuned on, if known.
        rungs: the starts that failed before this one; see tasks/ladder.py.
    """

    base: Path
    base_name: str
    data: TrainingSet
    recipe: Recipe
    model_dir: Path
    audio_roots: tuple[Path, ...]
    key: str
    trained_before: frozenset[str] = frozenset()
    labels: Mapping[str, str] = field(default_factory=dict)
    rungs: tuple[Rung, ...] = ()

    @property
    def work_dir(self) -> Path:
        """Where the run's files grow; the same for every start of the same run."""
        return self.model_dir.with_name(f".{self.model_dir.name}.work")

    @property
    def reads(self) -> tuple[Path, ...]:
        """What training reads besides its work folder."""
        return (self.base, *self.audio_roots)


@dataclass(frozen=True, slots=True)
class SftResult:
    """A finished run: the best checkpoint by validation WER, and how training went."""

    model: Path
    model_sha256: str
    info: Path
    epochs: tuple[Epoch, ...]
    reused: bool = False

    @property
    def best(self) -> Epoch | None:
        """The epoch whose weights were kept."""
        validated = [epoch for epoch in self.epochs if epoch.val_wer is not None]
        return min(validated, key=lambda epoch: epoch.val_wer or 0.0, default=None)


def run_name(base_name: str, recipe: Recipe, key: str) -> str:
    """A folder name for a run: what was tuned how, and the start of its fingerprint."""
    name = PurePath(base_name.lower()).name.removesuffix(".nemo")
    base = "".join(char if char.isalnum() else "-" for char in name)
    return f"{base[:40].strip('-')}-{recipe.name.value}-{key[:8]}"


def run_key(base_sha256: str, content: str, recipe: Recipe, runtime: str) -> str:
    """The fingerprint of a run: two runs that share it train the same model.

    Args:
        base_sha256: hash of the base's file.
        content: of the training set.
        recipe: hyperparameters.
        runtime: the identity of what trains.
    """
    return files.fingerprint([base_sha256, content, recipe.model_dump(mode="json"), runtime])


def overrides(request: SftRequest, runtime: Runtime) -> list[Override]:
    """The whole override list: data, recipe, hardware and experiment folder, in this order."""
    recipe, hardware = request.recipe, runtime.hardware
    inside = runtime.inside(request.work_dir, request.reads)
    # On a CPU the cores are busy with the model; loader processes would only take from them.
    workers = min(8, hardware.cores) if hardware.has_gpu else 0
    listed = [
        Override("init_from_nemo_model", inside(request.base)),
        Override("name", _EXPERIMENT),
        Override("model.train_ds.manifest_filepath", inside(_copy(request, "train"))),
        Override("model.train_ds.batch_size", recipe.batch_size),
        Override("model.train_ds.min_duration", recipe.min_duration),
        Override("model.train_ds.max_duration", recipe.max_duration),
        Override("model.validation_ds.manifest_filepath", inside(_copy(request, "validation"))),
        Override("model.validation_ds.batch_size", _VALIDATION_BATCH),
        Override("model.optim.lr", recipe.lr),
        Override("model.optim.sched.name", "CosineAnnealing"),
        Override(
            "model.optim.sched.warmup_steps", recipe.warmup_for(len(request.data.split.train))
        ),
        Override("model.optim.sched.min_lr", recipe.min_lr),
        Override("trainer.max_epochs", recipe.epochs),
        Override("trainer.accumulate_grad_batches", recipe.accumulate_grad_batches),
        Override("trainer.gradient_clip_val", recipe.gradient_clip_val),
        Override("trainer.enable_progress_bar", False),
        *(
            Override(f"model.{dataset}.{key}", value)
            for dataset in ("train_ds", "validation_ds")
            for key, value in (("num_workers", workers), ("pin_memory", hardware.has_gpu))
        ),
    ]
    if hardware.has_gpu:
        listed.append(Override("trainer.precision", recipe.precision))
    else:
        listed += [
            Override("trainer.accelerator", "cpu"),
            Override("trainer.devices", 1),
            Override("trainer.precision", 32),
            Override("trainer.sync_batchnorm", False),
        ]
    return [*listed, *_experiment_overrides(request, inside)]


def _experiment_overrides(request: SftRequest, inside: Callable[[Path], str]) -> list[Override]:
    callback = "exp_manager.checkpoint_callback_params"
    listed = [
        Override("exp_manager.exp_dir", inside(_experiment(request).parent)),
        Override("exp_manager.create_tensorboard_logger", False),
        # A fixed folder, so that a second start of a broken run goes on from its checkpoint.
        Override("exp_manager.use_datetime_version", False, added=True),
        Override("exp_manager.resume_if_exists", True),
        Override("exp_manager.resume_ignore_no_checkpoint", True),
        # The script's own .nemo would be the last epoch; these make it the best.
        Override(f"{callback}.save_best_model", True, added=True),
        Override(f"{callback}.save_top_k", 1),
        Override(f"{callback}.always_save_nemo", False),
    ]
    if request.recipe.early_stopping_patience is not None:
        stopping = "exp_manager.early_stopping_callback_params"
        listed += [
            Override("exp_manager.create_early_stopping_callback", True, added=True),
            Override(f"{stopping}.monitor", "val_wer", added=True),
            Override(f"{stopping}.mode", "min", added=True),
            Override(f"{stopping}.patience", request.recipe.early_stopping_patience, added=True),
        ]
    return listed


def _copy(request: SftRequest, side: str) -> Path:
    return request.work_dir / f"{side}.jsonl"


def _experiment(request: SftRequest) -> Path:
    return request.work_dir / "experiment" / _EXPERIMENT


def check_request(request: SftRequest, runtime: Runtime) -> None:
    """Refuse what cannot end well, before anything is spent.

    Raises:
        InputError: a TDT base without a GPU, a GPU that is too small, or no script to run.
    """
    check_fit(request.base, request.base_name, runtime.hardware)
    runtime.check()


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


def trained_before(base: Path) -> frozenset[str]:
    """The recordings that a base of our own making was tuned on, over all its generations.

    A row that the base has learnt cannot be held out any more. Empty for any other base.
    """
    known = base.with_name(RECORDINGS_NAME)
    if base.name != MODEL_NAME or not known.is_file():
        return frozenset()
    return frozenset(known.read_text(encoding="utf-8").split())


def find_finished(request: SftRequest) -> SftResult | None:
    """The result of a run that was already done with the same fingerprint, if it is whole.

    Raises:
        InputError: the run's record cannot be read.
    """
    info_path, model = request.model_dir / INFO_NAME, request.model_dir / MODEL_NAME
    if not info_path.is_file() or not model.is_file():
        return None
    info = files.read_json(info_path)
    if not isinstance(info, dict) or info.get("model_sha256") != files.sha256_file(model):
        return None
    if info.get("key") != request.key:
        return None
    epochs = tuple(Epoch(**epoch) for epoch in info["epochs"])
    return SftResult(model, info["model_sha256"], info_path, epochs, reused=True)


def train(request: SftRequest, runtime: Runtime, report: Callable[[Progress], None]) -> SftResult:
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
    _write_copies(request, runtime)
    job = _job(request, runtime)
    events = Events(request.work_dir / _EVENTS)
    watch = UnkWatch()
    started = time.monotonic()
    with disk_full_is_a_fault():
        ended = runtime.execute(
            job, watch.see, lambda: report(progress(events.read(), request.recipe.epochs))
        )
    seconds = time.monotonic() - started
    course = list(events.read())
    try:
        epochs = check_outcome(ended, course, request.recipe.epochs, job.log)
    except FaultError as failed:
        if failed.fault is Fault.STOPPED and epochs_validated(course) >= request.recipe.epochs:
            # Nothing is left to train after this checkpoint, and it never became a model.
            forget_checkpoints(request)
        raise
    with disk_full_is_a_fault():
        return _publish(request, runtime, _Course(epochs, course, seconds, ended.image, job.log))


def forget_checkpoints(request: SftRequest) -> None:
    """Start from the base again: a checkpoint belongs to the batch that it was made with."""
    shutil.rmtree(request.work_dir / "experiment", ignore_errors=True)
    (request.work_dir / _EVENTS).unlink(missing_ok=True)


def _write_copies(request: SftRequest, runtime: Runtime) -> None:
    """Copies of train.jsonl and validation.jsonl whose paths resolve where training runs."""
    inside = runtime.inside(request.work_dir, request.reads)
    for side, source in (("train", request.data.train), ("validation", request.data.validation)):
        rows = files.read_jsonl(source)
        files.write_jsonl(
            _copy(request, side),
            ({**row, "audio_filepath": inside(Path(row["audio_filepath"]))} for row in rows),
        )


def _job(request: SftRequest, runtime: Runtime) -> Job:
    inside = runtime.inside(request.work_dir, request.reads)
    listed = overrides(request, runtime)
    return Job(
        name="training",
        program=_LAUNCHER,
        request={
            "events": inside(request.work_dir / _EVENTS),
            "seed": request.recipe.seed,
            "script": runtime.script.path,
            "config": runtime.script.config,
            "arguments": [*runtime.script.arguments, *map(str, listed)],
            "keys": [override.key for override in listed if not override.added],
            "manifests": {side: inside(_copy(request, side)) for side in ("train", "validation")},
            "rows": {
                "train": len(request.data.split.train),
                "validation": len(request.data.split.validation),
            },
            "limits": [request.recipe.min_duration, request.recipe.max_duration],
        },
        work=request.work_dir,
        reads=request.reads,
        labels=request.labels,
    )


@dataclass(frozen=True, slots=True)
class _Course:
    """How a run went, for the record."""

    epochs: tuple[Epoch, ...]
    events: list[dict[str, Any]]
    seconds: float
    image: str
    log: Path


def _publish(request: SftRequest, runtime: Runtime, course: _Course) -> SftResult:
    produced = _experiment(request) / "checkpoints" / f"{_EXPERIMENT}.nemo"
    try:
        open_archive(produced)
    except InputError as broken:
        raise FaultError(Fault.NO_MODEL, str(broken)) from broken
    request.model_dir.mkdir(parents=True, exist_ok=True)
    model = request.model_dir / MODEL_NAME
    shutil.move(produced, model)
    shutil.copy2(course.log, request.model_dir / LOG_NAME)
    shutil.copy2(request.work_dir / _EVENTS, request.model_dir / EVENTS_NAME)
    model_sha256 = files.sha256_file(model)
    recordings = sorted(request.trained_before | request.data.trained_recordings)
    files.write_text(request.model_dir / RECORDINGS_NAME, "".join(f"{r}\n" for r in recordings))
    info = request.model_dir / INFO_NAME
    files.write_json(info, _info(request, runtime, course, model_sha256))
    shutil.rmtree(request.work_dir)
    return SftResult(model, model_sha256, info, course.epochs)


def _info(
    request: SftRequest, runtime: Runtime, course: _Course, model_sha256: str
) -> dict[str, Any]:
    """The content of training_run_info.json."""
    data, recipe = request.data, request.recipe
    starts = [event for event in course.events if event["event"] == "start"]
    steps = [event for event in course.events if event["event"] == "step"]
    return {
        "key": request.key,
        "model": MODEL_NAME,
        "model_sha256": model_sha256,
        "base": {
            "name": request.base_name,
            "path": str(request.base),
            "sha256": files.sha256_file(request.base),
            "parameters": starts[0]["parameters"],
        },
        "recipe": {
            **recipe.model_dump(mode="json"),
            "effective_batch": recipe.effective_batch * starts[-1]["devices"],
            "devices": starts[-1]["devices"],
            "warmup_steps": recipe.warmup_for(len(data.split.train)),
        },
        "ladder": [rung.as_dict() for rung in request.rungs],
        "runtime": {
            "image": course.image or None,
            "script": runtime.script.path,
            "gpus": [gpu.name for gpu in runtime.hardware.gpus],
            "drivers": sorted({gpu.driver for gpu in runtime.hardware.gpus if gpu.driver}),
            "cores": runtime.hardware.cores,
            "precision": recipe.precision if runtime.hardware.has_gpu else "32-true",
            "nemo": starts[-1]["nemo"],
            "torch": starts[-1]["torch"],
        },
        "overrides": [str(override) for override in overrides(request, runtime)],
        "dataset": {
            "train_rows": len(data.split.train),
            "validation_rows": len(data.split.validation),
            "rows_loaded": starts[-1]["rows"],
            "train_sha256": files.sha256_file(data.train),
            "validation_sha256": files.sha256_file(data.validation),
            "content_sha256": data.content,
        },
        "starts": [{"epoch": start["epoch"], "step": start["step"]} for start in starts],
        "epochs": [asdict(epoch) for epoch in course.epochs],
        "best_epoch": min(
            (epoch for epoch in course.epochs if epoch.val_wer is not None),
            key=lambda epoch: epoch.val_wer or 0.0,
        ).epoch,
        "steps": course.epochs[-1].step if course.epochs else 0,
        # A run that was resumed after its last batch has none of its own.
        "median_batch_seconds": statistics.median(s["seconds"] for s in steps) if steps else None,
        "peak_gpu_memory_mib": max((step["gpu_memory_mib"] for step in steps), default=None),
        "wall_seconds": round(course.seconds, 1),
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Versions of what a figure depends on here; what is not installed is left out."""
    found = {"python": platform.python_version()}
    for name in ("clinical-asr-flywheel", "nemo_toolkit", "torch", "lightning", "prefect", "jiwer"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
