"""Where boosting and tuning gain and what they cost: by strength, by term and by false keyword.

boost.json has it for the base, decision.json for base and tuned model, and the report shows it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.data.text_normalizer import normalise_term
from tasks.evaluation.error_counts import Proportion
from tasks.stages.boosting_figures import false_terms, share_as_dict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from tasks.data.preflight import CheckedRow
    from tasks.evaluation.false_keywords import TermIndex
    from tasks.evaluation.scoring import Scores
    from tasks.stages.boosting_figures import JudgedScores
    from tasks.stages.boosting_inputs import BoostingRows

HELD_OUT_PART, GENERAL_PART = "held-out", "general English"
MOST_FALSE_ROWS = 50


@dataclass(frozen=True, slots=True)
class TermMisses:
    """One term of the rows that judge, and how often each model missed it.

    Attributes:
        term: as the manifest spells it.
        category: its entity_category, or "".
        n: its occurrences.
        missed: of them, by model.
        trained: whether a row that was trained on holds the term.
    """

    term: str
    category: str
    n: int
    missed: Mapping[str, int]
    trained: bool

    def as_dict(self) -> dict[str, object]:
        """Return the term as boost.json and decision.json hold it."""
        return {
            "term": self.term,
            "category": self.category,
            "n": self.n,
            "missed": dict(self.missed),
            "trained": self.trained,
        }


def count_misses(
    scores: Mapping[str, Scores], trained_terms: frozenset[str]
) -> tuple[TermMisses, ...]:
    """Count the misses of each term of the rows that judge.

    Args:
        scores: of the same rows, by model.
        trained_terms: normalised terms of the rows that were trained on.

    Returns:
        The terms, the most missed by the first model first.
    """
    names: dict[tuple[str, str], str] = {}
    counts: dict[tuple[str, str], int] = {}
    missed: dict[tuple[str, str], dict[str, int]] = {}
    for place, (model, of_model) in enumerate(scores.items()):
        for row in of_model.rows:
            for one in row.occurrences:
                key = normalise_term(one.term), one.category or ""
                names.setdefault(key, one.term)
                if place == 0:
                    counts[key] = counts.get(key, 0) + 1
                of_term = missed.setdefault(key, dict.fromkeys(scores, 0))
                of_term[model] += one.missed
    found = [
        TermMisses(names[key], key[1], n, missed[key], key[0] in trained_terms)
        for key, n in counts.items()
    ]
    first = next(iter(scores))
    return tuple(sorted(found, key=lambda one: (-one.missed[first], one.term)))


def terms_without_audio(
    scores: Mapping[str, Scores], trained_terms: frozenset[str], priority: Sequence[str]
) -> dict[str, Any] | None:
    """Return KER of each model on the terms that no row trained.

    With ``--hold-out-terms`` these are all terms of the rows that judge. They stand for a drug
    that arrives tomorrow: it can be put on a list, and there is no recording of it.

    Args:
        scores: of the same rows, by model.
        trained_terms: normalised terms of the rows that were trained on.
        priority: the categories that decide.

    Returns:
        None where each term was trained on.
    """
    kers = {
        model: {category: _missed_share(of_model, category, trained_terms) for category in priority}
        for model, of_model in scores.items()
    }
    first = next(iter(scores.values()))
    terms = {
        normalise_term(one.term)
        for row in first.rows
        for one in row.occurrences
        if one.category in priority
    }
    if not (new := terms - trained_terms):
        return None
    return {
        "terms": len(new),
        "of_terms": len(terms),
        "ker": {
            model: {category: share_as_dict(share) for category, share in shares.items()}
            for model, shares in kers.items()
        },
    }


def _missed_share(scores: Scores, category: str, trained_terms: frozenset[str]) -> Proportion:
    of_rows = [
        [
            one.missed
            for one in row.occurrences
            if one.category == category and normalise_term(one.term) not in trained_terms
        ]
        for row in scores.rows
    ]
    misses = [missed for of_row in of_rows for missed in of_row]
    return Proportion(sum(misses), len(misses), sum(map(bool, of_rows)))


def describe_untrained(table: Mapping[str, Any]) -> list[str]:
    """Say in lines what each model misses of the terms that no row trained."""
    lines = [
        f"Terms that no row trained: {table['terms']} of the {table['of_terms']} terms that judge."
    ]
    for model, kers in table["ker"].items():
        told = ", ".join(
            f"{category} {_rate_in_words(share)}" for category, share in kers.items() if share["n"]
        )
        lines.append(f"KER on them, {model}: {told}.")
    return lines


def _rate_in_words(share: Mapping[str, Any]) -> str:
    low, high = share["ci"]
    return f"{share['rate']:.3f} ({low:.3f} to {high:.3f}, n = {share['n']})"


@dataclass(frozen=True, slots=True)
class FalseKeywordRow:
    """A row in which a boosted model wrote a phrase that nobody said.

    Attributes:
        model: that wrote it.
        part: of the rows: held-out ones or general English.
        row: which was recorded.
        terms: that nobody said.
        hyp: the boosted model's text.
        plain: the same model's text without phrases.
        new: the terms that this model does not write without phrases.
    """

    model: str
    part: str
    row: CheckedRow
    terms: tuple[str, ...]
    hyp: str
    plain: str
    new: tuple[str, ...]

    def as_dict(self) -> dict[str, object]:
        """Return the row as boost.json and decision.json hold it."""
        recording: Path = self.row.audio
        return {
            "model": self.model,
            "part": self.part,
            "audio_filepath": self.row.utterance.audio_filepath,
            "recording": str(recording),
            "terms": list(self.terms),
            "by_boosting": list(self.new),
            "ref": self.row.utterance.text,
            "hyp": self.hyp,
            "hyp_without_phrases": self.plain,
        }


def wrongly_written(
    model: str, rows: BoostingRows, plain: JudgedScores, boosted: JudgedScores, index: TermIndex
) -> tuple[FalseKeywordRow, ...]:
    """Return the rows that hold a false keyword by a boosted model, boosting's own first.

    Args:
        model: the boosted model's name.
        rows: that judge.
        plain: the same model's scores without phrases.
        boosted: its scores with them.
        index: of every phrase and term that could be a false keyword.
    """
    found = [
        *_wrong_in(model, HELD_OUT_PART, rows.held_out, plain.held_out, boosted.held_out, index),
        *_wrong_in(model, GENERAL_PART, rows.judging, plain.general, boosted.general, index),
    ]
    return tuple(sorted(found, key=lambda one: not one.new)[:MOST_FALSE_ROWS])


def _wrong_in(
    model: str,
    part: str,
    checked: Sequence[CheckedRow],
    plain: Scores,
    boosted: Scores,
    index: TermIndex,
) -> Iterable[FalseKeywordRow]:
    for row, before, after in zip(checked, plain.rows, boosted.rows, strict=True):
        if terms := false_terms(after, index):
            had = false_terms(before, index)
            new = tuple(term for term in terms if term not in had)
            yield FalseKeywordRow(model, part, row, terms, after.row.hyp, before.row.hyp, new)


def strength_lines(
    candidates: Iterable[Mapping[str, Any]],
    false_rows: Mapping[float, Proportion],
    chosen: float,
) -> list[dict[str, Any]]:
    """Return the figures of a list's strengths on the rows that choose, by strength.

    Args:
        candidates: of the choice, as boost.json holds them.
        false_rows: of each strength, how many choosing rows hold a false keyword.
        chosen: the strength that is judged.
    """
    return [
        {
            "strength": one["strength"],
            "ker": one["ker"],
            "ker_ci": one["ker_ci"],
            "general_wer": one["general_wer"],
            "false_keywords": (
                None if (share := false_rows.get(one["strength"])) is None else share_as_dict(share)
            ),
            "chosen": one["strength"] == chosen,
        }
        for one in sorted(candidates, key=lambda one: one["strength"])
    ]
