"""Read a formulary: a table with a term and its category on each line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.common.errors import InputError
from tasks.data.canonical import canonical
from tasks.data.importers.table import detect, read_cells
from tasks.data.text_normalizer import normalise
from tasks.data.vocabularies import advise, find_spelling, is_empty_value

if TYPE_CHECKING:
    from pathlib import Path

_BARE = str.maketrans("", "", " _-.")
_TERM_COLUMNS = ("term", "keyword", "phrase", "name", "drugname", "entity")
_CATEGORY_COLUMNS = ("entitycategory", "category", "entitytype", "type")
_SHOWN = 20
_LONGEST_ABBREVIATION = 5


@dataclass(frozen=True, slots=True)
class FormularyTerm:
    """A term of a formulary.

    Attributes:
        term: as it was written.
        entity_category: None where its cell is empty.
        place: the file and line.
    """

    term: str
    entity_category: str | None
    place: str

    @property
    def is_capitals(self) -> bool:
        """Whether it is written as an abbreviation is: few letters, all of them capitals."""
        return self.term.isupper() and max(map(len, self.term.split())) <= _LONGEST_ABBREVIATION


@dataclass(frozen=True, slots=True)
class AmbiguousTerm:
    """A term that the formulary has in two categories; the first one counts."""

    kept: FormularyTerm
    other: FormularyTerm

    def __str__(self) -> str:
        return (
            f"{self.other.place}: {self.other.term!r} is {_shown(self.other)}, and "
            f"{_shown(self.kept)} at {self.kept.place}; the first one counts. "
            "Fix: delete one of the two lines."
        )


@dataclass(frozen=True, slots=True)
class Formulary:
    """The terms of a formulary, each once in the canonical view.

    Attributes:
        terms: in the order of the file.
        ambiguous: terms in another category than the same term before.
        repeated: lines whose term stood in the file before, in the same category.
    """

    terms: tuple[FormularyTerm, ...]
    ambiguous: tuple[AmbiguousTerm, ...] = ()
    repeated: int = 0


def read_terms_table(path: Path) -> Formulary:
    """Read a formulary from CSV, TSV or XLSX.

    The first line names the columns ``term`` and ``entity_category``; others are not read.

    Raises:
        InputError: it cannot be read, has no such column, or has lines that are no terms; names
            each of them.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such file. Fix: name a table of terms.")
    if not detect(path):
        raise InputError(
            f"{path}: is no table. Fix: name a .csv, .tsv or .xlsx with the columns term and "
            "entity_category."
        )
    rows = read_cells(path, None)
    _, header = next(rows, ("", []))
    bare = [cell.strip().translate(_BARE).lower() for cell in header]
    term_column = _find_column(path, header, bare, _TERM_COLUMNS, "term")
    category_column = _find_column(path, header, bare, _CATEGORY_COLUMNS, "entity_category")
    kept: dict[str, FormularyTerm] = {}
    ambiguous: list[AmbiguousTerm] = []
    faults: list[str] = []
    repeated = 0
    for place, cells in rows:
        if not any(cell.strip() for cell in cells):
            continue
        line = _read_line(place, _cell(cells, term_column), _cell(cells, category_column))
        if isinstance(line, str):
            faults.append(line)
            continue
        before = kept.setdefault(canonical(line.term), line)
        if before is not line and before.entity_category == line.entity_category:
            repeated += 1
        elif before is not line:
            ambiguous.append(AmbiguousTerm(before, line))
    if faults:
        more = len(faults) - _SHOWN
        shown = "\n".join(f"  {fault}" for fault in faults[:_SHOWN])
        lines = "line is" if len(faults) == 1 else "lines are"
        raise InputError(
            f"{path}: {len(faults)} {lines} not a term\n{shown}"
            + (f"\n  … and {more} more" if more > 0 else "")
        )
    if not kept:
        raise InputError(f"{path}: holds no term. Fix: write a term on each line under the header.")
    return Formulary(tuple(kept.values()), tuple(ambiguous), repeated)


def _read_line(place: str, term: str, written: str) -> FormularyTerm | str:
    """Return the term of a line, or what is wrong with the line."""
    term, written = " ".join(term.split()), written.strip()
    if is_empty_value(written):
        written = ""  # how a program writes that there is none
    if not term:
        return f"{place}: names no term. Fix: write it, or delete the line."
    category = find_spelling("entity_category", written) if written else None
    if written and category is None:
        # A table's cell has no null.
        fix = advise("entity_category", written).replace("; null where", "; no category where")
        return f"{place}: {written!r} is no category. Fix: {fix}."
    if not canonical(term) or not normalise(term):
        return f"{place}: {term!r} has no letter or digit. Fix: write the term, or delete the line."
    return FormularyTerm(term, category, place)


def _find_column(
    path: Path, header: list[str], bare: list[str], names: tuple[str, ...], field: str
) -> int:
    places = [bare.index(name) for name in names if name in bare]
    if not places:
        shown = ", ".join(map(repr, header)) or "nothing"
        raise InputError(
            f"{path}: no column is called {field}; its first line has {shown}. "
            f"Fix: name the column {field} in the first line."
        )
    return places[0]


def _cell(cells: list[str], column: int) -> str:
    return cells[column] if column < len(cells) else ""


def _shown(term: FormularyTerm) -> str:
    return term.entity_category or "without a category"
