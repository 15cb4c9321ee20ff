"""A recording leaves files of each kind, and what stands beside it stays."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tasks.privacy import purge
from tasks.privacy.purge_plan import change_text
from tasks.privacy.scrub_texts import mark_page, scrub_page
from tasks.privacy.traces import RecordingTraces
from tests.support import factories, purge_cases

GOES = "the porter brought mister heffalump upstairs with chest pain"
HASH, KEYED = "a" * 64, "b" * 64
CLINIC = Path("/clinic")


@pytest.fixture
def traces() -> RecordingTraces:
    """Of cycle 1's audio/7.wav; cycle 2 has another recording of that path."""
    found = RecordingTraces(
        paths={"/clinic/cycle1/audio/7.wav"},
        names={"audio/7.wav"},
        hashes={HASH: KEYED},
        pairs={("audio/7.wav", tuple(GOES.split()))},
        kept_pairs={("audio/7.wav", ("somebody", "else"))},
        kept_paths={"/clinic/cycle2/audio/7.wav", "/clinic/cycle1/audio/8.wav"},
        tails={"cycle1/audio/7.wav"},
    )
    found.phrases.add(GOES)
    found.phrases.add("the porter brought mister half a lump")
    found.phrases.keep("the nurse brought mister white")
    found.seal()
    return found


def changed(traces: RecordingTraces, name: str, text: str) -> str | None:
    """A file's new text."""
    return change_text(CLINIC / name, text, traces, "mark")


def test_rows_of_another_recording_of_that_path_stay(traces: RecordingTraces) -> None:
    """The text beside a path says which recording is meant; else the file's own folder."""
    own = json.dumps({"audio_filepath": "audio/7.wav", "ref": GOES})
    other = json.dumps({"audio_filepath": "audio/7.wav", "ref": "somebody else"})
    lines = f"{own}\n{other}\n"
    assert changed(traces, "cycle2/offline_hyps.jsonl", lines) == f"{other}\n"
    bare = '{"audio_filepath": "audio/7.wav"}\n{"audio_filepath": "audio/8.wav"}\n'
    assert changed(traces, "cycle1/list.jsonl", bare) == '{"audio_filepath": "audio/8.wav"}\n'
    assert changed(traces, "cycle2/list.jsonl", bare) is None
    moved = '{"audio_filepath": "/old/disk/cycle1/audio/7.wav", "text": "as it was"}\n'
    assert changed(traces, "cycle1/train.jsonl", moved + bare) is not None


def test_a_models_list_keeps_the_keyed_hash(traces: RecordingTraces) -> None:
    """In the list with roles, and in the plain one of older versions."""
    roles = json.dumps({"audio_sha256": HASH, "role": "trained"})
    kept = changed(traces, "cycle1/models/m/recording_roles.jsonl", f"{roles}\n")
    assert json.loads(kept or "") == {"keyed_sha256": KEYED, "role": "trained"}
    text = f"{'c' * 64}\n{HASH}\n"
    expected = f"{'c' * 64}\n{KEYED}\n"
    assert changed(traces, "cycle1/models/m/trained_recordings.txt", text) == expected


def test_figures_stay_and_what_they_quote_goes(traces: RecordingTraces) -> None:
    """Misrecognitions are keys of objects, warnings quote texts."""
    board = {
        "ker": 0.5,
        "near_misses": {"heffalump": {"half a lump": 1, "white": 2}},
        "warnings": [{"row": 3, "value": GOES}, {"row": 4, "value": "another"}],
        "first": [{"audio_filepath": "audio/7.wav", "ref": GOES, "hyp": "x"}],
        "rows": {"cycle1/audio/7.wav": {"sha256": HASH}},
    }
    kept = json.loads(changed(traces, "cycle2/leaderboard_cycle2.json", json.dumps(board)) or "")
    assert kept["ker"] == 0.5
    assert kept["near_misses"] == {"heffalump": {"white": 2}}
    assert kept["first"] == []
    assert kept["rows"] == {}
    assert [row["value"] for row in kept["warnings"]] == ["[purged]", "another"]


def test_tables_lose_rows_and_keep_quotes(traces: RecordingTraces) -> None:
    """A cell may hold line breaks."""
    table = f'rank,text\n1,"{GOES}"\n2,"two\nlines, and a ""quote"""\n'
    expected = 'rank,text\n2,"two\nlines, and a ""quote"""\n'
    assert changed(traces, "sheet/sheet.csv", table) == expected


PAGE = (
    "<html><body>\n"
    "<li>tenfold dose: <q>the porter brought mister heffalump upstairs…</q></li><li>stays</li>\n"
    f'<article id="row-1"><audio src="data:audio/mpeg;base64,AAAA"></audio>'
    f"<div>Said: <bdi>{GOES}</bdi></div></article>\n"
    '<article id="row-2"><p>another row</p><br></article>\n'
    '<table><tr><th>heffalump <a href="#row-1">♪</a><a href="#row-2">♪</a>'
    '<span class="what">heard: <bdi>half a lump</bdi>, <bdi>white</bdi></span></th><td>3</td></tr>'
    "</table>\n</body></html>\n"
)


def test_pages_lose_cards_sound_links_and_forms(traces: RecordingTraces) -> None:
    """Figures and other rows stay, and the page says that rows were purged."""
    page = scrub_page(PAGE, traces, "rows were purged")
    assert page is not None
    assert "heffalump upstairs" not in page
    assert "base64" not in page
    assert "row-1" not in page
    assert "half a lump" not in page
    for stays in ("<li>stays</li>", "another row", "#row-2", "<td>3</td>", "<bdi>white</bdi>"):
        assert stays in page
    assert page.count('<p class="purged">rows were purged</p>') == 1
    assert mark_page(page, "again").count('class="purged"') == 1
    assert scrub_page(page, traces, "rows were purged") is None


def test_a_page_of_another_form_is_not_left(traces: RecordingTraces) -> None:
    """Where no element can be cut out, the caller removes the page."""
    with pytest.raises(ValueError, match="no row of it can be cut out"):
        scrub_page(f"<body><title>{GOES}</title>{GOES}<p>x</p></body>", traces, "mark")


@pytest.mark.parametrize(
    ("voice", "text", "expected"),
    [
        ("doctor-7", "voice doctor-7 lost, doctor-70 did not", "voice V lost, doctor-70 did not"),
        ("Doctor", "the Doctor came | Doctor | 3 |", "the Doctor came | V | 3 |"),
        ("Doctor", "<bdi>Doctor</bdi> the Doctor", "<bdi>V</bdi> the Doctor"),
    ],
)
def test_a_voices_name_is_replaced_where_it_is_one(voice: str, text: str, expected: str) -> None:
    """A name that is a word too stays in texts."""
    assert RecordingTraces(voices={voice: "V"}).without_voices(text) == expected


def test_lists_of_terms_stay(tmp_path: Path) -> None:
    """Also where a purged row said nothing but a term."""
    cycle = purge_cases.make_clinic(tmp_path)
    rows = [{"audio_filepath": "audio/0.wav", "text": "Aspirin."}]
    factories.write_rows(cycle / "manifest.jsonl", rows)
    (cycle / "formulary.txt").write_text("aspirin\n")
    plan = purge.plan_purge(purge_cases.request(cycle, recording="0"), {}, dry=True)
    assert cycle / "formulary.txt" not in plan.changes.by_path
