"""Preflight: all findings of a manifest at once, as errors or warnings; and what is none."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest
import soundfile

from tasks.common.errors import InputError
from tasks.data.audio_checks import AudioLimits
from tasks.data.findings import Severity
from tasks.data.preflight import PreflightResult, preflight
from tasks.models.nemo_archive import open_archive
from tasks.models.text_style import style_of
from tests.support import factories
from tests.support.needs import require

if TYPE_CHECKING:
    from pathlib import Path

Rows = list[dict[str, Any]]
LIMITS = AudioLimits(sample_rate=16000, min_duration=0.1, max_duration=20.0)


def run(
    cycle: Path, nemo: Path, rows: Rows | None = None, *, restyle: bool = True
) -> PreflightResult:
    """The preflight of a cycle, with other rows if any are given."""
    if rows is not None:
        factories.write_rows(cycle / "manifest.jsonl", rows)
    style = style_of(open_archive(nemo))
    return preflight(cycle / "manifest.jsonl", LIMITS, style, restyle=restyle)


def codes(result: PreflightResult) -> list[tuple[str, int | None]]:
    """What was found, in order."""
    return [(finding.code, finding.row) for finding in result.findings]


def test_a_sound_cycle_has_no_findings(cycle: Path, lower_nemo: Path) -> None:
    """Ten sound rows pass, with their duration filled from the audio."""
    result = run(cycle, lower_nemo)
    result.raise_errors()
    assert codes(result) == []
    assert [row.utterance.duration for row in result.rows] == [0.3] * 10
    assert result.rows[0].audio == (cycle / "audio/0.wav").resolve()
    assert result.restyled == 0


def test_all_errors_are_told_at_once(cycle: Path, lower_nemo: Path) -> None:
    """Faults in several rows are reported together, in the order of the rows."""
    rows = factories.cycle_rows()
    rows[7]["audio_filepath"] = "audio/none.wav"
    rows[1]["entity_category"] = "surgery"
    rows[4]["text"] = "give 5 of insulin"
    result = run(cycle, lower_nemo, rows)
    assert codes(result) == [
        ("unknown-entity_category", 2),
        ("text-unspellable", 5),
        ("audio-missing", 8),
    ]
    with pytest.raises(InputError, match="3 errors"):
        result.raise_errors()


def test_many_errors_of_a_kind_are_counted_not_listed(cycle: Path, lower_nemo: Path) -> None:
    """Of ten errors of one kind five are shown and five are counted."""
    rows = factories.cycle_rows()
    for row in rows:
        row["audio_filepath"] = "nowhere/" + row["audio_filepath"]
    with pytest.raises(InputError) as told:
        run(cycle, lower_nemo, rows).raise_errors()
    text = str(told.value)
    assert "10 errors" in text
    assert text.count("no such audio file") == 5
    assert "5 more of this kind (audio-missing): rows 6-10" in text


def test_a_long_value_is_shown_in_part(cycle: Path, lower_nemo: Path) -> None:
    """A line of a megabyte does not fill the screen."""
    rows = factories.cycle_rows()
    rows[0]["term"] = "x" * 1_000_000
    with pytest.raises(InputError) as told:
        run(cycle, lower_nemo, rows).raise_errors()
    assert len(str(told.value)) < 1000


def test_one_recording_under_two_names_is_a_warning(cycle: Path, lower_nemo: Path) -> None:
    """With the same words, it warns and both rows stay."""
    rows = factories.cycle_rows()
    shutil.copy(cycle / "audio/0.wav", cycle / "audio/again.wav")
    rows.append({**rows[0], "audio_filepath": "audio/again.wav"})
    result = run(cycle, lower_nemo, rows)
    result.raise_errors()
    assert codes(result) == [("duplicate-audio", 11)]
    assert "row 1" in str(result.warnings[0])
    assert result.rows[0].audio_sha256 == result.rows[10].audio_sha256
    assert len({row.audio_sha256 for row in result.rows}) == 10


def test_other_tags_in_the_header_do_not_hide_the_same_recording(
    cycle: Path, lower_nemo: Path
) -> None:
    """The same samples in another container are the same recording."""
    rows = factories.cycle_rows()
    data, rate = soundfile.read(cycle / "audio/0.wav", dtype="int16")
    soundfile.write(cycle / "audio/again.flac", data, rate)
    rows.append({**rows[0], "audio_filepath": "audio/again.flac"})
    assert codes(run(cycle, lower_nemo, rows)) == [("duplicate-audio", 11)]


def test_capitals_and_marks_are_brought_to_the_bases_style_and_told(
    cycle: Path, lower_nemo: Path
) -> None:
    """The training text loses what the base cannot write; the user's text stays."""
    rows = factories.cycle_rows()
    rows[1]["text"] = "The doctor wrote Metformin, into the chart."
    result = run(cycle, lower_nemo, rows)
    result.raise_errors()
    assert codes(result) == [("restyled", 2)]
    assert result.rows[1].training_text == "the doctor wrote metformin into the chart"
    assert result.rows[1].utterance.text == rows[1]["text"]
    assert result.restyled == 1


def test_kept_style_is_an_error_where_the_base_cannot_write_it(
    cycle: Path, lower_nemo: Path
) -> None:
    """Without restyling, a capital that the base cannot spell stops the run."""
    rows = factories.cycle_rows()
    rows[1]["text"] = "The doctor wrote metformin"
    assert codes(run(cycle, lower_nemo, rows, restyle=False)) == [("text-unspellable", 2)]


def test_a_term_that_the_base_writes_otherwise_is_a_warning(cycle: Path, lower_nemo: Path) -> None:
    """A hyphen that the base cannot write would make the term a miss for ever."""
    rows = factories.cycle_rows()
    rows[0] |= {"text": "give beta-blocker now", "term": "beta-blocker"}
    result = run(cycle, lower_nemo, rows)
    result.raise_errors()
    assert ("term-style", 1) in codes(result)
    assert "'beta blocker'" in str(result.warnings)


def test_a_base_that_writes_more_than_the_manifest_is_a_warning(
    cycle: Path, cased_nemo: Path
) -> None:
    """Lower-case text without marks would unlearn a base its capitals and full stops."""
    result = run(cycle, cased_nemo)
    result.raise_errors()
    assert codes(result) == [("casing-differs", None), ("punctuation-differs", None)]


def test_a_manifest_written_as_the_base_writes_has_no_findings(
    cycle: Path, cased_nemo: Path
) -> None:
    """Capitals and full stops that the base knows stay in the training text."""
    rows = factories.cycle_rows()
    for row in rows:
        row["text"] = f"The doctor wrote {row['term']}."
    result = run(cycle, cased_nemo, rows)
    assert codes(result) == []
    assert result.rows[0].training_text == "The doctor wrote aspirin."


def test_audio_under_another_named_root_is_allowed(cycle: Path, lower_nemo: Path) -> None:
    """A folder named by the user is as good as the cycle's own."""
    rows = factories.cycle_rows()
    rows[2]["audio_filepath"] = str(factories.write_wav_outside(cycle))
    factories.write_rows(cycle / "manifest.jsonl", rows)
    limits = AudioLimits(16000, extra_roots=(cycle.parent,))
    style = style_of(open_archive(lower_nemo))
    assert preflight(cycle / "manifest.jsonl", limits, style).findings == ()


def test_a_cycle_reached_through_a_link_is_sound(cycle: Path, lower_nemo: Path) -> None:
    """A link to the cycle's own folder does not put its audio outside."""
    (cycle.parent / "linked").symlink_to(cycle)
    style = style_of(open_archive(lower_nemo))
    assert preflight(cycle.parent / "linked/manifest.jsonl", LIMITS, style).findings == ()


@pytest.mark.parametrize("stated", [0.3, 0.35, 0.395, 0.21])
def test_a_stated_duration_may_be_rounded(cycle: Path, lower_nemo: Path, stated: float) -> None:
    """A tenth of a second is the slack."""
    rows = factories.cycle_rows()
    rows[0]["duration"] = stated
    result = run(cycle, lower_nemo, rows)
    assert codes(result) == []
    assert result.rows[0].utterance.duration == 0.3


@pytest.mark.parametrize(
    ("seconds", "code"),
    [(20.0, None), (20.001, "audio-too-long"), (0.1, None), (0.0999, "audio-too-short")],
)
def test_the_limits_of_length_are_inclusive(
    cycle: Path, lower_nemo: Path, seconds: float, code: str | None
) -> None:
    """NeMo keeps a row of exactly the limit."""
    factories.write_wav(cycle / "audio/0.wav", seconds)
    assert codes(run(cycle, lower_nemo)) == ([(code, 1)] if code else [])


def test_scoring_alone_needs_no_spelling(cycle: Path) -> None:
    """Without a base's style, digits are no finding."""
    rows = factories.cycle_rows()
    rows[0]["text"] = "Give 5 mg of aspirin!"
    factories.write_rows(cycle / "manifest.jsonl", rows)
    assert preflight(cycle / "manifest.jsonl", LIMITS, None).findings == ()


def test_a_finding_keeps_its_parts_for_the_run_record(cycle: Path, lower_nemo: Path) -> None:
    """Code, severity, row, value, problem and fix can be read by a program."""
    rows = factories.cycle_rows()
    rows[0]["ipa_source"] = "guess"
    (found,) = run(cycle, lower_nemo, rows).findings
    assert found.severity is Severity.ERROR
    assert found.as_dict() == {
        "code": "unknown-ipa_source",
        "severity": "error",
        "row": 1,
        "value": "guess",
        "problem": "ipa_source is not in the fixed vocabulary",
        "fix": "use one of override, merriam-webster, magpie_g2p; null where none of them fits",
    }


def test_an_audio_file_that_may_not_be_read_is_a_finding(cycle: Path, lower_nemo: Path) -> None:
    """Where the system refuses to open a file, that is said like any other fault."""
    require("ordinary-user")
    (cycle / "audio/0.wav").chmod(0)
    assert codes(run(cycle, lower_nemo)) == [("audio-unreadable", 1)]


def test_a_manifest_of_another_host_finds_its_audio_here(
    tmp_path: Path, cycle: Path, lower_nemo: Path
) -> None:
    """By what follows the name of the cycle's folder, or of an audio root; the user is told."""
    more = tmp_path / "recordings"
    (more / "ward").mkdir(parents=True)
    rows = factories.cycle_rows()
    name = rows[0]["audio_filepath"]
    rows[0]["audio_filepath"] = f"/home/alice/{cycle.name}/old/{cycle.name}/{name}"
    shutil.move(cycle / rows[1]["audio_filepath"], more / "ward" / "1.wav")
    rows[1]["audio_filepath"] = "/mnt/recordings/ward/1.wav"
    factories.write_rows(cycle / "manifest.jsonl", rows)
    limits = AudioLimits(16000, (more,), 0.1, 20.0)
    result = preflight(cycle / "manifest.jsonl", limits, None)
    assert codes(result) == [("audio-moved", 1)]
    assert result.findings[0].severity is Severity.WARNING
    assert "2 rows" in str(result.findings[0])
    assert [row.audio for row in result.rows[:2]] == [cycle / name, more / "ward" / "1.wav"]


def test_audio_of_another_host_that_is_not_here_is_told_with_its_remedy(
    cycle: Path, lower_nemo: Path
) -> None:
    """Not as a path that is forbidden."""
    rows = factories.cycle_rows()
    rows[3]["audio_filepath"] = "/home/alice/clinic/audio/3.wav"
    result = run(cycle, lower_nemo, rows)
    assert codes(result) == [("audio-missing", 4)]
    assert "asr-flywheel paths" in str(result.findings[0])


@pytest.mark.parametrize(
    ("offset", "found"),
    [(None, []), (0, []), (1.5, [("audio-segment", 3)]), ("1", [("audio-segment", 3)])],
)
def test_a_part_of_a_recording_is_refused(
    cycle: Path, lower_nemo: Path, offset: object, found: list[tuple[str, int]]
) -> None:
    """NeMo would train on the part, and the row's audio was checked as a whole."""
    rows = factories.cycle_rows()
    rows[2]["offset"] = offset
    assert codes(run(cycle, lower_nemo, rows)) == found
