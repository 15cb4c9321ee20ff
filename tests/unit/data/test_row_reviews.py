"""Marks of a review: read from the clinic's cycles, and what they set apart."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tasks.common.errors import InputError
from tasks.data.audio_checks import AudioLimits
from tasks.data.cycle_folder import Cycle, open_cycle
from tasks.data.preflight import PreflightResult, preflight
from tasks.data.row_reviews import (
    RowMark,
    RowReview,
    RowReviews,
    describe_set_apart,
    read_reviews,
    set_apart,
)
from tests.support import factories

if TYPE_CHECKING:
    from pathlib import Path


def checked(cycle: Cycle) -> PreflightResult:
    """The cycle's rows."""
    return preflight(cycle.manifest, AudioLimits(factories.RATE), None)


def mark(row: int, mark: RowMark, result: PreflightResult, note: str = "") -> RowReview:
    """The mark of a row as the page saves it."""
    found = result.rows[row]
    written = found.utterance
    return RowReview(written.audio_filepath, written.text, mark, found.audio_sha256, note)


def save(path: Path, reviews: list[RowReview], **other: Any) -> None:
    """The file that the page saves."""
    rows = [review.as_dict() for review in reviews]
    path.write_text(json.dumps({"schema": "asr-flywheel-review/1", "rows": rows, **other}))


def test_wrong_and_unclear_rows_are_set_apart_and_told(tmp_path: Path) -> None:
    """A row that is fine stays; each other one is a warning with its note and a fix."""
    cycle = open_cycle(factories.make_cycle(tmp_path))
    result = checked(cycle)
    save(
        cycle.path / "review_cycle2.json",
        [
            mark(0, RowMark.REFERENCE_WRONG, result, "says atenolol"),
            mark(3, RowMark.UNCLEAR, result),
            mark(5, RowMark.FINE, result),
        ],
    )
    apart = set_apart(result, read_reviews(cycle))
    assert [row.utterance.row for row in apart.rows] == [2, 3, 5, 6, 7, 8, 9, 10]
    assert apart.set_apart == {"reference-wrong": 1, "unclear": 1}
    told = [finding for finding in apart.warnings if finding.code.startswith("review-")]
    assert [finding.row for finding in told] == [1, 4]
    assert "(says atenolol)" in told[0].problem
    assert describe_set_apart(apart.set_apart) == (
        "2 rows are set apart by a review (reference-wrong: 1, unclear: 1): neither trained on "
        "nor in any figure."
    )
    assert set_apart(result, RowReviews()) is result


def test_a_mark_ends_with_the_text_that_it_was_given_to(tmp_path: Path) -> None:
    """A corrected text and a recording that was made anew have none; a moved recording keeps it."""
    cycle = open_cycle(factories.make_cycle(tmp_path))
    result = checked(cycle)
    first = mark(0, RowMark.REFERENCE_WRONG, result)
    reviews = RowReviews((first,))
    assert reviews.sets_apart("elsewhere/renamed.flac", first.text, first.audio_sha256)
    assert reviews.sets_apart("/other/0.wav", first.text)
    assert not reviews.sets_apart(first.audio_filepath, "the doctor wrote atenolol")
    assert not reviews.sets_apart(first.audio_filepath, first.text, "f" * 64)


def test_marks_hold_in_every_cycle_of_the_clinic(tmp_path: Path) -> None:
    """What was saved beside one cycle is read for the next; of two marks the severer counts."""
    cycle = open_cycle(factories.make_cycle(tmp_path))
    following = open_cycle(factories.make_cycle(tmp_path, 2))
    result = checked(cycle)
    save(cycle.path / "review.json", [mark(0, RowMark.FINE, result)])
    save(following.path / "review_two.json", [mark(0, RowMark.UNCLEAR, result)])
    for one in (cycle, following):
        apart = set_apart(checked(one), read_reviews(one))
        assert apart.set_apart == {"unclear": 1}
        assert len(apart.rows) == 9


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ([], "is not what a review page saves"),
        ({"rows": [{"audio_filepath": "a.wav", "text": "x", "mark": "bad"}]}, "row 1 of its rows"),
        ({"rows": [{"audio_filepath": 3, "text": "x", "mark": "fine"}]}, "row 1 of its rows"),
        ({"rows": [{"text": "x", "mark": "fine"}]}, "row 1 of its rows"),
        ({"schema": "asr-flywheel-review/9", "rows": []}, "its schema is"),
    ],
)
def test_a_damaged_file_is_refused_with_its_row(tmp_path: Path, document: Any, said: str) -> None:
    """And with a fix; nothing is left out in silence."""
    cycle = open_cycle(factories.make_cycle(tmp_path))
    (cycle.path / "review.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match=said):
        read_reviews(cycle)


def test_a_review_of_every_row_is_refused(tmp_path: Path) -> None:
    """Nothing would be left to train on."""
    cycle = open_cycle(factories.make_cycle(tmp_path))
    result = checked(cycle)
    every = tuple(mark(place, RowMark.UNCLEAR, result) for place in range(10))
    with pytest.raises(InputError, match="mark every row as wrong or unclear"):
        set_apart(result, RowReviews(every))
