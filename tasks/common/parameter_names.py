"""What a parameter is called by whoever set it: a field of a form, or an option of a command line.

Messages about parameters are made where they are checked, far from the command line. There a field
has its own name, as form and API have it. The command line puts its options in their place while it
runs (``spelled_as``).
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_OPTIONS: ContextVar[Mapping[str, str] | None] = ContextVar("_OPTIONS", default=None)
_MARK = re.compile(r"<([a-z_]+(?:\.[a-z_]+)*)>")


@contextmanager
def spelled_as(options: Mapping[str, str]) -> Iterator[None]:
    """Name parameters by these options, by their paths such as ``container.image``."""
    before = _OPTIONS.set(options)
    try:
        yield
    finally:
        _OPTIONS.reset(before)


@contextmanager
def renamed(options: Mapping[str, str]) -> Iterator[None]:
    """Name some parameters as one command does, such as a base that is typed as ``--model``."""
    with spelled_as({**(_OPTIONS.get() or {}), **options}):
        yield


def name_of(path: str) -> str:
    """Return how whoever set it writes a parameter: ``--image``, or ``container.image``."""
    return (_OPTIONS.get() or {}).get(path, path)


def shown(value: object) -> str:
    """Return a parameter's value as it is written: 0.3, and not 0.29999 or Path('x')."""
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, (tuple, list)):
        return ",".join(map(shown, value))
    return str(value)


def assignment(path: str, value: object) -> str:
    """Return a parameter with its value: ``--remedies 2``, ``--no-keep-tuned``, ``remedies 2``."""
    name = name_of(path)
    if not isinstance(value, bool) or name == path:
        return f"{name} {shown(value)}"
    return name if value else f"--no-{name.removeprefix('--')}"


def with_names(text: str) -> str:
    """Return a text whose parameters, written <path>, have their names."""
    return _MARK.sub(lambda found: name_of(found[1]), text)
