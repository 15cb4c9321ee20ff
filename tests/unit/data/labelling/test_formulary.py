"""A formulary is read from a table; each faulty line is named with its fix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import openpyxl
import pytest

from tasks.common.errors import InputError
from tasks.data.labelling.formulary import read_terms_table

if TYPE_CHECKING:
    from pathlib import Path


def write(folder: Path, text: str, name: str = "terms.csv") -> Path:
    """A table."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_terms_have_the_categories_of_the_vocabulary(tmp_path: Path) -> None:
    """Other cases and plurals are the vocabulary's; an empty cell is no category; BOM and ";"."""
    path = write(
        tmp_path, "\ufeffTerm;Category\nmetoprolol;Drug\nMRI;Procedures\n stent ;\nport;NaN\n"
    )
    found = read_terms_table(path)
    assert [(line.term, line.entity_category) for line in found.terms] == [
        ("metoprolol", "drug"),
        ("MRI", "procedure"),
        ("stent", None),
        ("port", None),
    ]
    assert found.terms[1].place.endswith("terms.csv:3")


def test_a_term_in_two_categories_is_reported_and_the_first_counts(tmp_path: Path) -> None:
    """In any spelling; the same line twice is only counted."""
    path = write(
        tmp_path,
        "term,entity_category\ninsulin,drug\nX-ray,procedure\nInsulin,lab\nx ray,procedure\n",
    )
    found = read_terms_table(path)
    assert [line.term for line in found.terms] == ["insulin", "X-ray"]
    assert found.repeated == 1
    (ambiguous,) = map(str, found.ambiguous)
    assert "terms.csv:4: 'Insulin' is lab, and drug at" in ambiguous
    assert "Fix: delete one of the two lines" in ambiguous


def test_each_faulty_line_is_named(tmp_path: Path) -> None:
    """An unknown category, no term, and a term of marks alone; with a fix that is right."""
    path = write(
        tmp_path, "term,entity_category\naspirin,medication\n,drug\n---,drug\nbiopsy,procedure\n"
    )
    with pytest.raises(InputError) as refused:
        read_terms_table(path)
    said = str(refused.value)
    assert "3 lines are not a term" in said
    assert "terms.csv:2: 'medication' is no category. Fix: write \"drug\"" in said
    assert "terms.csv:3: names no term" in said
    assert "terms.csv:4: '---' has no letter or digit" in said


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        ("aspirin,drug\n", "terms.csv", "no column is called term"),
        ("term\naspirin\n", "terms.csv", "no column is called entity_category"),
        ("term,entity_category\n", "terms.csv", "holds no term"),
        ("aspirin\n", "terms.txt", "is no table"),
    ],
)
def test_what_is_no_table_of_terms_is_refused(
    tmp_path: Path, text: str, name: str, said: str
) -> None:
    """No header, one column, no line, another format."""
    with pytest.raises(InputError, match=said):
        read_terms_table(write(tmp_path, text, name))


def test_a_sheet_is_a_table_too(tmp_path: Path) -> None:
    """As Excel's format has it, written by openpyxl."""
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    for cells in (("term", "entity_category"), ("warfarin", "drug")):
        sheet.append(cells)
    book.save(tmp_path / "terms.xlsx")
    (line,) = read_terms_table(tmp_path / "terms.xlsx").terms
    assert (line.term, line.entity_category) == ("warfarin", "drug")


def test_a_blank_line_does_not_shift_the_line_that_is_named(tmp_path: Path) -> None:
    """As an editor numbers them."""
    path = write(tmp_path, "term,entity_category\n\naspirin,drug\n\nbiopsy,surgery room\n")
    with pytest.raises(
        InputError, match=r"terms\.csv:5: 'surgery room' is no category.*; no category"
    ):
        read_terms_table(path)
