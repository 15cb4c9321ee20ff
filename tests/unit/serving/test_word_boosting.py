"""Phrases that are handed on: in Riva's form, with what boosting adds, costs and needs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf import json_format  # type: ignore[import-untyped]  # it ships no types
from riva.client.proto import riva_asr_pb2 as asr

from tasks.common.errors import InputError
from tasks.models.catalog import embedded_path
from tasks.records import run_record
from tasks.serving import handoff_package, word_boosting
from tasks.serving.word_boosting import Support
from tests.support import finished_runs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tasks.data.cycle_folder import Cycle


def boosted_run(cycle: Path) -> Cycle:
    """A finished run that boosted phrases."""
    evaluated = finished_runs.finish(cycle, embedded_path())
    path = evaluated.path / run_record.DECISION_NAME
    decision = json.loads(path.read_text())
    path.write_text(json.dumps({**decision, "boosting": boosting_of_four(false_rows=(0, 1))}))
    (evaluated.path / "phrases.txt").write_text("aspirin\nmetoprolol tartrate\n")
    return evaluated


def boosting_of_four(false_rows: tuple[int, int]) -> dict[str, Any]:
    """What decision.json holds of four models, of which the boosted ones write false terms."""

    def share(hits: int, n: int = 20) -> dict[str, Any]:
        return {"rate": hits / n, "ci": [0.0, 1.0], "hits": hits, "n": n}

    models = {
        name: {
            "ker": {"drug": share(missed)},
            "fkr": share(false),
            "wer": share(2),
            "general_wer": share(1),
            "general_fkr": share(2 * false, 400),
        }
        for name, missed, false in (
            ("base", 17, 0),
            ("base boosted", 16, 1),
            ("tuned", 15, false_rows[0]),
            ("tuned boosted", 10, false_rows[1]),
        )
    }
    return {
        "list": "the cycle's terms and 1200 distractors",
        "strength": {"base boosted": 0.44, "tuned boosted": 0.38},
        "findings": ["Of four models tuned boosted is chosen."],
        "models": models,
    }


def test_phrases_are_handed_on_in_rivas_form(cycle: Path, ask_handoff: Callable[..., Any]) -> None:
    """As a part of Riva's own request; the record says whether the decoder heeds it."""
    folder = boosted_run(cycle).path / "handoff"
    assert ask_handoff(cycle)[0] == 0
    content = json.loads((folder / "riva_word_boosting.json").read_text())
    (context,) = json_format.ParseDict(content, asr.RecognitionConfig()).speech_contexts
    assert list(context.phrases) == ["aspirin", "metoprolol tartrate"]
    assert context.boost == 20
    record = json.loads((folder / "handoff.json").read_text())
    assert record["boosting"]["decoder_heeds"] == "not heeded"
    assert record["boosting"]["scores_to_try"] == [20, 60, 100]
    assert {"phrases.txt", "riva_word_boosting.json"} <= set(record["files"])
    (folder / "phrases.txt").write_text("heparin\n")
    with pytest.raises(InputError, match=r"phrases\.txt: its SHA-256"):
        handoff_package.verify(folder)


def test_the_card_says_what_boosting_adds_and_costs(
    cycle: Path, ask_handoff: Callable[..., Any]
) -> None:
    """Four models with intervals, false keywords counted out, and that no score is known."""
    evaluated = boosted_run(cycle)
    ask_handoff(cycle)
    card = (evaluated.path / "handoff" / "MODEL_CARD.md").read_text()
    for part in (
        "| tuned boosted | 0.500 (0.000 to 1.000) | 0.050",
        "The strength of the tuned model is 0.38.",
        "Boosting the tuned model changes KER: drug 0.750 → 0.500.",
        "a term that nobody said in 1 of 20 held-out rows; without phrases the model does in 0.",
        "in 2 of 400 general sentences; without phrases the model does in 0.",
        "Served: not heeded: by NVIDIA's tutorial",
        "no known counterpart among Riva's scores",
        "measures 20, 60, 100 on the server",
    ):
        assert part in card, part


def test_a_run_that_boosted_nothing_hands_no_phrases_on(
    cycle: Path, ask_handoff: Callable[..., Any]
) -> None:
    """Though a list lies there, from `asr-flywheel boost`; the card is silent."""
    evaluated = finished_runs.finish(cycle, embedded_path())
    (evaluated.path / "phrases.txt").write_text("aspirin\n")
    ask_handoff(cycle)
    folder = evaluated.path / "handoff"
    assert not (folder / "phrases.txt").exists()
    assert json.loads((folder / "handoff.json").read_text())["boosting"] is None
    assert "Phrase boosting" not in (folder / "MODEL_CARD.md").read_text()


@pytest.mark.parametrize(
    ("flag", "support", "scores"),
    [
        ("decoder=greedy_ctc", Support.NOT_HEEDED, (20, 60, 100)),
        ("decoder=nemo", Support.DOCUMENTED, (0.5, 1, 2)),
        ("decoder=os2s", Support.UNKNOWN, (1, 20, 60)),
        ("", Support.UNKNOWN, (1, 20, 60)),
    ],
)
def test_a_decoders_boosting_is_told_or_called_unknown(
    flag: str, support: Support, scores: tuple[float, ...]
) -> None:
    """By NVIDIA's documentation, with its range of scores."""
    assert word_boosting.support_of(flag) is support
    assert word_boosting.describe_support(flag).startswith(f"{support.value}: ")
    assert word_boosting.scores_for(flag) == scores
