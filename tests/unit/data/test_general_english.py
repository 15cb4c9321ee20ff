"""The general set: a guardrail that is never trained on, and what may be replayed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tasks.common.errors import InputError
from tasks.data.general_english import FEWEST_SENTENCES, GeneralSet, divide, recordings
from tasks.data.preflight import CheckedRow
from tasks.data.source_spans import SourceSpan
from tests.support import factories

MANIFEST = Path("general.jsonl")


def checked(numbers: range, prefix: str = "general", seconds: float = 3.0) -> list[CheckedRow]:
    """Rows, each with a recording of its own."""
    return [
        CheckedRow(
            factories.utterance(number, None, duration=seconds),
            Path(f"/a/{number}.wav"),
            f"{prefix} {number}",
            "text",
            None,
        )
        for number in numbers
    ]


def test_without_replay_the_whole_set_guards() -> None:
    """Each recording once, but for those that the base has learnt already."""
    rows = checked(range(50))
    found = divide(MANIFEST, [*rows, rows[0]], [], longest=20.0)
    assert recordings(found.guardrail) == recordings(rows)
    assert len(found.guardrail) == 50
    assert found.replay == ()
    learnt = divide(MANIFEST, rows, [], longest=20.0, seen_before=frozenset({"general 3"}))
    assert recordings(rows) - recordings(learnt.guardrail) == {"general 3"}


@pytest.mark.parametrize("wanted", [1, 10, 30])
def test_what_is_replayed_guards_nothing(wanted: int) -> None:
    """All others guard; a larger share takes some of these, and gives none back."""
    rows = checked(range(60))
    found = divide(MANIFEST, rows, [], replay=wanted, longest=20.0)
    again = divide(MANIFEST, rows[::-1], [], replay=30, longest=20.0)
    assert len(found.replay) == wanted
    assert len(found.guardrail) == 60 - wanted
    assert not recordings(found.replay) & recordings(found.guardrail)
    assert recordings(again.guardrail) <= recordings(found.guardrail)
    assert recordings(found.replay) <= recordings(again.replay)


def test_bad_sets_are_refused_with_the_fix() -> None:
    """Shared with the cycle, too small to guard, too small to replay, too long to train on."""
    rows = checked(range(50))
    with pytest.raises(InputError, match="2 of its recordings are in the cycle too"):
        divide(MANIFEST, rows, checked(range(2)), longest=20.0)
    with pytest.raises(InputError, match=f"19 sentences are left.*fewer than {FEWEST_SENTENCES}"):
        divide(MANIFEST, checked(range(19)), [], longest=20.0)
    with pytest.raises(InputError, match="26 sentences are wanted for replay, and 25"):
        divide(MANIFEST, rows, [], replay=26, longest=20.0)
    with pytest.raises(InputError, match="1 sentence is wanted for replay, and 0"):
        divide(MANIFEST, checked(range(50), seconds=30.0), [], replay=1, longest=20.0)
    with pytest.raises(ValueError, match="is trained on or chooses"):
        GeneralSet(tuple(rows), tuple(rows[:1]))
    with pytest.raises(ValueError, match="is trained on or chooses"):
        GeneralSet(tuple(rows), distilled=tuple(rows[:1]))
    with pytest.raises(ValueError, match="that chooses is trained on"):
        GeneralSet((), choosing=tuple(rows), distilled=tuple(rows[:1]))


def test_a_quarter_chooses_and_never_guards() -> None:
    """Which one does not depend on what else is in the set, nor on the order."""
    rows = checked(range(400))
    found = divide(MANIFEST, rows, [], longest=20.0, chooses=True)
    assert len(found.choosing) + len(found.guardrail) == 400
    assert 75 <= len(found.choosing) <= 125
    assert not recordings(found.choosing) & recordings(found.guardrail)
    grown = divide(MANIFEST, checked(range(500))[::-1], [], longest=20.0, chooses=True)
    assert recordings(found.choosing) <= recordings(grown.choosing)
    assert recordings(found.guardrail) <= recordings(grown.guardrail)
    both = divide(MANIFEST, rows, [], longest=20.0, chooses=True, replay=100)
    parts = [recordings(part) for part in (both.replay, both.choosing, both.guardrail)]
    assert len(frozenset().union(*parts)) == sum(map(len, parts)) == 400


@pytest.mark.parametrize(("replay", "distilled"), [(0, 200), (100, 100), (180, 20)])
def test_half_is_distilled_or_replayed(replay: int, distilled: int) -> None:
    """Of the half that training may hear; nothing of it chooses or guards."""
    rows = checked(range(400))
    found = divide(MANIFEST, rows, [], longest=20.0, chooses=True, replay=replay, distills=True)
    assert (len(found.replay), len(found.distilled)) == (replay, distilled)
    parts = (found.replay, found.distilled, found.choosing, found.guardrail)
    assert len(frozenset().union(*map(recordings, parts))) == sum(map(len, parts)) == 400
    again = divide(MANIFEST, rows[::-1], [], longest=20.0, replay=replay, distills=True)
    assert again.distilled == found.distilled
    assert recordings(again.guardrail) == recordings((*found.guardrail, *found.choosing))


def test_too_few_sentences_to_distill_are_refused() -> None:
    """Half of a small set; what is replayed is gone, and what is too long is not heard."""
    for rows, replay, left in (
        (checked(range(39)), 0, 19),
        (checked(range(80)), 25, 15),
        (checked(range(90), seconds=30.0), 0, 0),
    ):
        wrong = f"{left} sentences are left on which .* recipe without distillation"
        with pytest.raises(InputError, match=wrong):
            divide(MANIFEST, rows, [], longest=20.0, replay=replay, distills=True)


def test_few_are_distilled_of_a_large_set() -> None:
    """What the base makes of them stays in memory."""
    found = divide(MANIFEST, checked(range(4000)), [], longest=20.0, distills=True)
    assert len(found.distilled) == 1000


def test_what_chose_once_guards_nothing_later() -> None:
    """A base that a sentence chose has seen it; synthetic sentences are known by a field."""
    rows = checked(range(60))
    found = divide(MANIFEST, rows, [], longest=20.0, seen_before=frozenset({"general 3"}))
    assert "general 3" not in recordings(found.guardrail)
    assert not found.synthetic
    spoken = [
        replace(row, utterance=replace(row.utterance, extra={"synthetic": True})) for row in rows
    ]
    assert divide(MANIFEST, spoken, [], longest=20.0).synthetic


def test_sentences_that_are_replayed_late_guard_no_more() -> None:
    """At most half of those that guard, the first of them, none too long to train on."""
    rows = [*checked(range(100)), *checked(range(100, 110), seconds=30.0)]
    found = divide(MANIFEST, rows, [], longest=20.0, chooses=True)
    spare = found.spare(20.0)
    assert len(spare) == len(found.guardrail) // 2
    assert all(row.utterance.duration == 3.0 for row in spare)
    later = found.with_replay(spare[:10])
    assert later.replay == spare[:10]
    assert later.choosing == found.choosing
    assert recordings(later.guardrail) == recordings(found.guardrail) - recordings(spare[:10])
    # Enough are left to guard with.
    few = divide(MANIFEST, checked(range(FEWEST_SENTENCES + 3)), [], longest=20.0)
    assert len(few.spare(20.0)) == 3


def test_where_nothing_is_chosen_the_whole_set_guards() -> None:
    """As if nobody had asked for a choice, but for what the base has seen."""
    rows, seen = checked(range(100)), frozenset({"general 3", "general 5"})
    found, plain = (
        divide(MANIFEST, rows, [], longest=20.0, seen_before=seen, chooses=chooses)
        for chooses in (True, False)
    )
    assert found.choosing
    assert found.without_choice(seen) == plain


def spans(rows: list[CheckedRow], recording: str, starts: list[float]) -> list[CheckedRow]:
    """Rows as spans of two seconds of one source recording."""
    return [
        replace(row, spans=(SourceSpan(recording, None, start, start + 2),))
        for row, start in zip(rows, starts, strict=True)
    ]


def test_sentences_that_share_sound_with_the_cycle_are_refused() -> None:
    """A span that overlaps guards nothing, although its samples are others."""
    rows = spans(checked(range(50)), "lecture", [2.0 * place for place in range(50)])
    clinic = spans(checked(range(1), "clinic"), "lecture", [3.0])
    with pytest.raises(InputError, match="2 of its recordings are in the cycle too"):
        divide(MANIFEST, rows, clinic, longest=20.0)
    assert divide(MANIFEST, rows, spans(clinic, "visit", [3.0]), longest=20.0).guardrail


@pytest.mark.parametrize("chooses", [False, True])
def test_what_guards_shares_no_sound_with_what_is_replayed_or_chooses(*, chooses: bool) -> None:
    """Each sentence overlaps with the next by half."""
    rows = spans(checked(range(120)), "lecture", [1.0 * place for place in range(120)])
    found = divide(MANIFEST, rows, [], replay=10, longest=20.0, chooses=chooses)
    more = found.with_replay(found.spare(20.0)[:5])
    for one in (found, more, found.without_choice()):
        seen = {row.utterance.row for row in (*one.replay, *one.choosing)}
        near = {number + step for number in seen for step in (-1, 0, 1)}
        assert one.guardrail
        assert not near & {row.utterance.row for row in one.guardrail}
