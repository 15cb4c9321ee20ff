"""What a run's parameters come to on this machine: recipe, policies, runtime, saved blocks.

Parameters are data (flows/config.py). Here blocks are loaded from the server, and the host's
hardware is looked at.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

from blocks.nemo_container import NemoContainer
from blocks.policies import GateThresholds, TuningRecipe
from blocks.saved_blocks import load_block
from blocks.slurm_cluster import SlurmCluster
from flows import console
from flows.config_fields import RuntimeName
from tasks.common.errors import InputError
from tasks.common.parameter_names import assignment, name_of
from tasks.data import early_checks
from tasks.decision.gate_policy import GatePolicy
from tasks.decision.guardrail import GuardrailPolicy
from tasks.runtimes import hardware
from tasks.runtimes.container import ContainerRuntime
from tasks.runtimes.local import LocalRuntime
from tasks.runtimes.slurm.runtime import SlurmRuntime
from tasks.stages import synthetic_general
from tasks.training import recipes
from tasks.training.recipes import Precision, Recipe

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from flows.config import CycleConfig
    from tasks.data.cycle_folder import Cycle
    from tasks.runtimes.base import Runtime
    from tasks.runtimes.container_settings import ContainerSettings
    from tasks.runtimes.hardware import Hardware
    from tasks.runtimes.slurm.settings import SlurmSettings


# The largest share that a run takes.
_MOST_REPLAYED = 0.5


class RuntimeChoice(Protocol):
    """The parameters that say where NeMo runs."""

    @property
    def cycle(self) -> Path:
        """The cycle's folder."""

    @property
    def runtime(self) -> RuntimeName:
        """Local, container or slurm."""

    @property
    def container(self) -> ContainerSettings:
        """The container's settings, unless a block is named."""

    @property
    def container_block(self) -> str | None:
        """The name of a saved NeMo Container block."""

    @property
    def slurm(self) -> SlurmSettings:
        """The settings of the cluster's job, unless a block is named."""

    @property
    def slurm_block(self) -> str | None:
        """The name of a saved Slurm Cluster block."""

    @property
    def trust(self) -> bool:
        """Whether a .nemo that holds more than weights may be loaded."""


def full_recipe(config: CycleConfig) -> Recipe:
    """Return the recipe, a named or a saved one, with what this run changes in it.

    Raises:
        InputError: there is no such block, or fewer epochs than checkpoints to keep.
    """
    changes = {
        "epochs": config.epochs,
        "max_duration": config.max_duration,
        "seed": config.seed,
        "batch_size": None if config.batch == "auto" else config.batch,
        "precision": config.precision,
        "keep_checkpoints": config.keep_checkpoints,
    }
    if config.recipe_block is None:
        recipe = recipes.recipe(config.recipe)
    else:
        recipe = load_block(TuningRecipe, config.recipe_block, "recipe_block").recipe
    changed = recipe.model_copy(
        update={name: value for name, value in changes.items() if value is not None}
    )
    if changed.keep_checkpoints > changed.epochs:
        raise InputError(
            f"{name_of('keep_checkpoints')} {changed.keep_checkpoints}: an epoch gives one "
            f"checkpoint, and there are {changed.epochs} epochs. Fix: keep fewer, or train more "
            "epochs."
        )
    if changed.distillation and not config.checks_forgetting:
        raise InputError(
            f"recipe {changed.name!r} teaches the base's outputs on general English, and "
            f"{name_of('general')} none has no sentences. Fix: leave {name_of('general')} out, or "
            "take a recipe without distillation, such as verified."
        )
    return changed


def recipe_on(
    config: CycleConfig, hardware: Hardware, durations: Sequence[float], parameters: int = 0
) -> Recipe:
    """Return the full recipe for these GPUs and these rows to train on.

    Args:
        config: the run's parameters.
        hardware: what trains.
        durations: seconds of each row.
        parameters: of the base; without them it counts as small.

    Raises:
        InputError: a precision or a compiler that this host does not have.
    """
    if config.precision not in {None, Precision.FP32} and not hardware.has_gpu:
        raise InputError(
            f"{name_of('precision')} {config.precision!s}: there is no GPU here, and a CPU trains "
            "in fp32. Fix: leave it out."
        )
    if config.compile == "on" and not hardware.has_gpu:
        raise InputError(
            f"{name_of('compile')} on: there is no GPU here, and layers are compiled for a GPU. "
            "Fix: leave it out."
        )
    recipe = _batch_on(config, hardware, durations)
    if config.compile == "on" and not recipe.compilable:
        why = (
            "leaves lower layers untrained, and only a whole encoder is compiled"
            if recipe.frozen_share
            else "takes general sentences besides, of whose shapes no layer is compiled"
        )
        raise InputError(
            f"{name_of('compile')} on: recipe {recipe.name!r} {why}. Fix: leave it out, or take "
            "another recipe."
        )
    return _compiled_on(recipe, config, hardware, durations, parameters)


def _compiled_on(
    recipe: Recipe,
    config: CycleConfig,
    hardware: Hardware,
    durations: Sequence[float],
    parameters: int,
) -> Recipe:
    """Return the recipe with layers compiled, where that is asked for or pays.

    Several GPUs would lose their shared batch norm by it, which is another method: there auto does
    not.
    """
    if config.compile == "auto":
        pays = len(hardware.gpus) == 1 and recipes.worth_compiling(durations, recipe, parameters)
        compiled = hardware.has_gpu and (recipe.compiled or pays)
    else:
        compiled = config.compile == "on"
    return recipe.model_copy(
        update={"compiled": compiled, "fused_adamw": compiled and config.fused_adamw}
    )


def _batch_on(config: CycleConfig, hardware: Hardware, durations: Sequence[float]) -> Recipe:
    """Return the recipe with the batch that is asked for, or that fits GPU and rows."""
    recipe = full_recipe(config)
    if config.batch != "auto":
        return recipe
    batch = recipes.batch_for(hardware.smallest_gpu_mib, len(durations), max(1, len(hardware.gpus)))
    # On the GPU that was measured a step took as long with less padding (docs/log).
    sorting_pays = not hardware.has_gpu and recipes.worth_sorting(durations, batch)
    return recipe.model_copy(
        update={"batch_size": batch, "by_length": recipe.by_length or sorting_pays}
    )


def check_before_base(config: CycleConfig, cycle: Cycle) -> None:
    """Check what is here before the base is resolved, which may have to be downloaded.

    Raises:
        InputError: a manifest is missing or faulty, or the base is unknown.
    """
    recipe = full_recipe(config)
    named = config.general if config.checks_forgetting else None
    early_checks.check_before_base(
        config.base,
        [cycle.manifest, *(() if named is None else (named,))],
        config.audio_roots,
        recipe.min_duration,
        recipe.max_duration,
    )


def gate_policy(config: CycleConfig) -> GatePolicy:
    """Return the gate's policy, the specification's or a saved one.

    Raises:
        InputError: there is no such block.
    """
    if config.gate_policy_block is None:
        return GatePolicy(priority=config.priority)
    block = load_block(GateThresholds, config.gate_policy_block, "gate_policy_block")
    return block.policy(config.priority)


def guardrail_policy(config: CycleConfig) -> GuardrailPolicy:
    """Return the limit for the loss of general English, which stands before the run."""
    return GuardrailPolicy.of_points(config.general_limit)


def general_manifest(config: CycleConfig) -> Path | None:
    """Return the manifest of general English; a synthetic set's where none is given.

    Returns:
        None where forgetting is not to be checked.

    Raises:
        InputError: the synthetic set cannot be made here.
    """
    if not config.checks_forgetting:
        return None
    if config.general is None:
        return synthetic_general.manifest()
    return config.general.expanduser()


def replayed_sentences(config: CycleConfig, rows: int) -> int:
    """Return how many general sentences are mixed into the training of so many cycle rows.

    Raises:
        InputError: a share is asked for, and comes to no sentence.
    """
    trained = (1 - config.validation_fraction - config.selection) * rows
    sentences = round(trained * config.replay_share / (1 - config.replay_share))
    if config.replay_share and not sentences:
        # One sentence among the rows that are trained on.
        least = math.ceil(1000 / (trained + 1)) / 1000
        raise InputError(
            f"{assignment('replay_share', config.replay_share)} comes to no sentence among "
            f"{trained:.0f} rows to train on. Fix: {min(least, _MOST_REPLAYED):g} or more, or "
            "leave it out."
        )
    return sentences


def make_runtime(
    config: RuntimeChoice,
    stock_script: Path | None = None,
    report: Callable[[str], None] | None = None,
) -> Runtime:
    """Return the runtime in which a run trains and decodes.

    Args:
        config: the parameters of any flow that runs NeMo.
        stock_script: the user's copy of NeMo's script, for training in the local runtime.
        report: gets what becomes of a cluster's job; by default it is printed.

    Raises:
        InputError: a script of the user's for a container, or no such block.
    """
    if config.runtime is RuntimeName.LOCAL:
        return LocalRuntime(hardware.detect(), stock_script, trust=config.trust)
    if config.runtime is RuntimeName.SLURM:
        return _slurm(config, stock_script, report)
    if stock_script is not None:
        raise InputError(
            f"{name_of('stock_script')}: the container runs the script of its image. Fix: leave it "
            "out, or use the local runtime."
        )
    settings = config.container
    if config.container_block is not None:
        settings = load_block(NemoContainer, config.container_block, "container_block").settings
    return ContainerRuntime(settings, hardware.detect(), config.trust)


def _slurm(
    config: RuntimeChoice, stock_script: Path | None, report: Callable[[str], None] | None
) -> SlurmRuntime:
    settings = config.slurm
    if config.slurm_block is not None:
        settings = load_block(SlurmCluster, config.slurm_block, "slurm_block").settings
    return SlurmRuntime(
        settings,
        config.cycle.expanduser().resolve().parent,
        stock_script,
        config.trust,
        report=report or (lambda line: console.print_stage("slurm", line)),
    )
