"""Real trainings, as small as they can be: ten recordings of noise, one epoch, on the CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.common import atomic_files, hashing
from tasks.data.cycle_folder import open_cycle
from tasks.data.general_english import FEWEST_SENTENCES
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


def make_general(folder: Path) -> Path:
    """A manifest of general sentences, half of which is just enough to be distilled."""
    rows = [
        {"audio_filepath": f"audio/{place}.wav", "text": "a sentence", "duration": 1.0}
        for place in range(2 * FEWEST_SENTENCES)
    ]
    (folder / "audio").mkdir(parents=True)
    for place, row in enumerate(rows):
        factories.write_wav(folder / str(row["audio_filepath"]), 1.0, seed=1000 + place)
    manifest = folder / "manifest.jsonl"
    atomic_files.write_jsonl(manifest, rows)
    return manifest


def tune(
    cycle: Path, base: Path, recipe: Recipe, general: Path | None = None
) -> training_run.SftResult:
    """Tune a base on a cycle as a run does: preflight, split, NeMo, the run's folder.

    Raises:
        FaultError: training made no model.
    """
    opened = open_cycle(cycle)
    runtime = LocalRuntime(Hardware((), 2))
    checked = prepare.check(opened, base, recipe)
    divided = None
    roots = [opened.path]
    if general is not None:
        divided = prepare.general_set(general, base, recipe, checked, clinic=opened.clinic)
        roots.append(general.parent)
    data = prepare.split(opened, checked, 0.2, recipe.seed, general=divided)
    key = training_run.run_key(hashing.sha256_file(base), data.content, recipe, runtime.identity)
    request = training_run.SftRequest(
        base=base,
        base_name=str(base),
        data=data,
        recipe=recipe,
        model_dir=opened.path / "models" / training_run.run_name(str(base), recipe, key),
        audio_roots=tuple(roots),
        key=key,
    )
    return fallback.train_with_fallback(request, runtime, lambda _: None)
