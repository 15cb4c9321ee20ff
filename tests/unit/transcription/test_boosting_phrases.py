"""Phrases of a boosting list: every line of a formulary is taken, or told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tasks.common.errors import InputError
from tasks.models.text_style import WritingStyle
from tasks.transcription.boosting_phrases import PhraseLine, phrase_list, read_formulary

if TYPE_CHECKING:
    from pathlib import Path

_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz ")
LOWER = WritingStyle(False, False, lambda text: sorted({c for c in text if c not in _LETTERS}))


def test_every_line_is_taken_or_told(tmp_path: Path) -> None:
    """Byte-order mark, comments, empty lines, casing, duplicates, what cannot be spelled."""
    path = tmp_path / "formulary.txt"
    path.write_bytes(
        "\ufeff# Ours\r\nMetformin\r\n\r\nmetformin\r\n  heart   failure # a note\r\nß-blocker\r\n"
        "Warfarin\r\n".encode()
    )
    lines, comments, empty = read_formulary(path)
    assert [one.line for one in lines] == [2, 4, 5, 6, 7]
    made = phrase_list(lines, LOWER, comments=comments, empty=empty)
    assert made.phrases == ("metformin", "heart failure", "warfarin")
    assert [one.text for one, _ in made.rewritten] == ["Metformin", "Warfarin"]
    assert [one.line for one in made.duplicates] == [4]
    assert [(one.text, part) for one, part in made.unspellable] == [("ß-blocker", "ß")]
    assert (made.comments, made.empty) == (1, 1)
    assert len(lines) == len(made.phrases) + len(made.duplicates) + len(made.unspellable)
    told = " ".join(made.notes())
    for wanted in ("'ß-blocker' (line 6): ß", "'metformin' (line 4)", "1 empty", "1 comments"):
        assert wanted in told


def test_thousands_of_phrases_keep_their_order() -> None:
    """A list of 5,000 loses none, and its notes stay short."""
    names = [
        "".join(chr(97 + number // 26**place % 26) for place in range(4)) for number in range(5000)
    ]
    made = phrase_list((PhraseLine(name.upper(), 1) for name in names), LOWER)
    assert made.phrases == tuple(names)
    assert len(made.notes()) == 1
    assert "and 4995 more" in made.notes()[0]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "utf-8"])
def test_byte_order_marks_are_no_part_of_a_phrase(tmp_path: Path, encoding: str) -> None:
    """What an editor writes as Unicode is read."""
    path = tmp_path / "formulary.txt"
    path.write_text("aspirin\nmetformin\n", encoding=encoding)
    assert [one.text for one in read_formulary(path)[0]] == ["aspirin", "metformin"]


def test_bad_formularies_are_refused(tmp_path: Path) -> None:
    """The message names the file, the line and the byte."""
    path = tmp_path / "formulary.txt"
    path.write_bytes(b"aspirin\ncaf\xe9\n")
    with pytest.raises(InputError, match=r"formulary\.txt: line 2: byte 0xe9 is not UTF-8"):
        read_formulary(path)
    path.write_text("# nothing\n\n")
    with pytest.raises(InputError, match="holds no phrase"):
        read_formulary(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_formulary(tmp_path / "absent.txt")
