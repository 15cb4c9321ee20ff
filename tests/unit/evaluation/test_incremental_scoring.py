"""Scoring a long file: the same figures as row by row, by several processes, in flat memory."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.common.errors import InputError
from tasks.evaluation.error_counts import ErrorCounts, total
from tasks.evaluation.hypotheses import Hypothesis
from tasks.evaluation.incremental_scoring import score_file, summarise
from tasks.evaluation.result_reading import cut_stretches, iterate_hypotheses
from tasks.evaluation.score_summary import intervals
from tasks.evaluation.scoring import score
from tests.support import factories
from tests.support.incremental_scoring_cases import assert_same, many

if TYPE_CHECKING:
    from pathlib import Path


texts = st.lists(st.sampled_from(["give", "aspirin", "now", "5", "no", "é."]), max_size=6).map(
    " ".join
)
rows = st.lists(
    st.builds(
        Hypothesis,
        st.just("a.wav"),
        texts,
        texts,
        st.none() | st.sampled_from(["aspirin", "now", "?"]),
        st.none() | st.sampled_from(["drug", "lab"]),
        noise_level=st.none() | st.sampled_from(["clean", "snr_5db"]),
    ),
    max_size=12,
)


@given(rows)
def test_a_tally_is_the_scores_without_the_rows(found: list[Hypothesis]) -> None:
    """In all counts, all breakdowns and all blocks."""
    assert_same(summarise(found), found)


@given(rows, rows)
def test_counts_add_up_and_their_rates_follow(
    first: list[Hypothesis], second: list[Hypothesis]
) -> None:
    """Adding two sets is scoring them together; nobody can average rates by mistake."""
    both = score(first).counts + score(second).counts
    whole = score(first + second).counts
    assert both.wer == (None if whole.wer is None else pytest.approx(whole.wer))
    assert both.keyword == whole.keyword
    assert total([]) == ErrorCounts()


def test_counts_that_contradict_each_other_are_refused() -> None:
    """More missed than there are, or more with a term than rows."""
    with pytest.raises(ValueError, match="contradict"):
        ErrorCounts(n=1, with_term=1, terms_missed=2)
    with pytest.raises(ValueError, match="contradict"):
        ErrorCounts(n=1, with_term=2)


@pytest.mark.parametrize("wanted", [1, 2, 3, 7, 50])
def test_stretches_cover_every_row_once(tmp_path: Path, wanted: int) -> None:
    """Whatever the lines' lengths, and with a byte order mark and blank lines."""
    path = tmp_path / "h.jsonl"
    lines = [json.dumps(row.as_dict(), ensure_ascii=False) for row in many(20)]
    path.write_bytes(b"\xef\xbb\xbf" + "\n\n".join(lines).encode())
    parts = cut_stretches(path, wanted)
    assert len(parts) <= wanted
    got = [row for part in parts for row in iterate_hypotheses(path, part)]
    assert got == many(20)


def test_a_json_array_is_one_stretch(tmp_path: Path) -> None:
    """It cannot be cut, and is scored all the same."""
    path = tmp_path / "per_sample.json"
    path.write_text(json.dumps([row.as_dict() for row in many(20)]))
    assert len(cut_stretches(path, 4)) == 1
    assert_same(score_file(path, 4), many(20))


def test_a_bad_row_is_named_by_its_number_in_the_file(tmp_path: Path) -> None:
    """Also where another process has found it."""
    path = tmp_path / "h.jsonl"
    good = [row.as_dict() for row in many(400)]
    factories.write_rows(path, [*good[:300], {**good[300], "hyp": 5}, *good[301:]])
    for processes in (1, 2):
        with pytest.raises(InputError, match="row 301: hyp must be text, not 5"):
            score_file(path, processes)
    path.write_text("\n")
    with pytest.raises(InputError, match="no rows"):
        score_file(path)
    with pytest.raises(InputError, match="no evaluation result"):
        score_file(tmp_path / "none.jsonl")


def test_every_figure_has_its_interval() -> None:
    """Around the figure itself; None where there are no rows, or too few terms."""
    scores = score(many(300))
    found = intervals(scores.counts, scores.blocks)
    for name, one in found.items():
        figure = getattr(scores.counts, name)
        assert one is not None
        assert one.low <= figure <= one.high
    few = score(factories.evaluated(1, 4))
    assert intervals(few.counts, few.blocks)["wer"] is None
    assert intervals(few.counts, few.blocks)["ker"] is not None
    assert set(intervals(ErrorCounts(), ()).values()) == {None}
