"""What people said of rows that they had listened to; this module owns the file.

``report --review`` writes a page whose buttons save such a file. Marks hold in every cycle of the
clinic, for a recording and its text: once the text is corrected, its mark is done with. Rows that
are marked as wrong or unclear are set apart: nothing is trained on them and they judge nothing.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from tasks.common import atomic_files
from tasks.common.errors import InputError
from tasks.common.schemas import Schema
from tasks.data import findings
from tasks.data.audio_paths import path_parts
from tasks.data.canonical import canonical
from tasks.data.cycle_folder import cycle_folders

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tasks.data.cycle_folder import Cycle
    from tasks.data.preflight import CheckedRow, PreflightResult

PATTERN = "review*.json"
"""The files in a cycle's folder that hold marks."""


class RowMark(StrEnum):
    """What a person said of a row."""

    REFERENCE_WRONG = "reference-wrong"
    UNCLEAR = "unclear"
    FINE = "fine"


APART = frozenset((RowMark.REFERENCE_WRONG, RowMark.UNCLEAR))
"""Marks that set a row apart."""
_SAID = {
    RowMark.REFERENCE_WRONG: "a review marked its reference as wrong",
    RowMark.UNCLEAR: "a review marked it as unclear",
}


@dataclass(frozen=True, slots=True)
class RowReview:
    """A person's mark of a row.

    Attributes:
        audio_filepath: as the manifest had it.
        text: its reference then.
        mark: what was said of it.
        audio_sha256: of the recording's samples; None where it could not be read then.
        note: what the person wrote beside it.
    """

    audio_filepath: str
    text: str
    mark: RowMark
    audio_sha256: str | None = None
    note: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the mark as the file holds it."""
        return {
            "audio_filepath": self.audio_filepath,
            "text": self.text,
            "audio_sha256": self.audio_sha256,
            "mark": self.mark.value,
            "note": self.note,
        }


@dataclass(frozen=True, slots=True)
class RowReviews:
    """All marks of a clinic's rows; of several on one row, one that sets it apart counts."""

    reviews: tuple[RowReview, ...] = ()
    _by_sound: dict[tuple[str, str], RowReview] = field(init=False, repr=False)
    _by_name: dict[tuple[str, str], RowReview] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        by_sound: dict[tuple[str, str], RowReview] = {}
        by_name: dict[tuple[str, str], RowReview] = {}
        for review in sorted(self.reviews, key=lambda one: one.mark not in APART):
            text = canonical(review.text)
            by_name.setdefault((path_parts(review.audio_filepath)[-1], text), review)
            if review.audio_sha256 is not None:
                by_sound.setdefault((review.audio_sha256, text), review)
        object.__setattr__(self, "_by_sound", by_sound)
        object.__setattr__(self, "_by_name", by_name)

    def find(
        self, audio_filepath: str, text: str, audio_sha256: str | None = None
    ) -> RowReview | None:
        """Return the mark of a row; None where it has none.

        Args:
            audio_filepath: the row's; its last part counts where a sound is not known.
            text: its reference.
            audio_sha256: of its samples. A recording that was made anew has no mark.
        """
        if not self.reviews:
            return None
        words = canonical(text)
        if audio_sha256 is not None and (by_sound := self._by_sound.get((audio_sha256, words))):
            return by_sound
        by_name = self._by_name.get((path_parts(audio_filepath)[-1], words))
        is_other = audio_sha256 is not None and by_name is not None and by_name.audio_sha256
        return None if is_other else by_name

    def sets_apart(self, audio_filepath: str, text: str, audio_sha256: str | None = None) -> bool:
        """Return whether a mark sets a row apart."""
        review = self.find(audio_filepath, text, audio_sha256)
        return review is not None and review.mark in APART


def review_files(cycle: Cycle) -> list[Path]:
    """List the files with marks in the folders of a cycle and of the clinic's other cycles."""
    folders = cycle_folders(cycle.path.parent)
    return [path for folder in folders for path in sorted(folder.glob(PATTERN)) if path.is_file()]


def read_reviews(cycle: Cycle) -> RowReviews:
    """Read all marks of a clinic's rows.

    Raises:
        InputError: a file is not what the page saves.
    """
    return RowReviews(tuple(review for path in review_files(cycle) for review in _read(path)))


def _read(path: Path) -> Iterator[RowReview]:
    document = atomic_files.read_json(path)
    if not isinstance(document, dict) or not isinstance(document.get("rows"), list):
        raise InputError(
            f"{path}: is not what a review page saves. Fix: save it again from the page of "
            "`asr-flywheel report CYCLE --review`, or rename the file if it is another one."
        )
    Schema.REVIEW.check(document, path)
    for number, row in enumerate(document["rows"], start=1):
        try:
            yield RowReview(
                _text(row["audio_filepath"]),
                _text(row["text"]),
                RowMark(row["mark"]),
                row.get("audio_sha256") and _text(row["audio_sha256"]),
                _text(row.get("note") or ""),
            )
        except (KeyError, TypeError, ValueError) as wrong:
            marks = ", ".join(RowMark)
            raise InputError(
                f"{path}: row {number} of its rows is no mark of a row ({wrong!r}). "
                f"Fix: give it audio_filepath, text and mark ({marks}), or delete it."
            ) from wrong


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def set_apart(result: PreflightResult, reviews: RowReviews) -> PreflightResult:
    """Return a preflight without the rows that a review set apart; each gets a warning.

    Raises:
        InputError: no row would be left.
    """
    kept: list[CheckedRow] = []
    apart: list[tuple[CheckedRow, RowReview]] = []
    for row in result.rows:
        written = row.utterance
        review = reviews.find(written.audio_filepath, written.text, row.audio_sha256)
        if review is None or review.mark not in APART:
            kept.append(row)
        else:
            apart.append((row, review))
    if not apart:
        return result
    if not kept:
        raise InputError(
            f"{result.manifest}: reviews mark every row as wrong or unclear, so that none is left. "
            "Fix: correct the texts; a mark holds for the text that it was given to."
        )
    warnings = (
        findings.warning(
            f"review-{review.mark}",
            row.utterance.row,
            row.utterance.text,
            f"{_SAID[review.mark]}{f' ({review.note})' if review.note else ''}; the row is set "
            "apart: it is neither trained on, nor judges",
            "correct its text, which ends the mark, or take the mark out of the review's file",
        )
        for row, review in apart
    )
    marks = Counter(review.mark.value for _, review in apart)
    return replace(
        result,
        rows=tuple(kept),
        findings=(*result.findings, *warnings),
        set_apart=dict(sorted(marks.items())),
    )


def describe_set_apart(marks: Mapping[str, int]) -> str | None:
    """Return a sentence on the rows that no figure counts; None where there is none."""
    if not marks:
        return None
    shown = ", ".join(f"{mark}: {rows}" for mark, rows in marks.items())
    total = sum(marks.values())
    rows = "1 row is" if total == 1 else f"{total} rows are"
    return f"{rows} set apart by a review ({shown}): neither trained on nor in any figure."
