"""The flow: gate, preflight, split, SFT, choice, transcription, leaderboard, diff, decision.

Each stage takes what the one before returned. The stages are thin Prefect tasks; what they do is
in tasks/. Tasks are called directly, not submitted, so that a cancellation reaches them at once.
They have no cache of Prefect's: what was made before is found by its content, where it lies.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from prefect import flow
from prefect.states import Completed

from flows import artifacts, audit, resolve_parameters, tracking, transcribe_shards
from flows.boosting_tasks import boost_models
from flows.config import CycleConfig
from flows.config_fields import WhenBusy
from flows.cross_fitting import cross_fit
from flows.guardrail_tasks import general_english, guardrail, nonspeech, style_and_length
from flows.parameters_without_effect import effectless_in_run
from flows.preparation_tasks import (
    check_gate,
    check_host,
    check_manifest,
    imported_scores,
    open_checked_store,
    prepare_run,
    require_decidable,
    split_rows,
)
from flows.record_tasks import keep, write_record
from flows.training_tasks import choosing_rows, mark_choice, train_and_choose
from flows.transcription_tasks import discarded_model, models_to_judge, transcribe_models
from flows.verdict_tasks import compare, decide_verdict, plan_growth, write_variants
from tasks.common import privacy_settings
from tasks.data.cycle_folder import PHRASES_NAME, Cycle, open_cycle
from tasks.data.cycle_lock import lock_cycle
from tasks.data.nonspeech import recordings as nonspeech_recordings
from tasks.evaluation import baseline as baselines
from tasks.records import cycle_cost, kept_runs, run_record
from tasks.records.audit_log import AuditedAct
from tasks.records.tracking.finished_run import FIRST_TRAINING
from tasks.runtimes import container_sharing
from tasks.runtimes.job_seconds import run_seconds
from tasks.stages.compare import SupplementaryResults
from tasks.stages.shipped_model import discard_tuned
from tasks.transcription.rows import decoded_variants

if TYPE_CHECKING:
    from pathlib import Path

    from tasks.decision.gate import GateResult
    from tasks.decision.verdict import Decision
    from tasks.records.tracking.run_tracker import RunTracker


@dataclass(frozen=True)
class CycleOutcome:
    """What a run ended in; ``decision`` is None where the gate refused the cycle."""

    gate: GateResult
    decision: Decision | None = None
    next_cycle: Path | None = None


@flow(name="finetune-cycle")
def finetune_cycle(config: CycleConfig) -> CycleOutcome:
    """Run the flywheel once: from cycle N's manifest and baseline to cycle N+1's decision."""
    artifacts.without_effect(effectless_in_run(config))
    cycle = open_cycle(config.cycle)
    wait = config.when_busy is WhenBusy.WAIT
    on_wait = (lambda: artifacts.waiting(cycle)) if wait else None
    with lock_cycle(cycle, on_wait, following=True, can_wait=True):
        audit.record(cycle, AuditedAct.RUN, base=config.base)
        with (
            privacy_settings.applied(
                no_texts=config.no_texts, no_audio=config.no_audio, audio=config.audio
            ),
            tracking.tracked(config, cycle) as tracker,
            container_sharing.closing(cycle.path),
        ):
            outcome = run_cycle(config, cycle, tracker)
    if outcome.decision is None:
        # A refusal is no failure: its words are the state's, where programs and the UI look.
        return cast("CycleOutcome", Completed(message=_refusal(cycle, outcome), data=outcome))
    return outcome


def _refusal(cycle: Cycle, outcome: CycleOutcome) -> str:
    """Return the gate's refusal in one line."""
    gate = outcome.gate
    reasons = " ".join(reason.message for reason in gate.reasons)
    return f"Gate refused cycle {cycle.number} ({gate.action}, go to {gate.route}): {reasons}"


def run_cycle(config: CycleConfig, cycle: Cycle, tracker: RunTracker) -> CycleOutcome:
    """Run the stages, one after the other.

    Each looks for what it made before from the same content: a second run, or a retry after a
    failure, does again only what depends on what has changed.
    """
    started = time.time()
    baseline = baselines.find_baseline(cycle, config.baseline)
    imported = imported_scores(config, baseline)
    gate = check_gate(config, cycle, baseline)
    if not gate.passed:
        return CycleOutcome(gate)
    run = prepare_run(config, cycle, tracker)
    store = open_checked_store(config)
    transcribe_shards.check(config)
    rows = check_manifest(run)
    check_host(run)
    general = general_english(run, rows)
    data = split_rows(run, rows, general)
    require_decidable(run, rows, data, baseline, decides=imported is not None)
    tracking.begin(run, rows, data)
    kept_runs.preserve(cycle.next)  # before anything of it is overwritten
    # Folds grade the recipe that is shipped, also where their fewer rows would ask for another.
    recipe = resolve_parameters.recipe_on(
        config, run.runtime.hardware, data.durations, run.base_model.stat().st_size // 4
    )
    cross_fitted, variants = cross_fit(run, recipe, rows, general)
    if general is not None and not choosing_rows(run, rows, data, general).enough:
        general = general.without_choice(run.base_roles().seen)
    data = mark_choice(run, recipe, rows, data)
    run.tracker.training = FIRST_TRAINING
    trained = train_and_choose(run, recipe, rows, data, general)
    tuned, data, general, shipped = trained.tuned, trained.data, trained.general, trained.shipped
    recordings = nonspeech_recordings()
    # Cross-fitted rows judge in the place of the held-out ones.
    judging = data.split.held_out if variants is None else frozenset()
    shifts = run.shifts(len(judging))
    judged = transcribe_models(
        run,
        rows,
        general,
        models_to_judge(shipped),
        recordings,
        shifts=shifts,
        judging=judging,
        discarded=discarded_model(shipped),
    )
    if variants is None:
        variants = decoded_variants(rows.rows, judged.cycle[0], judged.cycle[1], shifts)
    run_record.begin(cycle.next)
    supplementary = SupplementaryResults(
        guardrail(run, general, judged.general),
        cross_fitted,
        config.folds,
        nonspeech(run, rows, recordings, judged.nonspeech),
        style_and_length(run, general, judged),
        shipped,
        boosted=boost_models(run, rows, data, general, shipped),
    )
    pairing = compare(run, rows, data, judged.cycle, baseline, imported, supplementary)
    decision, verdicts = decide_verdict(run, pairing, tuned, data, shipped, supplementary, variants)
    variant_files = write_variants(cycle.next, cross_fitted or pairing, variants)
    plan_files = plan_growth(run, pairing if cross_fitted is None else cross_fitted, decision)
    record = run_record.RunRecord(
        started=started,
        config=config.model_dump(mode="json"),
        gate=gate.as_dict(),
        preflight=rows,
        data=data,
        sft=tuned,
        shipped=shipped,
        transcripts=judged.cycle,
        decision=decision.as_dict(),
        verdicts=verdicts,
        variants=variants.as_dict(),
        seconds=run_seconds(time.time() - started, run.runtime.jobs),
        without_effect=[one.as_dict() for one in effectless_in_run(config)],
    )
    extra_hyps = [
        run_record.NONSPEECH_NAME,
        *(() if general is None else (*run_record.GENERAL_NAMES, run_record.JOINED_NAME)),
        *(() if cross_fitted is None else (run_record.CROSS_FITTED_NAME,)),
        *(() if supplementary.boosted is None else (PHRASES_NAME,)),
    ]
    hyp_files = [cycle.next.path / name for name in extra_hyps]
    write_record(run, record, [*hyp_files, *variant_files, *plan_files])
    kept_runs.drop_repeated(cycle.next)
    tracking.finish(run)
    artifacts.cost(cycle, cycle_cost.cost(cycle, tuned, judged.cycle))
    artifacts.seconds(cycle, record.seconds)
    if store is not None:
        run.tracker.tag("stored", keep(run, store, shipped.model, decision).url)
    if not config.keep_tuned:
        discard_tuned(shipped)
    audit.record(
        cycle,
        AuditedAct.RUN,
        base=config.base,
        model_sha256=shipped.sha256,
        verdict=decision.verdict.value,
    )
    return CycleOutcome(gate, decision, cycle.next.path)
