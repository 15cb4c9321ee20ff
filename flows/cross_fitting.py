"""Cross-fitting: a training for each fold, and every row scored by a model that never saw it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from flows import console
from flows.preparation_tasks import known_recordings
from flows.training_tasks import train_and_choose
from flows.transcription_tasks import transcribe_models
from tasks.common.counted import counted
from tasks.evaluation import diff
from tasks.evaluation.decoded_variants import DecodedVariants
from tasks.evaluation.scoring import score
from tasks.stages import prepare
from tasks.transcription.rows import decoded_variants, hypotheses

if TYPE_CHECKING:
    from flows.cycle_run import CycleRun
    from tasks.data.general_english import GeneralSet
    from tasks.data.preflight import PreflightResult
    from tasks.evaluation.hypotheses import Hypothesis
    from tasks.training.recipes import Recipe


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
    by_number = {row.utterance.row: row for row in rows.rows}
    before: list[Hypothesis] = []
    after: list[Hypothesis] = []
    folds = prepare.folds(
        run.cycle,
        rows,
        config.folds,
        config.seed,
        known,
        general,
        by_term=config.hold_out_terms,
        selection=config.selection,
        disjoint=config.disjoint,
    )
    for place, data in enumerate(folds, start=1):
        console.print_stage(
            "fold", f"{place} of {len(folds)}: {counted(len(data.split.validation), 'row')}"
        )
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
