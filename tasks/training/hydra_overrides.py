"""The Hydra overrides of a run: data, recipe, hardware and experiment folder (specification, 4d).

The stock script and our own get the same list, here and in a container.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.training.recipes import LENGTH_NOISE
from tasks.training.run import EXPERIMENT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tasks.runtimes.base import Runtime
    from tasks.runtimes.hardware import Hardware
    from tasks.training.recipes import Recipe
    from tasks.training.run import SftRequest

_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")


@dataclass(frozen=True, slots=True)
class Override:
    """One ``key=value`` for Hydra.

    Attributes:
        key: dotted, as in the script's YAML.
        value: text is quoted; a path must be given as text.
        added: the key is not in the YAML (``++`` sets it whether or not it is).
    """

    key: str
    value: str | int | float | bool | None
    added: bool = False

    def __post_init__(self) -> None:
        if not _KEY.fullmatch(self.key):
            raise ValueError(f"{self.key!r} is not a Hydra key")

    def __str__(self) -> str:
        return f"{'++' if self.added else ''}{self.key}={_literal(self.value)}"


_VALIDATION_BATCH = 16
_MOST_WORKERS = 8
_DECODED_EVERY = 10, 100


def overrides(request: SftRequest, runtime: Runtime) -> list[Override]:
    """Return the whole override list, in the order data, recipe, hardware and experiment folder."""
    recipe, hardware = request.recipe, runtime.hardware
    map_path = runtime.path_mapper(request.work_dir, request.reads)
    split, (_, validation_rows) = request.data.split, request.data.validates_on
    loaders = {
        "train_ds": _workers(hardware, len(split.train), recipe.batch_size),
        "validation_ds": _workers(hardware, validation_rows, _VALIDATION_BATCH),
    }
    hydra_overrides = [
        Override("init_from_nemo_model", map_path(request.base)),
        Override("name", EXPERIMENT),
        Override("model.train_ds.manifest_filepath", map_path(request.copy("train"))),
        Override("model.train_ds.batch_size", recipe.batch_size),
        Override("model.train_ds.min_duration", recipe.min_duration),
        Override("model.train_ds.max_duration", recipe.max_duration),
        Override("model.validation_ds.manifest_filepath", map_path(request.copy("validation"))),
        Override("model.validation_ds.batch_size", _VALIDATION_BATCH),
        Override("model.optim.lr", recipe.lr),
        Override("model.optim.sched.name", "CosineAnnealing"),
        Override("model.optim.sched.warmup_steps", recipe.warmup_for(request.data.train_rows)),
        Override("model.optim.sched.min_lr", recipe.min_lr),
        Override("trainer.max_epochs", recipe.epochs),
        Override("trainer.accumulate_grad_batches", recipe.accumulate_grad_batches),
        Override("trainer.gradient_clip_val", recipe.gradient_clip_val),
        Override("trainer.enable_progress_bar", False),
        Override("trainer.log_every_n_steps", _log_interval(hardware, len(split.train), recipe)),
        *_length_sampler(recipe),
        *(
            Override(f"model.{dataset}.{key}", value)
            for dataset, workers in loaders.items()
            for key, value in (("num_workers", workers), ("pin_memory", hardware.has_gpu))
        ),
    ]
    if hardware.has_gpu:
        hydra_overrides.append(Override("trainer.precision", recipe.precision.lightning))
        if recipe.compiled and len(hardware.gpus) > 1:
            # A graph cannot wait for the batch norm of other GPUs.
            hydra_overrides.append(Override("trainer.sync_batchnorm", False))
    else:
        hydra_overrides += [
            Override("trainer.accelerator", "cpu"),
            Override("trainer.devices", 1),
            Override("trainer.precision", 32),
            Override("trainer.sync_batchnorm", False),
        ]
    return [*hydra_overrides, *_experiment_overrides(request, map_path)]


def _length_sampler(recipe: Recipe) -> list[Override]:
    """Return the overrides for NeMo's semi-sorted batches, if the recipe enables them."""
    if not recipe.by_length:
        return []
    sampler_options = {
        "use_semi_sorted_batching": True,
        "randomization_factor": LENGTH_NOISE,
        "semi_sort_sampler_seed": recipe.seed,
    }
    return [
        Override(f"model.train_ds.{key}", value, added=True)
        for key, value in sampler_options.items()
    ]


def _workers(hardware: Hardware, rows: int, batch: int) -> int:
    """Return the number of data-loader processes for each GPU's process.

    On a CPU the cores are busy with the model; loader processes would only take from them. With a
    GPU each process keeps a core for itself. More than half as many as there are batches only cost:
    NeMo starts them anew in every epoch.
    """
    if not hardware.has_gpu:
        return 0
    half = -(-_batches(hardware, rows, batch) // 2)
    return max(1, min(_MOST_WORKERS, hardware.cores // len(hardware.gpus) - 1, half))


def _log_interval(hardware: Hardware, rows: int, recipe: Recipe) -> int:
    """Return the number of batches between two logs, at each of which NeMo decodes one.

    Each tenth by default, for a WER that nobody reads; that took about a tenth of the time on an
    H100 (docs/log). The watch on an all-UNK collapse wants to see some: two an epoch,
    none sooner than by default, and in a long epoch each hundredth.
    """
    lowest, highest = _DECODED_EVERY
    return min(highest, max(lowest, _batches(hardware, rows, recipe.batch_size) // 2))


def _batches(hardware: Hardware, rows: int, batch: int) -> int:
    """Return the batches an epoch of each GPU, or of the CPU."""
    return -(-rows // (batch * max(1, len(hardware.gpus))))


def _experiment_overrides(request: SftRequest, map_path: Callable[[Path], str]) -> list[Override]:
    callback = "exp_manager.checkpoint_callback_params"
    experiment_overrides = [
        Override("exp_manager.exp_dir", map_path(request.experiment)),
        Override("exp_manager.create_tensorboard_logger", False),
        # A fixed folder, so that a second start of a broken run goes on from its checkpoint.
        Override("exp_manager.use_datetime_version", False, added=True),
        Override("exp_manager.resume_if_exists", True),
        Override("exp_manager.resume_ignore_no_checkpoint", True),
        # The script's own .nemo would be the last epoch; these make it the best.
        Override(f"{callback}.save_best_model", not request.keeps_last, added=True),
        Override(f"{callback}.save_top_k", request.averaged),
        Override(f"{callback}.always_save_nemo", False),
    ]
    if request.recipe.early_stopping_patience is not None:
        stopping = "exp_manager.early_stopping_callback_params"
        experiment_overrides += [
            Override("exp_manager.create_early_stopping_callback", True, added=True),
            Override(f"{stopping}.monitor", "val_wer", added=True),
            Override(f"{stopping}.mode", "min", added=True),
            Override(f"{stopping}.patience", request.recipe.early_stopping_patience, added=True),
        ]
    return experiment_overrides


def _literal(value: str | float | bool | None) -> str:  # noqa: FBT001
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if "\0" in value or "\n" in value:
        raise ValueError(f"{value!r}: a line break cannot stand in a Hydra value")
    # OmegaConf resolves ${…} even inside quotes unless it is escaped; a backslash before it must
    # then be doubled. Hydra unescapes a backslash only before a quote or at the end.
    quoted = re.sub(r"(\\*)\$\{", lambda m: m.group(1) * 2 + r"\${", value)
    quoted = re.sub(
        r"(\\*)('|$)", lambda m: m.group(1) * 2 + m.group(2).replace("'", r"\'"), quoted
    )
    return f"'{quoted}'"
