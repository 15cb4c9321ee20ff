"""Rows that are parts of a recording by offset: what is said, and what following it does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile

from tasks.data.audio_checks import AudioLimits
from tasks.data.importers.import_settings import ImportSettings
from tasks.data.importers.importing import import_source
from tasks.data.preflight import preflight
from tests.support import factories

if TYPE_CHECKING:
    from pathlib import Path

    from tasks.data.preflight import PreflightResult

Rows = list[dict[str, Any]]
LIMITS = AudioLimits(16000, min_duration=0.1, max_duration=20.0)


def check(folder: Path, rows: Rows) -> PreflightResult:
    """The preflight of a cycle with these rows."""
    return preflight(factories.write_rows(folder / "manifest.jsonl", rows), LIMITS, None)


TEXTS = ("the doctor wrote aspirin into the chart", "the nurse gave metformin in the evening")


def halves(first: dict[str, Any], second: dict[str, Any]) -> Rows:
    """Two rows of audio/0.wav, each with the text of a half."""
    kept = [{"audio_filepath": "audio/0.wav", "text": text} for text in TEXTS]
    return [{**kept[0], **first}, {**kept[1], **second}]


@pytest.mark.parametrize("start", [0, 0.0, "0"])
def test_who_follows_the_fix_of_parts_has_each_half_with_its_text(
    cycle: Path, start: object
) -> None:
    """An offset of 0 is a part too, and nothing else is advised beside the import."""
    factories.write_wav(cycle / "audio/0.wav", 10.19)
    whole, _ = soundfile.read(cycle / "audio/0.wav", dtype="int16")
    rows = halves({"offset": start, "duration": 4.6445}, {"offset": 4.64, "duration": 5.55})
    found = check(cycle, rows).findings
    assert [(one.code, one.row) for one in found] == [("audio-segment", 1), ("audio-segment", 2)]
    assert all("asr-flywheel import MANIFEST cycleN" in one.fix for one in found)
    made = cycle.parent / "cycle2"
    import_source(cycle / "manifest.jsonl", made, ImportSettings(workers=1))
    checked = preflight(made / "manifest.jsonl", LIMITS, None)
    assert checked.findings == ()
    assert [row.utterance.text for row in checked.rows] == list(TEXTS)
    for row, (begin, end) in zip(checked.rows, [(0, 4.6445), (4.64, 10.19)], strict=True):
        part, _ = soundfile.read(row.audio, dtype="int16")
        assert np.array_equal(part, whole[round(begin * 16000) : round(end * 16000)])


def test_a_part_without_a_length_goes_to_the_end(cycle: Path) -> None:
    """As NeMo reads it; the whole recording is no part."""
    factories.write_wav(cycle / "audio/0.wav", 4.0)
    rows = [*halves({"offset": 1.5}, {}), factories.cycle_rows()[3] | {"offset": 0}]
    rows[1]["audio_filepath"] = "audio/1.wav"
    found = check(cycle, rows).findings
    assert [(one.code, one.row) for one in found] == [("audio-segment", 1)]
    made = cycle.parent / "cycle2"
    import_source(cycle / "manifest.jsonl", made, ImportSettings(workers=1))
    checked = preflight(made / "manifest.jsonl", LIMITS, None)
    assert [row.utterance.duration for row in checked.rows] == [2.5, 0.3, 0.3]


@pytest.mark.parametrize("offset", [-1.5, "soon", True, float("inf")])
def test_an_offset_that_no_import_can_cut_at_is_to_be_corrected(
    cycle: Path, offset: object
) -> None:
    """The import would refuse it."""
    rows = factories.cycle_rows()
    rows[0]["offset"] = offset
    found = check(cycle, rows).findings
    (part,) = [one for one in found if one.code == "audio-segment"]
    assert part.fix == "write the second at which the part begins, or null"
    rows[0]["offset"] = None
    assert check(cycle, rows).findings == ()


def test_a_short_duration_without_an_offset_may_be_a_part_or_a_slip(cycle: Path) -> None:
    """Both are said; two rows of two texts may be parts as well."""
    factories.write_wav(cycle / "audio/0.wav", 10.19)
    found = check(cycle, halves({"duration": 4.6}, {})).findings
    assert [(one.code, one.row) for one in found] == [("duration-differs", 1), ("duplicate-row", 2)]
    for one in found:
        assert "asr-flywheel import MANIFEST cycleN" in one.fix
    assert "correct duration or write null" in found[0].fix
    rows = halves({"duration": 4.6, "offset": 0}, {"duration": 5.0, "offset": 4.7})
    found = check(cycle, rows).findings
    assert {one.code for one in found} == {"audio-segment"}


def test_a_duration_that_is_too_long_is_no_part(cycle: Path) -> None:
    """No part is longer than its recording."""
    rows = factories.cycle_rows()
    rows[0] |= {"duration": 9.0, "offset": 0}
    (found,) = check(cycle, rows).findings
    assert found.code == "duration-differs"
    assert "import" not in found.fix
