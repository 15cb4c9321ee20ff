"""A finished run in the history: what it made of which cycle, and what was decided."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.decision.decision_table import POLICY
from tasks.evaluation import diff
from tasks.evaluation.score_summary import counted_n
from tasks.evaluation.statistics import ends
from tasks.training.progress import overfit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tasks.evaluation.error_counts import Proportion
    from tasks.evaluation.scoring import Scores
    from tasks.records.served_figures import ServedFigures
    from tasks.training.progress import Epoch


@dataclass(frozen=True, slots=True)
class Turn:
    """A finished run.

    Attributes:
        cycle: the number under which its evaluation stands, N+1.
        base: what was tuned, as the user named it.
        recipe: the recipe's name.
        priority: the categories that decided.
        decision: of decision.json.
        bare: the specification's table read over all rows.
        manifest: SHA-256 of the tuned cycle's manifest.
        model: path of the tuned model: beside the evaluation, else as the record has it.
        before: the base's evaluation, marked as the tuned model's is.
        after: the tuned model's.
        epochs: of the training, as its record has them; empty if that is gone.
        seconds: that training took; None if its record is gone.
        usd: what hosts for the tuned cycle have cost; None where nothing was rented.
        value: how far the shipped weights go from base (0) to tuned model (1); None in a run of an
            older version.
        strict_table: which table the strict view read; None in a run of an older version.
        purged: that figures rest on purged recordings, in a sentence; None where they do not.
        served: the figures of its bundles; None where none was validated.
        sha256: of the shipped model.
        preserved: the folder of a kept run whose place a later run of the cycle took; None of the
            run that lies in its place.
    """

    cycle: int
    base: str
    recipe: str
    priority: tuple[str, ...]
    decision: str
    bare: str
    manifest: str
    model: str
    before: Scores
    after: Scores
    epochs: tuple[Epoch, ...]
    seconds: float | None
    usd: float | None
    value: float | None = None
    strict_table: Mapping[str, str] | None = None
    purged: str | None = None
    served: ServedFigures | None = None
    sha256: str = ""
    preserved: Path | None = None

    @property
    def kept(self) -> bool:
        """True if the decision was to keep the model."""
        return self.decision == "keep"

    @property
    def unseen(self) -> Scores:
        """The tuned model on the rows that may judge it."""
        return self.after.where(lambda row: row.row.judges)

    @property
    def ker(self) -> dict[str, Proportion]:
        """Missed terms by category on unseen rows, the priority categories first."""
        groups = self.unseen.by("entity_category")
        by_category = {name: scores.keyword for name, scores in groups.items() if name is not None}
        order = sorted(by_category, key=lambda name: (name not in self.priority, name))
        return {name: by_category[name] for name in order if by_category[name].n}

    @property
    def drops(self) -> dict[str, float | None]:
        """Relative change of each priority category's KER by this turn, on unseen rows."""
        changes = diff.pair(self.before, self.after).judging.by_category
        return {name: changes[name].relative for name in self.priority if name in changes}

    @property
    def at_floor(self) -> bool:
        """True if no priority category dropped by as much as the floor."""
        drops = [drop for drop in self.drops.values() if drop is not None]
        return bool(drops) and all(drop > -POLICY.measurable_change for drop in drops)

    def as_dict(self) -> dict[str, Any]:
        """Return a turn as ``asr-flywheel history --json`` prints it."""
        return {
            "cycle": self.cycle,
            "rows": self.after.n,
            "held_out": self.unseen.n,
            "base": self.base,
            "recipe": self.recipe,
            "decision": self.decision,
            "bare_decision_all_rows": self.bare,
            "ker": {name: share_as_dict(share) for name, share in self.ker.items()},
            "wer": self.unseen.wer,
            "usd": self.usd,
            "training_seconds": self.seconds,
            "at_floor": self.at_floor,
            "overfit": overfit(self.epochs),
            "model": self.model,
            "shipped_value": self.value,
            "strict_table": None if self.strict_table is None else dict(self.strict_table),
            "purged": self.purged,
            "served": None if self.served is None else self.served.as_dict(),
            "model_sha256": self.sha256,
            "preserved": None if self.preserved is None else str(self.preserved),
        }


def share_as_dict(share: Proportion) -> dict[str, Any]:
    """Return a share of missed terms as ``--json`` prints it."""
    interval = share.interval
    return {
        **counted_n(share),
        "missed": share.hits,
        "ker": share.rate,
        "ci": ends(interval),
    }
