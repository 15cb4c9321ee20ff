"""The flow: gate, preflight, split, SFT, transcription, leaderboard, diff, decision.

Each stage takes what the one before returned. The stages are thin Prefect tasks; what they do is
in tasks/. Tasks are called directly, not submitted, so that a cancellation reaches them at once.
They have no cache of Prefect's: what was made before is found by its content, where it lies.
"""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run

from blocks.stores import open_store
from flows import artifacts, console, events, gpu_slots, transcribe_shards
from flows.config import BaselineSource, CycleConfig, WhenBusy
from flows.guardrail_tasks import Pair, general_english, guardrail
from flows.prefect_helpers import is_transient_failure
from tasks.common import hashing
from tasks.common.errors import InputError
from tasks.data.cycle_folder import Cycle, open_cycle
from tasks.data.cycle_lock import lock_cycle
from tasks.data.general_english import GeneralSet
from tasks.data.preflight import PreflightResult
from tasks.data.training_set import TrainingSet
from tasks.decision import evidence
from tasks.decision.gate import GateResult
from tasks.decision.grow_plan import plan_for
from tasks.decision.grow_plan_files import write_plan
from tasks.decision.verdict import Decision, decide
from tasks.evaluation import baseline as baselines
from tasks.evaluation import diff
from tasks.evaluation.baseline import Baseline
from tasks.evaluation.hypotheses import Hypothesis, write_hypotheses
from tasks.evaluation.scoring import Scores, score
from tasks.models import catalog
from tasks.records import archive, cycle_cost, run_record
from tasks.records.store import Store
from tasks.reporting.html import write_report
from tasks.runtimes.base import Runtime
from tasks.stages import evaluate, prepare
from tasks.stages.compare import SupplementaryResults, build_leaderboard
from tasks.training import fallback, sft
from tasks.training import run as training_run
from tasks.training.progress import overfit
from tasks.training.recipes import Recipe
from tasks.transcription import offline
from tasks.transcription.hypothesis_cache import TranscriptStore
from tasks.transcription.offline import AudioSet, Transcript
from tasks.transcription.rows import audio_set, hypotheses


@dataclass(frozen=True)
class CycleOutcome:
    """What a turn of the flywheel ended in; ``decision`` is None where the gate refused."""

    gate: GateResult
    decision: Decision | None = None
    next_cycle: Path | None = None


@flow(name="finetune-cycle")
def finetune_cycle(config: CycleConfig) -> CycleOutcome:
    """Turn the flywheel once: from cycle N's manifest and baseline to cycle N+1's decision."""
    cycle = open_cycle(config.cycle)
    wait = config.when_busy is WhenBusy.WAIT
    on_wait = (lambda: artifacts.waiting(cycle)) if wait else None
    with lock_cycle(cycle, on_wait, following=True):
        return run_cycle(config, cycle)


def run_cycle(config: CycleConfig, cycle: Cycle) -> CycleOutcome:
    """The stages, one after the other.

    Each looks for what it made before from the same content: a second run, or a retry after a
    failure, does again only what depends on what has changed.
    """
    started = time.time()
    baseline = baselines.find_baseline(cycle, config.baseline)
    imported = imported_scores(config, baseline)
    verdict = gate(config, cycle, baseline)
    if not verdict.passed:
        return CycleOutcome(verdict)
    base = catalog.resolve(config.base, trust=config.trust)
    runtime = config.make_runtime()
    run_record.require_free(cycle.next)
    store = None if config.store is None else open_store(config.store)
    if store is not None:
        store.check()
    transcribe_shards.check(config)
    checked = check_manifest(config, cycle, base)
    sft.check_fit(base, config.base, runtime.hardware)
    config.recipe_on(runtime.hardware, ())  # refuses a precision that the host lacks
    runtime.check(lambda line: console.print_stage("runtime", line))
    general = general_english(config, base, checked)
    data = split(config, cycle, base, checked, general)
    prepare.require_decidable(
        checked, data, config.priority, baseline, decides=imported is not None
    )
    # Folds grade the recipe that is shipped, also where their fewer rows would ask for another.
    recipe = config.recipe_on(runtime.hardware, data.durations)
    crossed = cross_fit(config, recipe, cycle, base, checked, general, runtime)
    trained = train(config, recipe, cycle, base, data, runtime)
    models = (base, trained.model)
    transcripts, spoken = transcribe_models(config, cycle, checked, general, models, runtime)
    run_record.begin(cycle.next)
    supplementary = SupplementaryResults(
        guardrail(config, cycle, general, spoken), crossed, config.folds
    )
    pairing = compare(config, cycle, checked, data, transcripts, baseline, supplementary)
    decided = decision(config, cycle, pairing, trained, supplementary)
    planned = grow_plan(config, cycle, pairing if crossed is None else crossed, decided)
    record = run_record.RunRecord(
        started=started,
        config=config.model_dump(mode="json"),
        gate=verdict.as_dict(),
        preflight=checked,
        data=data,
        sft=trained,
        transcripts=transcripts,
        decision=decided.as_dict(),
    )
    told = run_record.describe(record)
    shown = report(cycle, told)
    heard = [
        *(() if general is None else run_record.GENERAL_NAMES),
        *(() if crossed is None else (run_record.CROSS_FITTED_NAME,)),
    ]
    run_record.write(
        cycle.next, told, [*(cycle.next.path / name for name in heard), *planned, *shown]
    )
    artifacts.cost(cycle, cycle_cost.cost(cycle, trained, transcripts))
    if store is not None:
        keep(config, cycle, store, trained.model, decided)
    return CycleOutcome(verdict, decided, cycle.next.path)


def imported_scores(config: CycleConfig, baseline: Baseline | None) -> Scores | None:
    """The imported evaluation, if the tuned model is to be compared with that.

    Raises:
        InputError: it is, and there is none.
    """
    if config.compare_with is not BaselineSource.IMPORTED:
        return None
    if baseline is None or not baseline.imported:
        raise InputError(
            "compare_with is 'imported', but the cycle has no per_sample.json. "
            "Fix: put it into the cycle folder, or compare with 'offline'."
        )
    return baseline.scores


@task(name="gate-check", cache_policy=NO_CACHE)
def gate(config: CycleConfig, cycle: Cycle, baseline: Baseline | None) -> GateResult:
    """Is tuning worth it?"""
    verdict = prepare.run_gate(cycle, config.base, config.gate_policy(), baseline, config.method)
    artifacts.gate(cycle, verdict)
    events.gate(cycle, verdict)
    return verdict


@task(name="preflight", cache_policy=NO_CACHE)
def check_manifest(config: CycleConfig, cycle: Cycle, base: Path) -> PreflightResult:
    """Check every row, its audio and its text before anything is spent."""
    recipe = config.full_recipe()
    checked = prepare.check(cycle, base, recipe, config.audio_roots, keep_style=config.keep_style)
    artifacts.warnings([str(finding) for finding in checked.warnings])
    return checked


@task(name="stratified-split", cache_policy=NO_CACHE)
def split(
    config: CycleConfig,
    cycle: Cycle,
    base: Path,
    checked: PreflightResult,
    general: GeneralSet | None,
) -> TrainingSet:
    """Hold out a share of each category and write train.jsonl and validation.jsonl."""
    known = training_run.previously_trained_recordings(base)
    replay = () if general is None else general.replay
    data = prepare.split(
        cycle,
        checked,
        config.validation_fraction,
        config.seed,
        known,
        replay,
        by_term=config.hold_out_terms,
    )
    artifacts.split(data.split)
    return data


def cross_fit(
    config: CycleConfig,
    recipe: Recipe,
    cycle: Cycle,
    base: Path,
    checked: PreflightResult,
    general: GeneralSet | None,
    runtime: Runtime,
) -> diff.PairedScores | None:
    """Score every row by a model that never saw it: one training a fold, each found again if done.

    Returns:
        The rows by the base and by their fold's model; None without folds.
    """
    if not config.folds:
        return None
    known = training_run.previously_trained_recordings(base)
    replay = () if general is None else general.replay
    by_number = {row.utterance.row: row for row in checked.rows}
    before: list[Hypothesis] = []
    after: list[Hypothesis] = []
    dealt = prepare.folds(cycle, checked, config.folds, config.seed, known, replay)
    for place, data in enumerate(dealt, start=1):
        console.print_stage("fold", f"{place} of {len(dealt)}: {len(data.split.validation)} rows")
        model = train(config, recipe, cycle, base, data, runtime).model
        fold = dataclasses.replace(
            checked, rows=tuple(by_number[number] for number in data.split.validation)
        )
        pair, _ = transcribe_models(config, cycle, fold, None, (base, model), runtime)
        for rows, one in zip((before, after), pair, strict=True):
            rows.extend(hypotheses(fold.rows, one, data.split))
    return diff.pair(score(before), score(after))


@task(name="sft", cache_policy=NO_CACHE)
def train(
    config: CycleConfig,
    recipe: Recipe,
    cycle: Cycle,
    base: Path,
    data: TrainingSet,
    runtime: Runtime,
) -> training_run.SftResult:
    """Stock SFT; a run that was already finished with the same content is not run again."""
    key = training_run.run_key(hashing.sha256(base), data.content, recipe, runtime.identity)
    name = training_run.run_name(config.base, recipe, key)
    request = training_run.SftRequest(
        base=base,
        base_name=config.base,
        data=data,
        recipe=recipe,
        model_dir=cycle.path / "models" / name,
        audio_roots=config.roots(cycle.path),
        key=key,
        trained_before=training_run.previously_trained_recordings(base),
        labels={"cycle": str(cycle.path), "run": name},
    )
    finished = training_run.find_finished(request)
    if finished is None:
        gpus = runtime.hardware.gpus
        with gpu_slots.gpu_slot(gpus), artifacts.training(recipe, len(gpus)) as report:
            finished = fallback.train_with_fallback(request, runtime, report)
    artifacts.training_curve(cycle, finished)
    events.trained(cycle, finished)
    return finished


def transcribe_models(
    config: CycleConfig,
    cycle: Cycle,
    checked: PreflightResult,
    general: GeneralSet | None,
    models: tuple[Path, Path],
    runtime: Runtime,
) -> tuple[Pair, Pair]:
    """Decode cycle and general English by base and tuned model, with others where it is asked.

    Returns:
        The transcripts of the cycle, and those of general English, each by base and tuned model.
    """
    rows = checked.rows + (() if general is None else general.guardrail)
    audio, kept = (
        audio_set(rows, config.roots(cycle.path)),
        evaluate.open_hypothesis_cache(cycle, runtime),
    )
    # Shards are runs of their own, which a task cannot have.
    transcribe_shards.share(config, models, audio, kept)
    return transcribe_cycle(models, audio, len(checked.rows), runtime, kept)


@task(name="offline-transcribe", cache_policy=NO_CACHE)
def transcribe_cycle(
    models: tuple[Path, Path],
    audio: AudioSet,
    of_cycle: int,
    runtime: Runtime,
    kept: TranscriptStore,
) -> tuple[Pair, Pair]:
    """Decode cycle and general English by base and tuned model, with the same command, in one job.

    Args:
        models: base and tuned model.
        audio: the cycle's recordings, and after them those of general English.
        of_cycle: how many are the cycle's.
        runtime: where to decode.
        kept: what was decoded before.

    Returns:
        The transcripts of the cycle, and those of general English, each by base and tuned model.
    """
    console.print_stage("transcribe", f"{len(audio.audio)} rows by base and tuned model")
    slot = gpu_slots.gpu_slot(runtime.hardware.gpus)
    before, after = offline.transcribe(models, audio, runtime, kept, holding=slot)
    artifacts.speed({"base": before, "tuned": after})
    return (
        (before.part(0, of_cycle), after.part(0, of_cycle)),
        (before.part(of_cycle), after.part(of_cycle)),
    )


@task(name="leaderboard-diff", cache_policy=NO_CACHE)
def compare(
    config: CycleConfig,
    cycle: Cycle,
    checked: PreflightResult,
    data: TrainingSet,
    transcripts: tuple[Transcript, Transcript],
    baseline: Baseline | None,
    supplementary: SupplementaryResults,
) -> diff.PairedScores:
    """Score both models, write cycle N+1's leaderboard, and pair it with cycle N row by row."""
    base_rows, tuned_rows = (hypotheses(checked.rows, one, data.split) for one in transcripts)
    following = cycle.next
    board, pairing = build_leaderboard(
        following.number,
        config.names,
        score(base_rows),
        score(tuned_rows),
        baseline,
        imported_scores(config, baseline),
        supplementary,
    )
    write_hypotheses(following.path / run_record.BASELINE_NAME, base_rows)
    write_hypotheses(following.offline_hyps, tuned_rows)
    if supplementary.cross_fitted is not None:
        rows = (row.row for row in supplementary.cross_fitted.after.rows)
        write_hypotheses(following.path / run_record.CROSS_FITTED_NAME, rows)
    run_record.write_leaderboard(following, board)
    artifacts.leaderboard(following, board, following.leaderboard)
    return pairing


@task(name="decide", cache_policy=NO_CACHE)
def decision(
    config: CycleConfig,
    cycle: Cycle,
    pairing: diff.PairedScores,
    trained: training_run.SftResult,
    supplementary: SupplementaryResults,
) -> Decision:
    """Keep, grow, discard or inconclusive, by held-out rows; the bare table stands beside it."""
    grounds = evidence.evidence(
        pairing,
        cross_fitted=supplementary.cross_fitted,
        guardrail=supplementary.guardrail,
        overfit=overfit(trained.epochs),
        previous=run_record.relative_changes(cycle),
    )
    decided = decide(grounds, config.priority)
    all_rows = evidence.read_all_rows(pairing, config.priority)
    run_record.write_decision(cycle.next, decided, all_rows, grounds.judged, diff.deltas(pairing))
    artifacts.decision(cycle.next, decided, all_rows, grounds.judged)
    events.decided(cycle, decided)
    return decided


@task(name="grow-plan", cache_policy=NO_CACHE)
def grow_plan(
    config: CycleConfig, cycle: Cycle, pairing: diff.PairedScores, decided: Decision
) -> list[Path]:
    """Where the decision sends the user to the build stage: what to add, worst first."""
    plan = plan_for(decided, pairing, config.priority, config.names)
    written = write_plan(cycle.next, plan)
    artifacts.grow_plan(cycle.next, plan)
    return written


@task(name="report", cache_policy=NO_CACHE)
def report(cycle: Cycle, told: dict[str, Any]) -> list[Path]:
    """The page that people look at, and its figures."""
    written = write_report(cycle.next, told)
    artifacts.report(cycle.next, written)
    return written


@task(
    name="keep-artifacts",
    cache_policy=NO_CACHE,
    retries=3,
    retry_delay_seconds=[3, 10, 30],
    retry_condition_fn=is_transient_failure,
)
def keep(
    config: CycleConfig, cycle: Cycle, store: Store, model: Path, decided: Decision
) -> archive.Kept:
    """Keep every file of the cycle under the run's id; the list with the hashes comes last."""
    run = str(flow_run.id or "unknown")
    found = archive.keep(store, cycle, run, model, decided.verdict.value, audio=config.store_audio)
    held = store.url(found.prefix + model.relative_to(cycle.path.parent).as_posix())
    artifacts.kept(cycle.next, found, held)
    return found
