"""The strict view: whether two texts say the same of doses, routes, sides and negations.

It errs on the safe side. What tasks/evaluation/clinical_values.py cannot read agrees with its own
spelling alone. Two texts that differ are compared by kind: the items of a kind must be the same, in
the same order. Negations, sides, signs and opposites must also stand at the same words, and doses
where there are two or more: "no fever but cough" is not "fever but no cough". A word that differs
by a prefix such as a- or hypo- is another word.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING

from rapidfuzz.distance import Levenshtein

from tasks.evaluation.clinical_values import read
from tasks.evaluation.prefixed_words import turned_words
from tasks.evaluation.strict_table import ValueKind
from tasks.evaluation.value_items import StrictFault

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence

    from tasks.evaluation.clinical_values import Reading
    from tasks.evaluation.value_items import Item

_POWERS_OF_TEN = frozenset(10**power for power in range(1, 7))
_SHORTEST_ANCHOR = 3
_FUNCTION_WORDS = frozenset(
    (
        "the", "and", "but", "for", "with", "has", "had", "have", "was",
        "were", "are", "his", "her", "this", "that", "from", "then", "also",
        "been", "will", "she", "him", "you", "out", "per", "any", "all",
        "its", "our", "they", "them",
    )
)  # fmt: skip
_ANCHORED = (ValueKind.NEGATION, ValueKind.SIDE, ValueKind.SIGN, ValueKind.OPPOSITE)


@dataclass(frozen=True, slots=True)
class StrictView:
    """Two texts' critical items.

    Attributes:
        kinds: the kinds that either of them holds.
        wrong: the kinds in which they differ.
        faults: what is named of the difference.
        unread: what stands in either text and could not be read, in its spelling.
    """

    kinds: frozenset[ValueKind]
    wrong: frozenset[ValueKind]
    faults: frozenset[StrictFault] = field(default=frozenset())
    unread: tuple[str, ...] = ()


_NOTHING = StrictView(frozenset(), frozenset())


@cache
def _all_right(kinds: frozenset[ValueKind]) -> StrictView:
    """Return the view of two texts that hold items of these kinds, none of them wrong."""
    return StrictView(kinds, frozenset())


def compare(ref: str, hyp: str) -> StrictView:
    """Compare the critical items of two texts as they were written."""
    ref_reading = read(ref)
    if ref == hyp:
        return _all_right(_kinds(ref_reading.items))
    hyp_reading = read(hyp)
    ref_items, hyp_items = ref_reading.items, hyp_reading.items
    if ref_reading.words == hyp_reading.words:
        turned: dict[ValueKind, StrictFault | None] = {}
        abbreviations: tuple[str, ...] = ()
    else:
        turned, abbreviations = turned_words(ref_reading, hyp_reading)
        if not (ref_items or hyp_items or turned):
            return _NOTHING
    # The road of most rows: some words were misheard, and none that matters.
    if not turned and ref_items == hyp_items:
        kinds = _kinds(ref_items)
        stand_still = (
            ref_reading.words == hyp_reading.words and ref_reading.places == hyp_reading.places
        )
        if stand_still or not _moved(ref_reading, hyp_reading, kinds):
            return _all_right(kinds)
    return _different_view(ref_reading, hyp_reading, turned, abbreviations)


def _kinds(items: Sequence[Item]) -> frozenset[ValueKind]:
    return frozenset([item.kind for item in items])


def _different_view(
    ref: Reading,
    hyp: Reading,
    turned: Mapping[ValueKind, StrictFault | None],
    abbreviations: tuple[str, ...],
) -> StrictView:
    """Compare two texts' items kind by kind, and name what is known of the difference."""
    wrong = set(turned)
    kinds = wrong | _kinds(ref.items) | _kinds(hyp.items)
    if ref.items != hyp.items:
        wrong.update(_different(ref.items, hyp.items))
    wrong.update(_moved(ref, hyp, kinds - wrong))
    if not wrong:
        return _all_right(frozenset(kinds))
    named = {fault for fault in turned.values() if fault is not None}
    if ValueKind.NUMBER in wrong:
        named.update(_number_faults(ref.items, hyp.items))
    if ValueKind.NEGATION in wrong:
        named.update(_negation_faults(ref.items, hyp.items))
    unread = (
        *(item.text for item in (*ref.items, *hyp.items) if item.kind is ValueKind.UNREAD),
        *abbreviations,
    )
    return StrictView(
        frozenset(kinds),
        frozenset(wrong),
        frozenset(named),
        unread if ValueKind.UNREAD in wrong else (),
    )


def _by_kind(items: Sequence[Item]) -> dict[ValueKind, list[Hashable]]:
    keys: dict[ValueKind, list[Hashable]] = {}
    for item in items:
        keys.setdefault(item.kind, []).append(item.key)
    return keys


def _different(ref_items: Sequence[Item], hyp_items: Sequence[Item]) -> Iterator[ValueKind]:
    """Yield the kinds of which the texts have other items, or in another order."""
    ref_keys, hyp_keys = _by_kind(ref_items), _by_kind(hyp_items)
    for kind in ref_keys.keys() | hyp_keys.keys():
        said, written = ref_keys.get(kind, []), hyp_keys.get(kind, [])
        if said != written and (kind is not ValueKind.NAME or _is_swapped(said, written)):
            yield kind


def _keys(kind: ValueKind, items: Sequence[Item]) -> list[Hashable]:
    return [item.key for item in items if item.kind is kind]


def _is_swapped(ref_names: list[Hashable], hyp_names: list[Hashable]) -> bool:
    """Return whether a name of the table stands for another.

    A name that is merely lost is a missed word, which KER counts.
    """
    lost = [name for name in ref_names if ref_names.count(name) > hyp_names.count(name)]
    added = [name for name in hyp_names if hyp_names.count(name) > ref_names.count(name)]
    return bool(lost and added) or (not lost and not added and ref_names != hyp_names)


# Items that stand at other words


def _moved(ref: Reading, hyp: Reading, kinds: Collection[ValueKind]) -> list[ValueKind]:
    """Return the kinds whose items are the same, but stand at other words."""
    anchored = [kind for kind in _ANCHORED if kind in kinds]
    if ValueKind.NUMBER in kinds:
        numbers = _keys(ValueKind.NUMBER, ref.items)
        if numbers.count(numbers[0]) < len(numbers):
            anchored.append(ValueKind.NUMBER)
    if not anchored:
        return []
    followed = _followed(ref, anchored, ref.words)
    if followed is not None and followed == _followed(hyp, anchored, ref.words):
        return []
    ref_words, hyp_words = _anchors(ref.words), _anchors(hyp.words)
    ref_shared: set[int] = set()
    hyp_shared: set[int] = set()
    for step in Levenshtein.opcodes(ref_words, hyp_words):
        if step.tag == "equal":
            ref_shared.update(range(step.src_start, step.src_end))
            hyp_shared.update(range(step.dest_start, step.dest_end))
    ref_placed, hyp_placed = _PlacedItems(ref, ref_shared), _PlacedItems(hyp, hyp_shared)
    return [kind for kind in anchored if ref_placed.of(kind) != hyp_placed.of(kind)]


def _followed(
    reading: Reading, kinds: Collection[ValueKind], words: tuple[str, ...]
) -> list[str] | None:
    """Return the word after each item of these kinds, if it stands in the words but once.

    None where it does not, and where an item or nothing follows.
    """
    items, places = reading.items, reading.places
    last = len(items) - 1
    followed: list[str] = []
    for number, item in enumerate(items):
        if item.kind in kinds:
            place = places[number]
            if place == len(reading.words) or (number < last and places[number + 1] == place):
                return None
            after = reading.words[place]
            if words.count(after) != 1:
                return None
            followed.append(after)
    return followed


def _anchors(words: Sequence[str]) -> list[str]:
    return [word for word in words if len(word) >= _SHORTEST_ANCHOR and word not in _FUNCTION_WORDS]


class _PlacedItems:
    """The items of a text between the words that both texts share.

    Args:
        reading: the text.
        shared: the places of these words among its anchors.
    """

    def __init__(self, reading: Reading, shared: Collection[int]) -> None:
        self._reading = reading
        self._shared: list[str] = []
        self._before = [0]
        anchor = 0
        for word in reading.words:
            if len(word) >= _SHORTEST_ANCHOR and word not in _FUNCTION_WORDS:
                if anchor in shared:
                    self._shared.append(word)
                anchor += 1
            self._before.append(len(self._shared))

    def of(self, kind: ValueKind) -> list[Hashable]:
        """Return the items of a kind, with the shared words before, between and after them."""
        placed: list[Hashable] = []
        start = 0
        for item, place in zip(self._reading.items, self._reading.places, strict=True):
            if item.kind is kind:
                end = self._before[place]
                placed += self._shared[start:end]
                placed.append(item.key)
                start = end
        return placed + self._shared[start:]


# Faults with a name


def _number_faults(ref_items: Sequence[Item], hyp_items: Sequence[Item]) -> Iterator[StrictFault]:
    ref_numbers = [item for item in ref_items if item.kind is ValueKind.NUMBER]
    hyp_numbers = [item for item in hyp_items if item.kind is ValueKind.NUMBER]
    steps = Levenshtein.opcodes(
        [item.text for item in ref_numbers], [item.text for item in hyp_numbers]
    )
    for step in steps:
        if step.tag == "replace":
            for said, written in zip(
                ref_numbers[step.src_start : step.src_end],
                hyp_numbers[step.dest_start : step.dest_end],
                strict=False,
            ):
                fault = _number_fault(said, written)
                if fault is not None:
                    yield fault


def _number_fault(said: Item, written: Item) -> StrictFault | None:
    if not said.value or not written.value:
        return None
    if said.value == written.value:
        return StrictFault.UNIT if said.unit and written.unit else None
    if (
        said.unit
        and written.unit
        and isinstance(said.key, tuple)
        and isinstance(written.key, tuple)
    ):
        *said_unit, said_amount, _ = said.key
        *written_unit, written_amount, _ = written.key
        if said_unit != written_unit:
            return None
        said_amount, written_amount = Fraction(said_amount), Fraction(written_amount)
    else:
        said_amount, written_amount = said.value, written.value
    ratio = max(said_amount / written_amount, written_amount / said_amount)
    return StrictFault.TENFOLD if ratio in _POWERS_OF_TEN else None


def _negation_faults(ref_items: Sequence[Item], hyp_items: Sequence[Item]) -> Iterator[StrictFault]:
    ref_keys, hyp_keys = (_keys(ValueKind.NEGATION, items) for items in (ref_items, hyp_items))
    lost = [key for key in ref_keys if ref_keys.count(key) > hyp_keys.count(key)]
    added = [key for key in hyp_keys if hyp_keys.count(key) > ref_keys.count(key)]
    if lost and len(ref_keys) > len(hyp_keys):
        yield StrictFault.NEGATION
    elif added and len(hyp_keys) > len(ref_keys):
        yield StrictFault.ADDED_NEGATION
