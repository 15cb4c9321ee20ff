"""Find the terms of a formulary in a text: whole words, the longest term, in any spelling.

All terms and their inflections are one table by their canonical words, so that the time of a text
does not depend on the number of terms.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tasks.data.canonical import canonical
from tasks.data.canonical_terms import REFUSED_PREFIXES, canonical_term
from tasks.data.inflections import ORDINARY_WORDS, inflections
from tasks.data.text_normalizer import contains_words, normalise

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tasks.data.labelling.formulary import FormularyTerm

_MARKS = ".,;:!?()[]{}\"'“”‘’"
# A spelling such as "mg/dL" has fewer words than it is spoken as; "m. r. i." has more.
_WORDS_MORE = 3


@dataclass(frozen=True, slots=True)
class TermMatch:
    """A term in a text.

    Attributes:
        term: of the formulary.
        spelling: the words of the text.
    """

    term: FormularyTerm
    spelling: str


@dataclass(frozen=True, slots=True)
class TextMatches:
    """The terms of a text.

    Attributes:
        matches: in the order of the text, each term once: in its own form where the text has it.
        joined: terms that are parts of words there, such as of "amlodipine/benazepril"; what is no
            word of its own cannot be scored.
        ordinary: abbreviations that stand there in small letters, as an English word does.
    """

    matches: tuple[TermMatch, ...]
    joined: tuple[FormularyTerm, ...] = ()
    ordinary: tuple[FormularyTerm, ...] = ()


@dataclass(frozen=True, slots=True)
class _Entry:
    """A term by one of its forms."""

    term: FormularyTerm
    words: str
    is_own_form: bool = True
    needs_capitals: bool = False


@dataclass(slots=True)
class _Text:
    """A text in pieces, each of which is made when it is asked for."""

    written: str
    tokens: list[str] = field(init=False)
    plain_tokens: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.tokens = self.written.split()
        self.plain_tokens = [normalise(token) for token in self.tokens]

    def spellings(self, words: str) -> Iterator[str]:
        """Yield the stretches of the text that are a term's canonical words."""
        wanted = words.split(" ")
        length = len(wanted)
        for start, first in enumerate(self.plain_tokens):
            if first == wanted[0] and self.plain_tokens[start : start + length] == wanted:
                yield self._stretch(start, length)
        count = len(self.tokens)
        for size in range(1, min(length + _WORDS_MORE, count) + 1):
            for start in range(count - size + 1):
                if self.plain_tokens[start : start + size] == wanted:
                    continue
                spelling = self._stretch(start, size)
                if canonical(spelling) == words:
                    yield spelling

    def _stretch(self, start: int, size: int) -> str:
        return " ".join(self.tokens[start : start + size]).strip(_MARKS)


class TermMatcher:
    """Finds a formulary's terms in texts.

    Args:
        terms: each once in the canonical view; a form of two terms is the first one's, and a term's
            own spelling goes before another's inflection.
    """

    def __init__(self, terms: Iterable[FormularyTerm]) -> None:
        self._entries: dict[str, _Entry] = {}
        self._lengths: dict[str, tuple[int, ...]] = {}
        listed = list(terms)
        for term in listed:
            words = canonical(term.term)
            needs_capitals = term.is_capitals and words in ORDINARY_WORDS
            self._entries.setdefault(words, _Entry(term, words, needs_capitals=needs_capitals))
        for own in list(self._entries.values()):
            if own.needs_capitals:
                continue
            category, is_capitals = own.term.entity_category, own.term.is_capitals
            for form in inflections(own.words, category, is_capitals=is_capitals):
                self._entries.setdefault(form, _Entry(own.term, form, is_own_form=False))
        lengths: dict[str, set[int]] = {}
        for words in self._entries:
            lengths.setdefault(words.split(" ", 1)[0], set()).add(words.count(" ") + 1)
        self._lengths = {
            word: tuple(sorted(found, reverse=True)) for word, found in lengths.items()
        }

    def find(self, text: str) -> TextMatches:
        """Return the terms of a text, from left to right, of several at one word the longest."""
        plain = normalise(text)
        words = canonical(text, plain).split(" ")
        found = self._entries_in(words)
        if not found:
            return TextMatches(())
        pieces = _Text(text)
        matches: dict[FormularyTerm, TermMatch] = {}
        inflected: set[FormularyTerm] = set()
        joined: dict[FormularyTerm, None] = {}
        ordinary: dict[FormularyTerm, None] = {}
        is_all_capitals = text.isupper()
        for _, entry in found:
            if entry.needs_capitals and (
                is_all_capitals or entry.term.term not in _bare(pieces.tokens)
            ):
                ordinary[entry.term] = None
                continue
            spelling = self._spelling(entry, pieces, plain)
            if spelling is None:
                joined[entry.term] = None
            elif entry.term not in matches or (entry.is_own_form and entry.term in inflected):
                # "Warfarin" and "warfarin's" in one row are one term, by the form that is its own.
                matches[entry.term] = TermMatch(entry.term, spelling)
                (inflected.discard if entry.is_own_form else inflected.add)(entry.term)
        return TextMatches(tuple(matches.values()), tuple(joined), tuple(ordinary))

    def term_of(self, written: str) -> FormularyTerm | None:
        """Return the term that a person's own words are, in any form; None where they are none."""
        entry = self._entries.get(canonical(written))
        return None if entry is None else entry.term

    def words_between(self, words: Sequence[str]) -> list[Sequence[str]]:
        """Return the stretches of a canonical text that no term of it covers."""
        stretches: list[Sequence[str]] = []
        behind = 0
        for place, entry in self._entries_in(words):
            stretches.append(words[behind:place])
            behind = place + entry.words.count(" ") + 1
        stretches.append(words[behind:])
        return [stretch for stretch in stretches if stretch]

    def _entries_in(self, words: Sequence[str]) -> list[tuple[int, _Entry]]:
        """Return the longest term at each place; a term begins where the one before has ended."""
        found: list[tuple[int, _Entry]] = []
        place = 0
        while place < len(words):
            entry = self._entry_at(words, place)
            if entry is None:
                place += 1
            else:
                found.append((place, entry))
                place += entry.words.count(" ") + 1
        return found

    def _entry_at(self, words: Sequence[str], place: int) -> _Entry | None:
        for length in self._lengths.get(words[place], ()):
            entry = self._entries.get(" ".join(words[place : place + length]))
            if entry is None or entry.words.count(" ") + 1 != length:
                continue
            is_behind_prefix = place > 0 and words[place - 1] in REFUSED_PREFIXES
            if not is_behind_prefix or canonical_term(entry.words).is_prefixed:
                return entry
        return None

    def _spelling(self, entry: _Entry, pieces: _Text, plain: str) -> str | None:
        """Return the term's words in the text as the contract can score them; None where not."""
        for spelling in pieces.spellings(entry.words):
            if entry.needs_capitals and spelling != entry.term.term:
                continue
            if (bare := normalise(spelling)) and contains_words(plain, bare):
                return spelling
        return None


def _bare(tokens: Iterable[str]) -> set[str]:
    return {token.strip(_MARKS) for token in tokens}
