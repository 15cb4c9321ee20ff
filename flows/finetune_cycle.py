"""The flow: gate, preflight, split, SFT, choice, transcription, leaderboard, diff, decision.

Each stage takes what the one before returned. The stages are thin Prefect tasks; what they do is
in tasks/. Tasks are called directly, not submitted, so that a cancellation reaches them at once.
They have no cache of Prefect's: what was made before is found by its content, where it lies.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run

from flows import (
    artifacts,
    audit,
    console,
    events,
    gpu_slots,
    resolve_parameters,
    tracking,
    transcribe_shards,
)
from flows.boosting_tasks import boost_models, require_boosting
from flows.config import CycleConfig
from flows.config_fields import BaselineSource, WhenBusy
from flows.cycle_run import CycleRun
from flows.guardrail_tasks import (
    JudgedTranscripts,
    Transcripts,
    general_english,
    guardrail,
    joined_rows,
    nonspeech,
    style_and_length,
)
from flows.prefect_helpers import is_transient_failure
from flows.training_tasks import choosing_rows, train_and_choose
from tasks.common import atomic_files, hashing, privacy_settings
from tasks.common.errors import InputError
from tasks.data import joined_sentences
from tasks.data.cycle_folder import PHRASES_NAME, Cycle, open_cycle
from tasks.data.cycle_lock import lock_cycle
from tasks.data.general_english import GeneralSet
from tasks.data.joined_sentences import JoinedRow
from tasks.data.nonspeech import NonspeechRecording
from tasks.data.nonspeech import recordings as nonspeech_recordings
from tasks.data.preflight import PreflightResult
from tasks.data.row_reviews import review_files
from tasks.data.training_set import TrainingSet
from tasks.decision import evidence
from tasks.decision.gate import GateResult
from tasks.decision.grow_plan import plan_for
from tasks.decision.grow_plan_files import write_plan
from tasks.decision.verdict import Decision, decide
from tasks.evaluation import baseline as baselines
from tasks.evaluation import diff
from tasks.evaluation.baseline import Baseline
from tasks.evaluation.decoded_variants import DecodedVariants
from tasks.evaluation.hypotheses import Hypothesis, write_hypotheses
from tasks.evaluation.scoring import Scores, score
from tasks.models import catalog, purge_marks
from tasks.privacy.keyed_hashes import seen_before
from tasks.records import archive, cycle_cost, run_record, verdict_ledger
from tasks.records.audit_log import AuditedAct
from tasks.records.store import Store
from tasks.records.tracking.finished_run import FIRST_TRAINING
from tasks.records.tracking.run_tracker import UNTRACKED, RunTracker
from tasks.reporting.html import write_report
from tasks.runtimes import container_sharing
from tasks.runtimes.job_seconds import TimedRuntime, run_seconds
from tasks.stages import choose, evaluate, prepare
from tasks.stages.compare import SupplementaryResults, build_leaderboard
from tasks.training import run as training_run
from tasks.training import sft
from tasks.training.progress import overfit
from tasks.transcription import offline
from tasks.transcription.hypothesis_cache import TranscriptStore
from tasks.transcription.offline import AudioSet
from tasks.transcription.rows import (
    audio_set,
    decoded_variants,
    hypotheses,
    joined_set,
    nonspeech_set,
)
from tasks.transcription.variants import AS_IT_IS, Shifts

if TYPE_CHECKING:
    from collections.abc import Container

    from tasks.training.recipes import Recipe


@dataclass(frozen=True)
class CycleOutcome:
    """What a run ended in; ``decision`` is None where the gate refused the cycle."""

    gate: GateResult
    decision: Decision | None = None
    next_cycle: Path | None = None


@flow(name="finetune-cycle")
def finetune_cycle(config: CycleConfig) -> CycleOutcome:
    """Run the flywheel once: from cycle N's manifest and baseline to cycle N+1's decision."""
    cycle = open_cycle(config.cycle)
    wait = config.when_busy is WhenBusy.WAIT
    on_wait = (lambda: artifacts.waiting(cycle)) if wait else None
    with lock_cycle(cycle, on_wait, following=True):
        audit.record(cycle, AuditedAct.RUN, base=config.base)
        with (
            privacy_settings.applied(no_texts=config.no_texts, no_audio=config.no_audio),
            tracking.tracked(config, cycle) as tracker,
            container_sharing.closing(cycle.path),
        ):
            return run_cycle(config, cycle, tracker)


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
    prepare.require_decidable(rows, data, config.priority, baseline, decides=imported is not None)
    tracking.begin(run, rows, data)
    # Folds grade the recipe that is shipped, also where their fewer rows would ask for another.
    recipe = resolve_parameters.recipe_on(
        config, run.runtime.hardware, data.durations, run.base_model.stat().st_size // 4
    )
    cross_fitted, variants = cross_fit(run, recipe, rows, general)
    if general is not None and not choosing_rows(run, rows, data, general).enough:
        general = general.without_choice(run.base_roles().seen)
    run.tracker.training = FIRST_TRAINING
    trained = train_and_choose(run, recipe, rows, data, general)
    tuned, data, general, shipped = trained.tuned, trained.data, trained.general, trained.shipped
    recordings = nonspeech_recordings()
    # Cross-fitted rows judge in the place of the held-out ones.
    judging = data.split.held_out if variants is None else frozenset()
    shifts = run.shifts(len(judging))
    judged = transcribe_models(
        run, rows, general, models_to_judge(shipped), recordings, shifts=shifts, judging=judging
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
    pairing = compare(run, rows, data, judged.cycle, baseline, supplementary)
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
    )
    run_json = run_record.describe(record)
    report_files = report(cycle, run_json)
    extra_hyps = [
        run_record.NONSPEECH_NAME,
        *(() if general is None else (*run_record.GENERAL_NAMES, run_record.JOINED_NAME)),
        *(() if cross_fitted is None else (run_record.CROSS_FITTED_NAME,)),
        *(() if supplementary.boosted is None else (PHRASES_NAME,)),
    ]
    run_record.write(
        cycle.next,
        run_json,
        [
            *(cycle.next.path / name for name in extra_hyps),
            *variant_files,
            *plan_files,
            *report_files,
        ],
    )
    tracking.finish(run)
    artifacts.cost(cycle, cycle_cost.cost(cycle, tuned, judged.cycle))
    artifacts.seconds(cycle, record.seconds)
    if store is not None:
        run.tracker.tag("stored", keep(run, store, shipped.model, decision).url)
    if not config.keep_tuned:
        choose.discard_tuned(shipped)
    audit.record(
        cycle,
        AuditedAct.RUN,
        base=config.base,
        model_sha256=shipped.sha256,
        verdict=decision.verdict.value,
    )
    return CycleOutcome(gate, decision, cycle.next.path)


def prepare_run(config: CycleConfig, cycle: Cycle, tracker: RunTracker = UNTRACKED) -> CycleRun:
    """Find the base model and the runtime, and refuse a cycle N+1 that holds other work.

    Raises:
        InputError: no such model or block, or results that this run would overwrite.
    """
    base_model = purge_marks.require_accepted(
        catalog.resolve(config.base, trust=config.trust), "as a base"
    )
    runtime = resolve_parameters.make_runtime(config, config.stock_script)
    run_record.require_free(cycle.next)
    general = resolve_parameters.general_manifest(config)
    return CycleRun(config, cycle, base_model, TimedRuntime(runtime), general, tracker)


def open_checked_store(config: CycleConfig) -> Store | None:
    """Open the store of the run's files, if one is named, and try it before anything is spent."""
    if config.store is None:
        return None
    from blocks.stores import open_store  # noqa: PLC0415 - boto3 takes a quarter of all imports

    store = open_store(config.store)
    store.check()
    return store


def check_host(run: CycleRun) -> None:
    """Check that this host can train this base by this recipe, and that the runtime is there."""
    hardware = run.runtime.hardware
    sft.check_fit(run.base_model, run.config.base, hardware)
    resolve_parameters.recipe_on(
        run.config, hardware, ()
    )  # refuses a precision that the host lacks
    run.runtime.check(lambda line: console.print_stage("runtime", line))
    reads = (run.base_model, *run.audio_roots, nonspeech_recordings()[0].audio.parent)
    run.runtime.share(run.cycle.path, reads, lambda line: console.print_stage("runtime", line))
    require_boosting(run)


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
def check_gate(config: CycleConfig, cycle: Cycle, baseline: Baseline | None) -> GateResult:
    """Decide whether tuning is worth it."""
    policy = resolve_parameters.gate_policy(config)
    result = prepare.run_gate(cycle, config.base, policy, baseline, config.method)
    artifacts.gate(cycle, result)
    events.gate(cycle, result)
    return result


@task(name="preflight", cache_policy=NO_CACHE)
def check_manifest(run: CycleRun) -> PreflightResult:
    """Check every row, its audio and its text before anything is spent."""
    config = run.config
    rows = prepare.check(
        run.cycle,
        run.base_model,
        resolve_parameters.full_recipe(config),
        config.audio_roots,
        keep_style=config.keep_style,
    )
    artifacts.warnings([str(finding) for finding in rows.warnings])
    if rows.set_apart:
        files = {path.name: hashing.sha256_file(path) for path in review_files(run.cycle)}
        audit.record(run.cycle, AuditedAct.REVIEW, files=files, set_apart=dict(rows.set_apart))
    return rows


def known_recordings(run: CycleRun, rows: PreflightResult) -> frozenset[str]:
    """The recordings of the rows that must not judge a model tuned from the base."""
    hashes = [row.audio_sha256 for row in rows.rows]
    return seen_before(run.base_model, run.clinic, hashes)


@task(name="stratified-split", cache_policy=NO_CACHE)
def split_rows(run: CycleRun, rows: PreflightResult, general: GeneralSet | None) -> TrainingSet:
    """Hold out a share of each category, set one apart that chooses, and write all parts."""
    config = run.config
    data = prepare.split(
        run.cycle,
        rows,
        config.validation_fraction,
        config.seed,
        known_recordings(run, rows),
        () if general is None else general.replay,
        by_term=config.hold_out_terms,
        selection=config.selection,
        disjoint=config.disjoint,
    )
    artifacts.split(data.split)
    return data


def cross_fit(
    run: CycleRun, recipe: Recipe, rows: PreflightResult, general: GeneralSet | None
) -> tuple[diff.PairedScores | None, DecodedVariants | None]:
    """Score every row by a model that never saw it: one training a fold, each found again if done.

    Returns:
        The rows by the base and by their fold's model, and all decodes of each; None without folds.
    """
    config = run.config
    if not config.folds:
        return None, None
    shifts = run.shifts(len(rows.rows))
    variants = DecodedVariants(shifts, {}, {})
    known = known_recordings(run, rows)
    replay = () if general is None else general.replay
    by_number = {row.utterance.row: row for row in rows.rows}
    before: list[Hypothesis] = []
    after: list[Hypothesis] = []
    folds = prepare.folds(
        run.cycle,
        rows,
        config.folds,
        config.seed,
        known,
        replay,
        selection=config.selection,
        disjoint=config.disjoint,
    )
    for place, data in enumerate(folds, start=1):
        console.print_stage("fold", f"{place} of {len(folds)}: {len(data.split.validation)} rows")
        run.tracker.training = f"fold_{place}"
        shipped = train_and_choose(run, recipe, rows, data, general).shipped
        fold = dataclasses.replace(
            rows, rows=tuple(by_number[number] for number in data.split.validation)
        )
        judged = transcribe_models(
            run, fold, None, (shipped.model,), shifts=shifts, judging=data.split.held_out
        )
        by_base, by_fold = judged.cycle
        variants |= decoded_variants(fold.rows, by_base, by_fold, shifts)
        for hyps, transcript in zip((before, after), judged.cycle, strict=True):
            hyps.extend(hypotheses(fold.rows, transcript, data.split))
    return diff.pair(score(before), score(after)), variants


def models_to_judge(shipped: choose.ShippedModel) -> tuple[Path, ...]:
    """Return the shipped model, and the plain tuned one where that is another and was kept."""
    plain = (shipped.tuned,) if shipped.mixed and shipped.tuned is not None else ()
    return (shipped.model, *plain)


def transcribe_models(
    run: CycleRun,
    rows: PreflightResult,
    general: GeneralSet | None,
    tuned: tuple[Path, ...],
    recordings: tuple[NonspeechRecording, ...] = (),
    *,
    shifts: Shifts = AS_IT_IS,
    judging: Container[int] = (),
) -> JudgedTranscripts:
    """Decode what judges by base and tuned models, with other workers where it is asked.

    Args:
        run: whose runtime decodes.
        rows: of the cycle.
        general: general English; None without a set.
        tuned: the shipped model, and the plain tuned one where that is another.
        recordings: without speech.
        shifts: under which the rows that judge are decoded.
        judging: numbers of these rows.
    """
    models = (run.base_model, *tuned)
    audio = audio_set(rows.rows, run.audio_roots, shifts, judging)
    if general is not None:
        audio += audio_set(general.guardrail, run.audio_roots)
    cache = evaluate.open_hypothesis_cache(run.cycle, run.runtime)
    # Shards are runs of their own, which a task cannot have.
    # The verdict is about base and shipped model.
    transcribe_shards.share(run.config, models, audio, cache, plainly=models[2:])
    # Recordings without speech lie in this machine's cache: another worker may have none.
    everything = audio + nonspeech_set(recordings)
    joined = joined_rows(run, general)
    ends = (len(rows.rows), len(audio.audio))
    return transcribe_cycle(run, models, everything, ends, cache, joined)


@task(name="offline-transcribe", cache_policy=NO_CACHE)
def transcribe_cycle(
    run: CycleRun,
    models: tuple[Path, ...],
    audio: AudioSet,
    ends: tuple[int, int],
    cache: TranscriptStore,
    joined: tuple[JoinedRow, ...],
) -> JudgedTranscripts:
    """Decode all that judges by all models, with the same command, in one job.

    Args:
        run: whose runtime decodes.
        models: base, shipped model, and where it was kept the plain tuned one.
        audio: the cycle's recordings, those of general English, and those without speech.
        ends: where the cycle's recordings end, and where those of general English do.
        cache: what was decoded before.
        joined: sentences, which base and shipped model decode in long recordings as well. These
            are written for the time that it takes.
    """
    several = max(map(len, audio.every_shift), default=1)
    variants = f", judged rows {several} times" if several > 1 else ""
    console.print_stage("transcribe", f"{len(audio.audio)} rows by {len(models)} models{variants}")
    slot = gpu_slots.gpu_slot(run.runtime.hardware.gpus)
    cache.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".joined-", dir=cache.folder) as folder:
        joined_sentences.write(joined, Path(folder))
        long_audio = joined_set(joined, Path(folder))
        transcripts = offline.transcribe(
            models,
            audio,
            run.runtime,
            cache,
            also=[(model, long_audio) for model in models[:2]],
            holding=slot,
            plainly=models[2:],
        )
    long_texts = tuple(
        tuple(by_recording[row.recording] for row in joined)
        for by_recording in (cache.read(model) if joined else {} for model in models[:2])
    )
    artifacts.speed(dict(zip(("base", "tuned", "unmixed"), transcripts, strict=False)))
    bounds = ((0, ends[0]), (ends[0], ends[1]), (ends[1], None))
    cycle, general, without_speech = (
        tuple(transcript.part(start, end) for transcript in transcripts) for start, end in bounds
    )
    return JudgedTranscripts(cycle, general, without_speech, long_texts)


@task(name="leaderboard-diff", cache_policy=NO_CACHE)
def compare(
    run: CycleRun,
    rows: PreflightResult,
    data: TrainingSet,
    transcripts: Transcripts,
    baseline: Baseline | None,
    supplementary: SupplementaryResults,
) -> diff.PairedScores:
    """Score both models, write cycle N+1's leaderboard, and pair it with cycle N row by row."""
    base_rows, tuned_rows, *unmixed = (
        hypotheses(rows.rows, transcript, data.split) for transcript in transcripts
    )
    if unmixed:
        supplementary = dataclasses.replace(supplementary, unmixed=score(unmixed[0]))
    following = run.cycle.next
    board, pairing = build_leaderboard(
        following.number,
        run.config.names,
        score(base_rows),
        score(tuned_rows),
        baseline,
        imported_scores(run.config, baseline),
        supplementary,
        set_apart=rows.set_apart,
        disjoint=data.split.disjoint,
    )
    write_hypotheses(following.path / run_record.BASELINE_NAME, base_rows)
    write_hypotheses(following.offline_hyps, tuned_rows)
    if supplementary.cross_fitted is not None:
        scored = supplementary.cross_fitted.after.rows
        write_hypotheses(
            following.path / run_record.CROSS_FITTED_NAME, (utterance.row for utterance in scored)
        )
    run_record.write_leaderboard(following, board)
    artifacts.leaderboard(following, board, following.leaderboard)
    return pairing


@task(name="decide", cache_policy=NO_CACHE)
def decide_verdict(
    run: CycleRun,
    pairing: diff.PairedScores,
    tuned: training_run.SftResult,
    data: TrainingSet,
    shipped: choose.ShippedModel,
    supplementary: SupplementaryResults,
    variants: DecodedVariants,
) -> tuple[Decision, int]:
    """Keep, grow, discard or inconclusive, by held-out rows; the bare table stands beside it.

    Returns:
        The decision, and how many verdicts these held-out rows have given with it.
    """
    cycle, priority = run.cycle, run.config.priority
    grounds = evidence.evidence(
        pairing,
        variants=variants,
        cross_fitted=supplementary.cross_fitted,
        guardrail=supplementary.guardrail,
        nonspeech=supplementary.nonspeech,
        harm_checks=supplementary.harm_checks,
        overfit=overfit(tuned.epochs),
        previous=run_record.relative_changes(cycle),
    )
    decision = decide(grounds, priority)
    all_rows = evidence.read_all_rows(pairing, priority)
    verdicts = verdict_ledger.record(
        cycle,
        data.held_out_recordings,
        shipped.sha256,
        decision.verdict.value,
        before=run.base_roles().verdicts_of(data.held_out_recordings),
        shifts=variants.shifts,
    )
    run_record.write_decision(
        cycle.next,
        decision,
        all_rows,
        grounds.judged,
        pairing.by_category,
        shipping=supplementary.shipping(),
        verdicts=verdicts,
        boosting=None if supplementary.boosted is None else supplementary.boosted.as_dict(),
    )
    artifacts.decision(
        cycle.next, decision, all_rows, grounds.judged, shipped=shipped, verdicts=verdicts
    )
    events.decided(cycle, decision)
    return decision, verdicts


def write_variants(
    following: Cycle, pairing: diff.PairedScores, variants: DecodedVariants
) -> list[Path]:
    """Write what both models made of the variants, where rows were decoded several times."""
    paths = [following.path / name for name in run_record.VARIANT_NAMES]
    if not variants.before:
        for path in paths:
            path.unlink(missing_ok=True)  # of a former run
        return []
    for path, rows in zip(paths, variants.rows(pairing), strict=True):
        atomic_files.write_jsonl(path, rows)
    return paths


@task(name="grow-plan", cache_policy=NO_CACHE)
def plan_growth(run: CycleRun, pairing: diff.PairedScores, decision: Decision) -> list[Path]:
    """Write what to add, worst first, where the decision sends the user to the build stage."""
    plan = plan_for(decision, pairing, run.config.priority, run.config.names)
    written = write_plan(run.cycle.next, plan)
    artifacts.grow_plan(run.cycle.next, plan)
    return written


@task(name="report", cache_policy=NO_CACHE)
def report(cycle: Cycle, run_json: dict[str, Any]) -> list[Path]:
    """Write the HTML report and its figures."""
    written = write_report(cycle.next, run_json)
    artifacts.report(cycle.next, written)
    return written


@task(
    name="keep-artifacts",
    cache_policy=NO_CACHE,
    retries=3,
    retry_delay_seconds=[3, 10, 30],
    retry_condition_fn=is_transient_failure,
)
def keep(run: CycleRun, store: Store, model: Path, decision: Decision) -> archive.Kept:
    """Keep every file of the cycle under the flow run's id; the list of hashes comes last."""
    cycle = run.cycle
    run_id = str(flow_run.id or "unknown")
    kept = archive.keep(
        store, cycle, run_id, model, decision.verdict.value, audio=run.config.store_audio
    )
    model_url = store.url(kept.prefix + model.relative_to(cycle.path.parent).as_posix())
    artifacts.kept(cycle.next, kept, model_url)
    audit.record(cycle, AuditedAct.STORE_UPLOAD, to=kept.url, files=kept.files, sent=kept.sent)
    return kept
