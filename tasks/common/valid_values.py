"""What a parameter takes, in words and from its type: for errors that say what to write instead."""

from __future__ import annotations

import difflib
import inspect
import math
import re
import types
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from tasks.common.parameter_names import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_COMMA = re.compile(r"([+-]?\d+),(\d+)")
_BOOLS = ("true", "false")


@dataclass(frozen=True, slots=True)
class ValidValues:
    """The values that a parameter takes.

    Attributes:
        choices: words that it takes.
        number: int or float, if it takes numbers.
        least: the smallest number; None for no bound.
        above: the number that it must be above; None for no bound.
        most: the largest number.
        below: the number that it must be below.
        example: a value that it takes; None where none is known.
    """

    choices: tuple[str, ...] = ()
    number: type[int | float] | None = None
    least: float | None = None
    above: float | None = None
    most: float | None = None
    below: float | None = None
    example: object = None

    def __str__(self) -> str:
        if self.number is not None:
            return _join([*self.choices, self._number_in_words()])
        if self.choices:
            return _join(self.choices)
        return "" if self.example is None else f"one such as {shown(self.example)}"

    def accepts(self, value: object) -> bool:
        """Return whether a value is one of its choices or numbers."""
        return shown(value) in self.choices or self.takes_number(value)

    def takes_number(self, value: object) -> bool:
        """Return whether a value is one of its numbers."""
        if self.number is None or isinstance(value, bool):
            return False
        try:
            number = float(str(value))
        except ValueError:
            return False
        return (
            math.isfinite(number)
            and (self.number is float or number.is_integer())
            and (self.least is None or number >= self.least)
            and (self.above is None or number > self.above)
            and (self.most is None or number <= self.most)
            and (self.below is None or number < self.below)
        )

    def fault(self, value: object) -> str | None:
        """Return what is wrong with a value, a predicate; None if that is not known."""
        if self.number is None and not self.choices:
            return None
        if not shown(value).strip():
            return "is empty"
        if self.number is None:
            return "is none of its values"
        return self._fault_of_number(str(value))

    def fix(self, value: object) -> str:
        """Return what to write in the place of a value, a clause that begins with a verb."""
        text = shown(value)
        if (comma := _COMMA.fullmatch(text)) and self.accepts(point := ".".join(comma.groups())):
            return f"write {point}, with a point; it takes {self}"
        near = difflib.get_close_matches(text.casefold(), self.choices, n=1)
        if near:
            others = tuple(choice for choice in self.choices if choice != near[0])
            rest = str(replace(self, choices=others, example=None))
            return f"write {near[0]}, or else {rest}" if rest else f"write {near[0]}"
        return f"write {self}" if str(self) else "see what --help says of it"

    def _fault_of_number(self, text: str) -> str:
        kind = "number" if self.number is float else "whole number"
        try:
            number = float(text)
        except ValueError:
            if not self.choices:
                return f"is no {kind}"
            return f"is neither {' nor '.join((*self.choices, f'a {kind}'))}"
        if not math.isfinite(number):
            return "is no finite number"
        if self.number is int and not number.is_integer():
            return "is no whole number"
        return "is out of range"

    def _number_in_words(self) -> str:
        kind = "a number" if self.number is float else "a whole number"
        if self.least is not None and self.most is not None:
            bounds = f" from {_plain(self.least)} to {_plain(self.most)}"
        else:
            words = (
                ("from", self.least, " on"),
                ("above", self.above, ""),
                ("up to", self.most, ""),
                ("below", self.below, ""),
            )
            told = [f"{word} {_plain(end)}{on}" for word, end, on in words if end is not None]
            bounds = " " + " and ".join(told) if told else ""
        example = f", such as {shown(self.example)}" if self.takes_number(self.example) else ""
        return f"{kind}{bounds}{example}"


def valid_values(
    annotation: Any,  # noqa: ANN401 - any type
    bounds: Iterable[Any] = (),
    examples: Sequence[object] = (),
) -> ValidValues:
    """Return what a parameter of this type takes.

    Args:
        annotation: its type; of a tuple or list, that of its members counts.
        bounds: objects with the attributes ge, gt, le and lt, as pydantic's metadata.
        examples: values that may be shown; the first that fits is.
    """
    found = ValidValues()
    for kind, nearer in _alternatives(annotation):
        found = _with_kind(found, kind, (*bounds, *nearer))
    words = [_worded(one) for one in examples if isinstance(one, (str, int, float, PurePath))]
    if found.number is not None:
        words = [one for one in words if found.takes_number(one)]
    elif found.choices:
        words = [one for one in words if one in found.choices]
    return replace(found, example=next((one for one in words if one != ""), None))


def _with_kind(found: ValidValues, kind: Any, bounds: Iterable[Any]) -> ValidValues:  # noqa: ANN401 - any type
    if get_origin(kind) is Literal:
        return replace(found, choices=(*found.choices, *map(str, get_args(kind))))
    if kind is bool:
        return replace(found, choices=(*found.choices, *_BOOLS))
    if inspect.isclass(kind) and issubclass(kind, Enum):
        return replace(found, choices=(*found.choices, *(str(one.value) for one in kind)))
    if kind not in {int, float}:
        return found
    ends = {"ge": "least", "gt": "above", "le": "most", "lt": "below"}
    named = {
        ours: getattr(bound, theirs)
        for bound in bounds
        for theirs, ours in ends.items()
        if getattr(bound, theirs, None) is not None
    }
    return replace(found, number=kind, **named)


def _alternatives(annotation: Any) -> Iterator[tuple[Any, tuple[Any, ...]]]:  # noqa: ANN401 - any type
    """Yield the members of a union, each with its bounds; of a sequence those of its members."""
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *metadata = get_args(annotation)
        nearer = [end for one in metadata for end in getattr(one, "metadata", (one,))]
        for kind, more in _alternatives(inner):
            yield kind, (*nearer, *more)
    elif origin in {Union, types.UnionType}:
        for member in get_args(annotation):
            yield from _alternatives(member)
    elif origin in {tuple, list}:
        yield from _alternatives(get_args(annotation)[0])
    elif annotation is not types.NoneType:
        yield annotation, ()


def _worded(value: str | float | PurePath) -> str | float:
    if isinstance(value, Enum):
        return str(value.value)
    return str(value) if isinstance(value, PurePath) else value


def _plain(end: float) -> str:
    return str(int(end)) if float(end).is_integer() else f"{end:g}"


def _join(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} or {parts[-1]}"
