"""Terms in the canonical view: whether a text holds a term in any of its spellings."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from tasks.data import spelling_tables as tables
from tasks.data.canonical import DIGITS, canonical, is_plain
from tasks.data.number_words import ORDINALS
from tasks.data.text_normalizer import normalise


@dataclass(frozen=True, slots=True)
class CanonicalTerm:
    """A term in the canonical view.

    Attributes:
        words: its canonical words between spaces; nothing where no word is left.
        plain: its words as the contract normalises them, between spaces.
        sources: of each of its words that no number or sign can make, the spellings it may come
            from. A text that lacks all spellings of one of them lacks the term.
        is_prefixed: whether the term itself begins with a prefix such as "non".
    """

    words: str
    plain: str
    sources: tuple[frozenset[str], ...]
    is_prefixed: bool

    def may_stand_in(self, plain: str) -> bool:
        """Return whether a normalised ASCII text could hold the term, by a fast test."""
        return all(any(source in plain for source in sources) for sources in self.sources)

    def stands_in(self, canonical_text: str) -> bool:
        """Return whether a canonical text holds the term, not as the rest of a prefixed word.

        "non-tender" and "non tender" are one text here; neither is the finding "tender".
        """
        text = f" {canonical_text} "
        place = text.find(self.words)
        while place >= 0:
            before = text[text.rfind(" ", 0, place) + 1 : place]
            if before not in REFUSED_PREFIXES or self.is_prefixed:
                return True
            place = text.find(self.words, place + 1)
        return False


REFUSED_PREFIXES = frozenset(tables.REFUSED_PREFIXES) - {"a", "an", "in", "im"}
"""Canonical words behind which no term begins.

"a", "in" and "I'm" are words as well; canonical() leaves them joined to what follows the hyphen.
"""


@lru_cache(maxsize=1 << 16)
def canonical_term(term: str) -> CanonicalTerm:
    """Return a term's canonical view, cached: an evaluation has few terms."""
    words = canonical(term)
    return CanonicalTerm(
        f" {words} " if words else "",
        f" {normalise(term)} ",
        tuple(
            _SOURCES.get(word, frozenset((word,)))
            for word in words.split()
            if word[0] not in DIGITS and word not in _MADE_BY_SIGNS
        ),
        words.split(" ", 1)[0] in REFUSED_PREFIXES,
    )


class SpokenText:
    """A text as it was written and normalised; its canonical view is made when it is asked for."""

    __slots__ = ("_canonical", "plain", "written")

    def __init__(self, written: str, plain: str | None = None) -> None:
        self.written = written
        self.plain = normalise(written) if plain is None else plain
        self._canonical: str | None = None

    @property
    def canonical(self) -> str:
        """The canonical text."""
        if self._canonical is None:
            self._canonical = canonical(self.written, self.plain)
        return self._canonical

    def words_for_lookup(self) -> set[str]:
        """Return words among which one spelling of each word of the canonical text must be."""
        if is_plain(self.written.replace("-", " ")):
            return set(self.plain.replace("-", " ").split())
        return set(self.canonical.split())

    def may_hold(self, term: CanonicalTerm) -> bool:
        """Return whether the term may be in this text, by a fast test that errs on the yes side."""
        return not self.written.isascii() or term.may_stand_in(self.plain)

    def holds(self, term: CanonicalTerm) -> bool:
        """Return whether the term is in this text to the letter, or in another spelling."""
        return self.holds_to_the_letter(term) or (
            bool(term.words) and self.may_hold(term) and term.stands_in(self.canonical)
        )

    def holds_to_the_letter(self, term: CanonicalTerm) -> bool:
        """Return whether the term is in this text as the contract has it."""
        return term.plain != "  " and term.plain in f" {self.plain} "


def contains_term(text: str, term: str) -> bool:
    """Return whether a text, as it was written, holds a term in any of its spellings."""
    return SpokenText(text).holds(canonical_term(term))


def find_spelling(text: str, term: str) -> str | None:
    """Return the words of a text that are a term in another spelling, without marks around them.

    None where they are parts of words, such as in "amlodipine/benazepril".
    """
    wanted, words = canonical(term), text.split()
    for length in range(1, len(words) + 1):
        for start in range(len(words) - length + 1):
            spelling = " ".join(words[start : start + length]).strip(".,;:!?()\"'")
            if canonical(spelling) == wanted:
                return spelling
    return None


def _spellings_by_word() -> dict[str, frozenset[str]]:
    """Return, for each word that a table makes, the spellings it may come from."""
    tables_of_words = (tables.WORDS, tables.UNITS_BEHIND_NUMBERS)
    spellings: dict[str, set[str]] = {}
    for table in tables_of_words:
        for spelling, words in table.items():
            for word in words:
                spellings.setdefault(word, {word}).add(spelling)
    for spelling, word in tables.NAMES_THAT_ARE_WORDS.items():
        spellings.setdefault(word, {word}).add(spelling)
    return {word: frozenset(found) for word, found in spellings.items()}


_SOURCES = _spellings_by_word()
# Signs, digits with "st", "mmHg" and the like make these too, so that no spelling rules them out.
_MADE_BY_SIGNS = frozenset(
    (
        *tables.words(
            "over minus per plus to and with without percent degree dollar dollars pound"
        ),
        *tables.words("pound pounds euro euros of mercury millimeter celsius fahrenheit"),
        *tables.words("less greater than or equal"),
        *ORDINALS,
        *tables.ORDINAL_TENS,
    )
)
