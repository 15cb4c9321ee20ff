"""Fixes that are right when followed: each is made from the finding, and followed, and looked at.

The inputs are those of NVIDIA-NeMo/Speech#568 and #11984, flashlight/wav2letter#457, csv.DictReader
exports, Kanaries/pygwalker#5, lhotse-speech/lhotse#969, MIMIC's blanks and finos/asrtoolkit#102.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tasks.data.audio_checks import AudioLimits
from tasks.data.preflight import PreflightResult, preflight
from tasks.data.spelling_advice import advise_spelling
from tasks.models.nemo_archive import open_archive
from tasks.models.text_style import style_of
from tests.support import factories
from tests.support.cases import case

Rows = list[dict[str, Any]]


def check(
    folder: Path, nemo: Path, rows: Rows | None = None, *, restyle: bool = True
) -> PreflightResult:
    """The preflight of a cycle, with these rows if any are given."""
    if rows is not None:
        factories.write_rows(folder / "manifest.jsonl", rows)
    style = style_of(open_archive(nemo))
    limits = AudioLimits(16000, min_duration=0.1, max_duration=20.0)
    return preflight(folder / "manifest.jsonl", limits, style, restyle=restyle)


def copied(name: str, tmp_path: Path) -> Path:
    """A case's cycle in a folder of its own."""
    folder = tmp_path / "cycle1"
    shutil.copytree(case(name) / "cycle1", folder)
    return folder


# What the finding is on, what its fix must say, and the text of who followed it.
UNSPELLABLE: dict[str, tuple[str, str, str]] = {
    "a decoder's unknown": ("give <unk> aspirin", "delete <unk>", "give aspirin"),
    "a sentence's end": ("give aspirin</s>", "delete </s>", "give aspirin"),
    "a blank": ("give ____ aspirin", "write what is said there", "give him aspirin"),
    "MIMIC's blank": ("seen by [**Name 12**]", "write what is said there", "seen by her"),
    "an entity": ("aspirin &amp; warfarin", 'write "and"', "aspirin and warfarin"),
    "an entity of a mark": ("sodium &lt; potassium", 'write "less than"', "sodium less than it"),
    "a space's entity": ("give&nbsp;aspirin", 'write "a space"', "give aspirin"),
    "a number": ("give 15 of aspirin", "write numbers as they are spoken", "give fifteen of it"),
    "a percent sign": ("half a % of it", 'write "percent" for %', "half a percent of it"),
    "a slash": ("pain and/or fever", 'write "per or slash" for /', "pain and or fever"),
    "a degree": ("it was \u00b0c", 'write "degrees" for \u00b0', "it was degrees c"),
    "an accent": ("caf\u00e9 noir", "as 'e'", "cafe noir"),
    "an accent of its own": ("sjo\u0308gren", "as 'o'", "sjogren"),
    "a quote inside a word": ("a\u201cb of it", "or delete it", "ab of it"),
    "a capital of two characters": ("\u0130 of it", "small letters", "i of it"),
    "a Cyrillic letter": ("\u0430spirin", "a letter of another alphabet", "aspirin"),
    "an arrow": ("potassium \u2191 again", 'write "increased"', "potassium increased again"),
    "a fraction": ("\u00bd of it", 'write "one half"', "one half of it"),
    "an underscore": ("beta_blocker", "write a space for _", "beta blocker"),
    "an emoji": ("good \U0001f600", "or delete it", "good"),
}


@pytest.mark.parametrize(("text", "fix", "followed"), UNSPELLABLE.values(), ids=list(UNSPELLABLE))
def test_the_fix_fits_the_character_and_ends_the_finding(
    cycle: Path, lower_nemo: Path, text: str, fix: str, followed: str
) -> None:
    """The advice for numbers is for numbers."""
    rows = factories.cycle_rows()[:1]
    rows[0] |= {"text": text, "term": None}
    (found,) = [one for one in check(cycle, lower_nemo, rows).findings if one.code != "restyled"]
    assert found.code == "text-unspellable"
    assert fix in found.fix
    assert ("one point five" in found.fix) is ("15" in text)
    rows[0]["text"] = followed
    assert check(cycle, lower_nemo, rows).findings == ()


def test_a_capital_is_no_number_where_the_style_is_kept(cycle: Path, lower_nemo: Path) -> None:
    """Two ways out, and both are named."""
    rows = factories.cycle_rows()[:1]
    rows[0]["text"] = "The doctor wrote aspirin"
    (found,) = check(cycle, lower_nemo, rows, restyle=False).findings
    assert found.fix == "write T as small letters, or leave keep_style out"
    assert [one.code for one in check(cycle, lower_nemo, rows).findings] == ["restyled"]


def test_each_kind_of_character_in_a_text_gets_its_advice() -> None:
    """A text with several is mended in one round."""
    told = advise_spelling(
        "give 5 mg & <unk>", lambda text: [char for char in text if char in "5&<>"], cased=False
    )
    assert [part in told for part in ("delete <unk>", "numbers", '"and" for &')] == [True] * 3
    assert "less than" not in told


def test_the_cases_rows_are_advised_each_for_itself(tmp_path: Path, lower_nemo: Path) -> None:
    """Three rows, three causes, three fixes."""
    found = check(copied("24-unspellable-advice", tmp_path), lower_nemo).findings
    errors = [one for one in found if one.code == "text-unspellable"]
    assert [one.row for one in errors] == [1, 2, 3]
    assert len({one.fix for one in errors}) == 3
    assert not any("one point five" in one.fix for one in errors)


# Empty values and blank lines.


def test_the_cases_export_of_a_table_is_sound(tmp_path: Path, lower_nemo: Path) -> None:
    """A blank last line is skipped, and an empty text is no value."""
    result = check(copied("25-csv-empties-blank-line", tmp_path), lower_nemo)
    assert result.findings == ()
    second = result.rows[1].utterance
    assert (second.term, second.entity_category, second.ipa_source) == (None, None, None)


@pytest.mark.parametrize("end", ["\n", "\n\n\n", "  \n", "\r\n\r\n", "\n\t\n"])
def test_blank_lines_at_the_end_are_skipped(cycle: Path, lower_nemo: Path, end: str) -> None:
    """However an editor leaves them."""
    path = cycle / "manifest.jsonl"
    path.write_bytes(path.read_bytes() + end.encode())
    assert check(cycle, lower_nemo).findings == ()


@pytest.mark.parametrize(
    "name", ["term", "entity_category", "ipa_source", "voice_id", "noise_level", "duration"]
)
def test_an_empty_text_is_no_value_in_any_field(cycle: Path, lower_nemo: Path, name: str) -> None:
    """Also of spaces alone."""
    for empty in ("", "  "):
        rows = factories.cycle_rows()
        rows[0][name] = empty
        assert check(cycle, lower_nemo, rows).findings == ()


# A value, what its fix must say, and the value of who followed it.
VALUES: dict[str, tuple[str, Any, str, Any]] = {
    "NaN as a term": ("term", float("nan"), "write null", None),
    "the text nan as a term": ("term", "nan", "write null", None),
    "a list of terms": ("term", ["aspirin", "b"], 'such as "aspirin"', "aspirin"),
    "a list as text": ("term", "['aspirin', 'b']", 'such as "aspirin"', "aspirin"),
    "NaN as a category": ("entity_category", float("nan"), "write null", None),
    "None as a category": ("entity_category", "None", "write null", None),
    "a plural": ("entity_category", "Drugs", 'write "drug"', "drug"),
    "another tool's source": ("ipa_source", "g2p", 'write "magpie_g2p"', "magpie_g2p"),
    "a number as a voice": ("voice_id", 7, 'write it as "7"', "7"),
    "a duration in quotation marks": ("duration", "0.3", "write 0.3 without", 0.3),
    "a duration of words": ("duration", "short", "write null", None),
    "a duration of 0": ("duration", 0, "write null", None),
}


@pytest.mark.parametrize(("name", "value", "fix", "followed"), VALUES.values(), ids=list(VALUES))
def test_the_fix_of_a_value_ends_its_finding(
    cycle: Path, lower_nemo: Path, name: str, value: Any, fix: str, followed: Any
) -> None:
    """One finding, and none after what it says was done."""
    rows = factories.cycle_rows()
    rows[0][name] = value
    found = [one for one in check(cycle, lower_nemo, rows).findings if one.code != "bad-number"]
    (finding,) = found
    assert fix in finding.fix
    rows[0][name] = followed
    assert check(cycle, lower_nemo, rows).findings == ()


# All findings in one round.


def test_the_cases_findings_are_told_in_one_round(tmp_path: Path, lower_nemo: Path) -> None:
    """Category, recording, digit and duplicate: nothing waits for the second round."""
    found = check(copied("31-second-round-of-errors", tmp_path), lower_nemo).findings
    assert [(one.code, one.row) for one in found if one.severity == "error"] == [
        ("unknown-entity_category", 1),
        ("audio-missing", 1),
        ("text-unspellable", 1),
        ("unknown-entity_category", 2),
        ("duplicate-row", 3),
    ]


@pytest.mark.parametrize(
    ("damage", "codes"),
    [
        ({"text": "", "duration": 9.0}, ["empty-text", "duration-differs"]),
        (
            {"voice_id": 5, "text": "give 5"},
            ["bad-voice_id", "term-not-in-text", "text-unspellable"],
        ),
        ({"term": "heparin", "audio_filepath": "none.wav"}, ["term-not-in-text", "audio-missing"]),
        ({"ipa_source": "x", "audio_filepath": "audio/1.wav"}, ["unknown-ipa_source"]),
        ({"text": None, "audio_filepath": "../a.wav"}, ["bad-text", "audio-missing"]),
    ],
)
def test_a_fault_of_the_schema_hides_no_fault_of_audio_or_text(
    cycle: Path, lower_nemo: Path, damage: dict[str, Any], codes: list[str]
) -> None:
    """A row's first fault is not its last."""
    rows = factories.cycle_rows()
    rows[0] |= damage
    found = [one for one in check(cycle, lower_nemo, rows).findings if one.row == 1]
    assert [one.code for one in found] == codes


# Recordings and places: the damage, what the fix must say, and what who follows it does.


def resample(path: Path) -> None:
    """What ffmpeg with `-af channelmap=0:mono -ar 16000` does, as far as the check can tell."""
    samples, rate = soundfile.read(path, always_2d=True)
    first = samples[:, 0]
    times = np.arange(round(len(first) * 16000 / rate)) / 16000
    soundfile.write(path, np.interp(times, np.arange(len(first)) / rate, first), 16000)


def make_flac_of_another_kind(path: Path) -> None:
    """A FLAC under a WAV's name, cut in half: it cannot be decoded."""
    soundfile.write(path, np.random.default_rng(1).uniform(-1, 1, 9000), 16000, format="FLAC")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


Step = Callable[[Path, Rows], object]
PLACES: dict[str, tuple[Step, str, Step]] = {
    "another duration": (
        lambda _, rows: rows[0].update(duration=9.0),
        "write null",
        lambda _, rows: rows[0].update(duration=None),
    ),
    "another rate": (
        lambda folder, _: factories.write_wav(folder / "audio/0.wav", rate=8000),
        "ffmpeg -i IN -ar 16000 OUT.wav",
        lambda folder, _: resample(folder / "audio/0.wav"),
    ),
    "two channels": (
        lambda folder, _: factories.write_wav(folder / "audio/0.wav", channels=2),
        "ffmpeg -i IN -af channelmap=",
        lambda folder, _: resample(folder / "audio/0.wav"),
    ),
    "two channels at another rate": (
        lambda folder, _: factories.write_wav(folder / "audio/0.wav", channels=2, rate=8000),
        "ffmpeg -i IN -af channelmap=",
        lambda folder, _: resample(folder / "audio/0.wav"),
    ),
    "undecodable": (
        lambda folder, _: make_flac_of_another_kind(folder / "audio/0.wav"),
        "16-bit PCM WAV",
        lambda folder, _: factories.write_wav(folder / "audio/0.wav"),
    ),
    "missing": (
        lambda folder, _: (folder / "audio/0.wav").unlink(),
        "put the file there",
        lambda folder, _: factories.write_wav(folder / "audio/0.wav"),
    ),
    "a folder": (
        lambda _, rows: rows[0].update(audio_filepath="audio"),
        "name the audio file itself",
        lambda _, rows: rows[0].update(audio_filepath="audio/0.wav"),
    ),
    "a row twice": (
        lambda _, rows: rows.append(dict(rows[0])),
        "keep one of the two rows",
        lambda _, rows: rows.pop(),
    ),
    "two transcripts": (
        lambda folder, _: shutil.copy(folder / "audio/0.wav", folder / "audio/1.wav"),
        "remove the row whose text it is not",
        lambda _, rows: rows.pop(1),
    ),
    "too long": (
        lambda folder, _: factories.write_wav(folder / "audio/0.wav", 20.5),
        "--cut",
        lambda folder, _: factories.write_wav(folder / "audio/0.wav", 19.0),
    ),
    "no category of the table": (
        lambda _, rows: rows[0].update(entity_category="weather"),
        "null where none of them fits",
        lambda _, rows: rows[0].update(entity_category=None),
    ),
}


@pytest.mark.parametrize(("damage", "fix", "follow"), PLACES.values(), ids=list(PLACES))
def test_who_follows_a_fix_of_audio_or_place_has_no_finding_left(
    cycle: Path, lower_nemo: Path, damage: Step, fix: str, follow: Step
) -> None:
    """Neither the same nor another."""
    rows = factories.cycle_rows()
    damage(cycle, rows)
    found = check(cycle, lower_nemo, rows).findings
    assert found
    assert all(fix in one.fix for one in found)
    follow(cycle, rows)
    assert check(cycle, lower_nemo, rows).findings == ()


@pytest.mark.parametrize(
    ("text", "script", "mended"),
    [
        ("дать варфарин сейчас", "Cyrillic", "give warfarin now"),
        ("给病人阿司匹林", "CJK", "give the patient aspirin"),
        ("give варфарин now", "Cyrillic", "give warfarin now"),
    ],
)
def test_a_text_in_another_alphabet_has_one_advice(
    cycle: Path, lower_nemo: Path, text: str, script: str, mended: str
) -> None:
    """Not one for each letter; who writes Latin letters, or removes the row, has none left."""
    rows = factories.cycle_rows()
    rows[0] = {"audio_filepath": "audio/0.wav", "text": text}
    (found,) = check(cycle, lower_nemo, rows).findings
    assert found.code == "text-unspellable"
    assert found.fix.count("alphabet") == 1
    assert f"({script})" in found.fix
    assert "write the Latin letter, or" not in found.fix
    rows[0]["text"] = mended
    assert check(cycle, lower_nemo, rows).findings == ()
    assert check(cycle, lower_nemo, rows[1:]).findings == ()
