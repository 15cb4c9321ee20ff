"""The tasks that make a cycle's model: training, the choice of a mixture, and remedies."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows import artifacts, console, events, gpu_slots, resolve_parameters, training_artifacts
from flows.cycle_run import CycleRun
from tasks.common import hashing
from tasks.common.parameter_names import assignment, name_of
from tasks.data.general_english import GeneralSet
from tasks.data.general_english import recordings as general_recordings
from tasks.data.preflight import PreflightResult
from tasks.data.training_set import TrainingSet
from tasks.decision import choice_rule
from tasks.records.tracking.finished_run import remedy_name
from tasks.stages import choose, prepare
from tasks.stages.choosing_rows import gather_choosing_rows
from tasks.stages.shipped_model import Attempt, ShippedModel, record_attempts
from tasks.training import fallback, remedies
from tasks.training import run as training_run
from tasks.training.progress import Events
from tasks.training.recipes import Recipe

if TYPE_CHECKING:
    from tasks.stages.choosing_rows import ChoosingRows
    from tasks.training.recording_roles import RecordingRoles
    from tasks.training.remedies import Remedy


@dataclass(frozen=True)
class TrainedModel:
    """A training and the model that is shipped of it.

    Attributes:
        recipe: of the training.
        data: that it saw.
        general: general English, divided; None without a set.
        tuned: the training's result.
        shipped: what was chosen of its mixtures.
    """

    recipe: Recipe
    data: TrainingSet
    general: GeneralSet | None
    tuned: training_run.SftResult
    shipped: ShippedModel

    def attempt(self, remedy: Remedy | None) -> Attempt:
        """Return what the record tells of it."""
        return Attempt(
            remedy,
            self.shipped.model.parent.name,
            self.recipe.epochs,
            self.data.train_rows,
            self.data.replayed,
            self.shipped.value,
            bool(self.shipped.holds),
            self.shipped.reason,
        )


def train_and_choose(
    run: CycleRun,
    recipe: Recipe,
    rows: PreflightResult,
    data: TrainingSet,
    general: GeneralSet | None,
) -> TrainedModel:
    """Train and choose what is shipped; where no mixture holds, again with the next remedy.

    Only rows that choose are looked at. After a break each training and choice is found again.

    Returns:
        The first training with a mixture that holds, else the last.
    """
    first = run.tracker.training
    trained = _train_once(run, recipe, rows, data, general)
    if general is None or trained.shipped.holds is not False or not run.config.further_trainings:
        record_attempts(trained.shipped, ())
        return trained
    attempts = [trained.attempt(None)]
    spare = general.spare(recipe.max_duration)
    cycle_rows = data.train_rows - data.replayed
    planned = remedies.further_trainings(recipe, cycle_rows, data.replayed, len(spare))
    for further in planned[: run.config.further_trainings]:
        training_artifacts.remedy(further, attempts[-1])
        more = further.replayed - data.replayed
        divided = general.with_replay(spare[:more]) if more else general
        if more:
            artifacts.general(divided)
        changed = prepare.with_replay(data, rows, divided)
        run.tracker.training = remedy_name(first, len(attempts))
        trained = _train_once(run, further.recipe, rows, changed, divided)
        attempts.append(trained.attempt(further.remedy))
        if trained.shipped.holds:
            break
    tried = attempts if len(attempts) > 1 else ()
    return dataclasses.replace(trained, shipped=record_attempts(trained.shipped, tried))


def _train_once(
    run: CycleRun,
    recipe: Recipe,
    rows: PreflightResult,
    data: TrainingSet,
    general: GeneralSet | None,
) -> TrainedModel:
    tuned = train(run, recipe, rows, data, general)
    shipped = choose_mixture(run, recipe, tuned, rows, data, general)
    return TrainedModel(recipe, data, general, tuned, shipped)


@task(name="sft", cache_policy=NO_CACHE)
def train(
    run: CycleRun,
    recipe: Recipe,
    rows: PreflightResult,
    data: TrainingSet,
    general: GeneralSet | None,
) -> training_run.SftResult:
    """Run stock SFT; a training that was finished with the same content is found again."""
    cycle, base_model, runtime = run.cycle, run.base_model, run.runtime
    # Where the rows that judge choose as well, there are no others.
    keeps_last = not (run.config.two_part or choosing_rows(run, rows, data, general).enough)
    if keeps_last and recipe.keep_checkpoints > 1:
        console.print_stage(
            "sft",
            f"warning: {assignment('keep_checkpoints', recipe.keep_checkpoints)} has no effect: "
            "too few rows choose, so that the last checkpoint is kept. Fix: a larger "
            f"{name_of('selection_share')}, more rows, or leave it out.",
        )
    key = training_run.run_key(
        hashing.sha256(base_model), data.content, recipe, runtime.identity, keeps_last=keeps_last
    )
    name = training_run.run_name(run.config.base, recipe, key)
    request = training_run.SftRequest(
        base=base_model,
        base_name=run.config.base,
        data=data,
        recipe=recipe,
        model_dir=cycle.path / "models" / name,
        audio_roots=run.audio_roots,
        key=key,
        roles=recording_roles(
            run, data, general, chosen=selection_chooses(run, recipe, rows, data)
        ),
        keeps_last=keeps_last,
        labels={"cycle": str(cycle.path), "run": name},
    )
    finished = training_run.find_finished(request)
    if finished is None:
        gpus = runtime.hardware.gpus
        with (
            gpu_slots.gpu_slot(gpus),
            training_artifacts.training(recipe, len(gpus)) as report_progress,
        ):
            report = run.tracker.following(Events(request.events), report_progress)
            finished = fallback.train_with_fallback(request, runtime, report)
    run.tracker.epochs(finished.epochs)
    training_artifacts.training_curve(cycle, finished)
    events.trained(cycle, finished)
    return finished


def choosing_rows(
    run: CycleRun, rows: PreflightResult, data: TrainingSet, general: GeneralSet | None
) -> ChoosingRows:
    """Return the rows that choose checkpoint and mixture."""
    return gather_choosing_rows(
        rows.rows,
        data,
        () if general is None else general.choosing,
        run.config.priority,
        resolve_parameters.guardrail_policy(run.config),
        run.audio_roots,
    )


def selection_chooses(
    run: CycleRun, recipe: Recipe, rows: PreflightResult, data: TrainingSet
) -> bool:
    """Return whether the rows that training validates on choose anything.

    Too few of them choose neither checkpoint nor mixture. But a training that stops early has its
    last epoch from them.
    """
    stops_early = recipe.early_stopping_patience is not None
    return run.config.two_part or stops_early or choosing_rows(run, rows, data, None).enough


def mark_choice(
    run: CycleRun, recipe: Recipe, rows: PreflightResult, data: TrainingSet
) -> TrainingSet:
    """Return a training set whose split says whether its selection rows choose anything."""
    chose = selection_chooses(run, recipe, rows, data)
    return dataclasses.replace(data, split=dataclasses.replace(data.split, selection_chose=chose))


def recording_roles(
    run: CycleRun, data: TrainingSet, general: GeneralSet | None, *, chosen: bool
) -> RecordingRoles:
    """Return what each recording will have been to the model."""
    chose = data.selection_recordings
    judged = data.held_out_recordings
    if general is not None:
        chose |= general_recordings(general.choosing)
        judged |= general_recordings(general.guardrail)
    if run.config.two_part:
        chose |= data.held_out_recordings
    return run.base_roles().after(data.trained_recordings, chose if chosen else (), judged)


@task(name="choose-mixture", cache_policy=NO_CACHE)
def choose_mixture(
    run: CycleRun,
    recipe: Recipe,
    tuned: training_run.SftResult,
    rows: PreflightResult,
    data: TrainingSet,
    general: GeneralSet | None,
) -> ShippedModel:
    """Choose the model that is shipped, on rows that do not judge it."""
    chooses = choosing_rows(run, rows, data, general)
    shipped = choose.ship(
        choose.ChoiceRequest(
            run.base_model,
            tuned,
            chooses,
            run.config.interpolate,
            choice_rule.rule_of(recipe.distillation),
        ),
        run.runtime,
        lambda line: console.print_stage("choose", line),
        holding=gpu_slots.gpu_slot(run.runtime.hardware.gpus),
    )
    # A training that is found again may be chosen by other sentences than before.
    roles = recording_roles(run, data, general, chosen=selection_chooses(run, recipe, rows, data))
    roles.update(shipped.model.parent)
    training_artifacts.choice(run.cycle, shipped)
    return shipped
