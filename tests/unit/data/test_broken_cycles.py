"""Broken cycles: each gives one error that names row, value and fix, and nothing is written."""

from __future__ import annotations

import json
import shutil
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
import soundfile

from asr_flywheel import cli
from tests.support import factories

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Rows = list[dict[str, Any]]


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


def no_manifest(folder: Path, rows: Rows) -> None:
    """The manifest is not there."""
    rows.clear()
    (folder / "manifest.jsonl").unlink()


def outside_by_dots(folder: Path, rows: Rows) -> None:
    """A path that climbs out of the cycle."""
    factories.write_wav_outside(folder)
    rows[2]["audio_filepath"] = "audio/../../elsewhere.wav"


def outside_by_name(folder: Path, rows: Rows) -> None:
    """An absolute path to another place."""
    rows[2]["audio_filepath"] = str(factories.write_wav_outside(folder))


def outside_by_link(folder: Path, rows: Rows) -> None:
    """A symbolic link that leads out of the cycle."""
    target = factories.write_wav_outside(folder)
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
    Broken("out by dots", outside_by_dots, 3, "../../elsewhere", "outside", "--audio-root /"),
    Broken("out by name", outside_by_name, 3, "elsewhere.wav", "outside", "--audio-root /"),
    Broken("out by link", outside_by_link, 3, "audio/2.wav", "outside", "--audio-root /"),
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
    Broken("NaN", recording(2, with_nan), 3, "1 sample", "audio/2.wav holds", "export it again"),
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
