"""Numbers in words, as the canonical and the strict view read them: "two hundred and fifty"."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
    " sixteen seventeen eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
ONES = {word: place for place, word in enumerate(_ONES.split())}
TENS = {word: 10 * place for place, word in enumerate(_TENS.split(), start=2)}
SMALL = ONES | TENS
"""Every word of a number under a hundred."""
LARGE = {"hundred": 100, "thousand": 1000, "million": 1_000_000, "billion": 1_000_000_000}
_ORDINALS = (
    "zeroth first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth"
    " thirteenth fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth"
)
ORDINALS = tuple(_ORDINALS.split())
"""By their number."""
TEN, TWENTY, HUNDRED = 10, 20, 100


def parse_cardinal(
    words: Sequence[str],
    start: int,
    joins: Callable[[int, int, int], bool],
    small: Mapping[str, int] = SMALL,
) -> tuple[int, int]:
    """Parse a cardinal that begins with a small number.

    Args:
        words: in small letters.
        start: the place of the small number.
        joins: whether the "and" at a place goes on with the number, given that place, the group
            since the last "thousand", and what stands before that group.
        small: the words of small numbers.

    Returns:
        The number and the place after it.
    """
    total, group, place = 0, small[words[start]], start + 1
    while place < len(words):
        word = words[place]
        if word in small and _goes_on(group, small[word]):
            group += small[word]
        elif word == "hundred" and 0 < group < HUNDRED:
            group *= HUNDRED
        elif word in LARGE and word != "hundred" and group:
            total, group = total + group * LARGE[word], 0
        elif word != "and" or not joins(place, group, total):
            break
        place += 1
    return total + group, place


def _goes_on(group: int, value: int) -> bool:
    """Return whether "five" may follow "twenty" or "hundred", but not "four" or "ten"."""
    if group % HUNDRED == 0:
        return value != 0
    return group % HUNDRED >= TWENTY and group % TEN == 0 and 0 < value < TEN
