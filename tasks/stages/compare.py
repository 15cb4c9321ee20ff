"""Cycle N+1's leaderboard, put together: who stands on it, and what a reader must know of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.decision.verdict import UNCHECKED
from tasks.evaluation import diff, leaderboard
from tasks.evaluation.hypotheses import Part
from tasks.evaluation.leaderboard import Entry, Leaderboard

if TYPE_CHECKING:
    from tasks.decision.guardrail import Guardrail
    from tasks.evaluation.baseline import Baseline
    from tasks.evaluation.scoring import Scores


@dataclass(frozen=True)
class Beside:
    """What is looked at besides the split's rows.

    Attributes:
        forgetting: general English before and after; None without a set.
        crossed: every row by a model that never saw it; None without folds.
        folds: how many there are.
    """

    forgetting: Guardrail | None
    crossed: diff.Pairing | None
    folds: int


def next_board(
    cycle: int,
    names: tuple[str, str],
    before: Scores,
    after: Scores,
    baseline: Baseline | None,
    imported: Scores | None,
    beside: Beside,
) -> tuple[Leaderboard, diff.Pairing]:
    """The leaderboard of a cycle that a model was tuned for, and the comparison that decides.

    Args:
        cycle: the number of the cycle whose leaderboard it is.
        names: of base and tuned model.
        before: the base's scores; both sides' rows say whether they were trained on.
        after: the tuned model's.
        baseline: the evaluation that the cycle came with; an imported one stands on the board.
        imported: its scores, where the tuned model is compared with it and not with the base.
        beside: general English and cross-fitted rows.
    """
    base, tuned = names
    entries = leaderboard.tuned_entries(base, before, tuned, after)
    held_out = sum(row.row.part is Part.HELD_OUT for row in after.rows)
    notes = [f"{held_out} rows were held out from training: theirs are the figures to trust."]
    notes.append(UNCHECKED if beside.forgetting is None else str(beside.forgetting))
    pairing = diff.pair(before, after)
    if baseline is not None and baseline.imported:
        hosted = diff.pair(baseline.scores, after)
        entries += leaderboard.parted(baseline.label, hosted.before)
        notes.append(
            f"{baseline.path.name} was made by another decoder than this tool's; "
            f"{hosted.only_after} rows of this cycle are not in it."
        )
    if imported is not None:
        pairing = diff.pair(imported, after)
        notes.append("The decision compares two decoders as well as two models.")
    if (crossed := beside.crossed) is not None:
        entries += (
            Entry(tuned, leaderboard.CROSS_FITTED, crossed.after),
            Entry(base, leaderboard.CROSS_FITTED, crossed.before),
        )
        notes.append(
            f"Cross-fitted over {beside.folds} folds: each row was scored by a model that had not "
            "seen it. That grades the recipe; the model that is shipped was trained on the split."
        )
    changes, exposure = diff.changes(pairing.held_out), diff.exposure(pairing)
    return Leaderboard(cycle, entries, tuple(notes), changes, exposure), pairing
