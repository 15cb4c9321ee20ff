"""The fix for what a base cannot spell: made from the characters, not from a template.

`<unk>` and `1.5 mg` are both outside a vocabulary, and only one of them is a number.
"""

from __future__ import annotations

import html
import re
import unicodedata
from typing import TYPE_CHECKING

from tasks.common.parameter_names import name_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_ENTITY = re.compile(r"&(?:#\d+|#x[0-9a-fA-F]+|[A-Za-z]+\d*);")
_ANGLE_TAG = re.compile(r"</?[A-Za-z][^<>]*>")
_BLANK = re.compile(r"_{2,}|\[\*\*.*?\*\*\]|\*{3,}|\bX{3,}\b")
_SPOKEN = {
    "%": "percent",
    "&": "and",
    "+": "plus",
    "=": "equals",
    "@": "at",
    "/": "per or slash",
    "<": "less than",
    ">": "greater than",
    "\u2264": "at most",
    "\u2265": "at least",
    "\u00b0": "degrees",
    "\u00b5": "micro",
    "\u03bc": "micro",
    "\u00d7": "times",
    "\u00b1": "plus or minus",
    "$": "dollars",
    "\u00a3": "pounds",
    "\u20ac": "euros",
    "#": "number",
    "\u00b2": "squared",
    "\u00b3": "cubed",
    "\u00bd": "one half",
    "\u00bc": "one quarter",
    "\u00be": "three quarters",
    "~": "about",
    "\u2192": "to",
    "\u2191": "increased",
    "\u2193": "decreased",
    "\u03b1": "alpha",
    "\u03b2": "beta",
    "\u03b3": "gamma",
}
_ENTITIES = {"\u00a0": "a space", "'": "'", '"': "nothing"}
# More letters of another alphabet than these are words, and no slips.
_FEW_LETTERS = 2
_SHOWN_LETTERS = 12
_FORMAT = ("Cf", "Cc", "Co", "Cn")


def advise_spelling(text: str, unknown_in: Callable[[str], list[str]], *, cased: bool) -> str:
    """Return the fix for the parts of a text that a base cannot spell.

    Args:
        text: as the user wrote it.
        unknown_in: lists the parts of a text that the base cannot spell, after restyling.
        cased: whether the base writes capitals.
    """
    # As the tokenizer sees it: an accent may be a character of its own in the file.
    rest = unicodedata.normalize("NFC", text)
    parts: list[str] = []
    for pattern, advise in (
        (_ENTITY, _advise_entity),
        (_ANGLE_TAG, _advise_tag),
        (_BLANK, _advise_blank),
    ):
        for found in dict.fromkeys(pattern.findall(rest)):
            if unknown_in(found):
                parts.append(advise(found))
                rest = rest.replace(found, " ")
    unknown = dict.fromkeys("".join(unknown_in(rest)))
    left = [char for char in dict.fromkeys(rest) if unknown.keys() & _forms(char)]
    # What restyling and the tokenizer made of a character that is not found by it.
    told = {form for char in left for form in _forms(char)}
    left += [char for char in unknown if char not in told]
    parts += dict.fromkeys(_advise_chars(left, cased=cased))
    return "; ".join(parts)


def _forms(char: str) -> set[str]:
    """Return a character and what a tokenizer may make of it before it looks it up."""
    return {char, *char.lower(), *unicodedata.normalize("NFKC", char)}


def _advise_entity(entity: str) -> str:
    char = html.unescape(entity)
    spoken = _SPOKEN.get(char) or _ENTITIES.get(char) or f"the word for {char!r}"
    return f'{entity} is an HTML entity: write "{spoken}" in its place, between spaces'


def _advise_tag(tag: str) -> str:
    return f"delete {tag}, which nobody says; where it stands for a word, write the word"


def _advise_blank(blank: str) -> str:
    return f"{blank} stands for what was left out: write what is said there, or remove the row"


def _advise_chars(chars: Sequence[str], *, cased: bool) -> Iterator[str]:
    """Yield the advice for single characters, those of one kind together."""
    if any(char.isdigit() and char.isascii() for char in chars):
        yield "write numbers as they are spoken (1.5 mg: one point five milligrams)"
    if capitals := [char for char in chars if char.isupper() and not cased]:
        yield f"write {''.join(capitals)} as small letters, or leave {name_of('keep_style')} out"
    foreign = [char for char in chars if _is_foreign(char)]
    if len(foreign) > _FEW_LETTERS:
        yield _advise_alphabet(foreign)
        chars = [char for char in chars if char not in foreign]
    for char in chars:
        if (char.isdigit() and char.isascii()) or (char.isupper() and not cased):
            continue
        yield _advise_char(char)


def _is_foreign(char: str) -> bool:
    """Return whether a letter is of another alphabet, with nothing Latin in it."""
    plain = unicodedata.normalize("NFKD", char)
    is_latin = "LATIN" in unicodedata.name(char, "") or any(map(str.isascii, plain))
    return char.isalpha() and char not in _SPOKEN and not is_latin


def _advise_alphabet(letters: Sequence[str]) -> str:
    """Return one advice for a text in another alphabet; single letters are slips of a keyboard."""
    scripts = dict.fromkeys(
        unicodedata.name(char, "?").split("-")[0].split()[0] for char in letters
    )
    named = " and ".join(name if name == "CJK" else name.capitalize() for name in scripts)
    shown = "".join(letters[:_SHOWN_LETTERS]) + ("…" if len(letters) > _SHOWN_LETTERS else "")
    return (
        f"{shown} are letters of another alphabet ({named}): write the words that are English or "
        "names of drugs in Latin letters; a row that is spoken in another language is to be "
        "removed, since the base does not write it"
    )


def _advise_char(char: str) -> str:
    if char in _SPOKEN:
        return f'write "{_SPOKEN[char]}" for {char}, as it is spoken'
    name = unicodedata.name(char, "")
    shown = f"{char!r} (U+{ord(char):04X}{f' {name}' if name else ''})"
    if unicodedata.category(char) in _FORMAT:
        return f"delete U+{ord(char):04X}{f' {name}' if name else ''}, which cannot be seen"
    plain = unicodedata.normalize("NFKD", char)
    if (base := "".join(one for one in plain if one.isascii() and one.isprintable())) and (
        base != char
    ):
        advice = "in words" if base.isdigit() else f"as {base!r}"
        return f"write {shown} {advice}"
    if char.isalpha() and "LATIN" not in name:
        return f"{shown} is a letter of another alphabet: write the Latin letter, or the word"
    if char == "_":
        return "write a space for _"
    return f"write what is said for {shown}, or delete it"
