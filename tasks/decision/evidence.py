"""Compare two evaluations row by row and judge them, for ``asr-flywheel diff`` and the flow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.decision.gate import GatePolicy, pronunciation_gap
from tasks.decision.verdict import DecisionEvidence, TableReading, read_table, require_rows
from tasks.evaluation import diff, row_basis
from tasks.evaluation.false_keywords import false_keyword_effect, index_terms

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tasks.decision.guardrail import Guardrail


def judged_rows(pairing: diff.PairedScores) -> tuple[diff.PairedScores, str]:
    """Return the rows that decide, and their name: held-out ones, where rows are marked."""
    if any(pair.after.row.part is not None for pair in pairing.pairs):
        return pairing.held_out, row_basis.HELD_OUT
    return pairing, row_basis.UNTUNED


def evidence(
    pairing: diff.PairedScores,
    *,
    cross_fitted: diff.PairedScores | None = None,
    guardrail: Guardrail | None = None,
    overfit: str | None = None,
    previous: Mapping[str, float | None] | None = None,
) -> DecisionEvidence:
    """Collect the evidence for a decision on these rows.

    The held-out rows decide wherever the later evaluation marks its rows. Where it does not, it is
    not known what was trained on, and all rows do. Cross-fitted rows go before either: each was
    scored by a model that had not seen it.
    """
    judged, basis = judged_rows(pairing)
    if cross_fitted is not None:
        judged, basis = cross_fitted, row_basis.CROSS_FITTED
    gap = pronunciation_gap(judged.after, GatePolicy())
    effect = false_keyword_effect(
        judged, index_terms(pair.after.row.term for pair in pairing.pairs)
    )
    return DecisionEvidence(
        judged=judged.by_category,
        basis=basis,
        trained=pairing.trained.by_category,
        with_false_keywords_as_misses=effect.with_false_keywords_as_misses,
        false_keywords=effect.rows,
        guardrail=guardrail,
        pronunciation_gap=None if gap is None else gap.advice,
        overfit=overfit,
        previous=previous or {},
    )


def read_all_rows(pairing: diff.PairedScores, priority: Sequence[str]) -> TableReading:
    """Apply the specification's table to all rows, trained ones too, as its headline does."""
    _, basis = judged_rows(pairing)
    basis = row_basis.ALL if basis == row_basis.HELD_OUT else basis
    changes = pairing.by_category
    require_rows(changes, priority, basis)
    return read_table(changes, priority, basis)
