"""Compare two evaluations row by row and judge them, for ``asr-flywheel diff`` and the flow."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tasks.decision.decision_table import TableReading, read_table
from tasks.decision.gate_policy import GatePolicy
from tasks.decision.group_check import check_groups
from tasks.decision.pronunciation_gap import pronunciation_gap
from tasks.decision.verdict_rules import (
    GUARDRAIL_TO_THE_LETTER,
    PLAIN_DECODE,
    SPELLING_BLIND,
    STRICT,
    TWO_PART,
    DecisionEvidence,
    require_rows,
)
from tasks.evaluation import diff, row_basis
from tasks.evaluation.decoded_variants import with_variants
from tasks.evaluation.false_keywords import FalseKeywordFinder, false_keyword_effect, index_terms
from tasks.evaluation.hypotheses import Partition
from tasks.evaluation.strict_view import compare

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tasks.decision.guardrail import Guardrail
    from tasks.decision.harm_check import HarmCheck
    from tasks.decision.nonspeech_check import NonspeechCheck
    from tasks.evaluation.decoded_variants import DecodedVariants
    from tasks.evaluation.scoring import UtteranceScore
    from tasks.evaluation.term_occurrences import Occurrence


def judged_rows(pairing: diff.PairedScores) -> tuple[diff.PairedScores, str]:
    """Return the rows that decide, and their name: held-out ones, where rows are marked."""
    if any(pair.after.row.part is not None for pair in pairing.pairs):
        return pairing.held_out, row_basis.HELD_OUT
    return pairing, row_basis.UNTUNED


def evidence(
    pairing: diff.PairedScores,
    *,
    variants: DecodedVariants | None = None,
    cross_fitted: diff.PairedScores | None = None,
    guardrail: Guardrail | None = None,
    nonspeech: NonspeechCheck | None = None,
    harm_checks: tuple[HarmCheck, ...] = (),
    overfit: str | None = None,
    previous: Mapping[str, float | None] | None = None,
    vocabulary: Sequence[str] = (),
) -> DecisionEvidence:
    """Collect the evidence for a decision on these rows.

    The held-out rows decide wherever the later evaluation marks its rows. Where it does not, it is
    not known what was trained on, and all rows do. Cross-fitted rows go before either: each was
    scored by a model that had not seen it. Rows that were decoded under several variants count with
    the share of their decodes that miss a term.

    Beside them stands what other views of the same rows would decide on: one decode a row, the
    strict view, every spelling of a term, general English to the letter, and the two-part split,
    where the rows that chose the checkpoint judge too. ``vocabulary`` holds terms that are false
    keywords besides those of the rows.
    """
    judged, basis = judged_rows(pairing)
    if cross_fitted is not None:
        judged, basis = cross_fitted, row_basis.CROSS_FITTED
    judged = with_variants(judged, variants)
    gap = pronunciation_gap(judged.after, GatePolicy())
    holds_false_keyword = FalseKeywordFinder(index_terms([*pairing.terms, *vocabulary]))

    def view(
        rows: diff.PairedScores, missed: Callable[[UtteranceScore, Occurrence], bool]
    ) -> DecisionEvidence:
        effect = false_keyword_effect(rows, holds_false_keyword, missed)
        groups = check_groups(rows, missed)
        return DecisionEvidence(
            judged=rows.changes(missed),
            basis=basis,
            trained=pairing.trained.changes(missed),
            with_false_keywords_as_misses=effect.with_false_keywords_as_misses,
            false_keywords=effect.rows,
            guardrail=guardrail,
            nonspeech=nonspeech,
            harm_checks=(*harm_checks, *((groups,) if groups.groups else ())),
            pronunciation_gap=None if gap is None else gap.advice,
            overfit=overfit,
            previous=previous or {},
        )

    grounds = view(judged, diff.term_missed)
    views = {} if judged.decodes == 1 else {PLAIN_DECODE: view(judged.plain, diff.term_missed)}
    views |= {
        STRICT: view(judged, missed_or_wrong_value),
        SPELLING_BLIND: view(judged, diff.missed_in_any_spelling),
    }
    if guardrail is not None and guardrail.to_the_letter is not None:
        views[GUARDRAIL_TO_THE_LETTER] = replace(grounds, guardrail=guardrail.to_the_letter)
    set_aside = {Partition.CHOSE, Partition.CHOSE_NOTHING}
    if cross_fitted is None and any(pair.after.row.part in set_aside for pair in pairing.pairs):
        unseen = with_variants(pairing, variants).where(
            lambda pair: pair.after.row.part in {Partition.HELD_OUT, *set_aside}
        )
        views[TWO_PART] = view(unseen, diff.term_missed)
    return replace(grounds, views=views)


def missed_or_wrong_value(row: UtteranceScore, occurrence: Occurrence) -> bool:
    """Return whether a term was missed, or a number, dose or negation of its row is wrong."""
    return occurrence.missed or bool(compare(row.row.ref, row.row.hyp).wrong)


def read_all_rows(pairing: diff.PairedScores, priority: Sequence[str]) -> TableReading:
    """Apply the specification's table to all rows, trained ones too, as its headline does."""
    _, basis = judged_rows(pairing)
    basis = row_basis.ALL if basis == row_basis.HELD_OUT else basis
    changes = pairing.by_category
    require_rows(changes, priority, basis)
    return read_table(changes, priority, basis)
