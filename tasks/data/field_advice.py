"""The fix for a field's value: made from the value, so that who follows it is done."""

from __future__ import annotations

import json
import math
import re

from tasks.data.vocabularies import PANDAS_ADVICE, is_empty_value


def advise_value(name: str, value: object) -> str:
    """Return the fix for a field's value that is not text."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"write null {PANDAS_ADVICE}"
    if isinstance(value, list | dict):
        return f"write one {name} as text, or null"
    return f"write it as {json.dumps(str(value))}"


def advise_term(term: str, *, listed: bool = False) -> str:
    """Return the fix for a term that does not stand in its row's text.

    Args:
        term: as it was written.
        listed: whether it is one of a list.
    """
    if listed:
        return "write the term as it stands in the text, correct the text, or delete its item"
    if is_empty_value(term):
        return f'write null, not "{term}" {PANDAS_ADVICE}'
    if (items := re.findall(r"'([^']+)'|\"([^\"]+)\"", term)) and term[:1] in "[(":
        first = next(filter(None, items[0]))
        return f'the term is a list that was written as text; write one term, such as "{first}"'
    return "write the term as it stands in the text, correct the text, or write null"


def advise_duration(value: object) -> str:
    """Return the fix for a duration that is no positive number."""
    if isinstance(value, str):
        try:
            seconds = float(value)
        except ValueError:
            seconds = 0.0
        if math.isfinite(seconds) and seconds > 0:
            return f"write {seconds:g} without quotation marks, or null"
    return "write null: it is then filled from the audio"
