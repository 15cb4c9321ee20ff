"""Divide general English: sentences that guard, that choose, and that are trained on.

The set is a manifest of ordinary sentences. None of those that the guardrail decodes is trained on
or chooses anything. A quarter of them, always the same by the recordings' hashes, chooses the
mixture that is shipped. Against forgetting, training may use sentences of one half of the set, and
all others are divided so: with a replay share some are rows that are trained on, and a recipe with
distillation takes what is left of that half.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tasks.common.counted import agreed, counted
from tasks.common.errors import InputError
from tasks.data.sibling_rows import shares_any, spans_of
from tasks.data.source_spans import SpanIndex

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from tasks.data.preflight import CheckedRow

SYNTHETIC = "synthetic"
"""The field of a row that says so."""
FEWEST_SENTENCES = 20
"""Fewer sentences than this cannot show whether a limit was kept."""
# Their features and the base's outputs stay in memory, about a megabyte of ten seconds.
_MOST_DISTILLED = 1000


@dataclass(frozen=True, slots=True)
class GeneralSet:
    """A set of general English, divided.

    Attributes:
        guardrail: decoded by base and tuned model, never trained on.
        replay: mixed into training; empty unless asked for.
        distilled: on which training teaches the base's own outputs; empty unless asked for.
        choosing: decoded by the mixtures; empty where nothing is chosen.
    """

    guardrail: tuple[CheckedRow, ...]
    replay: tuple[CheckedRow, ...] = ()
    choosing: tuple[CheckedRow, ...] = ()
    distilled: tuple[CheckedRow, ...] = ()

    def __post_init__(self) -> None:
        if recordings(self.guardrail) & recordings((*self.trained, *self.choosing)):
            raise ValueError("a sentence of the guardrail is trained on or chooses")
        if recordings(self.trained) & recordings(self.choosing):
            raise ValueError("a sentence that chooses is trained on")

    @property
    def trained(self) -> tuple[CheckedRow, ...]:
        """The sentences that training uses, in whichever way."""
        return (*self.replay, *self.distilled)

    @property
    def synthetic(self) -> bool:
        """Whether a sentence that guards was spoken by a program, as its row says."""
        return any(row.utterance.extra.get(SYNTHETIC) for row in self.guardrail)

    def spare(self, longest: float) -> tuple[CheckedRow, ...]:
        """Return the sentences that could be replayed before the others have judged.

        These are at most half of those that guard, the first of them, so that enough are left.

        Args:
            longest: seconds; a longer sentence is not trained on.
        """
        most = min(len(self.guardrail) // 2, len(self.guardrail) - FEWEST_SENTENCES)
        short = [row for row in self.guardrail if (row.utterance.duration or 0.0) <= longest]
        return tuple(short[: max(0, most)])

    def without_choice(self, seen_before: frozenset[str] = frozenset()) -> GeneralSet:
        """Return the set where nothing is chosen: the choosing share guards as well.

        Args:
            seen_before: recordings that the base has learnt or was chosen by; they guard nothing.
        """
        known = seen_before | _sharing(self.choosing, self.trained)
        back = [row for row in self.choosing if row.audio_sha256 not in known]
        guards = sorted((*self.guardrail, *back), key=lambda row: _rank(row.audio_sha256))
        return replace(self, guardrail=tuple(guards), choosing=())

    def with_replay(self, rows: Iterable[CheckedRow]) -> GeneralSet:
        """Return the set with more sentences replayed, which guard no more."""
        more = tuple(rows)
        moved = recordings(more) | _sharing(self.guardrail, more)
        guards = tuple(row for row in self.guardrail if row.audio_sha256 not in moved)
        return replace(self, guardrail=guards, replay=(*self.replay, *more))


def recordings(rows: Iterable[CheckedRow]) -> frozenset[str]:
    """Return the content hashes of rows' audio."""
    return frozenset(row.audio_sha256 for row in rows)


def divide(
    manifest: Path,
    rows: Iterable[CheckedRow],
    clinic: Iterable[CheckedRow],
    *,
    replay: int = 0,
    longest: float,
    seen_before: frozenset[str] = frozenset(),
    chooses: bool = False,
    distills: bool = False,
) -> GeneralSet:
    """Divide a set into guardrail, choosing share, replay and what is distilled.

    Args:
        manifest: the set's manifest, for messages.
        rows: its checked rows.
        clinic: the cycle's rows, none of which may be in the set.
        replay: sentences that are wanted for training.
        longest: seconds; a longer sentence is not trained on.
        seen_before: recordings that the base has learnt or was chosen by; they guard nothing.
        chooses: whether a quarter of what is not trained on chooses the mixture.
        distills: whether training teaches the base's outputs on what is left of that half.

    Raises:
        InputError: the set shares a recording with the cycle, or has too few sentences.
    """
    # Each recording once, in an order that does not depend on the manifest's.
    by_recording = {row.audio_sha256: row for row in rows}
    ranked = [by_recording[key] for key in sorted(by_recording, key=_rank)]
    clinic = tuple(clinic)
    of_clinic = recordings(clinic) | _sharing(ranked, clinic)
    shared = of_clinic & by_recording.keys()
    if shared:
        name = by_recording[min(shared)].utterance.audio_filepath
        raise InputError(
            f"{manifest}: {len(shared)} of its recordings are in the cycle too, such as {name}; "
            "what is trained on guards nothing. Fix: remove them from the general set."
        )
    half = len(ranked) // 2 if replay or distills else 0
    pool = [row for row in ranked[:half] if (row.utterance.duration or 0.0) <= longest]
    if replay > len(pool):
        raise InputError(
            f"{manifest}: {counted(replay, 'sentence')} {agreed(replay, 'is', 'are')} wanted for "
            f"replay, and {len(pool)} of its {len(ranked)} may be taken (half; the others guard). "
            "Fix: lower the replay share, or give a larger set."
        )
    replayed = pool[:replay]
    distilled = _distilled(manifest, pool[replay:]) if distills else ()
    trained = (*replayed, *distilled)
    left = recordings(ranked) - recordings(trained) - _sharing(ranked, trained)
    others = [row for row in ranked if row.audio_sha256 in left]
    choosing = [row for row in others if chooses and _chooses(row.audio_sha256)]
    guards = left - recordings(choosing) - _sharing(others, choosing) - seen_before
    guardrail = [row for row in others if row.audio_sha256 in guards]
    if len(guardrail) < FEWEST_SENTENCES:
        raise InputError(
            f"{manifest}: {counted(len(guardrail), 'sentence')} "
            f"{agreed(len(guardrail), 'is', 'are')} left to guard with, fewer than "
            f"{FEWEST_SENTENCES}. Fix: give a larger set of general English."
        )
    return GeneralSet(tuple(guardrail), tuple(replayed), tuple(choosing), distilled)


def _distilled(manifest: Path, pool: Sequence[CheckedRow]) -> tuple[CheckedRow, ...]:
    """Take the sentences on which the base's outputs are taught.

    Raises:
        InputError: they are too few to stand for general English.
    """
    found = tuple(pool[:_MOST_DISTILLED])
    if len(found) < FEWEST_SENTENCES:
        raise InputError(
            f"{manifest}: {counted(len(found), 'sentence')} {agreed(len(found), 'is', 'are')} left "
            f"on which the base's outputs could be taught, fewer than {FEWEST_SENTENCES}. Fix: "
            f"give a larger set of general English, or a recipe without distillation, such as "
            "verified."
        )
    return found


def _sharing(rows: Iterable[CheckedRow], others: Iterable[CheckedRow]) -> frozenset[str]:
    """Return the hashes of rows that share sound with others: overlapping spans of a recording."""
    known = SpanIndex(spans_of(others))
    return recordings(row for row in rows if known and shares_any(row, known))


def _chooses(recording: str) -> bool:
    """Return whether a recording is of the quarter that chooses, whatever else is in the set."""
    return int(hashlib.sha256(f"choosing\n{recording}".encode()).hexdigest(), 16) % 4 == 0


def _rank(recording: str) -> str:
    return hashlib.sha256(f"general\n{recording}".encode()).hexdigest()
