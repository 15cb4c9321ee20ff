"""The strict view: 1.5 mg is not 15 mg, whatever the normaliser makes of it."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tasks.evaluation import clinical_values
from tasks.evaluation.clinical_values import critical, read, read_in_full
from tasks.evaluation.strict_table import ValueKind, strict_table
from tasks.evaluation.strict_view import compare


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("Give 1.5 mg of aspirin", ["1.5 mg"]),
        ("give 15mg", ["15 mg"]),
        ("one point five milligrams", ["1.5 mg"]),
        ("twenty five milligrams twice daily", ["25 mg", "2 per day"]),
        ("twenty-five milligrams", ["25 mg"]),
        ("two hundred and fifty micrograms", ["250 mcg"]),
        ("one thousand two hundred units", ["1200 unit"]),
        ("1,200 units", ["1200 unit"]),
        ("two million five hundred thousand", ["2500000"]),
        ("bed four five seven", ["457"]),
        ("ten five", ["10", "5"]),
        ("120/80", ["120/80"]),
        ("blood pressure 120 over 80 mmHg", ["120/80 mmhg"]),
        ("1.50 g", ["1.5 g"]),
        ("zero point zero five", ["0.05"]),
        ("he doesn't smoke", ["not"]),
        ("he doesn’t smoke", ["not"]),
        ("he does not smoke and denies pain", ["not", "denies"]),
        ("no fever, never", ["not", "never"]),
        ("50%", ["50 %"]),
        ("fifty percent", ["50 %"]),
        ("point five", ["0.5"]),
        (".5 mg", ["0.5 mg"]),
        ("half a tablet", ["0.5 tablet"]),
        ("area in m two.", ["m2"]),
        ("area in m two", ["m2"]),
        ("1½ tablets", ["1.5 tablet"]),
        ("a tablet and a half", ["1.5 tablet"]),
        ("1-1/2 tablets", ["1.5 tablet"]),
        ("two thirds", ["2/3"]),
        ("two fifty milligrams", ["250 mg"]),
        ("one oh four point two", ["104.2"]),
        ("minus five", ["-5"]),
        ("5–10 mg", ["5 to 10 mg"]),
        ("5mg-10mg", ["5 to 10 mg"]),
        ("between five and ten milligrams", ["5 to 10 mg"]),
        ("5 mcg/kg/min", ["5 mcg/kg/minute"]),
        ("five micrograms per kilo per minute", ["5 mcg/kg/minute"]),
        ("15 mg/5 ml", ["15 mg/5 ml"]),
        ("40 mg a day", ["40 mg", "1 per day"]),
        ("q4-6h", ["every 4-6 hour"]),
        ("q 8 hours", ["every 8 hour"]),
        ("b.i.d.", ["2 per day"]),
        ("b i d", ["2 per day"]),
        ("x 3 days", ["3 day"]),
        ("3x/day", ["3 per day"]),
        ("8 hourly", ["every 8 hour"]),
        ("8:30 a.m.", ["8:30 am"]),
        ("eight thirty pm", ["8:30 pm"]),
        ("type II", ["2"]),
        ("L four", ["l4"]),
        ("HbA1c", ["a1c"]),
        ("one in ten thousand", ["1:10000"]),
        ("10 000 units", ["10000 unit"]),
        ("half a million units", ["500000 unit"]),
        ("the second dose", ["2nd"]),
        ("non-smoker", ["non"]),
        ("right now in the right knee", ["right"]),
        ("RUQ", ["right", "upper"]),
        ("hepatitis B", ["b"]),
        ("I N R 2", ["2"]),
        ("over 65", [">", "65"]),
        ("GIVE 5 MG IN THE MORNING", ["5 mg", "morning"]),
        ("spray IN left nostril", ["IN", "left"]),
        ("the unit in a minute", []),
        ("point taken, hundred", ["100"]),
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


def words_of_the_table() -> list[str]:
    """Words of the table's abbreviations, phrases and units."""
    table = strict_table()
    phrases = {word for words, _ in table.phrases for word in words}
    units = {word for words, _ in table.units for word in words}
    written = {*table.capitals_in_small_letters, *table.abbreviations, *phrases, *units}
    return sorted(word for word in written if word.isascii() and word.isalpha())


NUMBERS = f"{ONES} {TENS} hundred thousand million point half quarter a an".replace("-", "").split()
OTHERS = "the patient took nonstop nonsmoker non fever minus times once of b d i l o r x q u"
WORDS = st.one_of(
    st.sampled_from(NUMBERS),
    st.sampled_from(OTHERS.split()),
    st.sampled_from(words_of_the_table()),
)
SENTENCES = st.lists(WORDS, min_size=1, max_size=7)


@given(SENTENCES)
@example(["fifty", "x", "r"])
@example(["bed", "one", "sided"])
def test_a_text_of_words_is_read_as_any_other_text(words: list[str]) -> None:
    """The short road for texts without digits and signs ends where the long one does."""
    text = " ".join(words)
    assert read(text) == read_in_full(text)


@given(SENTENCES, SENTENCES)
@example(["apples"], ["one", "sided"])
@example(["tablets"], ["fifty", "x", "r"])
def test_what_was_read_before_changes_nothing(before: list[str], words: list[str]) -> None:
    """Numbers are remembered by their words; a text that is read first, or later, is the same."""
    text = " ".join(words)
    clinical_values._NUMBERS.clear()
    alone = read.__wrapped__(text)
    clinical_values._NUMBERS.clear()
    read.__wrapped__(" ".join([*words[:-1], *before]))
    assert read.__wrapped__(text) == alone
