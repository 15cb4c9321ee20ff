"""Secondary metrics: false keywords, misrecognitions and the strict view.

Each has its own name and its own n; none of them changes the four metrics.

- FKR, the false keyword rate: the share of rows whose hypothesis holds a term that nobody said;
- near misses: the words that stand where a missed term should, unless they are its other spelling;
- the strict view: the share of rows, of those with a number, dose, frequency, route, side or
  negation on either side, in which these differ; with the faults that have a name.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rapidfuzz.distance import Levenshtein

from tasks.data.canonical_terms import SpokenText, canonical_term
from tasks.data.text_normalizer import contains_words, normalise, normalise_term
from tasks.evaluation.error_counts import Proportion
from tasks.evaluation.false_keywords import TermIndex, index_terms
from tasks.evaluation.statistics import ends
from tasks.evaluation.strict_table import ValueKind
from tasks.evaluation.strict_view import compare
from tasks.evaluation.value_items import StrictFault

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tasks.evaluation.hypotheses import Hypothesis
    from tasks.evaluation.scoring import Scores

NOTHING_HEARD = "(nothing)"
_NAMES_ONLY = frozenset((ValueKind.NAME,))
_PAIRS_KEPT = 50_000
_FAULT_ROWS = 20
_UNREAD_SHOWN = 50
_COUNTERS = (
    "rows", "with_false_keyword", "counted_again", "false_terms", "near", "strict", "strict_any",
    "faults", "unread"
)  # fmt: skip


def misrecognised_as(ref: str, hyp: str, term: str) -> str | None:
    """Return the words of a hypothesis that stand in the place of its reference's term.

    Both are aligned by the fewest edits; what was inserted beside the term counts, since one word
    is often heard as two.

    Args:
        ref: the normalised reference.
        hyp: the normalised hypothesis.
        term: the normalised term.

    Returns:
        The words, ``NOTHING_HEARD``, or None where the reference does not have the term.
    """
    if not contains_words(ref, term):
        return None
    ref_words, hyp_words = ref.split(), hyp.split()
    start = f" {ref} "[: f" {ref} ".index(f" {term} ")].count(" ")
    end = start + len(term.split())
    places: list[int] = []
    for step in Levenshtein.opcodes(ref_words, hyp_words):
        if step.tag == "insert":
            if start <= step.src_start <= end:
                places.extend(range(step.dest_start, step.dest_end))
        elif step.tag != "delete":
            shift = step.dest_start - step.src_start
            common = range(max(start, step.src_start), min(end, step.src_end))
            places.extend(place + shift for place in common)
    return " ".join(hyp_words[place] for place in places) or NOTHING_HEARD


def near_miss(said: SpokenText, heard: SpokenText, term: str) -> str | None:
    """Return what was heard in the place of a missed term, in the canonical view.

    None where the reference does not have the term, and where the hypothesis has it in another
    spelling.
    """
    wanted = canonical_term(term)
    if heard.holds(wanted):
        return None
    return misrecognised_as(said.canonical, heard.canonical, wanted.words.strip())


@dataclass
class SecondaryMetrics:
    """Metrics beyond WER, CER, KER and SER, over rows that are added one by one.

    Attributes:
        term_index: the terms that count as keywords.
        rows: rows looked at, by entity_category; a row counts once in each of its terms'.
        with_false_keyword: rows that hold a false keyword, by entity_category.
        counted_again: rows, and (True) those with a false keyword, beyond their first category.
        false_terms: how often each term stood where nobody said it.
        near: how often a term was missed and these words heard instead.
        strict: rows that hold something critical, and rows in which it is wrong, by kind.
        strict_any: the same of any kind: rows, wrong.
        faults: rows with a fault that has a name, such as a tenfold dose.
        fault_rows: the first such rows: audio, reference and hypothesis.
        unread: what stood in a differing row and could not be read, by its spelling.
        canonical: whether terms are looked for in every spelling, or to the letter.
    """

    term_index: TermIndex
    rows: Counter[str | None] = field(default_factory=Counter)
    with_false_keyword: Counter[str | None] = field(default_factory=Counter)
    counted_again: Counter[bool] = field(default_factory=Counter)
    false_terms: Counter[str] = field(default_factory=Counter)
    near: Counter[tuple[str, str]] = field(default_factory=Counter)
    strict: Counter[tuple[ValueKind, bool]] = field(default_factory=Counter)
    strict_any: Counter[bool] = field(default_factory=Counter)
    faults: Counter[StrictFault] = field(default_factory=Counter)
    fault_rows: dict[StrictFault, list[tuple[str, str, str]]] = field(default_factory=dict)
    unread: Counter[str] = field(default_factory=Counter)
    canonical: bool = True

    def add(self, row: Hypothesis, ref: str, hyp: str, missed: Iterable[str]) -> None:
        """Add one row.

        Args:
            row: the hypothesis, as written.
            ref: its normalised reference.
            hyp: its normalised hypothesis.
            missed: its terms that were missed, as written.
        """
        categories = (row.entity_category,) if not row.terms else row.categories or (None,)
        for category in categories:
            self.rows[category] += 1
        if len(categories) > 1:
            self.counted_again[False] += len(categories) - 1
        if ref != hyp:
            said, heard = SpokenText(row.ref, ref), SpokenText(row.hyp, hyp)
            if self.canonical:
                false = self.term_index.false_in(said, heard)
            else:
                false = self.term_index.false_to_the_letter(ref, hyp)
            if false:
                for category in categories:
                    self.with_false_keyword[category] += 1
                if len(categories) > 1:
                    self.counted_again[True] += len(categories) - 1
                self.false_terms.update(false)
            for term in missed:
                misrecognition = (
                    near_miss(said, heard, term)
                    if self.canonical
                    else misrecognised_as(ref, hyp, normalise_term(term))
                )
                if misrecognition is not None:
                    self.near[normalise_term(term), misrecognition] += 1
        self._add_strict(row)

    def _add_strict(self, row: Hypothesis) -> None:
        view = compare(row.ref, row.hyp)
        if view.kinds:
            # A name alone is no dose; KER and FKR count names, and here a swap counts.
            if view.wrong or view.kinds != _NAMES_ONLY:
                self.strict_any[bool(view.wrong)] += 1
            for kind in view.kinds:
                self.strict[kind, kind in view.wrong] += 1
            if view.faults:
                self.faults.update(view.faults)
                for fault in view.faults:
                    self._keep_row(fault, (row.audio_filepath, row.ref, row.hyp))
            if view.unread:
                self.unread.update(view.unread)

    def _keep_row(self, fault: StrictFault, row: tuple[str, str, str]) -> None:
        rows = self.fault_rows.setdefault(fault, [])
        if len(rows) < _FAULT_ROWS:
            rows.append(row)

    def prune(self) -> None:
        """Bound memory: discard the rarest misrecognitions first."""
        if len(self.near) > 2 * _PAIRS_KEPT:
            self.near = Counter(dict(self.near.most_common(_PAIRS_KEPT)))
        if len(self.unread) > 2 * _PAIRS_KEPT:
            self.unread = Counter(dict(self.unread.most_common(_PAIRS_KEPT)))

    def merge(self, other: SecondaryMetrics) -> None:
        """Add the counts of another part of the rows."""
        for name in _COUNTERS:
            getattr(self, name).update(getattr(other, name))
        for fault, rows in other.fault_rows.items():
            for row in rows:
                self._keep_row(fault, row)

    @property
    def false_keywords(self) -> Proportion:
        """The false keyword rate (FKR) over all rows."""
        return Proportion(
            self.with_false_keyword.total() - self.counted_again[True],
            self.rows.total() - self.counted_again[False],
        )

    def false_keywords_of(self, category: str | None) -> Proportion:
        """Return the FKR over a category's rows."""
        return Proportion(self.with_false_keyword[category], self.rows[category])

    def strict_share(self, kind: ValueKind | None = None) -> Proportion:
        """Return the share of rows with a critical item (of one kind, or any) that is wrong."""
        if kind is None:
            return Proportion(self.strict_any[True], self.strict_any.total())
        wrong = self.strict[kind, True]
        return Proportion(wrong, wrong + self.strict[kind, False])

    def near_misses(self, terms: int = 50, forms: int = 5) -> dict[str, dict[str, int]]:
        """Return the most missed terms and their misrecognitions, most frequent first."""
        missed: Counter[str] = Counter()
        for (term, _), times in self.near.items():
            missed[term] += times
        ranked = sorted(self.near.items(), key=lambda item: (-item[1], item[0]))
        chosen = sorted(missed, key=lambda term: (-missed[term], term))[:terms]
        misses_by_term: dict[str, dict[str, int]] = {term: {} for term in chosen}
        for (term, misrecognition), times in ranked:
            if term in misses_by_term and len(misses_by_term[term]) < forms:
                misses_by_term[term][misrecognition] = times
        return misses_by_term

    def as_dict(self) -> dict[str, object]:
        """Return the figures for programs, each with its n and its 95 % interval (Wilson)."""
        categories = sorted(self.rows, key=lambda category: category or "")
        return {
            "false_keywords": {
                **_share("fkr", self.false_keywords),
                "by": {
                    category or "(none)": _share("fkr", self.false_keywords_of(category))
                    for category in categories
                },
                "terms": dict(self.false_terms.most_common(50)),
            },
            "near_misses": self.near_misses(),
            "strict": {
                **_share("rate", self.strict_share()),
                "by": {kind.value: _share("rate", self.strict_share(kind)) for kind in ValueKind},
                "faults": {
                    fault.value: {
                        "rows": self.faults[fault],
                        "first": [
                            {"audio_filepath": audio, "ref": ref, "hyp": hyp}
                            for audio, ref, hyp in self.fault_rows.get(fault, ())
                        ],
                    }
                    for fault in StrictFault
                },
                "unread": dict(self.unread.most_common(_UNREAD_SHOWN)),
            },
        }


def _share(name: str, share: Proportion) -> dict[str, object]:
    interval = share.interval
    return {
        "n": share.n,
        name: share.rate,
        "ci": ends(interval),
    }


def compute_secondary_metrics(
    scores: Scores, term_index: TermIndex | None = None
) -> SecondaryMetrics:
    """Compute the secondary metrics of scored rows, by default over their own terms."""
    metrics = SecondaryMetrics(term_index or index_terms(scores.terms))
    for row in scores.rows:
        missed = [one.term for one in row.occurrences if one.missed]
        metrics.add(row.row, normalise(row.row.ref), normalise(row.row.hyp), missed)
    return metrics
