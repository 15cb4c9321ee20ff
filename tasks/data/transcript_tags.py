"""Tags in transcripts: what an annotator wrote and nobody said.

`[noise]`, `(inaudible)`, `<laugh>` and `[DR SMITH]:` would be trained as words and scored as words.
A person decides what becomes of them: the tag goes and the words around it stay, or the row goes.
Words in round brackets may be dictated, so that there only known tags count.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING

from tasks.common.errors import InputError
from tasks.data.manifest import read_manifest, write_manifest
from tasks.data.text_normalizer import contains_words, normalise

if TYPE_CHECKING:
    from collections.abc import Container
    from pathlib import Path

_SOUNDS = (
    r"inaudible|unintelligible|indiscernible|unclear|cross[\s-]?talk|overlap(?:ping)?|silence|silent"
    r"|laugh(?:s|ter|ing)?|chuckl\w+|cough(?:s|ing)?|sigh(?:s|ing)?|sniff\w*|breath\w*|static|music"
    r"|clears?\sthroat|throat\sclear\w*|lip\s?smack\w*|noises?|background(?:\s\w+)?|applause"
    r"|pause\w*|beep\w*|phone\srings?|ringing|typing|door\s\w+|hes(?:itation)?|foreign(?:\s\w+)?"
    r"|redacted|deidentified|no\sspeech|blank[\s_]audio|audio\s\w+|\?+"
)
_PEOPLE = (
    r"dr|doctor|physician|clinician|provider|patient|pt|nurse|speaker|spk|interviewer|interviewee"
    r"|caller|agent|operator|therapist|pharmacist|mother|father|male|female|unknown"
)
_TIME = r"\d{1,2}:\d{2}(?::\d{2})?(?:[.,]\d+)?"
_TAG = re.compile(
    rf"""
    \[(?!\*\*)[^\[\]]*\]\s*:?                   # anything in square brackets, but no MIMIC blank
    | \{{[^{{}}]*\}}                            # or in braces
    | <(?!/?(?:unk|s|pad|bos|eos)\b)[A-Za-z/][^<>]*>   # a tag that is no decoder's token
    | \(+\s*(?:{_SOUNDS})(?:\s+{_TIME})?\s*\)+   # a known sound in round brackets
    | \(\(.*?\)\)                               # what an annotator was not sure of
    | \*\s*(?:{_SOUNDS})\s*\*                   # or between asterisks
    | \u266a+
    | ^\s*(?:{_PEOPLE})\b\.?[\w .-]{{0,24}}:(?=\s)  # a speaker's label
    """,
    re.VERBOSE | re.IGNORECASE,
)
_MAY_HOLD_TAG = re.compile(r"[\[{<(*:\u266a]")


class TagChoice(StrEnum):
    """What becomes of a row whose text holds a tag."""

    TAG = "tag"
    ROW = "row"


def find_tags(text: str) -> list[str]:
    """List the tags in a text, in their order."""
    if not _MAY_HOLD_TAG.search(text):
        return []
    return [match.group().strip() for match in _TAG.finditer(text)]


def drop_tags(text: str) -> str:
    """Return a text without its tags."""
    return " ".join(_TAG.sub(" ", text).split())


def rewrite(
    manifest: Path, out: Path, choice: TagChoice, only: Container[str] = ()
) -> tuple[int, int]:
    """Write a copy of a manifest without tags.

    Args:
        manifest: the manifest to copy; it is never edited.
        out: where the copy goes.
        choice: whether the tag goes, or the row that holds it. A row of which no word is left, or
            one of whose terms stood in the tag, goes in either case.
        only: tags as they are written, in any case; rows with other tags alone stay as they are.
            All tags, where none is named.

    Returns:
        The rows with a tag, and the rows of the copy.

    Raises:
        InputError: the manifest is broken, ``out`` is the manifest itself, or no row would be left.
    """
    if out.resolve() == manifest.resolve():
        raise InputError(f"{out}: is the manifest itself, which is never edited. Fix: name a copy.")
    rows = read_manifest(manifest)
    kept = []
    tagged = 0
    for row in rows:
        tags = find_tags(row.text)
        if not tags or (only and not any(tag.casefold() in only for tag in tags)):
            kept.append(row)
            continue
        tagged += 1
        words = normalise(text := drop_tags(row.text))
        has_terms = all(contains_words(words, normalise(item.term)) for item in row.flagged)
        if choice is TagChoice.TAG and words and has_terms:
            kept.append(row.with_text(text))
    if not kept:
        raise InputError(
            f"{manifest}: every row holds a tag, so that none would be left. Fix: --drop tag."
            if choice is TagChoice.ROW
            else f"{manifest}: no row holds words besides its tags. Fix: transcribe it again."
        )
    write_manifest(out, kept)
    return tagged, len(kept)
