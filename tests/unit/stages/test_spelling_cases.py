"""Verdicts that a hyphen or a number's spelling must not turn: cases from public threads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from asr_flywheel import cli
from tasks.decision.verdict_rules import GUARDRAIL_TO_THE_LETTER, SPELLING_BLIND
from tasks.evaluation.hypotheses import Hypothesis, write_hypotheses
from tasks.evaluation.result_reading import read_hypotheses
from tasks.evaluation.scoring import score
from tasks.stages.compare import compare
from tests.support import factories
from tests.support.cases import case

if TYPE_CHECKING:
    from pathlib import Path

HYPHEN = case("04-hyphen-is-shouting")
DASHES = case("06-unicode-hyphen")
NUMBERS = case("30-guardrail-number-style")
UNCHANGED = (NUMBERS / "general-base.jsonl", NUMBERS / "general-base.jsonl")


@pytest.mark.parametrize("spelling", ["hyphen", "space"])
def test_a_hyphen_in_a_compound_changes_no_verdict(spelling: str) -> None:
    """jsboige/CoursIA#6948, huggingface/open_asr_leaderboard#142: "x-ray" for "x ray"."""
    found = compare(
        HYPHEN / "before.jsonl",
        HYPHEN / f"after-{spelling}.jsonl",
        None,
        ["drug"],
        general=UNCHANGED,
    )
    assert found["decision"] == "keep"
    assert found["views"][SPELLING_BLIND] == "keep"
    assert not any("false keywords" in reason for reason in found["reasons"])


def test_a_dash_between_letters_is_the_hyphen_and_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """ms609/citation-bot#5626: U+2011, U+2013 and U+2010 from a word processor."""
    scores = score(read_hypotheses(DASHES / "rows.jsonl"))
    assert (scores.wer, scores.cer, scores.ker, scores.ser) == (0, 0, 0, 0)
    assert scores.changed_by_hyphens == 3
    monkeypatch.setattr("sys.argv", ["asr-flywheel", "score", str(DASHES / "rows.jsonl")])
    with pytest.raises(SystemExit, match="0"):
        cli.main()
    printed = capsys.readouterr().out
    assert "3 rows have other figures than to the letter of the contract" in printed
    assert "canonical KER 0.0000, missed by spelling only: 0 of 3 rows" in printed


def test_numbers_in_words_are_no_forgetting() -> None:
    """BytedanceSpeech/seed-tts-eval#12, speechbrain/speechbrain#1768: "25" and "twenty five"."""
    found = compare(
        NUMBERS / "before.jsonl",
        NUMBERS / "after.jsonl",
        None,
        ["drug"],
        general=(NUMBERS / "general-base.jsonl", NUMBERS / "general-tuned.jsonl"),
    )
    assert found["decision"] == "keep"
    guardrail = found["guardrail"]
    assert guardrail["status"] == "held"
    assert guardrail["canonical_wer_b"] == 0
    assert guardrail["status_to_the_letter"] == "broken"
    assert guardrail["pooled_wer_b"] == pytest.approx(0.185, abs=0.001)
    assert any(
        "Counted to the letter it is 0.000 → 0.185: broken" in one for one in found["reasons"]
    )
    assert found["views"][GUARDRAIL_TO_THE_LETTER] == "discard"
    assert found["fragility"].startswith("Fragile: another view would have decided otherwise")


# The base and the tuned model on one sentence of general English, which no listener could tell
# apart. Threads: NVIDIA-NeMo/Speech#15343 and coval-ai/benchmarks#218 of the same fault.
STYLES = [
    ("her number is thirty six", "her number is 36"),
    ("the programme costs 50 %", "the program costs fifty per cent"),
    ("the follow-up is at 10:30 a.m.", "the follow up is at ten thirty am"),
    ("born in 1994", "born in nineteen ninety four"),
    ("Dr. Weber’s e-mail", "doctor weber's email"),
    ("it is 5 km to the centre", "it is five kilometers to the center"),
]


@pytest.mark.parametrize(("ref", "hyp"), STYLES)
def test_a_style_of_writing_is_no_forgetting(tmp_path: Path, ref: str, hyp: str) -> None:
    """Held, and to the letter broken."""
    paths = (tmp_path / "base.jsonl", tmp_path / "tuned.jsonl")
    for path, heard in zip(paths, (ref, hyp), strict=True):
        write_hypotheses(path, [Hypothesis(f"{n}.wav", ref, heard) for n in range(40)])
    found = compare(
        HYPHEN / "before.jsonl", HYPHEN / "after-space.jsonl", None, ["drug"], general=paths
    )
    assert found["decision"] == "keep"
    assert found["guardrail"]["status_to_the_letter"] == "broken"


def test_a_forgotten_word_still_breaks_the_limit(tmp_path: Path) -> None:
    """A number that is another number is no style."""
    paths = (tmp_path / "base.jsonl", tmp_path / "tuned.jsonl")
    for path, heard in zip(paths, ("take 25 steps", "take thirty five steps"), strict=True):
        write_hypotheses(path, [Hypothesis(f"{n}.wav", "take 25 steps", heard) for n in range(40)])
    found = compare(
        HYPHEN / "before.jsonl", HYPHEN / "after-space.jsonl", None, ["drug"], general=paths
    )
    assert found["decision"] == "discard"
    assert found["reasons"][0].startswith("drug KER dropped meaningfully")


def write(path: Path, hyps: list[str], term: str, ref: str, part: str | None = "held-out") -> Path:
    """Rows of one term, each in a voice of its own."""
    rows: list[dict[str, Any]] = [
        {
            "audio_filepath": f"{n}.wav",
            "ref": ref,
            "hyp": hyp,
            "term": term,
            "entity_category": "procedure",
            "part": part,
        }
        for n, hyp in enumerate(hyps)
    ]
    return factories.write_rows(path, rows)


# The tuned model writes the term otherwise than the manifest.
OTHERWISE = [
    ("order a chest x ray", "x ray", "order a chest x-ray"),
    ("start b i d dosing", "b i d", "start bid dosing"),
    ("check the hemoglobin a one c", "hemoglobin a one c", "check the hemoglobin A1c"),
    ("treat the crohn disease", "crohn disease", "treat the Crohn's disease"),
    ("measure the haemoglobin", "haemoglobin", "measure the hemoglobin"),
    ("plan the follow up", "follow up", "plan the followup"),
]


@pytest.mark.parametrize(("ref", "term", "hyp"), OTHERWISE)
def test_the_first_reason_says_where_spelling_decides(
    tmp_path: Path, ref: str, term: str, hyp: str
) -> None:
    """By the letter nothing was gained; in any spelling everything was."""
    before = write(tmp_path / "a.jsonl", ["what is this"] * 20, term, ref)
    after = write(tmp_path / "b.jsonl", [hyp] * 20, term, ref)
    found = compare(before, after, None, ["procedure"], general=UNCHANGED)
    assert found["decision"] == "grow"
    assert found["views"][SPELLING_BLIND] == "keep"
    assert found["reasons"][0].startswith(
        "Spelling decides here: with every spelling of a term counted as found it would be keep, "
        "not grow. procedure: KER 1.000 → 1.000, canonical KER 1.000 → 0.000; missed by spelling "
        "only: 0 → 20 of 20 rows."
    )
    changes = found["by"]["procedure"]
    assert changes["ker_b"] == 1
    assert changes["canonical_ker_b"] == 0
    assert changes["missed_by_spelling_only_b"] == 20


@pytest.mark.parametrize(
    ("ref", "term", "hyp"),
    [
        ("he is afebrile", "afebrile", "he is a febrile"),
        ("the belly is non-tender", "non-tender", "the belly is tender"),
        ("the belly is tender", "tender", "the belly is non-tender"),
        ("hypo tension was seen", "hypo tension", "hypotension was seen"),
        ("give 50 mcg", "50 mcg", "give 50 mg"),
    ],
)
def test_other_words_are_missed_in_every_spelling(
    tmp_path: Path, ref: str, term: str, hyp: str
) -> None:
    """A lost prefix or another unit is no spelling."""
    before = write(tmp_path / "a.jsonl", ["what is this"] * 20, term, ref)
    after = write(tmp_path / "b.jsonl", [hyp] * 20, term, ref)
    found = compare(before, after, None, ["procedure"], general=UNCHANGED)
    assert found["by"]["procedure"]["missed_by_spelling_only_b"] == 0
    assert found["views"][SPELLING_BLIND] == found["decision"]
