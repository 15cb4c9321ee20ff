"""The diff: the same rows on both sides, whatever folder or order they stand in."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.common.errors import InputError
from tasks.evaluation.diff import pair
from tasks.evaluation.error_counts import Proportion
from tasks.evaluation.hypotheses import Hypothesis, Partition
from tasks.evaluation.keyword_change import ALL_CATEGORIES
from tasks.evaluation.scoring import score
from tests.support import factories


def heard(name: str, *, missed: bool, category: str | None = "drug", **fields: str) -> Hypothesis:
    """A row whose term was missed or not."""
    hyp = "nothing" if missed else "give aspirin"
    return Hypothesis(
        fields.pop("folder", "/a") + f"/{name}.wav",
        fields.pop("ref", "give aspirin"),
        hyp,
        fields.pop("term", "aspirin"),
        category,
    )


def test_rows_are_known_by_file_name_and_normalised_reference() -> None:
    """Another folder, another order and another casing do not hide a row."""
    before = score([heard("1", missed=True), heard("2", missed=False)])
    after = score(
        [
            heard("2", missed=True, folder="/b/c", ref="Give Aspirin!"),
            heard("1", missed=False, folder="/b/c"),
        ]
    )
    pairing = pair(before, after)
    assert [(p.before.term_missed, p.after.term_missed) for p in pairing.pairs] == [
        (False, True),
        (True, False),
    ]
    assert (pairing.only_before, pairing.only_after) == (0, 0)


def test_what_only_one_evaluation_holds_is_counted() -> None:
    """A row of one side, or one whose reference was corrected, is compared with nothing."""
    before = score([heard(name, missed=True) for name in "123"])
    after = score(
        [heard("1", missed=False), heard("2", missed=False, ref="take"), heard("4", missed=False)]
    )
    pairing = pair(before, after)
    assert len(pairing.pairs) == 1
    assert (pairing.only_before, pairing.only_after) == (2, 2)


def test_equal_names_in_different_folders_are_paired_in_order() -> None:
    """The first with the first, the second with the second."""
    rows = [heard("1", missed=True, folder="/x"), heard("1", missed=False, folder="/y")]
    pairing = pair(score(rows), score(rows))
    assert [(p.before.term_missed, p.after.term_missed) for p in pairing.pairs] == [
        (True, True),
        (False, False),
    ]


def test_nothing_in_common_is_bad_input() -> None:
    """Two evaluations of different manifests cannot be compared."""
    with pytest.raises(InputError, match="no row in common"):
        pair(score([heard("1", missed=True)]), score([heard("2", missed=True)]))


def test_a_hand_counted_difference() -> None:
    """Of three drug rows two were missed, then one: two fixed, one broken."""
    before = [heard("1", missed=True), heard("2", missed=True), heard("3", missed=False)]
    after = [heard("1", missed=False), heard("2", missed=False), heard("3", missed=True)]
    lab = heard("4", missed=False, category="lab")
    found = pair(score([*before, lab]), score([*after, lab])).by_category
    assert list(found) == [ALL_CATEGORIES, "drug", "lab"]
    drug = found["drug"]
    assert (drug.before, drug.after) == (Proportion(2, 3), Proportion(1, 3))
    assert (drug.fixed, drug.broken, drug.n) == (2, 1, 3)
    assert drug.relative == -0.5
    assert found[ALL_CATEGORIES].before == Proportion(2, 4)
    assert found["lab"].relative is None
    assert drug.as_dict() == {
        "n": 3,
        "ker_a": pytest.approx(2 / 3),
        "ker_b": pytest.approx(1 / 3),
        "relative": -0.5,
        # Two of three flips one way: 2 * (1/8) of a more extreme split, and 3/8 of this one.
        "p": pytest.approx(0.625),
        # (2 - 3) / 5 and 1.96 standard errors of sqrt((1 - 0.04) / 5) on either side.
        "ci": [-1.0, pytest.approx(0.6588, abs=1e-4)],
        "fixed": 2,
        "broken": 1,
        # All rows are of one term: a net change of one, over the root of one.
        "p_terms": pytest.approx(0.3173, abs=1e-4),
    }


outcomes = st.lists(
    st.tuples(st.booleans(), st.booleans(), st.sampled_from(["drug", "lab", None])),
    min_size=1,
    max_size=30,
)


@given(outcomes)
def test_fixed_and_broken_rows_explain_every_difference(
    rows: list[tuple[bool, bool, str | None]],
) -> None:
    """The categories and those without one add up to all rows."""
    before, after = (
        score(
            heard(str(place), missed=row[side] is True, category=row[2])
            for place, row in enumerate(rows)
        )
        for side in (0, 1)
    )
    found = pair(before, after).by_category
    whole = found[ALL_CATEGORIES]
    assert whole.before == before.keyword
    assert whole.after == after.keyword
    assert whole.fixed == sum(was and not now for was, now, _ in rows)
    assert whole.broken == sum(now and not was for was, now, _ in rows)
    uncategorised = sum(category is None for *_, category in rows)
    assert sum(one.n for name, one in found.items() if name != ALL_CATEGORIES) == (
        len(rows) - uncategorised
    )


def test_rows_without_a_term_do_not_count() -> None:
    """They have no KER to compare."""
    rows = [heard("1", missed=True), replace(heard("2", missed=True), term=None)]
    assert pair(score(rows), score(rows)).by_category["drug"].n == 1


def test_held_out_rows_are_those_that_the_later_evaluation_marks() -> None:
    """Rows that were trained on, and rows of which it is not known, are left out."""
    before = score(factories.evaluated(5, 10))
    after = score(
        factories.evaluated(1, 4, part=Partition.HELD_OUT)
        + factories.evaluated(0, 5, start=4, part=Partition.TRAINED)
        + factories.evaluated(0, 1, start=9)
    )
    held_out = pair(before, after).held_out.by_category["drug"]
    assert (held_out.before, held_out.after) == (Proportion(4, 4), Proportion(1, 4))
