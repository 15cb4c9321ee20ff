"""Leave out of a comparison the pairs of rows that say nothing fair of the later model.

Two tuned models may come from different splits: a row that the one holds out, the other may have
been trained on. And two recordings may have one name and one text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.common.counted import agreed, counted
from tasks.common.errors import InputError
from tasks.evaluation.hypotheses import Partition
from tasks.stages.row_recordings import are_others, audio_folders

if TYPE_CHECKING:
    from pathlib import Path

    from tasks.evaluation.diff import PairedScores, ScorePair

_SEEN = {
    Partition.TRAINED: "trained on by the earlier model",
    Partition.CHOSE: "used to choose the earlier model",
}


def fair_pairs(pairing: PairedScores, before: Path, after: Path) -> tuple[PairedScores, list[str]]:
    """Return the pairs that may be compared, with notes for the user.

    Args:
        pairing: of two evaluations, both marked.
        before: the earlier evaluation's file, or its cycle's folder.
        after: the later one's.

    Raises:
        InputError: no pair is left, or no row that both models hold out.
    """
    same, notes = _same_recordings(pairing, before, after)
    for part, said in _SEEN.items():
        if seen := sum(_held_out(one) and one.before.row.part is part for one in same.pairs):
            notes.append(
                f"{counted(seen, 'held-out row')} of the later evaluation "
                f"{agreed(seen, 'was', 'were')} {said}, as the earlier "
                f"evaluation says: {agreed(seen, 'it is', 'they are')} left out."
            )
    fair = same.where(lambda one: not _held_out(one) or one.before.row.part not in _SEEN)
    if any(map(_held_out, same.pairs)) and not any(map(_held_out, fair.pairs)):
        raise InputError(
            f"{after}: no row is held out from both models: the earlier one was trained on, or "
            "chosen by, each row that the later one holds out. Fix: decode the later model's "
            "held-out rows by the base of both, and compare with that."
        )
    return fair, notes


def _held_out(one: ScorePair) -> bool:
    return one.after.row.part is Partition.HELD_OUT


def _same_recordings(
    pairing: PairedScores, before: Path, after: Path
) -> tuple[PairedScores, list[str]]:
    """Leave out pairs of two recordings that have one name and one text."""
    # Rows that were matched by their sound are one recording, wherever its files are now.
    by_name = [one for one in pairing.pairs if not _has_one_sound(one)]
    names = [(one.before.row.audio_filepath, one.after.row.audio_filepath) for one in by_name]
    others = are_others(names, [*audio_folders(before)], [*audio_folders(after)])
    if not any(others):
        return pairing, []
    if all(others) and len(by_name) == len(pairing.pairs):
        raise InputError(
            f"{after}: its rows have the names and texts of the earlier evaluation's, but are "
            "other recordings. Fix: compare evaluations of the same manifest."
        )
    other = {id(one) for one, differs in zip(by_name, others, strict=True) if differs}
    note = (
        f"{counted(len(other), 'row')} {agreed(len(other), 'has', 'have')} one name and one text "
        f"in both evaluations, but {agreed(len(other), 'is', 'are')} two "
        f"recordings; {agreed(len(other), 'it is', 'they are')} not compared."
    )
    return pairing.where(lambda one: id(one) not in other), [note]


def _has_one_sound(one: ScorePair) -> bool:
    sound = one.before.row.audio_sha256
    return sound is not None and sound == one.after.row.audio_sha256
