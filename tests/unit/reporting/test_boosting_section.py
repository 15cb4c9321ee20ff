"""The report on boosting: strengths by shape and word, each term's gain, words written wrongly."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from tasks.common import atomic_files, privacy_settings
from tasks.data.cycle_folder import open_cycle
from tasks.records import run_record
from tasks.reporting.html import audio_clips, svg_charts
from tasks.reporting.html.boosting_section import describe_boosting, name_gains
from tasks.reporting.html.page import render
from tasks.reporting.html.report_data import gather
from tests.support import factories, prepared_cycles

if TYPE_CHECKING:
    from pathlib import Path

MODELS = ("base", "base boosted", "tuned", "tuned boosted")
SHARE = {"rate": 0.25, "ci": [0.1, 0.5], "hits": 3, "n": 12}
NONE = {"rate": None, "ci": None, "hits": 0, "n": 0}


def figures() -> dict[str, Any]:
    """A model's figures, without general English."""
    shares = dict.fromkeys(("fkr", "wer", "u_wer"), SHARE)
    return {"ker": {"drug": SHARE}, **shares, "general_wer": NONE, "general_fkr": NONE}


def strength(value: float, ker: float, false: int, *, chosen: bool = False) -> dict[str, Any]:
    """A strength's figures on 20 choosing rows."""
    return {
        "strength": value,
        "ker": ker,
        "ker_ci": [max(0.0, ker - 0.1), min(1.0, ker + 0.1)],
        "general_wer": 0.04,
        "false_keywords": {"rate": false / 20, "ci": [0.0, 0.4], "hits": false, "n": 20},
        "chosen": chosen,
    }


def wrong(recording: Path, *, own: bool = True) -> dict[str, Any]:
    """A row in which a boosted model wrote a drug that nobody said."""
    return {
        "model": "base boosted",
        "part": "general English",
        "audio_filepath": "audio/g.wav",
        "recording": str(recording),
        "terms": ["<b>aspirin"],
        "by_boosting": ["<b>aspirin"] if own else [],
        "ref": "a spring day",
        "hyp": "aspirin day",
        "hyp_without_phrases": "a spring day",
    }


def boosting(recording: Path) -> dict[str, Any]:
    """What decision.json holds of a run that boosted."""
    curve = [strength(0.0, 0.9, 0), strength(0.5, 0.4, 1, chosen=True), strength(2.0, 0.6, 9)]
    missed = dict(zip(MODELS, (2, 1, 2, 0), strict=True))
    return {
        "list": "the cycle's terms and 1200 distractors",
        "chosen": "tuned boosted",
        "findings": ["Of four models tuned boosted is chosen."],
        "models": {model: figures() for model in MODELS},
        "strengths": {"base boosted": curve, "tuned boosted": []},
        "terms": [
            {"term": "heparin", "category": "drug", "n": 2, "missed": missed, "trained": False}
        ],
        "terms_without_audio": {
            "terms": 4,
            "of_terms": 6,
            "ker": {model: {"drug": SHARE, "lab": NONE} for model in MODELS},
        },
        "false_keyword_rows": [wrong(recording), wrong(recording, own=False)],
    }


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The report of such a run."""
    folder = tmp_path_factory.mktemp("boosting")
    cycle = open_cycle(prepared_cycles.finish_turn(folder, 1, prepared_cycles.Turn()))
    recording = factories.write_wav(folder / "g.wav", 1.0)
    decision = run_record.read_decision(cycle)
    atomic_files.write_json(
        cycle.path / run_record.DECISION_NAME, {**decision, "boosting": boosting(recording)}
    )
    with privacy_settings.applied(audio=True):
        return render(gather(cycle, run_record.read(cycle)))


@pytest.fixture(scope="module")
def section(page: str) -> str:
    """Its part on boosting."""
    return page[page.index("<h2>Boosted phrases") : page.index("<h2>Change in missed terms")]


def words(markup: str) -> str:
    """The text of markup."""
    return re.sub(r"\s+", " ", re.sub("<[^>]*>", " ", markup))


def test_the_chosen_strength_is_told_by_shape_and_word(section: str) -> None:
    """In both drawings and in the table; a colour is needed for none of them."""
    assert section.count('<path class="node best"') == 2
    assert section.count("chosen: 0.5</text>") == 2
    assert "KER on the selection rows by strength, base boosted; chosen: 0.5" in section
    assert "Rows with a false keyword by strength, base boosted; chosen: 0.5" in section
    assert section.count("<h3>Strength,") == 1, "nothing was tried for the tuned model"
    rows = [words(row) for row in re.findall(r"<tr>(.*?)</tr>", section)]
    (chosen,) = (row for row in rows if "◆ chosen" in row)
    assert "40.0 %" in chosen
    assert "1 of 20" in chosen


def test_each_strength_has_its_place_on_the_axis(section: str) -> None:
    """From 0 to the strongest that was tried."""
    drawing = section[section.index("<svg") : section.index("</svg></figure>")]
    circles = re.findall(r'<circle class="node" cx="([\d.]+)%"', drawing)
    assert circles == ["9.0", "91.0"]
    assert '<svg x="29.5%"' in drawing


def test_models_terms_and_new_terms_have_their_tables(section: str) -> None:
    """Four columns each; what was not measured has no line."""
    text = words(section)
    assert "tuned boosted chosen" in text
    assert "general WER on" not in text
    assert "KER on 4 of the 6 terms that judge" in text
    assert "heparin drug 2 2 1 2 0 boosting, both together" in text


def test_a_term_that_nobody_said_can_be_heard(page: str, section: str) -> None:
    """With what was said and what the model writes without phrases; names are text."""
    assert section.count("<audio") == 2
    assert "&lt;b&gt;aspirin" in section
    assert "Without phrases: <bdi>a spring day</bdi>" in section
    assert section.count("the model writes it without phrases too") == 1
    assert page.count("<b>aspirin") == 0


def test_recordings_of_the_page_share_one_limit(tmp_path: Path) -> None:
    """What boosting's rows take is not there for the worst rows; an absent one is named."""
    short = factories.write_wav(tmp_path / "short.wav", 2.0)
    with privacy_settings.applied(audio=True):
        (clip,) = audio_clips.clips([short], audio_clips.MOST_BYTES)
        assert audio_clips.clips([short], len(clip.uri))[0].uri
        assert "limit" in audio_clips.clips([short], len(clip.uri) - 1)[0].why
        told = describe_boosting(boosting(tmp_path / "gone.wav"), lambda name: tmp_path / name)
    assert told is not None
    assert told.audio_bytes == 0
    assert "not there" in told.wrong[0].clip.why


@pytest.mark.parametrize(
    ("values", "ticks"),
    [([], (0, 0.02)), ([0.03], (0, 0.02, 0.04)), ([0.24], (0, 0.05, 0.1, 0.15, 0.2, 0.25))],
)
def test_small_shares_fill_their_axis(values: list[float], ticks: tuple[float, ...]) -> None:
    """From zero to a round tick above them; large ones go to 100 %."""
    assert svg_charts.share_axis(values).ticks == ticks
    assert svg_charts.share_axis([0.93]).high == svg_charts.share_axis([1.0]).high == 1.0


def test_a_run_without_boosting_has_no_such_section(tmp_path: Path) -> None:
    """Nor has a run of a version that kept no figures of it."""
    assert describe_boosting(None, lambda name: tmp_path / name) is None
    assert describe_boosting({"chosen": "tuned"}, lambda name: tmp_path / name) is None


@pytest.mark.parametrize(
    ("missed", "told"),
    [
        ((2, 1, 2, 1), "boosting"),
        ((2, 2, 0, 0), "tuning"),
        ((2, 1, 1, 1), "boosting, tuning"),
        ((2, 2, 2, 0), "both together"),
        ((0, 0, 0, 0), "found by all"),
        ((0, 1, 0, 0), "lost by boosting"),
        ((1, 0, 2, 0), "boosting, lost by tuning"),
        ((1, 1, 1, 2), "lost by both together"),
        ((2, 2, 2, 2), "nothing"),
        ((2, 1), "boosting"),
        ((1, 2), "lost by boosting"),
        ((0, 0), "found by all"),
        ((1, 1), "nothing"),
    ],
)
def test_what_gained_a_term_is_named(missed: tuple[int, ...], told: str) -> None:
    """By the counts of its misses: of four models, or of two where nothing was tuned."""
    assert name_gains(missed) == told
