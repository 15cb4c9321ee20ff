"""The tasks that judge a decoded cycle: leaderboard and diff, the decision, and the grow plan."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows import artifacts, events
from flows.cycle_run import CycleRun
from flows.transcription_tasks import Transcripts
from tasks.common import atomic_files
from tasks.data.preflight import PreflightResult
from tasks.data.training_set import TrainingSet
from tasks.decision import evidence
from tasks.decision.decision_table import Verdict
from tasks.decision.grow_plan import plan_for
from tasks.decision.grow_plan_files import write_plan
from tasks.decision.verdict import Decision, decide
from tasks.evaluation import diff
from tasks.evaluation.baseline import Baseline
from tasks.evaluation.decoded_variants import DecodedVariants
from tasks.evaluation.hypotheses import write_hypotheses
from tasks.evaluation.scoring import Scores, score
from tasks.records import kept_runs, run_record, verdict_ledger
from tasks.stages.compare import SupplementaryResults, build_leaderboard
from tasks.stages.shipped_model import ShippedModel
from tasks.training import run as training_run
from tasks.training.progress import overfit
from tasks.transcription.rows import hypotheses

if TYPE_CHECKING:
    from tasks.data.cycle_folder import Cycle


@task(name="leaderboard-diff", cache_policy=NO_CACHE)
def compare(
    run: CycleRun,
    rows: PreflightResult,
    data: TrainingSet,
    transcripts: Transcripts,
    baseline: Baseline | None,
    imported: Scores | None,
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
        imported,
        supplementary,
        set_apart=rows.set_apart,
        disjoint=data.split.disjoint,
        by_term=data.split.by_term,
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
    shipped: ShippedModel,
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
    # What keeps the same model again is no other run.
    same = shipped.sha256 if decision.verdict is Verdict.KEEP else None
    kept_before = [kept.as_dict() for kept in kept_runs.copies(cycle.next) if kept.sha256 != same]
    run_record.write_decision(
        cycle.next,
        decision,
        all_rows,
        grounds.judged,
        pairing.by_category,
        shipping=supplementary.shipping(),
        verdicts=verdicts,
        boosting=None if supplementary.boosted is None else supplementary.boosted.as_dict(),
        kept_runs=kept_before,
    )
    artifacts.decision(
        cycle.next,
        decision,
        all_rows,
        grounds.judged,
        shipped=shipped,
        verdicts=verdicts,
        kept_runs=[kept_runs.beside_verdict(kept, cycle.clinic) for kept in kept_before],
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
