"""SFT: stock full-model fine-tuning (specification, 4d), run in a process of its own.

The local runtime and the container get the same Hydra overrides. Here the script is either this
project's own, which has the stock script's keys and effect, or the user's copy of the stock one.
A run's files grow in a hidden work folder; the model folder appears when the model is whole, and
training_run_info.json, written last, marks it complete.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks import files
from tasks.errors import InputError, TrainingError
from tasks.nemo_archive import open_archive
from tasks.overrides import Override

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tasks.hardware import Hardware
    from tasks.recipes import Recipe
    from tasks.training_set import TrainingSet

MODEL_NAME = "adapted_model.nemo"
INFO_NAME = "training_run_info.json"
_ENTRY = Path(__file__).parent / "entry"
_OWN_SCRIPT = _ENTRY / "sft_script.py"
_STOCK_CONFIG = ("conf/asr_finetune", "speech_to_text_finetune")
_EXPERIMENT = "sft"
_VALIDATION_BATCH = 16
_POLL_S = 0.5
_GRACE_S = 15.0
_LOG_TAIL_LINES = 15


@dataclass(frozen=True, slots=True)
class SftRequest:
    """One tuning run.

    Attributes:
        base: the .nemo file to start from.
        base_name: as the user named it.
        data: the training set.
        recipe: hyperparameters.
        model_dir: models/<run> of the cycle; it appears when the run is done.
        hardware: what to train on.
        stock_script: the user's copy of speech_to_text_finetune.py, or None for our own script.
    """

    base: Path
    base_name: str
    data: TrainingSet
    recipe: Recipe
    model_dir: Path
    hardware: Hardware
    stock_script: Path | None = None

    @property
    def work_dir(self) -> Path:
        """Where the run's files grow."""
        return self.model_dir.with_name(f".{self.model_dir.name}.work")


@dataclass(frozen=True, slots=True)
class Epoch:
    """One epoch's course; None where the script reported no figure."""

    epoch: int
    step: int
    train_loss: float | None
    val_loss: float | None
    val_wer: float | None
    seconds: float


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


@dataclass(frozen=True, slots=True)
class Progress:
    """Where training stands; ``loss`` and ``val_wer`` are the newest known."""

    epoch: int
    epochs: int
    batch: int
    batches: int
    loss: float | None
    val_wer: float | None

    @property
    def share(self) -> float:
        """Done, from 0 to 1."""
        return min(1.0, self.batch / self.batches) if self.batches else 0.0


def run_name(base_name: str, recipe: Recipe, key: str) -> str:
    """A folder name for a run: what was tuned how, and the start of its fingerprint."""
    base = "".join(char if char.isalnum() else "-" for char in Path(base_name).stem.lower())
    return f"{base[:40].strip('-')}-{recipe.name.value}-{key[:8]}"


def run_key(base_sha256: str, content: str, recipe: Recipe) -> str:
    """The fingerprint of a run: two runs that share it train the same model."""
    return files.fingerprint([base_sha256, content, recipe.model_dump(mode="json")])


def overrides(request: SftRequest) -> list[Override]:
    """The whole override list: data, recipe, hardware and experiment folder, in this order."""
    recipe, data = request.recipe, request.data
    on_gpu = request.hardware.has_gpu
    # On a CPU two cores are busy with the model; a loader process would only take from them.
    workers = min(8, request.hardware.cores) if on_gpu else 0
    listed = [
        Override("init_from_nemo_model", str(request.base)),
        Override("name", _EXPERIMENT),
        Override("model.train_ds.manifest_filepath", str(data.train)),
        Override("model.train_ds.batch_size", recipe.batch_size),
        Override("model.train_ds.min_duration", recipe.min_duration),
        Override("model.train_ds.max_duration", recipe.max_duration),
        Override("model.validation_ds.manifest_filepath", str(data.validation)),
        Override("model.validation_ds.batch_size", _VALIDATION_BATCH),
        Override("model.optim.lr", recipe.lr),
        Override("model.optim.sched.name", "CosineAnnealing"),
        Override("model.optim.sched.warmup_steps", recipe.warmup_for(len(data.split.train))),
        Override("model.optim.sched.min_lr", recipe.min_lr),
        Override("trainer.max_epochs", recipe.epochs),
        Override("trainer.accumulate_grad_batches", recipe.accumulate_grad_batches),
        Override("trainer.gradient_clip_val", recipe.gradient_clip_val),
        Override("trainer.enable_progress_bar", False),
        *(
            Override(f"model.{dataset}.{key}", value)
            for dataset in ("train_ds", "validation_ds")
            for key, value in (("num_workers", workers), ("pin_memory", on_gpu))
        ),
    ]
    if on_gpu:
        listed.append(Override("trainer.precision", recipe.precision))
    else:
        listed += [
            Override("trainer.accelerator", "cpu"),
            Override("trainer.devices", 1),
            Override("trainer.precision", 32),
            Override("trainer.sync_batchnorm", False),
        ]
    return [*listed, *_experiment_overrides(request)]


def _experiment_overrides(request: SftRequest) -> list[Override]:
    callback = "exp_manager.checkpoint_callback_params"
    listed = [
        Override("exp_manager.exp_dir", str(request.work_dir / "experiment")),
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


def command(request: SftRequest) -> list[str]:
    """The program and its arguments; no shell is involved."""
    script = request.stock_script or _OWN_SCRIPT
    launch = [sys.executable, str(_ENTRY / "launch.py"), str(_events_file(request))]
    line = [*launch, str(request.recipe.seed), str(script)]
    if request.stock_script is not None:
        folder, name = _STOCK_CONFIG
        line += [f"--config-path={script.parent / folder}", f"--config-name={name}"]
    else:
        line += [f"--config-path={script.parent / 'conf'}", "--config-name=sft"]
    return [*line, *map(str, overrides(request))]


def _events_file(request: SftRequest) -> Path:
    return request.work_dir / "events.jsonl"


def check_request(request: SftRequest) -> None:
    """Refuse what cannot end well, before anything is spent.

    Raises:
        InputError: a TDT base without a GPU, or no stock script where one was promised.
    """
    decoder = open_archive(request.base).decoder
    if decoder.is_tdt and not request.hardware.has_gpu:
        raise InputError(
            f"{request.base_name}: a TDT base cannot train on a CPU (its loss needs CUDA). "
            "Fix: run on a GPU host, or take a CTC base."
        )
    script = request.stock_script
    if script is not None:
        config = script.parent / _STOCK_CONFIG[0] / f"{_STOCK_CONFIG[1]}.yaml"
        for needed in (script, config):
            if not needed.is_file():
                raise InputError(
                    f"{needed}: no such file. Fix: give the path of speech_to_text_finetune.py "
                    "inside a checkout of NVIDIA NeMo, whose conf folder lies beside it."
                )


def find_finished(request: SftRequest) -> SftResult | None:
    """The result of a run that was already done with the same fingerprint, if it is whole."""
    info_path, model = request.model_dir / INFO_NAME, request.model_dir / MODEL_NAME
    if not info_path.is_file() or not model.is_file():
        return None
    info = files.read_json(info_path)
    if info.get("model_sha256") != files.sha256_file(model):
        return None
    epochs = tuple(Epoch(**epoch) for epoch in info["epochs"])
    return SftResult(model, info["model_sha256"], info_path, epochs, reused=True)


def train(request: SftRequest, report: Callable[[Progress], None]) -> SftResult:
    """Train, keep the best checkpoint, write adapted_model.nemo and training_run_info.json.

    Args:
        request: what to train.
        report: is called with the progress, a few times a second at most.

    Raises:
        InputError: the request cannot end well; nothing was started.
        TrainingError: the script failed, or ended without the model that was asked for.
    """
    check_request(request)
    request.work_dir.mkdir(parents=True, exist_ok=True)
    _events_file(request).unlink(missing_ok=True)
    log = request.work_dir / "training.log"
    started = time.monotonic()
    code = _run(command(request), log, lambda: _report_progress(request, report))
    seconds = time.monotonic() - started
    events = list(_events(request))
    epochs = _check_outcome(request, code, events, log)
    return _publish(request, epochs, events, seconds)


def _run(line: list[str], log: Path, poll: Callable[[], None]) -> int:
    """Run a program to its end, its output in a log; never leave it running behind."""
    environment = {**os.environ, "TOKENIZERS_PARALLELISM": "false", "PYTHONUNBUFFERED": "1"}
    with log.open("w", encoding="utf-8") as out:
        process = subprocess.Popen(
            line,
            stdout=out,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=environment,
            cwd=log.parent,
            start_new_session=True,
        )
        try:
            while process.poll() is None:
                poll()
                time.sleep(_POLL_S)
            poll()
            return process.returncode
        finally:
            _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a whole process group: politely, then not."""
    for wanted in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        os.killpg(process.pid, wanted)
        try:
            process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            continue


def _events(request: SftRequest) -> Iterator[dict[str, Any]]:
    path = _events_file(request)
    if not path.is_file():
        return
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        if line.endswith("\n"):  # the last line may still be being written
            yield json.loads(line)


def _report_progress(request: SftRequest, report: Callable[[Progress], None]) -> None:
    batches_per_epoch, batch, epoch = 0, 0, 0
    loss = val_wer = None
    for event in _events(request):
        if event["event"] == "start":
            batches_per_epoch = event["batches_per_epoch"]
        elif event["event"] == "step":
            batch, epoch, loss = batch + 1, event["epoch"], event["loss"]
        elif event["event"] == "epoch":
            val_wer = event["val_wer"]
    total = request.recipe.epochs
    report(Progress(epoch, total, batch, batches_per_epoch * total, loss, val_wer))


def _check_outcome(
    request: SftRequest, code: int, events: list[dict[str, Any]], log: Path
) -> tuple[Epoch, ...]:
    """Exit code 0 is not success: the last epoch, or early stopping, must have been reached."""
    if code != 0:
        tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_TAIL_LINES:]
        raise TrainingError(
            f"training ended with exit code {code}. The end of its log ({log}):\n"
            + "\n".join(f"  {line}" for line in tail)
        )
    ended = [event for event in events if event["event"] == "end"]
    epochs = tuple(
        Epoch(**{name: event[name] for name in Epoch.__dataclass_fields__})
        for event in events
        if event["event"] == "epoch"
    )
    finished = epochs and (epochs[-1].epoch + 1 >= request.recipe.epochs)
    if not ended or not (finished or ended[-1]["stopped_early"]):
        reached = epochs[-1].epoch + 1 if epochs else 0
        raise TrainingError(
            f"training ended without an error after {reached} of {request.recipe.epochs} epochs: "
            f"it was stopped from outside. Its log: {log}. Start it again; it goes on from its "
            "last checkpoint."
        )
    return epochs


def _publish(
    request: SftRequest, epochs: tuple[Epoch, ...], events: list[dict[str, Any]], seconds: float
) -> SftResult:
    produced = request.work_dir / "experiment" / _EXPERIMENT / "checkpoints" / f"{_EXPERIMENT}.nemo"
    open_archive(produced)  # a truncated or missing .nemo ends here, not in the next stage
    request.model_dir.mkdir(parents=True, exist_ok=True)
    model = request.model_dir / MODEL_NAME
    shutil.move(produced, model)
    shutil.copy2(request.work_dir / "training.log", request.model_dir / "training.log")
    model_sha256 = files.sha256_file(model)
    info = request.model_dir / INFO_NAME
    files.write_json(info, _info(request, epochs, events, seconds, model_sha256))
    shutil.rmtree(request.work_dir)
    return SftResult(model, model_sha256, info, epochs)


def _info(
    request: SftRequest,
    epochs: tuple[Epoch, ...],
    events: list[dict[str, Any]],
    seconds: float,
    model_sha256: str,
) -> dict[str, Any]:
    """The content of training_run_info.json."""
    data = request.data
    start = next(event for event in events if event["event"] == "start")
    steps = [event for event in events if event["event"] == "step"]
    base_sha256 = files.sha256_file(request.base)
    return {
        "key": run_key(base_sha256, data.content, request.recipe),
        "model": MODEL_NAME,
        "model_sha256": model_sha256,
        "base": {
            "name": request.base_name,
            "path": str(request.base),
            "sha256": base_sha256,
            "parameters": start["parameters"],
        },
        "recipe": {
            **request.recipe.model_dump(mode="json"),
            "effective_batch": request.recipe.effective_batch,
            "warmup_steps": request.recipe.warmup_for(len(data.split.train)),
        },
        "script": str(request.stock_script or _OWN_SCRIPT.name),
        "overrides": [str(override) for override in overrides(request)],
        "dataset": {
            "train_rows": len(data.split.train),
            "validation_rows": len(data.split.validation),
            "rows_loaded": start["rows"],
            "train_sha256": files.sha256_file(data.train),
            "validation_sha256": files.sha256_file(data.validation),
            "content_sha256": data.content,
        },
        "epochs": [asdict(epoch) for epoch in epochs],
        "peak_gpu_memory_mib": max(event["gpu_memory_mib"] for event in steps) if steps else None,
        "steps": epochs[-1].step if epochs else 0,
        "wall_seconds": round(seconds, 1),
        "hardware": {"gpus": list(request.hardware.gpus), "cores": request.hardware.cores},
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Versions of what a figure depends on; what is not installed is left out."""
    found = {"python": platform.python_version()}
    for name in ("clinical-asr-flywheel", "nemo_toolkit", "torch", "lightning", "prefect", "jiwer"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
