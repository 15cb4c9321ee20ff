"""Find where a row's training text differs from what is scored, and characters that nobody sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.common.format_characters import list_format_characters
from tasks.data import findings
from tasks.data.text_normalizer import normalise

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tasks.data.findings import ManifestFinding
    from tasks.data.manifest import Utterance
    from tasks.models.text_style import WritingStyle


def check(
    utterance: Utterance, training_text: str, style: WritingStyle | None
) -> Iterable[ManifestFinding]:
    """Yield what is worth a warning in a row's spelling.

    Args:
        utterance: the row.
        training_text: its text as the base is trained on it.
        style: how the base writes; None where nothing is trained.
    """
    terms = [("term", item.term) for item in utterance.flagged]
    for name, value in (("text", utterance.text), *terms):
        if characters := list_format_characters(value):
            yield findings.warning(
                f"{name}-format-characters",
                utterance.row,
                value,
                f"the {name} holds invisible format characters ({', '.join(characters)}), which "
                "are dropped",
                f"delete them from the {name}",
            )
    # What the base cannot spell at all is an error of its own.
    if style is None or not training_text or style.unknown_in(training_text):
        return
    taught, scored = normalise(style.read_back(training_text)), normalise(utterance.text)
    if taught != scored:
        yield findings.warning(
            "taught-otherwise",
            utterance.row,
            utterance.text,
            f"the base is taught {_difference(taught, scored)!r}, and is scored on "
            f"{_difference(scored, taught)!r}: what it writes counts as an error",
            f"write text and term as the base does: {style.read_back(training_text)!r}",
        )


def _difference(text: str, other: str) -> str:
    """Return the words of a text from the first to the last that differ, one more on each side."""
    words, others = text.split(), other.split()
    shortest = min(len(words), len(others))
    start = next((n for n in range(shortest) if words[n] != others[n]), shortest)
    end = next(
        (n for n in range(shortest - start) if words[-1 - n] != others[-1 - n]), shortest - start
    )
    return " ".join(words[max(0, start - 1) : len(words) - end + 1])
