"""Rows of an evaluation: what is written is read again, and an utterance keeps its fields."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tasks.evaluation.hypotheses import Hypothesis, Partition, hypothesis_for, write_hypotheses
from tasks.evaluation.result_reading import read_hypotheses
from tests.support import factories

if TYPE_CHECKING:
    from pathlib import Path


def test_what_is_written_has_the_contracts_fields_and_is_read_again(tmp_path: Path) -> None:
    """Every field is written, also where it is null; the part of the split besides."""
    rows = [
        Hypothesis("a.wav", "Ménière \u2028", "", "Ménière", part=Partition.HELD_OUT),
        *factories.evaluated(1, 2, ipa_source="override", part=Partition.TRAINED),
    ]
    path = tmp_path / "offline_hyps.jsonl"
    write_hypotheses(path, rows)
    assert read_hypotheses(path) == tuple(rows)
    first = json.loads(path.read_text(encoding="utf-8").split("\n")[0])
    assert list(first) == [*factories.RESULT_FIELDS, "part"]
    assert first["voice_id"] is None
    assert first["part"] == "held-out"


def test_a_recognised_utterance_keeps_its_clinical_fields() -> None:
    """The reference is the manifest's text."""
    said = factories.utterance(
        3,
        "lab",
        text="check the inr",
        term="inr",
        ipa_source="override",
        voice_id="v",
        noise_level="n",
        context_type="c",
    )
    assert hypothesis_for(said, "check", Partition.TRAINED) == Hypothesis(
        "audio/3.wav",
        "check the inr",
        "check",
        "inr",
        "lab",
        "override",
        "v",
        "n",
        "c",
        Partition.TRAINED,
    )


def test_the_hash_of_the_samples_is_kept_where_it_is_known(tmp_path: Path) -> None:
    """It is no field of the contract; what is no text is none."""
    rows = [
        Hypothesis("a.wav", "one", "one", audio_sha256="f" * 64),
        Hypothesis("b.wav", "two", "two"),
    ]
    path = tmp_path / "offline_hyps.jsonl"
    write_hypotheses(path, rows)
    assert read_hypotheses(path) == tuple(rows)
    first, second = path.read_text(encoding="utf-8").splitlines()
    assert json.loads(first)["audio_sha256"] == "f" * 64
    assert "audio_sha256" not in second
    path.write_text(second[:-1] + ', "audio_sha256": 3}\n', encoding="utf-8")
    assert read_hypotheses(path) == (rows[1],)
