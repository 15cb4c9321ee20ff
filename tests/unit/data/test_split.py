"""The split: disjoint, stratified, and the same wherever and in whatever order it is made."""

from __future__ import annotations

import contextlib
import random
import re
from collections import Counter, defaultdict
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tasks.common.errors import InputError
from tasks.data.row_groups import SplitRow
from tasks.data.split import fold_rows, split_rows
from tasks.data.split_parts import Split
from tests.support.split_cases import count_categories

CATEGORIES = ("drug", "procedure", "anatomy", "condition", "lab", "role")


def rows_of(sizes: dict[str, int]) -> list[SplitRow]:
    """Rows with a recording each."""
    labels = [category for category, size in sizes.items() for _ in range(size)]
    return [
        SplitRow(number, category, f"recording {number}", f"text {number}")
        for number, category in enumerate(labels, start=1)
    ]


def sketch(rows: list[SplitRow], fraction: float) -> tuple[Counter[str], Counter[str], set[str]]:
    """The specification's sketch, letter by letter; only its counts can be compared."""
    random.seed(42)
    by_cat = defaultdict(list)
    for r in rows:
        by_cat[r.category].append(r)
    train: list[SplitRow] = []
    val: list[SplitRow] = []
    singletons = set()
    for cat, cat_rows in by_cat.items():
        random.shuffle(cat_rows)
        if len(cat_rows) < 2:
            train.extend(cat_rows)
            singletons.add(cat)
            continue
        n_val = max(1, int(fraction * len(cat_rows)))
        val.extend(cat_rows[:n_val])
        train.extend(cat_rows[n_val:])
    return Counter(r.category for r in train), Counter(r.category for r in val), singletons


sizes = st.dictionaries(st.sampled_from(CATEGORIES), st.integers(1, 40), min_size=1).filter(
    lambda found: max(found.values()) > 1
)
# Recordings repeat, so that some stand under several names, categories and texts.
shared = st.lists(
    st.builds(
        SplitRow,
        row=st.just(0),
        category=st.sampled_from(CATEGORIES[:3]),
        recording=st.integers(0, 12).map(str),
        text=st.sampled_from(["one", "two"]),
    ),
    min_size=2,
    max_size=40,
).map(lambda rows: [replace(row, row=place) for place, row in enumerate(rows, start=1)])


def split_or_none(rows: list[SplitRow], seed: int) -> Split | None:
    """The split, or None where every category has a single recording."""
    with contextlib.suppress(InputError):
        return split_rows(rows, seed=seed)
    return None


@given(sizes, st.sampled_from([0.01, 0.1, 0.2, 0.29, 0.5, 0.9, 0.99]), st.integers(0, 99))
def test_counts_are_those_of_the_specifications_sketch(
    sizes: dict[str, int], fraction: float, seed: int
) -> None:
    """Each category gives max(1, int(fraction * n)) rows, singletons none and a warning."""
    rows = rows_of(sizes)
    found = split_rows(rows, fraction=fraction, seed=seed)
    train, validation, singletons = sketch(rows, fraction)
    assert count_categories(rows, found.train) == train
    assert count_categories(rows, found.validation) == validation
    assert len(found.warnings) == len(singletons)
    for category in singletons:
        assert f"category {category} has a single row: forced to train" in found.warnings


@given(shared, st.integers(0, 9))
def test_every_row_stands_on_one_side_and_recordings_stay_whole(
    rows: list[SplitRow], seed: int
) -> None:
    """Disjoint and complete, in the manifest's order, and no recording on both sides."""
    found = split_or_none(rows, seed)
    assume(found is not None)
    assert found is not None
    assert sorted((*found.train, *found.validation)) == [row.row for row in rows]
    assert list(found.train) == sorted(found.train)
    assert list(found.validation) == sorted(found.validation)
    recording = {row.row: row.recording for row in rows}
    assert not {recording[n] for n in found.train} & {recording[n] for n in found.validation}
    assert found.held_out == set(found.validation)
    assert found.train
    assert found.validation


@given(shared, st.randoms(use_true_random=False), st.integers(0, 9))
def test_the_order_of_the_manifest_does_not_matter(
    rows: list[SplitRow], order: random.Random, seed: int
) -> None:
    """The same rows in another order, numbered anew, stand on the same sides."""
    moved = [replace(row, row=place) for place, row in enumerate(order.sample(rows, len(rows)), 1)]
    first, second = split_or_none(rows, seed), split_or_none(moved, seed)
    assert (first is None) == (second is None)
    assume(first is not None)
    assert first is not None
    assert second is not None

    def content(of: list[SplitRow], numbers: tuple[int, ...]) -> Counter[SplitRow]:
        return Counter(replace(row, row=0) for row in of if row.row in numbers)

    assert content(rows, first.train) == content(moved, second.train)
    assert content(rows, first.validation) == content(moved, second.validation)
    assert sorted(first.warnings) == sorted(second.warnings)


def test_a_seed_gives_the_same_split_again_and_another_seed_another() -> None:
    """Ten seeds give ten splits, each of them twice."""
    rows = rows_of({"drug": 60, "lab": 40})
    splits = [split_rows(rows, seed=seed).validation for seed in range(10)]
    assert splits == [split_rows(rows, seed=seed).validation for seed in range(10)]
    assert len(set(splits)) == 10


def test_the_default_split_of_a_known_manifest() -> None:
    """These rows were held out when this test was written, and are on every machine."""
    rows = rows_of({"drug": 25, "procedure": 10, "lab": 6, "role": 1})
    found = split_rows(rows)
    assert found.validation == (2, 8, 15, 16, 21, 28, 33, 37)
    assert found.warnings == ("category role has a single row: forced to train",)


def test_about_each_row_is_held_out_by_some_seed() -> None:
    """No row is always in training: the rank depends on the seed, not only on the row."""
    rows = rows_of({"drug": 20})
    held = Counter(n for seed in range(200) for n in split_rows(rows, seed=seed).validation)
    assert set(held) == set(range(1, 21))
    assert max(held.values()) < 80  # 40 is the mean


def test_the_same_recording_under_two_names_stays_on_one_side() -> None:
    """Whatever the seed, the two rows go together, across categories too."""
    rows = rows_of({"drug": 10, "lab": 10})
    rows[15] = replace(rows[15], recording=rows[3].recording)
    for seed in range(60):
        held = split_rows(rows, seed=seed).held_out
        assert (4 in held) == (16 in held)


def test_one_recording_under_many_names_is_not_held_out_alone() -> None:
    """A category of one recording is forced to train, however many rows it has."""
    rows = rows_of({"drug": 10})
    rows += [SplitRow(number, "lab", "the only one", "text") for number in range(11, 16)]
    found = split_rows(rows)
    assert found.held_out <= set(range(1, 11))
    assert found.warnings == ("category lab has a single recording: forced to train",)


def test_a_category_keeps_something_to_train_on() -> None:
    """With two recordings and the largest share, one stays."""
    found = split_rows(rows_of({"drug": 2, "lab": 2}), fraction=0.999)
    assert (len(found.train), len(found.validation)) == (2, 2)


def test_rows_without_a_category_are_a_stratum_of_their_own() -> None:
    """A manifest without the clinical field can be split too."""
    found = split_rows(rows_of({"(none)": 10}))
    assert len(found.validation) == 2


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.2, 1.5, float("nan")])
def test_a_share_out_of_bounds_is_refused(fraction: float) -> None:
    """Nothing and everything cannot be held out."""
    with pytest.raises(InputError, match="must lie between 0 and 1"):
        split_rows(rows_of({"drug": 10}), fraction=fraction)


def test_a_manifest_of_singletons_is_refused_with_its_route() -> None:
    """Where nothing can be held out, the manifest must grow."""
    with pytest.raises(InputError, match="/digital-health-clinical-asr-build"):
        split_rows(rows_of({"drug": 1, "lab": 1}))


def test_a_split_that_shares_a_row_cannot_be_made() -> None:
    """The record refuses to hold a row on both sides."""
    with pytest.raises(ValueError, match="two sides"):
        Split((1, 2), (2, 3), ())


def test_what_the_base_has_learnt_is_never_held_out() -> None:
    """A second turn of the flywheel on a tuned base has no figure on rows of the first."""
    rows = [SplitRow(n, "drug", f"recording {n}", f"text {n}") for n in range(1, 101)]
    first = split_rows(rows, seed=42)
    learnt = frozenset(f"recording {n}" for n in first.train)
    second = split_rows(rows, seed=7, seen_before=learnt)
    assert set(second.validation) <= set(first.validation)
    assert len(second.validation) == 20
    grown = [*rows, *(SplitRow(n, "drug", f"recording {n}", f"text {n}") for n in range(101, 111))]
    third = split_rows(grown, seed=7, seen_before=learnt)
    assert not set(third.validation) & set(first.train)
    assert len(third.validation) == 22


def test_too_few_fresh_rows_are_said() -> None:
    """Fewer rows are held out than asked for, and the split says why."""
    rows = [SplitRow(n, "drug", f"recording {n}", f"text {n}") for n in range(1, 21)]
    learnt = frozenset(f"recording {n}" for n in range(2, 21))
    split = split_rows(rows, seen_before=learnt)
    assert split.validation == (1,)
    assert split.warnings == (
        "category drug: 1 row held out instead of 4, since the base has seen the others",
    )
    with pytest.raises(InputError, match="the base was trained on all of them"):
        split_rows(rows, seen_before=learnt | {"recording 1"})


terms_and_rows = st.lists(
    st.tuples(st.sampled_from(CATEGORIES[:3]), st.integers(0, 12), st.integers(0, 40)),
    min_size=8,
    max_size=60,
)


def rows_with_terms(drawn: list[tuple[str, int, int]]) -> list[SplitRow]:
    """Rows whose terms and recordings repeat."""
    return [
        SplitRow(number, category, f"recording {recording}", f"text {number}", (f"term {term}",))
        for number, (category, term, recording) in enumerate(drawn, start=1)
    ]


@given(terms_and_rows, st.integers(0, 3))
def test_held_out_terms_stand_on_one_side(drawn: list[tuple[str, int, int]], seed: int) -> None:
    """Neither a term nor a recording is on both; all rows are on one."""
    rows = rows_with_terms(drawn)
    with contextlib.suppress(InputError):
        split = split_rows(rows, seed=seed, by_term=True)
        by_number = {row.row: row for row in rows}
        for what in ("terms", "recording"):
            train, held_out = (
                {getattr(by_number[number], what) for number in side}
                for side in (split.train, split.validation)
            )
            assert not train & held_out
        assert sorted(split.train + split.validation) == sorted(by_number)


def test_holding_out_terms_takes_about_the_share_of_rows() -> None:
    """Ten terms of four rows: a fifth is two of them."""
    rows = [
        SplitRow(n, "drug", f"recording {n}", f"text {n}", (f"term {n % 10}",))
        for n in range(1, 41)
    ]
    split = split_rows(rows, by_term=True)
    assert len(split.validation) == 8
    assert len({number % 10 for number in split.validation}) == 2


@given(terms_and_rows, st.integers(2, 5), st.integers(0, 3))
def test_every_row_is_held_out_by_one_fold(
    drawn: list[tuple[str, int, int]], folds: int, seed: int
) -> None:
    """Rows of one recording by the same; the order of the manifest does not matter."""
    rows = rows_with_terms(drawn)
    recordings = {row.recording for row in rows}
    if len(recordings) < folds:
        with pytest.raises(InputError, match="fewer folds"):
            fold_rows(rows, folds, seed=seed)
        return
    found = fold_rows(rows, folds, seed=seed)
    held_out = [number for split in found for number in split.validation]
    assert sorted(held_out) == [row.row for row in rows]
    recording = {row.row: row.recording for row in rows}
    for split in found:
        inside = {recording[number] for number in split.validation}
        assert not inside & {recording[number] for number in split.train}
        assert sorted(split.train + split.validation) == sorted(recording)
    again = fold_rows(rows[::-1], folds, seed=seed)
    assert [split.validation for split in again] == [split.validation for split in found]


def test_folds_are_even_and_stratified() -> None:
    """Of ten drugs and five labs each of five folds has two and one."""
    rows = rows_of({"drug": 10, "lab": 5})
    for split in fold_rows(rows, 5):
        assert count_categories(rows, split.validation) == Counter({"drug": 2, "lab": 1})


def test_no_fold_holds_out_what_the_base_has_learnt() -> None:
    """It stays on the training side of each; one fold is no fold."""
    rows = rows_of({"drug": 10})
    learnt = frozenset({"recording 1", "recording 2"})
    found = fold_rows(rows, 4, seen_before=learnt)
    assert sorted(n for split in found for n in split.validation) == list(range(3, 11))
    assert all({1, 2} <= set(split.train) for split in found)
    with pytest.raises(InputError, match="at least 2"):
        fold_rows(rows, 1)


@given(
    shared,
    st.integers(0, 99),
    st.sampled_from([0.1, 0.2, 0.5]),
    st.sampled_from(["recording", "term"]),
)
def test_rows_that_choose_come_from_the_training_side(
    rows: list[SplitRow], seed: int, share: float, unit: str
) -> None:
    """What is held out stays; no recording stands in two parts, nor a term where that is asked."""
    by_term = unit == "term"
    rows = [replace(row, terms=(f"term {row.row % 5}",)) for row in rows]
    try:
        before = split_rows(rows, seed=seed, by_term=by_term)
    except InputError:
        assume(False)
    found = split_rows(rows, seed=seed, by_term=by_term, selection=share)
    assert found.validation == before.validation
    assert sorted((*found.train, *found.selection)) == sorted(before.train)
    recordings = [
        {row.recording for row in rows if row.row in part}
        for part in (found.train, found.selection, found.validation)
    ]
    assert not any(recordings[a] & recordings[b] for a, b in ((0, 1), (0, 2), (1, 2)))
    if by_term:
        terms = [
            {term for row in rows if row.row in part for term in row.terms}
            for part in (found.train, found.selection, found.validation)
        ]
        assert not any(terms[a] & terms[b] for a, b in ((0, 1), (0, 2), (1, 2)))
    again = split_rows(rows[::-1], seed=seed, by_term=by_term, selection=share)
    assert again.selection == found.selection


def test_each_category_gives_its_share_to_choose_by() -> None:
    """Of a hundred and of twenty-eight rows a fifth; of two rows none."""
    rows = rows_of({"drug": 100, "lab": 28, "role": 2})
    found = split_rows(rows, selection=0.2)
    assert count_categories(rows, found.selection) == {"drug": 20, "lab": 5}
    assert count_categories(rows, found.validation) == {"drug": 20, "lab": 5, "role": 1}
    seen = frozenset(f"recording {number}" for number in found.selection)
    later = split_rows(rows, selection=0.2, seen_before=seen)
    assert not set(later.selection) & set(found.selection)
    assert not set(later.validation) & set(found.selection)


def test_a_share_that_leaves_nothing_to_train_on_is_refused() -> None:
    """The bound is named, and the share that the fix names is one within it."""
    rows = rows_of({"drug": 100})
    with pytest.raises(InputError, match=r"selection_share 0\.8: with 0\.2 held out.*0\.8") as no:
        split_rows(rows, selection=0.8)
    advised = re.search(r"Fix: write ([\d.]+),", str(no.value))
    assert advised is not None
    assert split_rows(rows, selection=float(advised[1])).selection


def test_each_fold_has_rows_of_its_own_to_choose_by() -> None:
    """None of them is held out in the same fold."""
    rows = rows_of({"drug": 60, "lab": 30})
    for split in fold_rows(rows, 3, selection=0.2):
        assert count_categories(rows, split.selection) == {"drug": 12, "lab": 6}
        assert not split.chooses & split.held_out
        assert len(split.train) == 90 - 30 - 18
