"""The figures of a base and of a boosted base on the rows that judge, and the verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.data.canonical_terms import SpokenText
from tasks.decision.evidence import evidence
from tasks.decision.guardrail import check_guardrail
from tasks.decision.verdict import decide
from tasks.evaluation import diff, statistics
from tasks.evaluation.block_bootstrap import by_block, rate_interval
from tasks.evaluation.error_counts import Proportion
from tasks.evaluation.hypotheses import Partition, hypothesis_for
from tasks.evaluation.outside_terms import errors_outside_terms
from tasks.evaluation.scoring import Scores, canonical_errors, score

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tasks.data.preflight import CheckedRow
    from tasks.decision.boosting_choice import StrengthChoice
    from tasks.decision.guardrail import Guardrail
    from tasks.decision.verdict import Decision
    from tasks.evaluation.false_keywords import TermIndex
    from tasks.evaluation.scoring import UtteranceScore
    from tasks.evaluation.statistics import Interval
    from tasks.stages.boosting_inputs import BoostingRows


@dataclass(frozen=True)
class BoostedModel:
    """The base with one list at one strength, as the rows that judge see it.

    Attributes:
        choice: of its strength.
        decision: by the rule that tuned models get.
        figures: for people and programs.
    """

    choice: StrengthChoice
    decision: Decision
    figures: dict[str, Any]


def score_texts(
    rows: Sequence[CheckedRow], texts: Sequence[str], part: Partition | None = None
) -> Scores:
    """Score a model's texts of checked rows."""
    return score(
        hypothesis_for(row.utterance, text, part, row.audio_sha256)
        for row, text in zip(rows, texts, strict=True)
    )


@dataclass(frozen=True)
class JudgedScores:
    """A model's scores on the rows that judge.

    Attributes:
        held_out: of the cycle.
        general: of general English; empty without a set.
    """

    held_out: Scores
    general: Scores


def score_judged(
    rows: BoostingRows, held_out: Sequence[str], general: Sequence[str]
) -> JudgedScores:
    """Score the texts of the held-out rows and of general English."""
    return JudgedScores(
        score_texts(rows.held_out, held_out, Partition.HELD_OUT),
        score_texts(rows.judging, general),
    )


def false_terms(row: UtteranceScore, index: TermIndex) -> tuple[str, ...]:
    """List the terms of an index that a row's hypothesis holds and its reference does not."""
    return index.false_in(SpokenText(row.row.ref), SpokenText(row.row.hyp))


def judge(
    rows: BoostingRows,
    choice: StrengthChoice,
    before: JudgedScores,
    after: JudgedScores,
    vocabulary: Sequence[str],
    index: TermIndex,
) -> BoostedModel:
    """Judge a boosted base by the rule that tuned models get."""
    guardrail = _guardrail(rows, before.general, after.general)
    pairing = diff.pair(before.held_out, after.held_out)
    decision = decide(evidence(pairing, guardrail=guardrail, vocabulary=vocabulary), rows.priority)
    figures = figures_of(rows, after, index)
    figures["general"] = None if guardrail is None else guardrail.as_dict()
    false_rows = [
        [bool(false_terms(row, index)) for row in scores.rows]
        for scores in (before.held_out, after.held_out, before.general, after.general)
    ]
    figures["false_keywords"] = {
        name: _paired(*false_rows[start : start + 2])
        for name, start in (("held_out", 0), ("general", 2))
    }
    return BoostedModel(choice, decision, figures)


def _paired(before: Sequence[bool], after: Sequence[bool]) -> dict[str, object]:
    """Return how many rows hold a false keyword before and after, and how sure the change is."""
    gone = sum(b and not a for b, a in zip(before, after, strict=True))
    new = sum(a and not b for b, a in zip(before, after, strict=True))
    return {
        "rows": len(before),
        "before": sum(before),
        "after": sum(after),
        "p": statistics.mcnemar_mid_p(gone, new) if before else None,
    }


def _guardrail(rows: BoostingRows, before: Scores, after: Scores) -> Guardrail | None:
    if rows.general is None:
        return None
    return check_guardrail(before, after, rows.policy, synthetic=rows.general.synthetic)


def figures_of(rows: BoostingRows, judged: JudgedScores, index: TermIndex) -> dict[str, Any]:
    """Return a model's figures on the rows that judge, each with its 95 % interval."""
    held_out, general = judged.held_out, judged.general
    by_category = held_out.by("entity_category")
    ker = {
        category: by_category[category].keyword if category in by_category else Proportion(0, 0)
        for category in rows.priority
    }
    false = [bool(false_terms(row, index)) for row in held_out.rows]
    general_false = [bool(false_terms(row, index)) for row in general.rows]
    blocks = held_out.blocks
    wer_ci = rate_interval(
        by_block(range(len(blocks)), [one.wer_sum for one in blocks], [one.n for one in blocks])
    )
    outside = errors_outside_terms(held_out, index)
    errors = [canonical_errors(row) for row in general.rows]
    edits, words = [pair[0] for pair in errors], [pair[1] for pair in errors]
    general_ci = None
    if errors:
        general_ci = rate_interval(by_block(range(len(errors)), edits, words))
    return {
        "ker": {category: share_as_dict(proportion) for category, proportion in ker.items()},
        "ker_all": share_as_dict(held_out.keyword),
        "fkr": share_as_dict(Proportion(sum(false), len(false))),
        "wer": _rate(held_out.wer, wer_ci),
        "u_wer": _rate(outside.rate, outside.interval),
        "general_wer": _rate(sum(edits) / sum(words) if errors else None, general_ci),
        "general_fkr": share_as_dict(Proportion(sum(general_false), len(general_false))),
    }


def share_as_dict(proportion: Proportion) -> dict[str, object]:
    """Return a share with its counts and its 95 % interval."""
    return {
        **_rate(proportion.rate, proportion.interval),
        "hits": proportion.hits,
        "n": proportion.n,
    }


def _rate(rate: float | None, interval: Interval | None) -> dict[str, object]:
    return {"rate": rate, "ci": statistics.ends(interval)}


def table(
    base: Mapping[str, Any], boosted: Mapping[str, BoostedModel], rows: BoostingRows
) -> list[str]:
    """Return the figures as lines of a table: base, boosted base, and the oracle list."""
    columns = {"base": base}
    for name, one in boosted.items():
        columns[f"{name}, {one.choice.strength:g}"] = one.figures
    measures: list[tuple[str, tuple[str, ...]]] = [
        (f"KER {category}", ("ker", category)) for category in rows.priority
    ]
    measures += [
        ("FKR", ("fkr",)),
        ("WER", ("wer",)),
        ("U-WER", ("u_wer",)),
    ]
    if rows.judging:
        measures += [("general WER", ("general_wer",)), ("general FKR", ("general_fkr",))]
    width = max(len(name) for name, _ in measures) + 2
    lines = ["".ljust(width) + "".join(name.ljust(26) for name in columns).rstrip()]
    for name, path in measures:
        cells = (_cell(_at(figures, path)) for figures in columns.values())
        lines.append(name.ljust(width) + "".join(cell.ljust(26) for cell in cells).rstrip())
    return lines


def _at(figures: Mapping[str, Any], path: Sequence[str]) -> Mapping[str, Any]:
    found: Any = figures
    for key in path:
        found = found[key]
    return dict(found)


def _cell(figure: Mapping[str, Any]) -> str:
    if figure["rate"] is None:
        return "-"
    interval = figure["ci"]
    between = "" if interval is None else f" ({interval[0]:.3f} to {interval[1]:.3f})"
    return f"{figure['rate']:.3f}{between}"
