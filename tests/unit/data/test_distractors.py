"""Distractors: names that nobody says."""

from __future__ import annotations

from collections import Counter

from tasks.data.distractors import FEWEST, WANTED, choose_distractors, public_names


def test_bundled_names_are_enough_for_drugs_and_conditions() -> None:
    """Each category with names has them once, in lower case and plain words."""
    names = public_names()
    assert len(set(names)) == len(names)
    assert Counter(category for category, _ in names).keys() == {"drug", "condition", "procedure"}
    assert all(name.replace(" ", "").isalpha() and name == name.lower() for _, name in names)
    assert len(choose_distractors(["drug", "condition"], [])) == WANTED >= FEWEST


def test_no_distractor_is_said() -> None:
    """A name in a text is left out, in any spelling; other categories and words are no matter."""
    first = choose_distractors(["drug"], [], 3)
    said = choose_distractors(["drug"], [f"Give {first[1].title()}, please."], 3)
    assert first[1] not in said
    assert said[:2] == (first[0], first[2])
    assert choose_distractors(["anatomy", "role"], []) == ()
