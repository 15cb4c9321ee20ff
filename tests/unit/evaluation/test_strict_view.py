"""The strict view: what sounds or looks alike and is not; it errs on the safe side."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.common.errors import InputError
from tasks.data import spelling_tables
from tasks.evaluation import clinical_values, strict_table
from tasks.evaluation.clinical_values import critical
from tasks.evaluation.strict_table import OWN_TABLE, ValueKind, read_table, table_origin
from tasks.evaluation.strict_view import compare
from tasks.evaluation.value_items import StrictFault

if TYPE_CHECKING:
    from collections.abc import Iterator

CASES = Path(__file__).parents[2] / "cases"
ERROR_PRONE = [
    [part.strip() for part in line.split("|")]
    for line in (CASES / "strict-view" / "error_prone_abbreviations.txt")
    .read_text("utf-8")
    .splitlines()
    if not line.startswith("# ")
]


def case_rows(name: str) -> list[dict[str, str]]:
    """The rows of a case."""
    return [json.loads(line) for line in (CASES / name / "rows.jsonl").read_text().splitlines()]


def test_a_naked_decimal_is_a_tenfold_dose() -> None:
    """A lost point, written or spoken, is wrong; a zero before the point is free."""
    views = [compare(row["ref"], row["hyp"]) for row in case_rows("01-naked-decimal")]
    assert [bool(view.wrong) for view in views] == [True, True, False]
    assert [StrictFault.TENFOLD in view.faults for view in views] == [True, True, False]


def test_a_dose_in_two_spellings_is_one_dose() -> None:
    """µg and mcg, U and units, b.i.d. and BID, 120/80 in words."""
    for row in case_rows("03-strict-false-alarms"):
        assert compare(row["ref"], row["hyp"]).wrong == frozenset(), row


@pytest.mark.parametrize(("spelling", "meant", "mistaken", "reads"), ERROR_PRONE)
def test_an_error_prone_spelling_is_never_what_it_is_mistaken_for(
    spelling: str, meant: str, mistaken: str, reads: str
) -> None:
    """It reads as what is meant, or is shown as unread."""
    assert bool(compare(spelling, meant).wrong) == (reads != "equal")
    assert compare(spelling, mistaken).wrong
    assert compare(meant, mistaken).wrong or reads == "unread"
    kinds = {item.kind for item in critical(spelling)}
    assert (ValueKind.UNREAD in kinds) == (reads == "unread")


def test_each_look_alike_name_is_told_from_its_others() -> None:
    """Every pair of every group of the table."""
    look_alikes = strict_table.strict_table().look_alikes
    assert len(look_alikes) > 200
    for name, others in look_alikes.items():
        for other in others:
            view = compare(f"start {name} 10 mg", f"start {other} 10 mg")
            assert view.wrong == {ValueKind.NAME}, (name, other)


def test_a_lost_name_is_not_a_swapped_one() -> None:
    """KER counts it."""
    assert not compare("start metformin", "start met for men").wrong


@pytest.mark.parametrize(
    ("ref", "hyp", "faults"),
    [
        ("give 1.5 mg", "give 15 mg", {StrictFault.TENFOLD}),
        ("adrenaline 1:1000", "adrenaline 1:10000", {StrictFault.TENFOLD}),
        ("insulin 6 U", "insulin 60", {StrictFault.TENFOLD}),
        ("give 1 g", "give 1 mg", {StrictFault.UNIT}),
        ("dopamine 5 mcg/kg/min", "dopamine 5 mcg/kg/hr", {StrictFault.UNIT}),
        ("no fever", "fever", {StrictFault.NEGATION}),
        ("afebrile", "febrile", {StrictFault.NEGATION}),
        ("fever", "no fever", {StrictFault.ADDED_NEGATION}),
        ("infected", "uninfected", {StrictFault.ADDED_NEGATION}),
        ("give 5 mg", "give 7 mg", set()),
        ("pain in the left knee", "pain in the right knee", set()),
        ("no 1.5 mg", "15 mg", {StrictFault.TENFOLD, StrictFault.NEGATION}),
    ],
)
def test_faults_have_names(ref: str, hyp: str, faults: set[StrictFault]) -> None:
    """A tenfold dose, a negation lost or added, a swapped unit; others are wrong without one."""
    view = compare(ref, hyp)
    assert view.wrong
    assert view.faults == faults


@pytest.mark.parametrize(
    ("ref", "hyp", "wrong"),
    [
        ("no fever but cough", "fever but no cough", {ValueKind.NEGATION}),
        ("left arm pain and leg weakness", "arm pain and left leg weakness", {ValueKind.SIDE}),
        (
            "aspirin 5 mg with bisoprolol 10 mg",
            "bisoprolol 5 mg with aspirin 10 mg",
            {ValueKind.NUMBER},
        ),
        ("no pain and no fever", "no payne and no fevers", set()),
        ("twice daily 5 mg", "5 mg twice daily", set()),
    ],
)
def test_items_must_stand_at_the_same_words(ref: str, hyp: str, wrong: set[ValueKind]) -> None:
    """Unless these words were misheard, or the items are of two kinds."""
    assert compare(ref, hyp).wrong == wrong


@pytest.mark.parametrize(
    ("ref", "hyp", "wrong"),
    [
        ("a febrile child", "afebrile child", {ValueKind.NEGATION}),
        ("hypotension", "hypertension", {ValueKind.OPPOSITE}),
        ("hypoglycaemic", "hyperglycemic", {ValueKind.OPPOSITE}),
        ("hyper tension", "hypertension", set()),
        ("anaemic", "anemic", set()),
        ("non-tender", "nontender", set()),
        ("bout of pain", "about of pain", set()),
        ("on HFXEF now", "on HFQEF now", {ValueKind.UNREAD}),
        ("crtd placed", "crtp placed", {ValueKind.UNREAD}),
        ("un remarkable chest", "remarkable chest", {ValueKind.NEGATION}),
        ("hypo tension", "tension", {ValueKind.OPPOSITE}),
        ("un remarkable chest", "unremarkable chest", set()),
        ("oliguria", "polyuria", {ValueKind.OPPOSITE}),
    ],
)
def test_a_prefix_or_a_letter_makes_another_word(ref: str, hyp: str, wrong: set[ValueKind]) -> None:
    """Of any word with a prefix, and of abbreviations that nobody knows."""
    assert compare(ref, hyp).wrong == wrong


@pytest.mark.parametrize(
    ("ref", "hyp", "wrong"),
    [
        ("WBC 10⁹ per liter", "WBC 109 per liter", True),
        ("10² cells", "102 cells", True),
        ("5 × 10⁹/L", "5 x 10^9/L", False),
        ("BSA 1.73 m²", "BSA 1.73 m2", False),
        ("CO₂ 40", "CO2 40", False),
    ],
)
def test_a_raised_digit_is_a_power_behind_a_number(ref: str, hyp: str, *, wrong: bool) -> None:
    """tesseract-ocr/tesseract#1852: NFKC makes 109 of 10⁹."""
    assert bool(compare(ref, hyp).wrong) == wrong


@pytest.mark.parametrize(
    "text", ["5 qwx", "5mgg", "0,5 mg", "12/03/2026", "OD", "q 8", "5 ^ 2", "base excess - 5"]
)
def test_what_cannot_be_read_is_different_and_shown(text: str) -> None:
    """From everything but itself, its sign or abbreviation included."""
    unread = [item.text for item in critical(text) if item.kind is ValueKind.UNREAD]
    assert unread
    view = compare(f"give {text} now", "give now")
    assert ValueKind.UNREAD in view.wrong
    assert list(view.unread) == unread
    assert not compare(f"give {text} now", f"give {text} now please").wrong


def test_a_said_number_that_may_be_two_is_unread() -> None:
    """Two tablets of 50 mg, or tablets of 250 mg."""
    assert compare("two fifty milligram tablets", "250 mg tablets").wrong
    assert compare("two fifty milligram tablets", "two 50 mg tablets").wrong
    assert not compare("two fifty milligrams", "250 mg").wrong


@given(
    st.text(alphabet="0123456789 .,/-+:%°½µqdxhmgkaiv<>~'", max_size=24),
    st.text(alphabet="0123456789 .,/-+:%°½µqdxhmgkaiv<>~'", max_size=24),
)
def test_signs_and_digits_in_any_order_can_be_read(ref: str, hyp: str) -> None:
    """Nothing raises; a text agrees with itself, and what is wrong is there."""
    assert not compare(ref, ref).wrong
    view = compare(ref, hyp)
    assert view.wrong <= view.kinds


@pytest.fixture
def own_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A site's table, with every cache of the package's emptied around it."""
    path = tmp_path / "own.yaml"
    monkeypatch.setenv(OWN_TABLE, str(path))
    _forget()
    yield path
    monkeypatch.undo()
    _forget()


def _forget() -> None:
    clinical_values.forget()


def test_a_site_adds_its_own_words(own_table: Path) -> None:
    """A unit, an abbreviation and a frequency; the package's words stay."""
    own_table.write_text(
        "units:\n  - {reads: scoop, form: true, spellings: [scoop, scoops]}\n"
        "frequencies:\n  - {reads: before rounds, spellings: [before rounds]}\n"
        "abbreviations:\n  - {reads: left upper arm, letters: [lua]}\n"
    )
    assert [item.text for item in critical("two scoops before rounds, 5 mg")] == [
        "2 scoop",
        "before rounds",
        "5 mg",
    ]
    assert not compare("LUA pain", "left upper arm pain").wrong


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("units: [", "is not YAML"),
        ("- a list", "holds no sections"),
        ("sorts:\n  - {reads: a}", "no section is called 'sorts'"),
        ("routes:\n  - {reads: a, spelling: [b]}", "Fix: write reads, and of the others only"),
        ("negations:\n  - {reads: not, spellings: [no]}", "Fix: put it in quotation marks"),
        (
            "routes:\n  - {reads: a, spellings: [x y]}\n  - {reads: b, spellings: [x-y]}",
            "'x-y' stands in the lines 'routes: a' and 'routes: b'",
        ),
        ("routes:\n  - {reads: a, spellings: [' ']}", "holds no word"),
        ("units:\n  - {reads: a, times: many, spellings: [a]}", "which is no number"),
    ],
)
def test_a_table_with_a_mistake_is_refused_by_its_line(text: str, message: str) -> None:
    """With the file, the line and what to do."""
    with pytest.raises(InputError, match=r"own\.yaml") as error:
        read_table(text, "own.yaml")
    assert message in str(error.value)


def test_a_table_that_is_not_there_is_named(own_table: Path) -> None:
    """With the variable that names it."""
    with pytest.raises(InputError, match=OWN_TABLE):
        critical("5 mg")


def test_a_record_says_which_table_is_read(own_table: Path) -> None:
    """By content: another word in a site's table is another table; a comment as well."""
    own_table.write_text("passed_over: [by the way]\n")
    first = table_origin()
    assert first.source == f"bundled, and {own_table}"
    own_table.write_text("passed_over: [by the by]\n")
    assert table_origin().sha256 != first.sha256


def test_without_a_table_of_its_own_the_bundled_one_is_named() -> None:
    """Its hash is of the file in the package."""
    file = Path(strict_table.__file__).with_name("strict_view.yaml")
    assert table_origin().as_dict() == {
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "source": "bundled",
    }


def test_units_of_the_canonical_view_are_the_same_units_here() -> None:
    """A unit's spellings there read as one unit here, and no two units there as the same one.

    What is spoken alike there is a part of what is meant alike here: "cc" is not spoken milliliter.
    """
    canonical_units = {**spelling_tables.UNITS, **spelling_tables.UNITS_BEHIND_NUMBERS}
    here = {" ".join(spelled): unit.name for spelled, unit in strict_table.strict_table().units}
    found: dict[tuple[str, ...], set[str]] = {}
    for spelling, spoken in canonical_units.items():
        if spelling in here and spelling not in {"iu", "ius"}:  # told apart from units there alone
            found.setdefault(spoken, set()).add(here[spelling])
    assert len(found) > 25
    assert [spoken for spoken, names in found.items() if len(names) > 1] == []
    names = [name for names in found.values() for name in names]
    assert len(names) == len(set(names))
