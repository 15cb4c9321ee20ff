"""The change of KER between two evaluations of the same rows, and how sure it is.

What is compared is one term in one row: whether it was missed before and after, or, where the row
was decoded several times, in how many decodes.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.evaluation import statistics
from tasks.evaluation.block_bootstrap import FEWEST_BLOCKS
from tasks.evaluation.error_counts import Proportion
from tasks.evaluation.share_differences import ShareDifferences

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tasks.evaluation.statistics import Interval

ALL_CATEGORIES = "(all)"


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
        return p_rows if len(self.nets) < FEWEST_BLOCKS else max(p_rows, p_terms)

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


def summarise_by_category(
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
