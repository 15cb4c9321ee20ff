"""Which rows share sound is found as if each pair of spans were looked at."""

from __future__ import annotations

import json
from itertools import combinations
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from tasks.data.source_spans import (
    SourceSpan,
    SpanIndex,
    find_sharing,
    folders_of,
    hanging_together,
    read_provenance,
)

if TYPE_CHECKING:
    from pathlib import Path

tenths = st.integers(0, 60).map(lambda number: number / 10)
spans = st.builds(
    lambda recording, channel, start, length: SourceSpan(recording, channel, start, start + length),
    st.sampled_from(["visit", "call"]),
    st.sampled_from([None, 1, 2]),
    tenths,
    st.integers(1, 20).map(lambda number: number / 10),
)


def components(pairs: list[tuple[str, str]]) -> dict[str, frozenset[str]]:
    """What hangs together, by looking at all pairs again and again."""
    groups = {name: {name} for pair in pairs for name in pair}
    for _ in pairs:
        for one, other in pairs:
            joined = groups[one] | groups[other]
            for name in joined:
                groups[name] = joined
    return {name: frozenset(group) for name, group in groups.items()}


@given(st.lists(spans, max_size=14))
def test_rows_hang_together_as_all_pairs_say(found: list[SourceSpan]) -> None:
    """Also over a third row, and never over two sides of a telephone call alone."""
    named = [(f"row {place:02d}", span) for place, span in enumerate(found)]
    sharing = [
        (one, other)
        for (one, first), (other, second) in combinations(named, 2)
        if first.shared_seconds(second)
    ]
    expected = {name: min(group) for name, group in components(sharing).items()}
    assert hanging_together(named) == expected
    by_name = dict(named)
    for one, other, seconds in find_sharing(named):
        assert seconds == by_name[one].shared_seconds(by_name[other]) > 0


@given(st.lists(spans, max_size=14), spans)
def test_the_index_says_what_all_pairs_say(found: list[SourceSpan], asked: SourceSpan) -> None:
    """Whether any of many spans shares sound with one."""
    assert SpanIndex(found).shares(asked) is any(one.shared_seconds(asked) for one in found)


def test_spans_that_touch_or_overlap_by_a_rounded_hundredth_share_nothing() -> None:
    """12.34 and 12.35 are one time in a source that writes hundredths; 20 ms are sound."""
    first = SourceSpan("visit", None, 0.0, 12.35)
    assert not first.shared_seconds(SourceSpan("visit", None, 12.35, 14.0))
    assert not first.shared_seconds(SourceSpan("visit", None, 12.34, 14.0))
    assert first.shared_seconds(SourceSpan("visit", None, 12.33, 14.0))
    assert not first.shared_seconds(SourceSpan("other", None, 0.0, 14.0))


def test_lines_without_a_span_are_passed_over(tmp_path: Path) -> None:
    """A purged line, one of an older version, and a cycle without the file."""
    lines = [
        {},
        {"audio_filepath": "audio/1.flac", "recording_sha256": None, "start": 0.0, "end": None},
        {"audio_filepath": "audio/2.flac", "recording_sha256": "visit", "start": "x", "end": 2.0},
        {"audio_filepath": "audio/3.flac", "recording_sha256": "visit", "start": 1.0, "end": None},
    ]
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    (tmp_path / "provenance.jsonl").write_text(text, encoding="utf-8")
    found = read_provenance([tmp_path, tmp_path / "none"])
    assert found.spans_of(tmp_path / "audio/1.flac", "", 2.0) == ()
    assert found.spans_of(tmp_path / "audio/2.flac", "", 2.0) == ()
    assert found.spans_of((tmp_path / "audio/3.flac").resolve(), "", 2.0) == (
        SourceSpan("visit", None, 1.0, 3.0),
    )


def test_rows_of_another_cycles_recordings_are_found_there(tmp_path: Path) -> None:
    """A manifest may name recordings of several cycles; a folder without the file is left out."""
    for name in ("cycle1", "cycle2"):
        (tmp_path / name / "audio" / "000").mkdir(parents=True)
    (tmp_path / "cycle1" / "provenance.jsonl").write_text("", encoding="utf-8")
    recordings = [tmp_path / name / "audio/000/1.flac" for name in ("cycle1", "cycle2")]
    folders = folders_of(tmp_path / "cycle3" / "manifest.jsonl", recordings)
    assert folders == [(tmp_path / "cycle3").resolve(), tmp_path / "cycle1"]
