"""The words of a transcript as a model would write them, and the places where it is never cut."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.data.text_normalizer import normalise
from tasks.data.transcript_tags import find_tags

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tasks.models.text_style import WritingStyle

_MARKS = ".,;:!?()[]{}\"'“”‘’"


@dataclass(frozen=True, slots=True)
class TranscriptWord:
    """One word of a transcript, or a tag, which nobody says.

    Attributes:
        written: as the transcript has it.
        spoken: as the model would write it; "" for a tag and for what it cannot spell.
        is_tag: whether an annotator wrote it.
    """

    written: str
    spoken: str
    is_tag: bool = False

    @property
    def unspelt(self) -> bool:
        """Whether it is said, and the model cannot spell it."""
        return not self.spoken and not self.is_tag and any(map(str.isalnum, self.written))


def read_words(text: str, style: WritingStyle) -> list[TranscriptWord]:
    """Return the words of a transcript in its order; what stands in a tag is one word.

    Args:
        text: the transcript.
        style: how the model writes.
    """
    words: list[TranscriptWord] = []
    rest = text
    for tag in [*find_tags(text), None]:
        before, _, rest = rest.partition(tag) if tag is not None else (rest, "", "")
        for written in before.split():
            spoken = style.rewrite(written)
            unknown = bool(spoken) and bool(style.unknown_in(spoken))
            words.append(TranscriptWord(written, "" if unknown else spoken))
        if tag is not None:
            words.append(TranscriptWord(" ".join(tag.split()), "", is_tag=True))
    return words


def protect(words: Sequence[TranscriptWord], terms: Iterable[str]) -> list[bool]:
    """Return of each place between two words whether the transcript must not be cut there.

    Terms stay whole; so does a number with what follows it, such as "2.5 mg"; and a word that the
    model cannot spell, whose place nobody knows, stays with its neighbours.

    Args:
        words: of the transcript.
        terms: as they stand there.

    Returns:
        One entry less than there are words.
    """
    plain = [normalise(word.written) for word in words]
    kept = [False] * max(0, len(words) - 1)
    by_first: dict[str, list[list[str]]] = {}
    for term in terms:
        if parts := normalise(term).split():
            by_first.setdefault(parts[0], []).append(parts)
    # Of several plain words in one written word, such as "x-ray", each is a word of its own.
    flat = [(place, part) for place, word in enumerate(plain) for part in word.split()]
    for start, (place, part) in enumerate(flat):
        for parts in by_first.get(part, ()):
            stretch = flat[start : start + len(parts)]
            if [one for _, one in stretch] == parts:
                for between in range(place, stretch[-1][0]):
                    kept[between] = True
    for place, word in enumerate(words):
        is_number = bool(re.fullmatch(r"[\d.,/-]*\d", word.written.strip(_MARKS)))
        if (is_number or word.unspelt) and place < len(kept):
            kept[place] = True
        if word.unspelt and place:
            kept[place - 1] = True
    return kept
