"""KER by voice, and by the manifest's own groups, before and after tuning.

A gain over all rows may be a loss for some speakers. Each voice, and each value of the optional
field ``group``, is compared on its own rows, paired; the p-values of all of them are corrected
together (Holm 1979), so that many voices are not many chances. Where the rows of enough terms
changed, a loss must be shown over terms as well: it may be one term that all speakers say.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tasks.decision.decision_table import POLICY, DecisionPolicy
from tasks.decision.significance import p_of_harm
from tasks.evaluation.keyword_change import ALL_CATEGORIES
from tasks.evaluation.statistics import holm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tasks.evaluation.diff import PairedScores, ScorePair
    from tasks.evaluation.keyword_change import KeywordErrorChange
    from tasks.evaluation.scoring import UtteranceScore
    from tasks.evaluation.term_occurrences import Occurrence

FIELDS = {"voice_id": "voice", "group": "group"}
"""The fields whose values are compared, and their names in a sentence."""
_TOLD = 5


@dataclass(frozen=True, slots=True)
class GroupChange:
    """The rows of one value of a field, by both models.

    Attributes:
        field: a key of FIELDS.
        value: of it.
        change: of KER on these rows.
        p_adjusted: the p-value, corrected for the number of values.
        alpha: under which a loss is shown.
    """

    field: str
    value: str
    change: KeywordErrorChange
    p_adjusted: float
    alpha: float

    @property
    def worse(self) -> bool:
        """Whether the loss is shown."""
        return self.change.rose and self.p_adjusted < self.alpha

    def __str__(self) -> str:
        return (
            f"{FIELDS[self.field]} {self.value}: KER {self.change.before.rate or 0:.3f} → "
            f"{self.change.after.rate or 0:.3f} on {self.change.before.unit} (Holm-corrected p "
            f"{self.p_adjusted:.3g})"
        )

    def as_dict(self) -> dict[str, object]:
        """Return the figures as decision.json holds them."""
        return {
            "field": self.field,
            "value": self.value,
            **self.change.as_dict(),
            "p_adjusted": self.p_adjusted,
            "worse": self.worse,
        }


@dataclass(frozen=True, slots=True)
class GroupCheck:
    """KER by voice and group; empty where no row names one."""

    groups: tuple[GroupChange, ...]

    @property
    def name(self) -> str:
        """Its name in decision.json."""
        return "groups"

    @property
    def harm(self) -> str | None:
        """The ground to discard: for a voice or a group the model is shown to be worse."""
        worse = [group for group in self.groups if group.worse]
        if not worse:
            return None
        told = "; ".join(map(str, worse[:_TOLD]))
        more = f"; and {len(worse) - _TOLD} more" if len(worse) > _TOLD else ""
        return f"The model is shown to be worse for {told}{more}."

    @property
    def doubt(self) -> str | None:
        """None: few rows of a voice are no reason to refuse a model."""
        return None

    def __str__(self) -> str:
        counted = [
            f"{count} {name}s"
            for field, name in FIELDS.items()
            if (count := sum(group.field == field for group in self.groups))
        ]
        rose = [group for group in self.groups if group.change.rose]
        least = min(rose, key=lambda group: group.p_adjusted, default=None)
        told = "for none did KER rise" if least is None else f"the least sure of chance: {least}"
        return f"By voice and group ({', '.join(counted)}): no loss is shown; {told}."

    def as_dict(self) -> dict[str, object]:
        """Return the check as decision.json holds it."""
        return {"harm": self.harm, "groups": [group.as_dict() for group in self.groups]}


def check_groups(
    rows: PairedScores,
    missed: Callable[[UtteranceScore, Occurrence], bool],
    policy: DecisionPolicy = POLICY,
) -> GroupCheck:
    """Compare KER by voice and by group.

    Args:
        rows: that decide.
        missed: what counts as missed.
        policy: alpha, and how many terms a test over terms needs.
    """
    found = [
        (field, value, change)
        for field in FIELDS
        for value, of_value in _by_value(rows, field)
        if (change := of_value.changes(missed)[ALL_CATEGORIES]).n
    ]
    return compare_groups(found, policy)


def compare_groups(
    found: Sequence[tuple[str, str, KeywordErrorChange]], policy: DecisionPolicy = POLICY
) -> GroupCheck:
    """Correct the p-values of all values together.

    Args:
        found: field, value and change of KER of each value that has rows.
        policy: alpha, and how many terms a test over terms needs.
    """
    adjusted = holm(
        {str(number): p_of_harm(change, policy) for number, (_, _, change) in enumerate(found)}
    )
    return GroupCheck(
        tuple(
            GroupChange(field, value, change, adjusted[str(number)], policy.alpha)
            for number, (field, value, change) in enumerate(found)
        )
    )


def _by_value(rows: PairedScores, field: str) -> Iterable[tuple[str, PairedScores]]:
    """Return the rows of each value of a field, in the order of the alphabet."""
    pairs: dict[str, list[ScorePair]] = {}
    for pair in rows.pairs:
        if value := getattr(pair.after.row, field):
            pairs.setdefault(value, []).append(pair)
    return [(value, replace(rows, pairs=tuple(pairs[value]))) for value in sorted(pairs)]
