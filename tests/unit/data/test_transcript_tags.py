"""Tags in transcripts are told, row by row, with a choice: drop the tag, drop the row.

flashlight/wav2letter#457, AreevAI/flowcat#27, finos/greenkey-asrtoolkit#102 (angle brackets and
square ones), receptron/mulmoclaude#2216 (blank audio), skit-ai/eevee#36, azure-docs#91762.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from tasks.common.errors import InputError
from tasks.data.audio_checks import AudioLimits
from tasks.data.preflight import PreflightResult, preflight
from tasks.data.transcript_tags import TagChoice, drop_tags, find_tags, rewrite
from tasks.evaluation.result_reading import read_results
from tests.support import factories
from tests.support.cases import case

if TYPE_CHECKING:
    from pathlib import Path

TAGS = {
    "[noise] the plan": (["[noise]"], "the plan"),
    "it was held (inaudible)": (["(inaudible)"], "it was held"),
    "[DR SMITH]: start it": (["[DR SMITH]:"], "start it"),
    "Patient: it hurts": (["Patient:"], "it hurts"),
    "Speaker 2: it hurts": (["Speaker 2:"], "it hurts"),
    "Dr. Smith: it hurts": (["Dr. Smith:"], "it hurts"),
    "so <laugh> it hurts </laugh>": (["<laugh>", "</laugh>"], "so it hurts"),
    "it ((hurts)) here": (["((hurts))"], "it here"),
    "give {uh} it": (["{uh}"], "give it"),
    "[BLANK_AUDIO]": (["[BLANK_AUDIO]"], ""),
    "*coughs* it hurts": (["*coughs*"], "it hurts"),
    "it (laughs) and [pause] hurts": (["(laughs)", "[pause]"], "it and hurts"),
    "[00:01:23] it hurts": (["[00:01:23]"], "it hurts"),
    "it hurts (clears throat)": (["(clears throat)"], "it hurts"),
    "it hurts (Background noise)": (["(Background noise)"], "it hurts"),
    "it (unintelligible 00:12) hurts": (["(unintelligible 00:12)"], "it hurts"),
}


@pytest.mark.parametrize(("text", "tags", "left"), [(k, *v) for k, v in TAGS.items()])
def test_what_nobody_said_is_found(text: str, tags: list[str], left: str) -> None:
    """In any kind of bracket, and as a speaker's label."""
    assert find_tags(text) == tags
    assert drop_tags(text) == left


@pytest.mark.parametrize(
    "text",
    [
        "take it (as needed)",
        "aspirin (acetylsalicylic acid)",
        "Plan: start metoprolol",
        "assessment: stable",
        "at 10:30 today",
        "the patient: she hurts",
        "give <unk> now",
        "seen by [**Name**]",
        "noise in the ears",
        "2 * 3",
    ],
)
def test_what_may_have_been_said_is_no_tag(text: str) -> None:
    """Dictated brackets, headings, times, and other findings' matter."""
    assert find_tags(text) == []


def check(folder: Path) -> PreflightResult:
    """The preflight of a cycle's audio and tags."""
    return preflight(folder / "manifest.jsonl", AudioLimits(16000), None)


@pytest.mark.parametrize(("choice", "rows"), [(TagChoice.TAG, 3), (TagChoice.ROW, 1)])
def test_who_follows_the_fix_has_no_finding_left(
    tmp_path: Path, choice: TagChoice, rows: int
) -> None:
    """Each row of the case is told; either choice ends it, and the user's file stays."""
    folder = tmp_path / "cycle1"
    shutil.copytree(case("08-bracket-tags") / "cycle1", folder)
    manifest = folder / "manifest.jsonl"
    if choice is TagChoice.ROW:
        # All rows of the case hold a tag.
        with pytest.raises(InputError, match="--drop tag"):
            rewrite(manifest, folder / "copy.jsonl", choice)
        factories.write_wav(folder / "audio/d.wav")
        row = {"audio_filepath": "audio/d.wav", "text": "start metoprolol"}
        with manifest.open("a") as stream:
            stream.write(json.dumps(row) + "\n")
    before = manifest.read_bytes()
    found = [one for one in check(folder).findings if one.code == "text-tag"]
    assert [(one.row, one.value) for one in found] == [
        (1, "[noise]"),
        (2, "(inaudible)"),
        (3, "[DR SMITH]:"),
    ]
    assert all("--drop tag" in one.fix and "--drop row" in one.fix for one in found)
    assert rewrite(manifest, folder / "copy.jsonl", choice) == (3, rows)
    assert manifest.read_bytes() == before
    shutil.move(folder / "copy.jsonl", manifest)
    assert check(folder).findings == ()
    assert len(check(folder).rows) == rows


def test_a_row_whose_term_stands_in_a_tag_goes(tmp_path: Path) -> None:
    """Else the copy would not be sound: its term would not stand in its text."""
    rows = [
        {"audio_filepath": "a.wav", "text": "give ((aspirin)) now", "term": "aspirin"},
        {"audio_filepath": "b.wav", "text": "give aspirin [pause] now", "term": "aspirin"},
        {"audio_filepath": "c.wav", "text": "[silence]"},
    ]
    manifest = factories.write_rows(tmp_path / "manifest.jsonl", rows)
    assert rewrite(manifest, tmp_path / "copy.jsonl", TagChoice.TAG) == (3, 1)
    with pytest.raises(InputError, match="never edited"):
        rewrite(manifest, manifest, TagChoice.TAG)


def test_tags_in_the_references_of_a_result_are_told(tmp_path: Path) -> None:
    """They count as words there, which nobody can take back."""
    row = {"audio_filepath": "a.wav", "ref": "[noise] start it", "hyp": "start it"}
    _, notes = read_results(factories.write_rows(tmp_path / "h.jsonl", [row]))
    assert "1 reference with tags" in notes.lines()[0]
