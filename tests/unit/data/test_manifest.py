"""The manifest's format: what is read is what was written, and the user's file stays."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.common.errors import InputError
from tasks.data import manifest
from tasks.data.manifest import Utterance
from tasks.data.row_schema import CLINICAL_FIELDS
from tasks.data.vocabularies import CATEGORIES, IPA_SOURCES
from tests.support import factories

if TYPE_CHECKING:
    from pathlib import Path


def test_the_vocabularies_are_the_contracts() -> None:
    """Six categories, three pronunciation sources, six clinical fields."""
    assert set(CATEGORIES) == {"drug", "procedure", "anatomy", "condition", "lab", "role"}
    assert set(IPA_SOURCES) == {"override", "merriam-webster", "magpie_g2p"}
    assert set(CLINICAL_FIELDS) == {
        "term",
        "entity_category",
        "ipa_source",
        "voice_id",
        "noise_level",
        "context_type",
    }


def test_a_full_row_is_read_field_by_field(tmp_path: Path) -> None:
    """Each field goes where it belongs, unknown ones are kept."""
    row = {**factories.cycle_rows()[3], "duration": 1.5, "source": {"site": 3}, "lang": "en"}
    path = factories.write_rows(tmp_path / "manifest.jsonl", [row])
    (found,) = manifest.read_manifest(path)
    assert found == Utterance(
        row=1,
        audio_filepath="audio/3.wav",
        text="the doctor wrote warfarin into the chart",
        duration=1.5,
        term="warfarin",
        entity_category="drug",
        ipa_source="merriam-webster",
        voice_id="anna",
        noise_level="clean",
        context_type="dictation",
        extra={"source": {"site": 3}, "lang": "en"},
    )


def test_a_bare_nemo_manifest_is_enough(tmp_path: Path) -> None:
    """Without clinical fields a manifest can still be read."""
    path = factories.write_rows(
        tmp_path / "m.jsonl", [{"audio_filepath": "a.wav", "text": "hello"}]
    )
    assert manifest.read_manifest(path) == (Utterance(1, "a.wav", "hello"),)


def test_the_users_own_words_for_noise_and_context_are_allowed(tmp_path: Path) -> None:
    """Only category and pronunciation source have a fixed vocabulary."""
    row = {**factories.cycle_rows()[0], "noise_level": "ward at night", "context_type": "phone"}
    path = factories.write_rows(tmp_path / "m.jsonl", [row])
    (found,) = manifest.read_manifest(path)
    assert (found.noise_level, found.context_type) == ("ward at night", "phone")


texts = st.text(min_size=1, max_size=12).filter(lambda text: text.strip() and "\0" not in text)
rows = st.builds(
    Utterance,
    row=st.just(1),
    audio_filepath=texts,
    text=texts,
    duration=st.none() | st.floats(0.001, 1e4),
    entity_category=st.none() | st.sampled_from(CATEGORIES),
    ipa_source=st.none() | st.sampled_from(IPA_SOURCES),
    voice_id=st.none() | texts,
    noise_level=st.none() | texts,
    context_type=st.none() | texts,
    extra=st.dictionaries(st.just("x") | st.just("y"), texts | st.integers() | st.none()),
)


@given(st.lists(rows, min_size=1, max_size=4))
def test_what_is_written_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, written: list[Utterance]
) -> None:
    """Every field survives, line separators and other alphabets included."""
    path = tmp_path_factory.getbasetemp() / "round-trip.jsonl"
    manifest.write_manifest(path, written)
    read = manifest.read_manifest(path)
    assert [row.as_dict() for row in read] == [row.as_dict() for row in written]
    assert [row.row for row in read] == list(range(1, len(written) + 1))


def test_absent_clinical_fields_stay_absent(tmp_path: Path) -> None:
    """A copy does not invent nulls; duration is always written, for NeMo asks for it."""
    path = tmp_path / "m.jsonl"
    manifest.write_manifest(path, [Utterance(1, "a.wav", "hello", term="hello")])
    assert json.loads(path.read_text()) == {
        "audio_filepath": "a.wav",
        "text": "hello",
        "duration": None,
        "term": "hello",
    }


@pytest.mark.parametrize(
    "data",
    [
        b'\xef\xbb\xbf{"audio_filepath": "a", "text": "b"}\n',
        b'{"audio_filepath": "a", "text": "b"}',
        b'{"audio_filepath": "a", "text": "b"}\r\n',
        b'  {"audio_filepath": "a", "text": "b"}  \n',
    ],
)
def test_harmless_differences_of_editors_are_accepted(tmp_path: Path, data: bytes) -> None:
    """A byte order mark, Windows line ends, or no line end at the end."""
    path = tmp_path / "m.jsonl"
    path.write_bytes(data)
    assert manifest.read_manifest(path) == (Utterance(1, "a", "b"),)


def test_a_line_separator_inside_text_is_no_new_line(tmp_path: Path) -> None:
    """U+2028 and U+0085 stand inside a JSON string as they are."""
    path = tmp_path / "m.jsonl"
    path.write_text('{"audio_filepath": "a", "text": "b\u2028c\x85d"}\n', encoding="utf-8")
    (found,) = manifest.read_manifest(path)
    assert found.text == "b\u2028c\x85d"


@pytest.mark.parametrize(
    ("term", "text"),
    [
        ("Sjögren's", "known SJOGRENS syndrome"),
        ("atrial fibrillation", "new Atrial Fibrillation, paroxysmal"),
        ("x-ray", "a chest X-ray."),
        ("B12", "low b12 level"),
    ],
)
def test_a_term_is_sought_as_it_is_scored(tmp_path: Path, term: str, text: str) -> None:
    """Casing, accents and marks do not hide it."""
    row = {"audio_filepath": "a.wav", "text": text, "term": term}
    assert manifest.read_manifest(factories.write_rows(tmp_path / "m.jsonl", [row]))[0].term == term


def test_rows_are_returned_beside_the_findings_as_far_as_they_are_sound(tmp_path: Path) -> None:
    """The rest of a row can be checked in the same round; one without audio has no rest."""
    rows = factories.cycle_rows()[:4]
    rows[1] |= {"text": "", "entity_category": "Drug", "duration": -1}
    del rows[3]["audio_filepath"]
    good, found = manifest.parse_manifest(factories.write_rows(tmp_path / "m.jsonl", rows))
    assert [row.row for row in good] == [1, 2, 3]
    assert (good[1].text, good[1].entity_category, good[1].duration) == ("", None, None)
    assert [(one.row, one.code) for one in found] == [
        (2, "empty-text"),
        (2, "bad-duration"),
        (2, "unknown-entity_category"),
        (4, "no-audio_filepath"),
    ]


def test_two_faults_of_a_row_are_two_findings(tmp_path: Path) -> None:
    """Nothing hides behind the first fault."""
    row = {**factories.cycle_rows()[0], "duration": -1, "entity_category": "x", "voice_id": 3}
    _, found = manifest.parse_manifest(factories.write_rows(tmp_path / "m.jsonl", [row]))
    assert {one.code for one in found} == {
        "bad-duration",
        "unknown-entity_category",
        "bad-voice_id",
    }


@pytest.mark.parametrize("line", ["[" * 100_000, '{"a":' * 100_000, "1" * 5000, "NaN", "nul"])
def test_absurd_json_is_a_finding(tmp_path: Path, line: str) -> None:
    """Neither depth nor length of a line ends in a traceback."""
    path = tmp_path / "m.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(InputError, match="row 1: "):
        manifest.read_manifest(path)


@pytest.mark.parametrize(
    ("folder", "fix"),
    [("cycle3", "name the right cycle folder"), ("general", "name a manifest that is there")],
)
def test_a_manifest_that_is_not_there_has_a_fix_for_its_place(
    tmp_path: Path, folder: str, fix: str
) -> None:
    """A cycle is named by its folder, and a set of general speech by its file."""
    with pytest.raises(InputError, match=fix):
        manifest.read_manifest(tmp_path / folder / "manifest.jsonl")
