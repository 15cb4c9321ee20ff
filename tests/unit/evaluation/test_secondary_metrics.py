"""The figures beyond the four metrics: false keywords, near misses and the strict view."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.evaluation.error_counts import Proportion
from tasks.evaluation.false_keywords import index_terms
from tasks.evaluation.hypotheses import Hypothesis
from tasks.evaluation.scoring import score
from tasks.evaluation.secondary_metrics import (
    NOTHING_HEARD,
    SecondaryMetrics,
    compute_secondary_metrics,
    misrecognised_as,
)
from tasks.evaluation.strict_table import ValueKind


@pytest.mark.parametrize(
    ("ref", "hyp", "term", "heard"),
    [
        ("give metformin now", "give met forming now", "metformin", "met forming"),
        ("give metformin now", "give forming now", "metformin", "forming"),
        ("give metformin now", "give now", "metformin", NOTHING_HEARD),
        ("give metformin now", "", "metformin", NOTHING_HEARD),
        ("new atrial fibrillation today", "new a trial fibrillation today", "atrial fibrillation",
         "a trial fibrillation"),
        ("new atrial fibrillation today", "new fibrillation today", "atrial fibrillation",
         "fibrillation"),
        ("metformin", "met for men", "metformin", "met for men"),
        ("please give metformin", "please take forming", "metformin", "forming"),
        ("give aspirin", "give x", "metformin", None),
    ],
)  # fmt: skip
def test_what_was_heard_instead_of_a_term(ref: str, hyp: str, term: str, heard: str | None) -> None:
    """The words aligned with it, and those that were inserted beside it."""
    assert misrecognised_as(ref, hyp, term) == heard


words = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=6)


@given(words, words, st.data())
def test_what_was_heard_stands_in_the_hypothesis(
    said: list[str], heard: list[str], data: st.DataObject
) -> None:
    """Whatever is aligned with whatever, its words are the hypothesis', in their order."""
    start = data.draw(st.integers(0, len(said) - 1))
    term = " ".join(said[start : data.draw(st.integers(start + 1, len(said)))])
    found = misrecognised_as(" ".join(said), " ".join(heard), term)
    assert found is not None
    rest = iter(heard)
    assert found == NOTHING_HEARD or all(word in rest for word in found.split())


def rows() -> list[Hypothesis]:
    """Four rows: right; a term for another; a false keyword; a dose ten times too high."""
    return [
        Hypothesis("0.wav", "give aspirin 5 mg", "give aspirin 5 mg", "aspirin", "drug"),
        Hypothesis("1.wav", "give aspirin 5 mg", "give warfarin 5 mg", "aspirin", "drug"),
        Hypothesis("2.wav", "no biopsy", "biopsy warfarin", "biopsy", "procedure"),
        Hypothesis("3.wav", "give warfarin 1.5 mg", "give warfarin 15 mg", "warfarin", "drug"),
    ]


def test_each_figure_has_its_name_and_its_n() -> None:
    """FKR by category, the term that was heard instead, and what is wrong in the strict view."""
    told = json.loads(json.dumps(compute_secondary_metrics(score(rows())).as_dict()))
    assert told["false_keywords"]["fkr"] == 0.5
    assert told["false_keywords"]["n"] == 4
    assert told["false_keywords"]["by"]["drug"]["fkr"] == pytest.approx(1 / 3)
    assert told["false_keywords"]["by"]["procedure"]["fkr"] == 1.0
    assert told["false_keywords"]["terms"] == {"warfarin": 2}
    assert told["near_misses"] == {"aspirin": {"warfarin": 1}}
    # Of four rows with something critical, a dose is wrong in one and a negation in another.
    assert (told["strict"]["n"], told["strict"]["rate"]) == (4, 0.5)
    assert told["strict"]["by"][ValueKind.NUMBER.value]["rate"] == pytest.approx(1 / 3)
    assert told["strict"]["by"][ValueKind.FREQUENCY.value] == {"n": 0, "rate": None, "ci": None}
    low, high = told["strict"]["ci"]
    assert 0 < low < 0.5 < high < 1


def test_named_faults_and_unread_words_are_reported() -> None:
    """A tenfold dose, a lost negation and their rows; a unit that nobody knows."""
    unknown = Hypothesis("4.wav", "give 5 qwx", "give 5 qwz")
    strict = json.loads(json.dumps(compute_secondary_metrics(score([*rows(), unknown])).as_dict()))[
        "strict"
    ]
    assert {name: fault["rows"] for name, fault in strict["faults"].items()} == {
        "tenfold dose": 1,
        "lost negation": 1,
        "added negation": 0,
        "swapped unit": 0,
    }
    assert strict["faults"]["tenfold dose"]["first"] == [
        {
            "audio_filepath": "3.wav",
            "ref": "give warfarin 1.5 mg",
            "hyp": "give warfarin 15 mg",
        }
    ]
    assert strict["unread"] == {"5 qwx": 1, "5 qwz": 1}


def test_a_row_with_nothing_but_a_name_is_not_counted() -> None:
    """Unless the name was swapped for one that looks alike."""
    named = Hypothesis("0.wav", "give insulin", "give insulin")
    swapped = Hypothesis("1.wav", "give hydroxyzine", "give hydralazine")
    assert compute_secondary_metrics(score([named])).strict_share().n == 0
    assert compute_secondary_metrics(score([named, swapped])).strict_share() == Proportion(1, 1)


def test_parts_add_up() -> None:
    """Two halves merged are the whole."""
    whole = compute_secondary_metrics(score(rows()))
    terms = index_terms(["aspirin", "warfarin", "biopsy"])
    first, second = (
        compute_secondary_metrics(score(part), terms) for part in (rows()[:1], rows()[1:])
    )
    first.merge(second)
    assert first == whole


def test_memory_stays_flat(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many near misses the frequent ones are kept."""
    monkeypatch.setattr("tasks.evaluation.secondary_metrics._PAIRS_KEPT", 3)
    found = SecondaryMetrics(index_terms([]))
    for place in range(10):
        found.near["aspirin", f"form {place}"] = place
    found.prune()
    assert list(found.near_misses()["aspirin"]) == ["form 9", "form 8", "form 7"]
    assert compute_secondary_metrics(score([])).false_keywords == Proportion(0, 0)


def test_another_spelling_is_no_near_miss() -> None:
    """What stands in a missed term's place is told, unless it is the term."""
    hyps = ["a chest x-ray now", "a chest xray now", "a chest ray now", "a chest now"]
    metrics = compute_secondary_metrics(
        score(Hypothesis(f"{n}.wav", "a chest x ray now", h, "x ray") for n, h in enumerate(hyps))
    )
    assert metrics.near_misses() == {"x ray": {"(nothing)": 1, "ray": 1}}
    assert metrics.false_keywords == Proportion(0, 4)
