"""Preflight: what is wrong with a manifest or its audio is said once and costs nothing."""

from __future__ import annotations

import json
import shutil
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
import soundfile

from asr_flywheel import cli
from tasks.common.errors import InputError
from tasks.data.audio_checks import AudioLimits
from tasks.data.findings import Severity
from tasks.data.preflight import PreflightResult, preflight
from tasks.models.nemo_archive import open_archive
from tasks.models.text_style import style_of
from tests.support import factories
from tests.support.needs import require

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Rows = list[dict[str, Any]]
LIMITS = AudioLimits(sample_rate=16000, min_duration=0.1, max_duration=20.0)


class Broken(NamedTuple):
    """One way to break a cycle, and what its one error must say."""

    name: str
    damage: Callable[[Path, Rows], bytes | None]
    row: int | None
    value: str
    problem: str
    fix: str


def changed(place: int, **values: Any) -> Callable[[Path, Rows], None]:
    """Set fields of a row."""

    def damage(folder: Path, rows: Rows) -> None:
        rows[place].update(values)

    return damage


def without(place: int, name: str) -> Callable[[Path, Rows], None]:
    """Remove a field of a row."""

    def damage(folder: Path, rows: Rows) -> None:
        del rows[place][name]

    return damage


def line(number: int, text: bytes) -> Callable[[Path, Rows], bytes]:
    """Put other bytes in the place of a line (1-based)."""

    def damage(folder: Path, rows: Rows) -> bytes:
        lines = [json.dumps(row).encode() for row in rows]
        lines[number - 1] = text
        return b"\n".join(lines) + b"\n"

    return damage


def recording(place: int, make: Callable[[Path], object]) -> Callable[[Path, Rows], None]:
    """Make another file in the place of a row's audio."""

    def damage(folder: Path, rows: Rows) -> None:
        path = folder / rows[place]["audio_filepath"]
        path.unlink()
        make(path)

    return damage


def cut(path: Path, keep: int) -> None:
    """A WAV of which only the first bytes are there."""
    factories.write_wav(path, 1.0, seed=77)
    path.write_bytes(path.read_bytes()[:keep])


def silence(path: Path) -> None:
    """A WAV of zeros."""
    soundfile.write(path, np.zeros(8000), 16000, subtype="PCM_16")


def scaled_as_integers(path: Path) -> None:
    """Floating point samples as large as 16-bit integers."""
    soundfile.write(path, np.linspace(-20000, 20000, 8000), 16000, subtype="FLOAT")


def with_nan(path: Path) -> None:
    """Floating point samples, one of which is no number."""
    soundfile.write(path, [*np.linspace(-0.5, 0.5, 8000), np.nan], 16000, subtype="FLOAT")


def cut_flac(path: Path) -> None:
    """A FLAC of which only the first half is there, under a WAV's name."""
    soundfile.write(path, np.random.default_rng(1).uniform(-1, 1, 9000), 16000, format="FLAC")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def outside(folder: Path) -> Path:
    """A recording beside the cycle's folder."""
    return factories.write_wav(folder.parent / "elsewhere.wav", seed=99)


def no_manifest(folder: Path, rows: Rows) -> None:
    """The manifest is not there."""
    rows.clear()
    (folder / "manifest.jsonl").unlink()


def outside_by_dots(folder: Path, rows: Rows) -> None:
    """A path that climbs out of the cycle."""
    outside(folder)
    rows[2]["audio_filepath"] = "audio/../../elsewhere.wav"


def outside_by_name(folder: Path, rows: Rows) -> None:
    """An absolute path to another place."""
    rows[2]["audio_filepath"] = str(outside(folder))


def outside_by_link(folder: Path, rows: Rows) -> None:
    """A symbolic link that leads out of the cycle."""
    target = outside(folder)
    (folder / "audio/2.wav").unlink()
    (folder / "audio/2.wav").symlink_to(target)


def same_text_twice(folder: Path, rows: Rows) -> None:
    """A row that stands twice."""
    rows.append(dict(rows[2]))


def two_transcripts(folder: Path, rows: Rows) -> None:
    """One recording under two names with different transcripts."""
    shutil.copy(folder / "audio/0.wav", folder / "audio/2.wav")


DUPLICATE_KEY = b'{"audio_filepath": "audio/2.wav", "text": "a", "text": "b"}'

BROKEN = (
    Broken("no manifest", no_manifest, None, "", "there is no manifest", "-build"),
    Broken("empty manifest", lambda _f, _r: b"", None, "", "no rows", "-build"),
    Broken("blank line", line(3, b"  "), 3, "", "the line is blank", "delete the line"),
    Broken("not UTF-8", line(3, b'{"text": "caf\xe9"}'), 3, "0xe9", "not UTF-8", "save"),
    Broken("not JSON", line(3, b'{"text": '), 3, '{"text":', "not a JSON object", "one JSON"),
    Broken("an array", line(3, b'["a", "b"]'), 3, '["a", "b"]', "not an object", "write {"),
    Broken("a bare number", line(3, b"17"), 3, "17", "not an object", "write {"),
    Broken("a key twice", line(3, DUPLICATE_KEY), 3, "audio/2", "'text' stands twice", "one JSON"),
    Broken(
        "half a surrogate pair",
        line(3, b'{"audio_filepath": "audio/2.wav", "text": "a \\ud800 b"}'),
        3,
        "ud800",
        "surrogates not allowed",
        "one JSON",
    ),
    Broken("no audio_filepath", without(2, "audio_filepath"), 3, "", "is missing", "audio file"),
    Broken("no text", without(2, "text"), 3, "", "text is missing", "transcript"),
    Broken("empty text", changed(2, text=" "), 3, "", "text is empty", "transcript"),
    Broken("text a number", changed(2, text=12), 3, "12", "text must be text", "transcript"),
    Broken("text null", changed(2, text=None), 3, "", "text must be text", "transcript"),
    Broken("path a list", changed(2, audio_filepath=["a"]), 3, "['a']", "must be text", "name"),
    Broken("NUL in a path", changed(2, audio_filepath="a\0b"), 3, "a", "holds a NUL", "name"),
    Broken("duration text", changed(2, duration="0.3"), 3, "0.3", "positive number", "null"),
    Broken("duration negative", changed(2, duration=-0.3), 3, "-0.3", "positive number", "null"),
    Broken("duration zero", changed(2, duration=0), 3, "0", "positive number", "null"),
    Broken("duration NaN", changed(2, duration=float("nan")), 3, "nan", "positive", "null"),
    Broken("duration true", changed(2, duration=True), 3, "True", "positive number", "null"),
    Broken("NaN elsewhere", changed(2, snr=float("nan")), 3, "nan", "JSON does not have", "null"),
    Broken(
        "misspelt category",
        changed(2, entity_category="drugs"),
        3,
        "drugs",
        "not in the fixed vocabulary",
        'write "drug" (one of drug, procedure, anatomy, condition, lab, role)',
    ),
    Broken(
        "unknown ipa_source",
        changed(2, ipa_source="magpie"),
        3,
        "magpie",
        "not in the fixed vocabulary",
        'write "magpie_g2p"',
    ),
    Broken("voice a number", changed(2, voice_id=7), 3, "7", "voice_id must be text", 'as "7"'),
    Broken("term elsewhere", changed(2, term="heparin"), 3, "heparin", "does not stand", "correct"),
    Broken("term inside a word", changed(2, term="pril"), 3, "pril", "does not stand", "correct"),
    Broken("term of marks", changed(2, term="?!"), 3, "?!", "nothing is left", "letters"),
    Broken(
        "no audio",
        changed(2, audio_filepath="audio/none.wav"),
        3,
        "audio/none.wav",
        "no such audio file",
        "correct audio_filepath",
    ),
    Broken(
        "a name too long for any file",
        changed(2, audio_filepath=f"audio/{'n' * 300}.wav"),
        3,
        "audio/nnnn",
        "no such audio file",
        "correct audio_filepath",
    ),
    Broken("a folder", changed(2, audio_filepath="audio"), 3, "audio", "not a file", "name the"),
    Broken("out by dots", outside_by_dots, 3, "../../elsewhere", "outside", "--audio-root"),
    Broken("out by name", outside_by_name, 3, "elsewhere.wav", "outside", "--audio-root"),
    Broken("out by link", outside_by_link, 3, "audio/2.wav", "outside", "--audio-root"),
    Broken(
        "text named .wav",
        recording(2, lambda path: path.write_text("this is no sound")),
        3,
        "audio/2.wav",
        "cannot be decoded",
        "16-bit PCM",
    ),
    Broken(
        "no bytes",
        recording(2, lambda path: path.write_bytes(b"")),
        3,
        "audio/2.wav",
        "cannot be decoded",
        "16-bit PCM",
    ),
    Broken(
        "WAV cut short",
        recording(2, lambda path: cut(path, 20000)),
        3,
        "audio/2.wav",
        "promises 16000 samples, the file holds 9978",
        "copy it again",
    ),
    Broken("FLAC cut short", recording(2, cut_flac), 3, "audio/2.wav", "decoded", "16-bit PCM"),
    Broken(
        "no samples",
        recording(2, lambda path: factories.write_wav(path, 0.0)),
        3,
        "audio/2.wav",
        "no samples",
        "record or copy",
    ),
    Broken("NaN", recording(2, with_nan), 3, "1 samples", "audio/2.wav holds", "export it again"),
    Broken(
        "floats as large as integers",
        recording(2, scaled_as_integers),
        3,
        "8000 samples",
        "audio/2.wav has samples beyond full scale",
        "-1 to 1",
    ),
    Broken("silence", recording(2, silence), 3, "audio/2.wav", "every sample is zero", "record"),
    Broken(
        "8 kHz",
        recording(2, lambda path: factories.write_wav(path, rate=8000)),
        3,
        "8000 Hz",
        "not sampled at 16000 Hz",
        "ffmpeg",
    ),
    Broken(
        "stereo",
        recording(2, lambda path: factories.write_wav(path, channels=2)),
        3,
        "2 channels",
        "not mono",
        "ffmpeg",
    ),
    Broken(
        "too long",
        recording(2, lambda path: factories.write_wav(path, 20.1)),
        3,
        "20.100 s",
        "over max_duration 20 s: NeMo would silently drop the row",
        "--max-duration",
    ),
    Broken(
        "too short",
        recording(2, lambda path: factories.write_wav(path, 0.09)),
        3,
        "0.090 s",
        "under min_duration 0.1 s: NeMo would silently drop the row",
        "remove the row",
    ),
    Broken("duration differs", changed(2, duration=0.45), 3, "0.45", "audio's 0.300 s", "null"),
    Broken("row twice", same_text_twice, 11, "audio/2.wav", "already in row 3", "keep one"),
    Broken("two transcripts", two_transcripts, 3, "lisinopril", "same recording as row 1", "own"),
    Broken(
        "digits",
        changed(2, text="give 15 of lisinopril"),
        3,
        "give 15 of lisinopril",
        "cannot spell '15'",
        "as they are spoken",
    ),
    Broken(
        "text of marks",
        changed(2, text="?!", term=None),
        3,
        "?!",
        "nothing is left of the text",
        "words",
    ),
)


def break_cycle(folder: Path, kind: Broken) -> None:
    """Do the damage."""
    rows = factories.cycle_rows()
    data = kind.damage(folder, rows)
    manifest = folder / "manifest.jsonl"
    if data is not None:
        manifest.write_bytes(data)
    elif rows:
        factories.write_rows(manifest, rows)


@pytest.mark.parametrize("kind", BROKEN, ids=[kind.name for kind in BROKEN])
def test_a_broken_cycle_gives_one_clear_error_and_is_left_as_it_was(
    kind: Broken,
    cycle: Path,
    lower_nemo: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`split` ends in 2 with one error that names row, value and fix, and writes nothing."""
    break_cycle(cycle, kind)
    before = factories.snapshot(cycle.parent)
    monkeypatch.setattr(
        sys, "argv", ["asr-flywheel", "split", str(cycle), "--base", str(lower_nemo)]
    )
    with pytest.raises(SystemExit) as ended:
        cli.main()
    printed = capsys.readouterr()
    assert ended.value.code == 2
    assert factories.snapshot(cycle.parent) == before
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    (told,) = [one for one in printed.err.splitlines() if "Fix: " in one]
    assert len(printed.err.splitlines()) <= 2
    assert "errors" not in printed.err.splitlines()[0]
    said, fix = told.split("Fix: ")
    assert kind.problem in said
    assert kind.value in said
    assert kind.fix in fix
    if kind.row is not None:
        assert f"row {kind.row}: " in said


def test_more_than_twenty_kinds_are_tried() -> None:
    """The table of broken cycles has no name twice and well over twenty rows."""
    assert len({kind.name for kind in BROKEN}) == len(BROKEN) >= 22


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
    outside_by_name(cycle, rows)
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
