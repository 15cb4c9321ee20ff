"""The grow plan: which rows the build stage should add before the next turn, worst first.

A decision that sends the user back to the build stage is only of use with a list that it can work
through: which terms, in which voices, noise levels and contexts, how many rows each, and why. The
build stage crosses terms with conditions (its step 2e), and so does a line of this plan.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.common import neighbour_stages
from tasks.common.counted import agreed, counted
from tasks.decision.condition_grid import (
    CONDITIONS,
    USUAL_ROWS_PER_TERM,
    cell_of,
    cells,
    expected,
    new_cells,
    shape,
    shares_by,
)
from tasks.decision.decision_table import Verdict
from tasks.decision.evaluated_terms import EvaluatedTerms, TermRows
from tasks.decision.gate_policy import GatePolicy
from tasks.decision.guardrail import GuardrailStatus
from tasks.decision.pronunciation_gap import GUESSED, pronunciation_gap
from tasks.decision.significance import CategoryResult, rows_needed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tasks.decision.pronunciation_gap import PronunciationGap
    from tasks.decision.verdict import Decision
    from tasks.evaluation.diff import PairedScores
    from tasks.evaluation.error_counts import Proportion
    from tasks.evaluation.scoring import Scores

LEAST_ROWS = 100
"""Of a manifest (specification, rule 6)."""
AGAINST_FORGETTING = (
    "More clinical rows do not mend forgetting: tune the next time with --recipe distilled, or "
    "with general sentences among the rows (--replay-share)."
)
MOST_GROWTH = 4.0
"""In one turn: who needs more should look at the result of this much first."""
GROWTH = 2.0
"""How much larger a priority category becomes where nothing says how many rows would settle it."""
_DEFAULTS = {
    "noise_level": ("clean", "snr_15db", "snr_5db"),
    "context_type": ("dictation", "handoff", "chart_note", "history"),
}
_FEWEST_VOICES = 2
TITLES = {"voice_id": "voice", "noise_level": "noise level", "context_type": "context"}


@dataclass(frozen=True, slots=True)
class PlanLine:
    """The rows to add for one term: every new combination of these voices, levels and contexts.

    Attributes:
        term: as the manifest spells it.
        category: its entity_category.
        rows: how many rows that makes, those that the manifest has already left out.
        voices: voice_id values; empty where the manifest names none.
        noise_levels: likewise.
        context_types: likewise.
        ipa_source: where its pronunciation comes from; the weakest source if there are several.
        held_out: its rows that the model missed, of those that it was not trained on.
        trained: the same of the rows that it was trained on.
        why: one sentence.
    """

    term: str
    category: str
    rows: int
    voices: tuple[str, ...]
    noise_levels: tuple[str, ...]
    context_types: tuple[str, ...]
    ipa_source: str | None
    held_out: Proportion
    trained: Proportion
    why: str


@dataclass(frozen=True, slots=True)
class Condition:
    """A voice, noise level or context: the model's KER there, and the rows that the plan adds."""

    dimension: str
    value: str
    missed: Proportion
    added: int


@dataclass(frozen=True, slots=True)
class GrowPlan:
    """The plan; ``lines`` are worst first.

    Attributes:
        model: whose misses it is made from.
        basis: which rows the KER figures are from.
        lines: a line a term.
        new_terms: by category, how many terms more to find beside those that are known.
        conditions: worst first within each dimension.
        advice: what no line of the table can say, the most fundamental first.
    """

    model: str
    basis: str
    lines: tuple[PlanLine, ...]
    new_terms: Mapping[str, int]
    conditions: tuple[Condition, ...]
    advice: tuple[str, ...]

    @property
    def rows(self) -> int:
        """The rows that the plan adds, those of new terms included."""
        return sum(line.rows for line in self.lines) + USUAL_ROWS_PER_TERM * sum(
            self.new_terms.values()
        )


def make_plan(
    scores: Scores,
    priority: Sequence[str],
    *,
    model: str,
    trained: bool = True,
    needed: Mapping[str, int] | None = None,
    gap: PronunciationGap | None = None,
    forgets: bool = False,
) -> GrowPlan:
    """Plan the rows to add.

    A priority category grows to twice its rows, or to as many as it takes to hold out the
    ``needed`` rows, but at most to ``MOST_GROWTH`` times its rows in one turn. They go to the terms
    that the model misses, at most ``USUAL_ROWS_PER_TERM`` each, and what is left over to new terms.
    In other categories a missed term gets the few rows that let one of them be held out.

    Args:
        scores: the evaluation of the model that the next turn starts from.
        priority: the categories that decide.
        model: its name, for people.
        trained: whether it was trained on the rows that are marked so; a base was not.
        needed: by category, the held-out rows that would settle the question.
        gap: the pronunciation gap, if there is one.
        forgets: whether the tuned model broke the guardrail of general English.
    """
    judged = EvaluatedTerms.from_scores(scores, priority, trained=trained)
    needed = needed or {}
    lines: list[PlanLine] = []
    new_terms: dict[str, int] = {}
    for category in sorted(judged.by_category, key=judged.rank):
        terms = judged.missed_terms(category)
        each = judged.least_rows
        if category in priority:
            rows_wanted = _rows_to_add(judged, category, needed.get(category))
            each = min(USUAL_ROWS_PER_TERM, max(each, math.ceil(rows_wanted / max(1, len(terms)))))
        term_lines = [_plan_line(judged, term, each) for term in terms]
        lines += term_lines
        if category in priority:
            rows_left = rows_wanted - sum(line.rows for line in term_lines)
            if (more := math.ceil(rows_left / USUAL_ROWS_PER_TERM)) > 0:
                new_terms[category] = more
    if gap is not None:
        lines.sort(key=lambda line: line.ipa_source != GUESSED)
    return GrowPlan(
        model=model,
        basis="held-out" if judged.is_divided else "all",
        lines=tuple(lines),
        new_terms=new_terms,
        conditions=tuple(_conditions(judged, lines)),
        advice=tuple(_advice(judged, new_terms, gap, needed, forgets=forgets)),
    )


def plan_for(
    decision: Decision, pairing: PairedScores, priority: Sequence[str], names: tuple[str, str]
) -> GrowPlan | None:
    """Return the plan that a decision asks for; None if the next stage is not the build stage.

    After a discarded model the next turn starts from the base again, so that the base's misses
    count; otherwise the tuned model's.

    Args:
        decision: the decision.
        pairing: the rows as both models scored them.
        priority: the categories that decided.
        names: of base and tuned model.
    """
    if decision.route != neighbour_stages.BUILD:
        return None
    is_discarded = decision.verdict is Verdict.DISCARD
    scores = pairing.before if is_discarded else pairing.after
    unseen = scores.where(lambda row: row.row.judges)
    guardrail = decision.guardrail
    return make_plan(
        scores,
        priority,
        model=names[0] if is_discarded else names[1],
        trained=not is_discarded,
        needed=_rows_to_settle(decision, pairing),
        gap=pronunciation_gap(unseen, GatePolicy(priority=tuple(priority))),
        forgets=guardrail is not None and guardrail.status is GuardrailStatus.BROKEN,
    )


def _rows_to_settle(decision: Decision, pairing: PairedScores) -> dict[str, int]:
    """Return the held-out rows that would settle each unsettled priority category."""
    changes = pairing.judging.by_category
    needed = {
        category: rows_needed(changes[category], len(decision.findings))
        for category, finding in decision.findings.items()
        if finding is CategoryResult.UNSETTLED
    }
    return {category: rows for category, rows in needed.items() if rows is not None}


def _rows_to_add(judged: EvaluatedTerms, category: str, needed: int | None) -> int:
    """Return the number of rows that a priority category lacks."""
    current_rows = judged.rows_of[category]
    target_rows = math.ceil(GROWTH * current_rows)
    if needed is not None:
        target_rows = max(current_rows, math.ceil(needed / judged.held_out_share))
    target_rows = min(target_rows, math.ceil(MOST_GROWTH * current_rows))
    missing_rows = math.ceil(max(0, LEAST_ROWS - judged.manifest_rows) / len(judged.priority))
    return max(target_rows - current_rows, missing_rows)


def _plan_line(judged: EvaluatedTerms, term: TermRows, rows_wanted: int) -> PlanLine:
    """Cross the worst conditions in which the term has not been recorded."""
    category = str(term.rows[0].row.entity_category)
    pools = [judged.worst_first(category, dimension, term) for dimension in CONDITIONS]
    recorded = Counter(cell_of(row) for row in term.rows)
    counts = shape(pools, rows_wanted, recorded)
    chosen = [pool[:count] for pool, count in zip(pools, counts, strict=True)]
    sources = [row.row.ipa_source for row in term.rows if row.row.ipa_source]
    voices, noise_levels, contexts = (tuple(values) for values in chosen)
    return PlanLine(
        term=term.name,
        category=category,
        # Where every combination is there already, these rows are new sentences.
        rows=new_cells(chosen, recorded) or cells(chosen),
        voices=voices,
        noise_levels=noise_levels,
        context_types=contexts,
        ipa_source=GUESSED if GUESSED in sources else next(iter(sources), None),
        held_out=term.held_out,
        trained=term.trained,
        why=_line_reason(term, is_divided=judged.is_divided),
    )


def _conditions(judged: EvaluatedTerms, lines: Sequence[PlanLine]) -> Iterable[Condition]:
    """Yield every value of every dimension, worst first."""
    for dimension in CONDITIONS:
        added: Counter[str] = Counter()
        for line in lines:
            values = _values(line, dimension)
            for value in values:
                added[value] += round(line.rows / len(values))
        shares = shares_by(judged.rows(), dimension)
        for value in sorted(
            shares, key=lambda condition: (-expected(shares[condition]), condition)
        ):
            yield Condition(dimension, value, shares[value], added[value])


def _values(line: PlanLine, dimension: str) -> tuple[str, ...]:
    return {
        "voice_id": line.voices,
        "noise_level": line.noise_levels,
        "context_type": line.context_types,
    }[dimension]


def _line_reason(term: TermRows, *, is_divided: bool) -> str:
    held_out, trained = term.held_out, term.trained
    reasons: list[str] = []
    if held_out.hits:
        kind = "held-out row" if is_divided else "row"
        reasons.append(f"missed in {held_out.hits} of {counted(held_out.n, kind)}")
    if trained.hits:
        reasons.append(
            f"missed in {trained.hits} of {counted(trained.n, 'row')} that were trained on"
        )
    if any(row.row.ipa_source == GUESSED for row in term.rows):
        reasons.append("its pronunciation is guessed: audition it first (step 2d)")
    return "; ".join(reasons)


def _advice(
    judged: EvaluatedTerms,
    new_terms: Mapping[str, int],
    gap: PronunciationGap | None,
    needed: Mapping[str, int],
    *,
    forgets: bool,
) -> Iterable[str]:
    if forgets:
        yield AGAINST_FORGETTING
    if gap is not None:
        yield (
            f"Pronunciation first: {gap}. Audition the terms whose ipa_source is {GUESSED} and "
            "add them to pronunciation_overrides.csv (step 2d) before any row is added; they "
            "stand first in the table."
        )
    for category, rows in needed.items():
        yield (
            f"About {counted(rows, 'held-out row')} of {category} would settle the question, out "
            f"of about {math.ceil(rows / judged.held_out_share)} rows of it in all; one turn adds "
            f"at most {MOST_GROWTH - 1:.0f} times what is there."
        )
    for category, count in new_terms.items():
        yield (
            f"Find {count} new {category} terms, {USUAL_ROWS_PER_TERM} rows each: the known terms "
            "that are missed cannot carry all rows that the category lacks."
        )
    if len(judged.values("voice_id")) < _FEWEST_VOICES:
        yield "Use at least two voices: with one, a model learns the speaker with the terms."
    for dimension, usual in _DEFAULTS.items():
        if absent := [value for value in usual if value not in judged.values(dimension)]:
            yield f"No row has the {TITLES[dimension]} {', '.join(absent)}: add some."
    if judged.unplaced:
        yield (
            f"{counted(judged.unplaced, 'row')} {agreed(judged.unplaced, 'has', 'have')} no term "
            f"or no entity_category and {agreed(judged.unplaced, 'counts', 'count')} for no KER: "
            f"give {agreed(judged.unplaced, 'it', 'them')} both, or do not count "
            f"{agreed(judged.unplaced, 'it', 'them')} among the rows that the gate asks for."
        )
