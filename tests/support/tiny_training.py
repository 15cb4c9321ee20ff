"""Real trainings, as small as they can be: ten recordings of noise, one epoch, on the CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.common import hashing
from tasks.data.cycle_folder import open_cycle
from tasks.runtimes.hardware import Hardware
from tasks.runtimes.local import LocalRuntime
from tasks.stages import prepare
from tasks.training import fallback
from tasks.training import run as training_run
from tests.support import factories

if TYPE_CHECKING:
    from pathlib import Path

    from tasks.training.recipes import Recipe


def make_cycle(parent: Path) -> Path:
    """A cycle whose recordings are long enough for their texts."""
    folder = factories.make_cycle(parent)
    for place, row in enumerate(factories.cycle_rows()):
        factories.write_wav(folder / row["audio_filepath"], 2.0, seed=place)
    return folder


def tune(cycle: Path, base: Path, recipe: Recipe) -> training_run.SftResult:
    """Tune a base on a cycle as a run does: preflight, split, NeMo, the run's folder.

    Raises:
        FaultError: training made no model.
    """
    opened = open_cycle(cycle)
    runtime = LocalRuntime(Hardware((), 2))
    data = prepare.split(opened, prepare.check(opened, base, recipe), 0.2, recipe.seed)
    key = training_run.run_key(hashing.sha256_file(base), data.content, recipe, runtime.identity)
    request = training_run.SftRequest(
        base=base,
        base_name=str(base),
        data=data,
        recipe=recipe,
        model_dir=opened.path / "models" / training_run.run_name(str(base), recipe, key),
        audio_roots=(opened.path,),
        key=key,
    )
    return fallback.train_with_fallback(request, runtime, lambda _: None)
