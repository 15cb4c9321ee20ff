"""The strict view: 1.5 mg is not 15 mg, whatever the normaliser makes of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.evaluation.clinical_values import critical
from tasks.evaluation.strict_table import ValueKind
from tasks.evaluation.strict_view import compare


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("Give 1.5 mg of aspirin", ["1.5 mg"]),
        ("give 15mg", ["15 mg"]),
        ("one point five milligrams", ["1.5 mg"]),
        ("twenty five milligrams twice daily", ["25 mg", "twice", "daily"]),
        ("twenty-five milligrams", ["25 mg"]),
        ("two hundred and fifty micrograms", ["250 mcg"]),
        ("one thousand two hundred units", ["1200 unit"]),
        ("1,200 units", ["1200 unit"]),
        ("two million five hundred thousand", ["2500000"]),
        ("bed four five seven", ["4", "5", "7"]),
        ("ten five", ["10", "5"]),
        ("120/80", ["120", "80"]),
        ("blood pressure 120 over 80 mmHg", ["120", "80 mmhg"]),
        ("1.50 g", ["1.5 g"]),
        ("zero point zero five", ["0.05"]),
        ("he doesn't smoke", ["not"]),
        ("he doesn’t smoke", ["not"]),
        ("he does not smoke and denies pain", ["not", "denies"]),
        ("no fever, never", ["no", "never"]),
        ("50%", ["50 %"]),
        ("fifty percent", ["50 %"]),
        ("the unit in a minute", []),
        ("point taken, hundred", []),
        ("and", []),
        ("", []),
    ],
)
def test_what_is_critical_has_one_spelling(text: str, items: list[str]) -> None:
    """Digits and words, units and their names, contractions; in their order."""
    assert [item.text for item in critical(text)] == items


@pytest.mark.parametrize(
    ("ref", "hyp", "wrong"),
    [
        ("give 1.5 mg", "give 15 mg", {ValueKind.NUMBER}),
        ("give 1.5 mg", "give one point five milligrams please", set()),
        ("give 5 mg", "give 5 mcg", {ValueKind.NUMBER}),
        ("give 5 mg", "give mg", {ValueKind.NUMBER}),
        ("no fever", "fever", {ValueKind.NEGATION}),
        ("he has fever", "he has no fever", {ValueKind.NEGATION}),
        ("5 mg twice daily", "5 mg daily", {ValueKind.FREQUENCY}),
        ("no 5 mg", "4 mg", {ValueKind.NUMBER, ValueKind.NEGATION}),
    ],
)
def test_two_texts_agree_or_do_not(ref: str, hyp: str, wrong: set[ValueKind]) -> None:
    """By kind."""
    assert compare(ref, hyp).wrong == wrong


ONES = """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
    sixteen seventeen eighteen nineteen
"""
TENS = "- - twenty thirty forty fifty sixty seventy eighty ninety"


def spelled(n: int) -> str:
    """A number below a million in words, as it is said."""
    ones, tens = ONES.split(), TENS.split()
    if n < 20:
        return ones[n]
    if n < 100:
        return tens[n // 10] + (f" {ones[n % 10]}" if n % 10 else "")
    if n < 1000:
        return f"{ones[n // 100]} hundred" + (f" {spelled(n % 100)}" if n % 100 else "")
    return f"{spelled(n // 1000)} thousand" + (f" {spelled(n % 1000)}" if n % 1000 else "")


@given(st.integers(0, 999_999))
def test_a_number_in_words_is_the_number_in_digits(n: int) -> None:
    """Every cardinal below a million."""
    assert [item.text for item in critical(f"give {spelled(n)} mg")] == [f"{n} mg"]
    assert compare(f"give {n} mg", f"give {spelled(n)} milligrams").wrong == frozenset()


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_text_can_be_read(ref: str, hyp: str) -> None:
    """Nothing raises, a text agrees with itself, and only what is there can be wrong."""
    assert not compare(ref, ref).wrong
    view = compare(ref, hyp)
    assert view.wrong <= view.kinds
