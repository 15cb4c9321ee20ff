"""The phrases of a boosting list: read from a formulary, written as the base writes.

A formulary is a text file with a phrase on each line. Nothing of it is dropped in silence: each
line that is no phrase of the list has a note that says why.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.common.counted import counted
from tasks.common.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from tasks.models.text_style import WritingStyle

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class PhraseLine:
    """A phrase as somebody wrote it.

    Attributes:
        text: without the spaces around it.
        line: its number in the file, from 1; 0 where it came from no file.
    """

    text: str
    line: int = 0

    @property
    def place(self) -> str:
        """The phrase with its line, for a note."""
        return f"{self.text!r} (line {self.line})" if self.line else repr(self.text)


@dataclass(frozen=True, slots=True)
class PhraseList:
    """A list of phrases, as the base writes them.

    Attributes:
        phrases: each once, in the order of the list.
        rewritten: as written, and as the base writes it, where these differ.
        duplicates: phrases that stood in the list before.
        unspellable: phrases with a part that the base cannot spell, and that part.
        comments: lines that are comments.
        empty: lines without a phrase.
    """

    phrases: tuple[str, ...]
    rewritten: tuple[tuple[PhraseLine, str], ...] = ()
    duplicates: tuple[PhraseLine, ...] = ()
    unspellable: tuple[tuple[PhraseLine, str], ...] = ()
    comments: int = 0
    empty: int = 0

    def notes(self) -> list[str]:
        """Return what became of the lines that are not phrases as they stand."""
        notes = []
        if self.unspellable:
            shown = [f"{one.place}: {part}" for one, part in self.unspellable]
            notes.append(f"{_count(shown, 'phrase')} left out, the base cannot spell {_few(shown)}")
        if self.duplicates:
            shown = [one.place for one in self.duplicates]
            notes.append(f"{_count(shown, 'phrase')} stood in the list before: {_few(shown)}")
        if self.rewritten:
            shown = [f"{one.place} as {text!r}" for one, text in self.rewritten]
            notes.append(f"{_count(shown, 'phrase')} written as the base writes: {_few(shown)}")
        if self.empty or self.comments:
            notes.append(
                f"{counted(self.empty, 'empty line')} and {self.comments} comments passed over"
            )
        return notes

    def as_dict(self) -> dict[str, object]:
        """Return the list's account as boost.json holds it; the phrases are in phrases.txt."""
        return {
            "phrases": len(self.phrases),
            "rewritten": [[one.text, text] for one, text in self.rewritten],
            "duplicates": [one.text for one in self.duplicates],
            "unspellable": [[one.text, part] for one, part in self.unspellable],
            "comments": self.comments,
            "empty": self.empty,
        }


def _count(shown: Sequence[str], name: str) -> str:
    return f"{len(shown)} {name}{'' if len(shown) == 1 else 's'}"


def _few(shown: Sequence[str]) -> str:
    more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    return ", ".join(shown[:_SHOWN]) + more


def read_formulary(path: Path) -> tuple[list[PhraseLine], int, int]:
    """Read a formulary: a phrase on each line, comments after ``#``.

    A byte-order mark is no part of the first phrase. UTF-16, which some programs call Unicode, is
    read where its mark says so.

    Returns:
        The phrases, the number of comment lines, and the number of empty lines.

    Raises:
        InputError: it cannot be read, is not UTF-8, or holds no phrase.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error}). Fix: name a text file.") from error
    encoding = "utf-16" if content[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as wrong:
        line = content[: wrong.start].count(b"\n") + 1
        raise InputError(
            f"{path}: line {line}: byte {content[wrong.start]:#04x} is not UTF-8. "
            "Fix: save the list as UTF-8."
        ) from wrong
    phrases: list[PhraseLine] = []
    comments = empty = 0
    for number, raw in enumerate(text.splitlines(), start=1):
        phrase = " ".join(raw.split("#", 1)[0].split())
        if phrase:
            phrases.append(PhraseLine(phrase, number))
        elif raw.strip():
            comments += 1
        else:
            empty += 1
    if not phrases:
        raise InputError(f"{path}: holds no phrase. Fix: write a phrase on each line.")
    return phrases, comments, empty


def phrase_list(
    lines: Iterable[PhraseLine], style: WritingStyle, *, comments: int = 0, empty: int = 0
) -> PhraseList:
    """Return phrases as the base writes them.

    Args:
        lines: the phrases as somebody wrote them.
        style: how the base writes.
        comments: lines of the file that are comments.
        empty: lines of the file without a phrase.
    """
    phrases: dict[str, None] = {}
    rewritten, duplicates, unspellable = [], [], []
    for line in lines:
        text = style.rewrite(line.text)
        if unknown := style.unknown_in(text):
            unspellable.append((line, ", ".join(unknown)))
        elif not text:
            unspellable.append((line, "any of it"))
        elif text in phrases:
            duplicates.append(line)
        else:
            phrases[text] = None
            if text != line.text:
                rewritten.append((line, text))
    return PhraseList(
        tuple(phrases), tuple(rewritten), tuple(duplicates), tuple(unspellable), comments, empty
    )
