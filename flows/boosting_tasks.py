"""The flow's tasks that decode with boosted phrases; a run that boosts nothing passes them by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows import console, gpu_slots, resolve_parameters
from flows.cycle_run import CycleRun
from tasks.common import atomic_files
from tasks.data.cycle_folder import PHRASES_NAME
from tasks.data.general_english import GeneralSet
from tasks.data.preflight import PreflightResult
from tasks.data.training_set import TrainingSet
from tasks.stages import boosting_inputs
from tasks.stages.boosted_arms import BoostedArms, measure_arms
from tasks.stages.shipped_model import ShippedModel
from tasks.transcription import boosting

if TYPE_CHECKING:
    from pathlib import Path


def require_boosting(run: CycleRun) -> None:
    """Refuse a NeMo that cannot boost, before anything is trained.

    Raises:
        TranscriptionError: it has no boosting tree.
    """
    if run.config.boost != "off":
        boosting.check_nemo(_work_folder(run), run.runtime)


@task(name="boost-phrases", cache_policy=NO_CACHE)
def boost_models(
    run: CycleRun,
    rows: PreflightResult,
    data: TrainingSet,
    general: GeneralSet | None,
    shipped: ShippedModel,
) -> BoostedArms | None:
    """Decode by base and shipped model with and without phrases; None where nothing is boosted."""
    config = run.config
    if config.boost == "off":
        return None
    divided = boosting_inputs.divide_rows(
        rows.rows,
        data.split,
        general,
        config.priority,
        resolve_parameters.guardrail_policy(config),
        run.audio_roots,
    )
    lists = boosting_inputs.make_lists(
        rows.rows,
        (*divided.judging, *divided.choosing),
        run.base_model,
        run.cycle.find_formulary(),
        config.priority,
    )
    for note in lists.judged.notes():
        console.print_stage("boost", note)
    with gpu_slots.gpu_slot(run.runtime.hardware.gpus):
        arms = measure_arms(
            run.base_model,
            shipped.model,
            lists,
            divided,
            _work_folder(run),
            run.runtime,
            strength=None if config.boost == "auto" else float(config.boost),
            report=lambda line: console.print_stage("boost", line),
        )
    atomic_files.write_text(
        run.cycle.next.path / PHRASES_NAME, "".join(f"{phrase}\n" for phrase in arms.phrases)
    )
    for note in arms.notes():
        console.print_stage("boost", note)
    return arms


def _work_folder(run: CycleRun) -> Path:
    return run.cycle.path / ".boosting.work"
