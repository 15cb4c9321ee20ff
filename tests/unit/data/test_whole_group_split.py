"""The split by whole voices or conversations: none of them stands on two sides."""

from __future__ import annotations

import contextlib
import re
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tasks.common.errors import InputError
from tasks.data.row_groups import SplitRow
from tasks.data.split import fold_rows, split_rows
from tasks.data.split_parts import Disjointness
from tests.support.split_cases import count_categories

UNITS = st.sampled_from(["recording", "term"])
members = st.lists(
    st.tuples(
        st.sampled_from(["drug", "procedure", "anatomy"]),
        st.integers(0, 6),
        st.integers(0, 30),
        st.integers(0, 8),
    ),
    min_size=2,
    max_size=50,
)


def rows_with_members(drawn: list[tuple[str, int, int, int]]) -> list[SplitRow]:
    """Rows of voices, whose recordings and terms repeat."""
    return [
        SplitRow(
            number,
            category,
            f"recording {recording}",
            f"text {number}",
            (f"term {term}",),
            f"voice {member}",
        )
        for number, (category, member, recording, term) in enumerate(drawn, start=1)
    ]


def shares_nothing(parts: list[tuple[int, ...]], values: dict[int, object]) -> bool:
    """Whether no value stands in two parts."""
    found = [{values[number] for number in part} for part in parts]
    return not any(found[a] & found[b] for a in range(len(found)) for b in range(a))


@given(members, st.sampled_from(["voice_id", "conversation_id"]), UNITS, st.integers(0, 3))
def test_whole_voices_stand_in_one_part(
    drawn: list[tuple[str, int, int, int]], field: str, unit: str, seed: int
) -> None:
    """Nor does a recording, nor a term where asked for; the manifest's order does not matter."""
    rows = rows_with_members(drawn)
    disjoint, by_term = Disjointness(field), unit == "term"
    options: dict[str, Any] = {"seed": seed, "by_term": by_term, "disjoint": disjoint}
    try:
        split = split_rows(rows, selection=0.2, **options)
    except InputError:
        with pytest.raises(InputError):
            split_rows(rows[::-1], selection=0.2, **options)
        return
    parts = [split.train, split.selection, split.validation]
    assert sorted(number for part in parts for number in part) == [row.row for row in rows]
    assert split.train
    assert split.validation
    assert split.disjoint is disjoint
    assert shares_nothing(parts, {row.row: row.member_of for row in rows})
    assert shares_nothing(parts, {row.row: row.recording for row in rows})
    if by_term:
        assert shares_nothing(parts, {row.row: row.terms for row in rows})
    assert split_rows(rows[::-1], selection=0.2, **options) == split
    assert split_rows(rows, **options).validation == split.validation


@given(members, st.integers(2, 4), st.integers(0, 3))
def test_no_fold_shares_a_voice_with_its_training_rows(
    drawn: list[tuple[str, int, int, int]], folds: int, seed: int
) -> None:
    """Every row is held out once, and its voice neither trained nor chose that fold's model."""
    rows = rows_with_members(drawn)
    voice: dict[int, object] = {row.row: row.member_of for row in rows}
    options: dict[str, Any] = {"seed": seed, "disjoint": Disjointness.VOICE, "selection": 0.2}
    if len(set(voice.values())) < folds or len({row.recording for row in rows}) < folds:
        # A number of folds is advised only where one works.
        with pytest.raises(InputError, match=r"Fix: (fewer folds|rows of more)"):
            fold_rows(rows, folds, **options)
        return
    try:
        found = fold_rows(rows, folds, **options)
    except InputError:
        assume(False)
    assert sorted(n for split in found for n in split.validation) == [row.row for row in rows]
    for split in found:
        assert shares_nothing([split.train, split.selection, split.validation], voice)


@given(members, st.floats(0.05, 0.5))
def test_a_voice_that_is_too_large_is_named_with_a_fix_that_works(
    drawn: list[tuple[str, int, int, int]], fraction: float
) -> None:
    """The share that the error names holds rows out."""
    rows = rows_with_members(drawn)
    with contextlib.suppress(InputError):
        split_rows(rows, fraction=fraction, disjoint=Disjointness.VOICE)
        return
    with pytest.raises(InputError, match=r"voice_id 'voice \d'.* has \d+ of \d+ rows") as refused:
        split_rows(rows, fraction=fraction, disjoint=Disjointness.VOICE)
    if named := re.search(r"validation_fraction ([\d.]+) or more", str(refused.value)):
        advised = split_rows(rows, fraction=float(named[1]), disjoint=Disjointness.VOICE)
        assert advised.validation


def test_whole_voices_come_near_the_share_of_each_category() -> None:
    """Of forty conversations of unlike sizes a fifth of drugs and of labs, within a tenth."""
    rows = [
        SplitRow(number, category, f"recording {number}", "", (), f"c {number * number % 41}")
        for number, category in enumerate(["drug", "drug", "lab"] * 200, start=1)
    ]
    split = split_rows(rows, disjoint=Disjointness.CONVERSATION, selection=0.1)
    assert count_categories(rows, split.validation) == pytest.approx(
        {"drug": 80, "lab": 40}, rel=0.1
    )
    assert count_categories(rows, split.selection) == pytest.approx(
        {"drug": 40, "lab": 20}, rel=0.3
    )
    assert not split.warnings


def test_a_voice_that_the_base_has_heard_is_trained_on() -> None:
    """One recording of it is enough; a category of a single voice is named."""
    rows = [
        SplitRow(number, "drug", f"recording {number}", "", (), f"voice {number % 5}")
        for number in range(1, 51)
    ]
    rows.append(SplitRow(51, "lab", "recording 51", "", (), "voice 0"))
    learnt = frozenset({"recording 5", "recording 1", "recording 2", "recording 3"})
    split = split_rows(rows, seen_before=learnt, disjoint=Disjointness.VOICE)
    assert {number % 5 for number in split.validation} == {4}
    assert split.warnings == (
        (
            "category lab: 0 rows held out instead of 1, since whole voices are; "
            "voice_id 'voice 0' has 1 of its 1 row"
        ),
    )
