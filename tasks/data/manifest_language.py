"""The language of a manifest, by its ``lang`` fields or by its texts."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

import py3langid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasks.data.manifest import Utterance

_LANGUAGE_SAMPLE_CHARS = 50_000
_SHORTEST_LANGUAGE_SAMPLE = 200
# Frequent words of English, and of German, French, Spanish, Italian, Portuguese, Dutch, Swedish and
# Polish as far as English clinical text lacks them. Words with accents and of other alphabets count
# beside the latter.
_ENGLISH_WORDS = "the of and with was for she he her his which to is at on by"
_FOREIGN_WORDS = """
    der das und ist nicht mit ein eine wird bei von zu le les et est une du pour dans avec
    el los las un una y es por del il di che non della sono o os da uma com para
    het een van voor en de och att som av ett si jest w z
"""
_ENGLISH = frozenset(_ENGLISH_WORDS.split())
_FOREIGN = frozenset(_FOREIGN_WORDS.split())
_FOREIGN_SHARE = 0.05
_GREEK = frozenset("αβγδεζηθικλμνξοπρστυφχψω")


def manifest_language(utterances: Sequence[Utterance]) -> str | None:
    """Return the manifest's language (ISO 639-1), from its ``lang`` fields or its text.

    None where there is too little text to tell.
    """
    field_languages = {
        str(utterance.extra.get("lang") or utterance.extra.get("language") or "").lower()[:2]
        for utterance in utterances
    } - {""}
    if others := sorted(field_languages - {"en"}):
        return others[0]
    if field_languages:
        return "en"
    sample = " ".join(utterance.text for utterance in utterances)[:_LANGUAGE_SAMPLE_CHARS]
    # Signs and digits are of no language: µ, °, ½, a dash or a curly apostrophe.
    sample = unicodedata.normalize("NFKC", sample)
    words = [word for word in sample.lower().split() if any(map(str.isalpha, word))]
    if sum(map(len, words)) + len(words) < _SHORTEST_LANGUAGE_SAMPLE:
        return None
    guess = str(py3langid.classify(" ".join(words))[0])
    if guess == "en":
        return guess
    # Drug names and shorthand look like many a language: a guess needs evidence to be believed.
    english = sum(word in _ENGLISH for word in words)
    foreign = sum(word in _FOREIGN or _has_foreign_letters(word) for word in words)
    return guess if foreign > max(english, _FOREIGN_SHARE * len(words)) else "en"


def _has_foreign_letters(word: str) -> bool:
    """Return whether a word has accents or letters of another alphabet.

    One Greek letter alone is a sign in clinical text: "µg", "β-blocker", "TNF-α".
    """
    letters = [char for char in word if char.isalpha() and not char.isascii()]
    return len(letters) > 1 or any(char not in _GREEK for char in letters)
