"""Rows of one source recording: which share sound, and which stand on two sides of a split.

Rows that share sound are on one side of every split. Other spans of one recording share a speaker,
a room and a topic; they may stand on two sides unless whole conversations are kept apart, so a user
is told how many do.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tasks.common.errors import InputError
from tasks.common.parameter_names import name_of
from tasks.data.source_spans import hanging_together
from tasks.data.split_parts import Disjointness

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from tasks.data.preflight import CheckedRow
    from tasks.data.source_spans import SourceSpan, SpanIndex
    from tasks.data.split_parts import Split


def sound_groups(rows: Iterable[CheckedRow]) -> dict[str, str]:
    """Return by its hash, for each recording that shares sound with others, what all are one of."""
    spans = {(row.audio_sha256, span) for row in rows for span in row.spans}
    return hanging_together(sorted(spans, key=lambda one: (one[0], one[1].start, one[1].end)))


def conversation_of(rows: Sequence[CheckedRow]) -> list[str | None]:
    """Return each row's conversation: the manifest's, else that of its source recording.

    A row that names none belongs to the conversation of the other rows of its recording, or to one
    of its own; None where no import wrote down its recording.
    """
    named: dict[str, str] = {}
    for row in sorted(rows, key=lambda one: one.utterance.conversation or ""):
        if (conversation := row.utterance.conversation) is not None:
            for span in row.spans:
                named.setdefault(span.recording, conversation)
    return [row.utterance.conversation or _source_conversation(row, named) for row in rows]


def _source_conversation(row: CheckedRow, named: dict[str, str]) -> str | None:
    if not row.spans:
        return None
    recording = min(span.recording for span in row.spans)
    return named.get(recording, f"source recording {recording[:16]}")


def with_siblings_told(
    rows: Sequence[CheckedRow],
    split: Split,
    split_again: Callable[[Disjointness], object] | None = None,
) -> Split:
    """Return a split with a warning on rows that judge and have a sibling in training.

    Args:
        rows: that were split.
        split: of them.
        split_again: makes the split with other disjointness, to see whether it can be made; None
            where a user was told already.
    """
    trained = set(split.train)
    learnt = {span.recording for row in rows if row.utterance.row in trained for span in row.spans}
    judged = [row for row in rows if row.utterance.row in split.held_out]
    siblings = [row for row in judged if any(span.recording in learnt for span in row.spans)]
    if not siblings:
        return split
    recordings = {span.recording for row in siblings for span in row.spans} & learnt
    warning = (
        f"{len(siblings)} of {len(judged)} rows that judge are parts of recordings of which other "
        f"parts are trained on ({len(recordings)} recordings): speaker, room and topic of the "
        "judged rows are known to the model, so that figures on a new recording may be worse"
        f"{_advice(split.disjoint, split_again)}"
    )
    return replace(split, warnings=(*split.warnings, warning))


def _advice(disjoint: Disjointness, split_again: Callable[[Disjointness], object] | None) -> str:
    """Return how to keep whole recordings apart: what was tried, and works."""
    option = f"{name_of('disjoint')} {Disjointness.CONVERSATION}"
    if disjoint is Disjointness.CONVERSATION:
        return f", although no {disjoint} is on two sides: their recordings hold several"
    if split_again is None:
        return f"; {option} keeps whole recordings on one side"
    try:
        split_again(Disjointness.CONVERSATION)
    except InputError:
        return (
            f"; {option} would keep whole recordings on one side, and cannot be made of these "
            "rows: add recordings, and name the conversation_id of rows that no import wrote down"
        )
    return f"; {option} keeps whole recordings on one side"


def spans_of(rows: Iterable[CheckedRow]) -> Iterator[SourceSpan]:
    """Yield all spans that rows are."""
    for row in rows:
        yield from row.spans


def shares_any(row: CheckedRow, known: SpanIndex) -> bool:
    """Return whether a row shares sound with one of many spans."""
    return any(known.shares(span) for span in row.spans)
