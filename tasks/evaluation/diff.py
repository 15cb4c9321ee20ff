"""Compare cycle N with cycle N+1, category by category (specification, 4e).

Two evaluations are compared on the rows that both hold, row by row; what only one of them holds is
counted and said. Every difference knows how sure it is: a p-value and an interval.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from tasks.common.errors import InputError
from tasks.data.text_normalizer import normalise_term
from tasks.evaluation import statistics
from tasks.evaluation.hypotheses import Partition
from tasks.evaluation.row_matching import keys
from tasks.evaluation.scoring import Proportion, Scores, block_of
from tasks.evaluation.share_differences import ShareDifferences

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Sequence

    from tasks.evaluation.scoring import Occurrence, UtteranceScore
    from tasks.evaluation.statistics import Interval

ALL_CATEGORIES = "(all)"


@dataclass(frozen=True, slots=True)
class ScorePair:
    """One row as both evaluations scored it.

    Attributes:
        before: by the earlier evaluation's plain decode.
        after: by the later one's.
        decodes: how often each side decoded the row, the plain decode included.
        before_decodes: what these made, and how many of them; empty where there is one.
        after_decodes: the same by the later evaluation.
    """

    before: UtteranceScore
    after: UtteranceScore
    decodes: int = field(default=1, kw_only=True)
    before_decodes: tuple[tuple[UtteranceScore, int], ...] = field(default=(), kw_only=True)
    after_decodes: tuple[tuple[UtteranceScore, int], ...] = field(default=(), kw_only=True)

    @property
    def newly_missed(self) -> bool:
        """Whether a term was found before and missed after."""
        return any(after.missed and not before.missed for before, after in _matched(self))

    def by_occurrence(self) -> Iterator[ScorePair]:
        """Yield the row once for each of its terms, as a row of that single term."""
        if not self.before.row.terms and not self.after.row.terms:
            yield self
            return
        for earlier, later in _matched(self):
            yield ScorePair(self.before.alone(earlier), self.after.alone(later))


@dataclass(frozen=True, slots=True)
class PairedOccurrence:
    """One term in one row as both evaluations count it: the unit that is compared.

    Attributes:
        row: the place of its row among the pairs.
        term: what hangs together across rows: the term, or the row itself without one.
        category: its entity_category.
        before: in how many decodes it was missed before.
        after: in how many it was missed after.
        decodes: of its row.
    """

    row: int
    term: str | int
    category: str | None
    before: int
    after: int
    decodes: int = 1


def term_missed(row: UtteranceScore, occurrence: Occurrence) -> bool:  # noqa: ARG001
    """Return whether a term of a row was missed."""
    return occurrence.missed


def missed_in_any_spelling(row: UtteranceScore, occurrence: Occurrence) -> bool:  # noqa: ARG001
    """Return whether a term of a row was missed in every spelling."""
    return occurrence.missed_in_any_spelling


# Without slots: the parts and the changes by category are kept once they are known.
@dataclass(frozen=True)
class PairedScores:
    """The rows that two evaluations have in common, and how many only one of them has."""

    pairs: tuple[ScorePair, ...]
    only_before: int
    only_after: int

    @property
    def plain(self) -> PairedScores:
        """The same rows by their plain decode alone."""
        return replace(self, pairs=tuple(ScorePair(one.before, one.after) for one in self.pairs))

    @property
    def decodes(self) -> int:
        """How often the rows were decoded that were decoded most often."""
        return max((pair.decodes for pair in self.pairs), default=1)

    def where(self, keep: Callable[[ScorePair], bool]) -> PairedScores:
        """Return the pairs that ``keep`` accepts."""
        return PairedScores(
            tuple(pair for pair in self.pairs if keep(pair)), self.only_before, self.only_after
        )

    @property
    def before(self) -> Scores:
        """The earlier evaluation's common rows, marked as the later one marks them."""
        return Scores(
            tuple(
                replace(pair.before, row=replace(pair.before.row, part=pair.after.row.part))
                for pair in self.pairs
            )
        )

    @property
    def after(self) -> Scores:
        """The later evaluation's common rows."""
        return Scores(tuple(pair.after for pair in self.pairs))

    @cached_property
    def held_out(self) -> PairedScores:
        """The pairs whose row was held out from the later model, and judges it."""
        return self.where(lambda pair: pair.after.row.part is Partition.HELD_OUT)

    @cached_property
    def trained(self) -> PairedScores:
        """The pairs whose row the later model was trained on."""
        return self.where(lambda pair: pair.after.row.part is Partition.TRAINED)

    @cached_property
    def judging(self) -> PairedScores:
        """The pairs whose row may judge the later model: held out, or not marked at all."""
        return self.where(lambda pair: pair.after.row.judges)

    @cached_property
    def by_category(self) -> dict[str, KeywordErrorChange]:
        """The change of KER of each category, and of all rows under ``ALL_CATEGORIES``."""
        return self.changes(term_missed)

    def occurrences(
        self, missed: Callable[[UtteranceScore, Occurrence], bool]
    ) -> Iterator[PairedOccurrence]:
        """Yield every term of every row as both evaluations count it.

        Args:
            missed: what counts as missed.
        """
        for place, pair in enumerate(self.pairs):
            for earlier, later in _matched(pair):
                if pair.decodes == 1:
                    before: int = missed(pair.before, earlier)
                    after: int = missed(pair.after, later)
                else:
                    before = _count_missed(pair.before_decodes, later.term, missed)
                    after = _count_missed(pair.after_decodes, later.term, missed)
                yield PairedOccurrence(
                    place, block_of(later.term, place), later.category, before, after, pair.decodes
                )

    def changes(
        self, missed: Callable[[UtteranceScore, Occurrence], bool]
    ) -> dict[str, KeywordErrorChange]:
        """Return the change of each category, and of all terms under ``ALL_CATEGORIES``.

        Args:
            missed: what counts as missed.
        """
        return _by_category((one, (one.category,)) for one in self.occurrences(missed))

    def row_changes(
        self, wrong: Callable[[UtteranceScore], bool | None]
    ) -> dict[str, KeywordErrorChange]:
        """Return the change in rows, not terms: a row counts once in each category that it has.

        Args:
            wrong: what counts in a row; None leaves the row out.
        """

        def rows() -> Iterator[tuple[PairedOccurrence, Iterable[str]]]:
            for place, pair in enumerate(self.pairs):
                before: int | None = wrong(pair.before)
                after: int | None = wrong(pair.after)
                if before is not None and after is not None:
                    row = pair.after.row
                    term = block_of(row.first_term, place)
                    if pair.decodes > 1:
                        before = _count_wrong(pair.before_decodes, wrong)
                        after = _count_wrong(pair.after_decodes, wrong)
                    one = PairedOccurrence(place, term, None, before, after, pair.decodes)
                    yield one, row.categories

        return _by_category(rows())

    def change_in(self, categories: Container[str]) -> KeywordErrorChange:
        """Return the change over the terms of several categories together."""
        return summarise_changes(
            ALL_CATEGORIES,
            [one for one in self.occurrences(term_missed) if one.category in categories],
        )

    @property
    def terms(self) -> Iterator[str]:
        """The terms of all rows."""
        return (item.term for pair in self.pairs for item in pair.after.row.flagged)


@dataclass(frozen=True, slots=True)
class KeywordErrorChange:
    """KER before and after on the same rows.

    Attributes:
        category: an entity_category, or ``ALL_CATEGORIES``.
        before: occurrences of terms that were missed before, of all.
        after: the same after.
        fixed: occurrences missed before and found after.
        broken: occurrences found before and missed after.
        nets: of each term that changed, occurrences fixed less occurrences broken.
        row_nets: the same of each row that changed; empty where each row has one term.
        shares: the differences in shares, where rows were decoded several times. Then the hits are
            sums of shares, an occurrence counts as fixed or broken if its share changed by half or
            more, and the nets are in there.
    """

    category: str
    before: Proportion
    after: Proportion
    fixed: int
    broken: int
    nets: tuple[int, ...] = ()
    row_nets: tuple[int, ...] = ()
    shares: ShareDifferences | None = None

    def __post_init__(self) -> None:
        if (self.before.n, self.before.rows) != (self.after.n, self.after.rows):
            raise ValueError("a difference needs the same rows on both sides")
        if self.shares is not None:
            return
        if self.before.hits - self.after.hits != self.fixed - self.broken:
            raise ValueError("fixed and broken rows do not explain the difference")
        if not (0 <= self.fixed <= self.before.hits and 0 <= self.broken <= self.after.hits):
            raise ValueError("more rows were fixed or broken than were missed")
        if self.nets and sum(self.nets) != self.fixed - self.broken:
            raise ValueError("the terms' changes do not add up to the rows'")
        if self.row_nets and sum(self.row_nets) != self.fixed - self.broken:
            raise ValueError("the rows' changes do not add up to the terms'")

    @property
    def n(self) -> int:
        """Occurrences of terms; rows, where each has one."""
        return self.before.n

    @property
    def rows(self) -> int:
        """Rows with a term."""
        return self.before.rows

    @property
    def inflation(self) -> float:
        """How many times the variance of independent terms that of the net change is.

        Terms of one row change together (the design effect of Rao & Scott 1992); 1 where each row
        has one term.
        """
        if not self.row_nets:
            return 1.0 if self.shares is None else self.shares.inflation
        squares = sum(net * net for net in self.row_nets)
        return max(1.0, squares / (self.fixed + self.broken))

    @property
    def rose(self) -> bool:
        """Whether KER is higher after."""
        return self.after.hits > self.before.hits

    @property
    def fell(self) -> bool:
        """Whether KER is lower after."""
        return self.after.hits < self.before.hits

    @property
    def relative(self) -> float | None:
        """Relative change, negative for a drop; None where there is nothing to relate to."""
        if not self.before.hits:
            return None
        return (self.after.hits - self.before.hits) / self.before.hits

    @property
    def p(self) -> float | None:
        """The mid-p value, two-sided; None without rows.

        McNemar's where each row has one term. Where rows have several, the larger of two: over
        rows, and over terms where enough of these changed. Of shares see
        tasks/evaluation/share_differences.py.
        """
        p_rows, p_terms = self.p_rows, self.p_terms
        if p_rows is None or p_terms is None or self.before.in_rows is None:
            return p_rows
        return p_rows if len(self.nets) < statistics.FEWEST_BLOCKS else max(p_rows, p_terms)

    @property
    def p_rows(self) -> float | None:
        """The mid-p value if the terms of a row may change together; None without rows."""
        if not self.n:
            return None
        if self.shares is not None:
            return self.shares.p
        if self.before.in_rows is None:
            return statistics.mcnemar_mid_p(self.fixed, self.broken)
        return statistics.sign_flip_mid_p(self.row_nets)

    @property
    def p_terms(self) -> float | None:
        """The p-value if rows of a term may change together; None if the terms are unknown."""
        return statistics.clustered_p(self.nets) if self.nets else None

    @property
    def interval(self) -> Interval | None:
        """The 95 % interval of (KER after - KER before); None without rows."""
        if self.shares is not None:
            return self.shares.interval
        if self.before.in_rows is None:
            return statistics.paired_difference(self.fixed, self.broken, self.n)
        counts = (count / self.inflation for count in (self.fixed, self.broken, self.n))
        return statistics.paired_difference(*counts)

    def as_dict(self) -> dict[str, object]:
        """Return the record that ``asr-flywheel diff --json`` prints of a category.

        ``rows_with_term``, and the p-value over rows, are there where rows have several terms, and
        ``decodes`` where rows were decoded several times.
        """
        return {
            "n": self.n,
            **(
                {}
                if self.before.in_rows is None
                else {"rows_with_term": self.rows, "p_rows": self.p_rows}
            ),
            **({} if self.shares is None else {"decodes": self.shares.decodes}),
            "ker_a": self.before.rate,
            "ker_b": self.after.rate,
            "relative": self.relative,
            "p": self.p,
            "ci": statistics.ends(self.interval),
            "fixed": self.fixed,
            "broken": self.broken,
            "p_terms": self.p_terms,
        }


@dataclass(frozen=True, slots=True)
class MetricChange:
    """One figure before and after on the same rows.

    Attributes:
        name: WER, CER, pooled WER, KER or SER.
        n: rows.
        before: the figure before; None without rows.
        after: the figure after.
        interval: 95 % interval of (after - before).
        p: McNemar's mid-p for KER and SER; the bootstrap of a rate gives an interval alone.
    """

    name: str
    n: int
    before: float | None
    after: float | None
    interval: Interval | None
    p: float | None = None

    @property
    def difference(self) -> float | None:
        """After minus before."""
        if self.before is None or self.after is None:
            return None
        return self.after - self.before

    def as_dict(self) -> dict[str, object]:
        """Return the change for programs."""
        return {
            "figure": self.name,
            "n": self.n,
            "before": self.before,
            "after": self.after,
            "difference": self.difference,
            "ci": statistics.ends(self.interval),
            "p": self.p,
        }


def changes(pairing: PairedScores) -> tuple[MetricChange, ...]:
    """Return every headline figure's difference, with its interval.

    Rates by the paired bootstrap over terms, shares of rows by McNemar and Bonett-Price. Mean and
    pooled WER are two figures, each under its own name.
    """
    before = Scores(tuple(pair.before for pair in pairing.pairs))
    after = pairing.after
    terms = [block_of(pair.after.row.first_term, place) for place, pair in enumerate(pairing.pairs)]

    def rate(name: str, figure: str, numerator: str, denominator: str) -> MetricChange:
        columns = [
            [float(getattr(row.counts, column)) for row in scores.rows]
            for scores in (before, after)
            for column in (numerator, denominator)
        ]
        interval = statistics.rate_difference(statistics.by_block(terms, *columns))
        return MetricChange(
            name,
            len(pairing.pairs),
            getattr(before.counts, figure),
            getattr(after.counts, figure),
            interval,
        )

    def share(name: str, delta: KeywordErrorChange) -> MetricChange:
        return MetricChange(
            name, delta.n, delta.before.rate, delta.after.rate, delta.interval, delta.p
        )

    return (
        rate("WER", "wer", "wer_sum", "n"),
        rate("CER", "cer", "cer_sum", "n"),
        share("KER", pairing.changes(term_missed)[ALL_CATEGORIES]),
        share("SER", pairing.row_changes(lambda row: row.sentence_wrong)[ALL_CATEGORIES]),
        rate("pooled WER", "pooled_wer", "word_edits", "ref_words"),
    )


def exposure(pairing: PairedScores) -> tuple[KeywordErrorChange, ...]:
    """Compare KER on held-out rows by whether training saw their term or voice in other rows.

    Empty where it is not known what was trained on.
    """
    held_out = pairing.held_out
    paired = list(held_out.occurrences(term_missed))
    values: dict[str, list[str | int | None]] = {
        "term": [one.term for one in paired],
        "voice": [_voice(held_out.pairs[one.row].after) for one in paired],
    }
    trained_rows = [pair.after for pair in pairing.trained.pairs]
    trained_values: dict[str, set[str | None]] = {
        "term": {normalise_term(one.term) for row in trained_rows for one in row.occurrences},
        "voice": {_voice(row) for row in trained_rows} - {None},
    }
    changes_by_exposure = []
    for name, trained in trained_values.items():
        if not trained:
            continue
        for label, is_seen in ((f"seen {name}", True), (f"unseen {name}", False)):
            chosen = [
                one
                for one, value in zip(paired, values[name], strict=True)
                if value is not None and (value in trained) is is_seen
            ]
            changes_by_exposure.append(summarise_changes(label, chosen))
    return tuple(changes_by_exposure)


def _voice(row: UtteranceScore) -> str | None:
    voice = row.row.voice_id
    return normalise_term(voice) if voice else None


def pair(before: Scores, after: Scores) -> PairedScores:
    """Match two evaluations row by row.

    A row is known by its audio's path and its reference; see tasks/evaluation/row_matching.py.

    Raises:
        InputError: they have no row in common, or one of them holds a row twice.
    """
    first, second = keys(
        *([(row.row.audio_filepath, row.row.ref) for row in s.rows] for s in (before, after))
    )
    earlier = dict(zip(first, before.rows, strict=True))
    later = dict(zip(second, after.rows, strict=True))
    common_keys = [key for key in later if key in earlier]
    if not common_keys:
        raise InputError(
            "the two evaluations have no row in common (audio file name and reference). "
            "Fix: compare evaluations of the same manifest."
        )
    return PairedScores(
        tuple(ScorePair(earlier[key], later[key]) for key in common_keys),
        only_before=len(earlier) - len(common_keys),
        only_after=len(later) - len(common_keys),
    )


def _matched(pair: ScorePair) -> Iterator[tuple[Occurrence, Occurrence]]:
    """Yield the terms of a row that both evaluations count."""
    before, after = pair.before.occurrences, pair.after.occurrences
    if len(before) == len(after) == 1:
        yield before[0], after[0]
        return
    earlier = {normalise_term(one.term): one for one in before}
    for later in after:
        if (same := earlier.get(normalise_term(later.term))) is not None:
            yield same, later


def _count_missed(
    decodes: Iterable[tuple[UtteranceScore, int]],
    term: str,
    missed: Callable[[UtteranceScore, Occurrence], bool],
) -> int:
    """Count the decodes of a row that missed a term."""
    count = 0
    for scored, times in decodes:
        found = scored.occurrences
        if len(found) > 1:
            found = tuple(o for o in found if normalise_term(o.term) == normalise_term(term))
        count += times * bool(missed(scored, found[-1]))
    return count


def _count_wrong(
    decodes: Iterable[tuple[UtteranceScore, int]], wrong: Callable[[UtteranceScore], bool | None]
) -> int:
    return sum(times * bool(wrong(scored)) for scored, times in decodes)


def _by_category(
    occurrences: Iterable[tuple[PairedOccurrence, Iterable[str | None]]],
) -> dict[str, KeywordErrorChange]:
    """Return the change of each category, and of all under ``ALL_CATEGORIES``."""
    groups: dict[str, list[PairedOccurrence]] = {ALL_CATEGORIES: []}
    for one, categories in occurrences:
        groups[ALL_CATEGORIES].append(one)
        for category in categories:
            if category is not None:
                groups.setdefault(category, []).append(one)
    return {name: summarise_changes(name, group) for name, group in sorted(groups.items())}


def summarise_changes(category: str, occurrences: Sequence[PairedOccurrence]) -> KeywordErrorChange:
    """Return the change over paired occurrences, with the nets of terms and of rows."""
    rows = {one.row for one in occurrences}
    decodes = max((one.decodes for one in occurrences), default=1)
    if decodes > 1:
        return _summarise_shares(category, occurrences, decodes)
    nets: Counter[str | int] = Counter()
    row_nets: Counter[int] = Counter()
    for one in occurrences:
        if one.before is not one.after:
            net = 1 if one.before else -1
            nets[one.term] += net
            row_nets[one.row] += net
    return KeywordErrorChange(
        category=category,
        before=Proportion(sum(one.before for one in occurrences), len(occurrences), len(rows)),
        after=Proportion(sum(one.after for one in occurrences), len(occurrences), len(rows)),
        fixed=sum(one.before and not one.after for one in occurrences),
        broken=sum(one.after and not one.before for one in occurrences),
        nets=tuple(nets.values()),
        row_nets=tuple(row_nets.values()) if len(rows) < len(occurrences) else (),
    )


def _summarise_shares(
    category: str, occurrences: Sequence[PairedOccurrence], decodes: int
) -> KeywordErrorChange:
    """Return the change over occurrences that are missed in some of several decodes."""
    # A row that was decoded once counts as if every decode had been that one.
    shares = ShareDifferences(
        decodes,
        tuple(one.before * decodes // one.decodes for one in occurrences),
        tuple(one.after * decodes // one.decodes for one in occurrences),
        tuple(one.term for one in occurrences),
        tuple(one.row for one in occurrences),
    )
    count, rows = len(occurrences), len(set(shares.rows))
    before, after = (Proportion(hits, count, rows) for hits in shares.hits)
    return KeywordErrorChange(category, before, after, shares.fixed, shares.broken, shares=shares)
