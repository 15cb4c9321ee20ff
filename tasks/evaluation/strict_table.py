"""The table of the strict view, strict_view.yaml: read, checked and indexed by first word.

A site's own table is named by ``ASR_FLYWHEEL_STRICT_TABLE``. It has the same sections and adds to
the package's; a spelling in both reads as the site's table says.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from functools import cache, cached_property
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import yaml

from tasks.common.errors import InputError
from tasks.data.number_words import LARGE
from tasks.evaluation.spoken_numbers import FIRST_WORDS
from tasks.evaluation.text_words import words_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

OWN_TABLE = "ASR_FLYWHEEL_STRICT_TABLE"
BUNDLED = "bundled"
"""How a record calls the package's own table."""
_NAME = "strict_view.yaml"
_WITHIN_NUMBERS = (
    "to", "through", "thru", "and", "of", "the", "per", "over", "out",
    "in", "each", "every", "plus", "or", "daily", "weekly", "monthly", "yearly",
    "nightly", "hourly", "annually",
)  # fmt: skip


class ValueKind(StrEnum):
    """The kinds of critical items."""

    __hash__ = str.__hash__  # Enum's is Python, and each row asks for a dozen

    NUMBER = "numbers and doses"
    FREQUENCY = "frequencies"
    ROUTE = "routes"
    SIDE = "sides"
    NEGATION = "negations"
    SIGN = "signs"
    OPPOSITE = "opposites"
    NAME = "look-alike names"
    UNREAD = "unread"


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit.

    Attributes:
        name: its one spelling.
        measures: what it measures; units that measure the same are converted.
        times: how many of the smallest it is.
        is_time: whether it is a length of time.
        is_form: whether it is a form of a drug, such as a tablet.
        bare: whether it is critical without a number.
    """

    name: str
    measures: str
    times: Fraction
    is_time: bool = False
    is_form: bool = False
    bare: bool = False


class Entry(NamedTuple):
    """A meaning: its kind and its one spelling."""

    kind: ValueKind
    text: str


Meaning = TypeVar("Meaning")


class Phrases(Generic[Meaning]):
    """Phrases with their meanings, found by their first word, the longest first."""

    def __init__(self) -> None:
        self._meanings: dict[tuple[str, ...], Meaning] = {}
        self._alone: dict[str, tuple[Meaning]] = {}
        self._longer: dict[str, dict[str, list[tuple[tuple[str, ...], Meaning]]]] = {}

    def add(self, words: tuple[str, ...], meaning: Meaning) -> None:
        """Add a phrase, in place of an earlier one of the same words."""
        self._meanings[words] = meaning
        if len(words) == 1:
            self._alone[words[0]] = (meaning,)
            return
        by_second = self._longer.setdefault(words[0], {})
        phrases = [pair for pair in by_second.get(words[1], ()) if pair[0] != words]
        by_second[words[1]] = sorted([*phrases, (words, meaning)], key=lambda pair: -len(pair[0]))

    def match(self, tokens: Sequence[str], place: int) -> tuple[Meaning, int] | None:
        """Return the meaning of the longest phrase at a place, and the place after it."""
        word = tokens[place]
        longer = self._longer.get(word)
        if longer is not None and place + 1 < len(tokens):
            for words, meaning in longer.get(tokens[place + 1], ()):
                end = place + len(words)
                if end == place + 2 or tuple(tokens[place:end]) == words:
                    return meaning, end
        alone = self._alone.get(word)
        return None if alone is None else (alone[0], place + 1)

    def first_words(self) -> Iterable[str]:
        """Return the words with which a phrase begins."""
        return {words[0] for words in self._meanings}

    def __iter__(self) -> Iterator[tuple[tuple[str, ...], Meaning]]:
        return iter(self._meanings.items())


@dataclass(frozen=True)
class StrictTable:
    """The table.

    Attributes:
        units: what is read after a number.
        phrases: what is read wherever it stands; None where the words are to be passed over.
        before_numbers: what is read before a number only.
        capitals: what is read where it is written in capitals only.
        prefixes: for each prefix that turns a word round, the kind of what is then wrong.
        abbreviations: for each abbreviation, the words it stands for.
        no_units: short words after a number that are no units.
        look_alikes: for each name, the names that it is mistaken for.
    """

    units: Phrases[Unit] = field(default_factory=Phrases)
    phrases: Phrases[Entry | None] = field(default_factory=Phrases)
    before_numbers: Phrases[Entry] = field(default_factory=Phrases)
    capitals: dict[str, Entry] = field(default_factory=dict)
    prefixes: dict[str, ValueKind] = field(default_factory=dict)
    abbreviations: dict[str, tuple[str, ...]] = field(default_factory=dict)
    no_units: set[str] = field(default_factory=set)
    look_alikes: dict[str, set[str]] = field(default_factory=dict)

    @cached_property
    def number_words(self) -> frozenset[str]:
        """Return the words that may stand within a number, its unit and its frequency."""
        units = (word for words, _ in self.units for word in words)
        return frozenset((*FIRST_WORDS, *LARGE, *units, *_WITHIN_NUMBERS))

    @property
    def capitals_in_small_letters(self) -> Iterator[str]:
        """Yield the words of ``capitals`` as a text in small letters has them."""
        return (word.lower() for word in self.capitals)


_KINDS = {
    "frequencies": ValueKind.FREQUENCY,
    "routes": ValueKind.ROUTE,
    "sides": ValueKind.SIDE,
    "negations": ValueKind.NEGATION,
    "signs": ValueKind.SIGN,
    "opposites": ValueKind.OPPOSITE,
}
_WITH_LETTERS = frozenset(("reads", "letters", "spellings", "capitals"))
_PLAIN_LINE = frozenset(("reads", "spellings"))
_LINES = {
    "units": frozenset(("reads", "kind", "times", "spellings", "bare", "form", "time")),
    **dict.fromkeys((*_KINDS, "ambiguous", "abbreviations"), _WITH_LETTERS),
    **dict.fromkeys(("before_numbers", "prefixes"), _PLAIN_LINE),
}
_SECTIONS = {*_LINES, "look_alike_names", "passed_over", "no_units"}


# The one in C is seven times as fast, where PyYAML was built with it.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@cache
def strict_table() -> StrictTable:
    """Return the package's table with a site's own.

    Raises:
        InputError: a table cannot be read or says two things of one spelling.
    """
    table = StrictTable()
    package = resources.files("tasks.evaluation") / _NAME
    _Builder(table, _load(package.read_text("utf-8"), _NAME), _NAME).add()
    if own := os.environ.get(OWN_TABLE):
        try:
            text = Path(own).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(
                f"{own}, named by {OWN_TABLE}, cannot be read: {error}. Fix: correct the path, or "
                f"unset {OWN_TABLE}."
            ) from error
        _Builder(table, _load(text, own), own).add()
    return table


@dataclass(frozen=True, slots=True)
class TableOrigin:
    """Which table the strict view reads.

    Attributes:
        sha256: of the package's table and the site's own, by content.
        own: the path of the site's own table; None without one.
    """

    sha256: str
    own: str | None = None

    @property
    def source(self) -> str:
        """Where it comes from, in words."""
        return BUNDLED if self.own is None else f"{BUNDLED}, and {self.own}"

    def as_dict(self) -> dict[str, str]:
        """Return it as run.json and decision.json hold it."""
        return {"sha256": self.sha256, "source": self.source}


def table_origin() -> TableOrigin:
    """Return which table is in use.

    Raises:
        InputError: a site's own table cannot be read.
    """
    strict_table()
    digest = hashlib.sha256((resources.files("tasks.evaluation") / _NAME).read_bytes())
    if own := os.environ.get(OWN_TABLE):
        digest.update(Path(own).read_bytes())
    return TableOrigin(digest.hexdigest(), own or None)


def read_table(text: str, name: str) -> StrictTable:
    """Return a table of one text alone; for tests of a table.

    Raises:
        InputError: it cannot be read or says two things of one spelling.
    """
    table = StrictTable()
    _Builder(table, _load(text, name), name).add()
    return table


def _load(text: str, name: str) -> Mapping[str, Any]:
    try:
        sections = yaml.load(text, _LOADER)  # noqa: S506 - a safe loader
    except yaml.YAMLError as error:
        raise InputError(f"{name} is not YAML: {error}. Fix: mend it there.") from error
    if not isinstance(sections, dict):
        raise InputError(f"{name} holds no sections. Fix: write one or more of {_listed()}.")
    for section, lines in sections.items():
        if section not in _SECTIONS:
            raise InputError(
                f"{name}: no section is called {section!r}. Fix: use one of {_listed()}."
            )
        for line in lines if section in _LINES else ():
            _check_line(line, section, name)
    return sections


def _listed() -> str:
    return ", ".join(sorted(_SECTIONS))


def _check_line(line: object, section: str, name: str) -> None:
    fields = _LINES[section]
    if not isinstance(line, dict) or "reads" not in line or not set(line) <= fields:
        others = ", ".join(sorted(fields - {"reads"}))
        raise InputError(
            f"{name}, section {section}: the line {line!r} has no field reads, or one that is not "
            f"known. Fix: write reads, and of the others only {others}."
        )
    for key in ("letters", "spellings", "capitals"):
        for spelling in line.get(key, ()):
            if not isinstance(spelling, str):
                raise InputError(
                    f"{name}, section {section}, line {line['reads']!r}: YAML reads the spelling "
                    f"{spelling!r} as no text. Fix: put it in quotation marks."
                )


class _Builder:
    """The lines of one file, added to a table; a spelling may stand in one of them only."""

    def __init__(self, table: StrictTable, sections: Mapping[str, Any], name: str) -> None:
        self._table = table
        self._sections = sections
        self._name = name
        self._lines: dict[tuple[str, tuple[str, ...]], str] = {}

    def add(self) -> None:
        """Add every section."""
        self._add_units()
        for section, kind in _KINDS.items():
            self._add_phrases(section, kind)
        self._add_ambiguous()
        self._add_the_rest()

    def _once(self, space: str, spelling: str, line: str) -> tuple[str, ...]:
        """Return the words of a spelling that no other line of this file has."""
        words = words_of(spelling)
        if not words:
            raise InputError(
                f"{self._name}, line {line!r}: the spelling {spelling!r} holds no word. Fix: "
                "delete it."
            )
        earlier = self._lines.setdefault((space, words), line)
        if earlier != line:
            raise InputError(
                f"{self._name}: {spelling!r} stands in the lines {earlier!r} and {line!r}. Fix: "
                "keep it in one of them, or move it to the section ambiguous."
            )
        return words

    def _add_units(self) -> None:
        for line in self._sections.get("units", ()):
            unit = _unit(line, self._name)
            for spelling in line["spellings"]:
                self._table.units.add(self._once("units", spelling, line["reads"]), unit)

    def _add_phrases(self, section: str, kind: ValueKind) -> None:
        for line in self._sections.get(section, ()):
            entry = Entry(kind, str(line["reads"]))
            for spelling in _spellings(line):
                words = self._once("phrases", spelling, f"{section}: {line['reads']}")
                self._table.phrases.add(words, entry)
            self._table.capitals.update(dict.fromkeys(line.get("capitals", ()), entry))

    def _add_ambiguous(self) -> None:
        for line in self._sections.get("ambiguous", ()):
            for spelling in _spellings(line):
                words = self._once("phrases", spelling, f"ambiguous: {line['reads']}")
                self._table.phrases.add(words, Entry(ValueKind.UNREAD, "".join(words)))
            for capitals in line.get("capitals", ()):
                self._table.capitals[capitals] = Entry(ValueKind.UNREAD, capitals)

    def _add_the_rest(self) -> None:
        table, sections = self._table, self._sections
        for line in sections.get("before_numbers", ()):
            entry = Entry(ValueKind.SIGN, line["reads"])
            for spelling in line["spellings"]:
                words = self._once("before numbers", spelling, line["reads"])
                table.before_numbers.add(words, entry)
        for line in sections.get("abbreviations", ()):
            for letters in line["letters"]:
                self._once("phrases", letters, f"abbreviations: {line['reads']}")
                table.abbreviations[letters] = words_of(line["reads"])
        for line in sections.get("prefixes", ()):
            kind = ValueKind.NEGATION if line["reads"] == "negation" else ValueKind.OPPOSITE
            table.prefixes.update(dict.fromkeys(line["spellings"], kind))
        for names in sections.get("look_alike_names", ()):
            for name in names:
                table.look_alikes.setdefault(name, set()).update(set(names) - {name})
                table.phrases.add(words_of(name), Entry(ValueKind.NAME, name))
        for phrase in sections.get("passed_over", ()):
            table.phrases.add(self._once("phrases", phrase, "passed over"), None)
        table.no_units.update(str(sections.get("no_units", "")).split())


def _unit(line: Mapping[str, Any], name: str) -> Unit:
    try:
        times = Fraction(str(line.get("times", 1)))
    except ValueError as error:
        raise InputError(
            f"{name}, section units, line {line['reads']!r}: times is {line['times']!r}, which is "
            "no number. Fix: write how many of the smallest unit one is, such as 1000."
        ) from error
    is_form = bool(line.get("form"))
    return Unit(
        str(line["reads"]),
        # Tablets and puffs are counted alike, and never converted.
        f"form {line['reads']}" if is_form else str(line.get("kind", line["reads"])),
        times,
        is_time=bool(line.get("time")),
        is_form=is_form,
        bare=bool(line.get("bare")),
    )


def _spellings(line: Mapping[str, Any]) -> Iterator[str]:
    yield from line.get("spellings", ())
    for letters in line.get("letters", ()):
        yield letters
        yield " ".join(letters)
