"""The embedded benchmark: what is in it, that it is repeatable, and that its labels are true."""

from __future__ import annotations

import hashlib
import json
import re
import wave
from collections import Counter, defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from asr_flywheel.demo import dataset, synthesis
from asr_flywheel.demo.terms import TERMS
from asr_flywheel.demo.voices import VOICES
from base_training import text

if TYPE_CHECKING:
    from pathlib import Path

Rows = list[dict[str, Any]]


def read_rows(manifest: Path) -> Rows:
    """A manifest's lines."""
    return [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]


def read_pcm(path: Path) -> np.ndarray[Any, np.dtype[np.int16]]:
    """A recording's samples, shape (n,); its format is checked on the way."""
    with wave.open(str(path), "rb") as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16_000, 1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


@pytest.fixture(scope="module")
def cycle_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole benchmark, spoken once."""
    return dataset.synthesise_cycle(tmp_path_factory.mktemp("clinical") / "cycle1").parent


@pytest.fixture(scope="module")
def rows(cycle_dir: Path) -> Rows:
    """Its manifest."""
    return read_rows(cycle_dir / "manifest.jsonl")


def test_counts_by_category(rows: Rows) -> None:
    """A hundred drug rows, and 28 for each other category: enough for every breakdown."""
    counts = Counter(row["entity_category"] for row in rows)
    others = dict.fromkeys(("procedure", "anatomy", "condition", "lab", "role"), 28)
    assert counts == {"drug": 100, **others}
    assert len({row["term"] for row in rows}) == len(TERMS) == 60


def test_mix_of_noise_voices_and_pronunciations(rows: Rows) -> None:
    """Mostly clean or moderately noisy, by every voice; some terms said by a lexicon."""
    noise = Counter(row["noise_level"] for row in rows)
    assert noise == {"clean": 108, "snr_15db": 84, "snr_5db": 48}
    assert {row["voice_id"] for row in rows} == {voice.voice_id for voice in VOICES}
    assert {row["ipa_source"] for row in rows} == {"override", "magpie_g2p"}


def test_rows_of_a_term_differ(rows: Rows) -> None:
    """A term is heard four times: other contexts, voices and carriers, and not one noise level."""
    by_term: defaultdict[str, Rows] = defaultdict(list)
    for row in rows:
        by_term[row["term"]].append(row)
    for term, own in by_term.items():
        for field in ("context_type", "voice_id", "text", "audio_filepath"):
            assert len({row[field] for row in own}) == 4, (term, field)
        assert len({row["noise_level"] for row in own}) > 1, term


def test_transcripts_are_plain_words_that_hold_their_term(rows: Rows) -> None:
    """Small letters and single spaces only; the term stands in it as whole words."""
    for row in rows:
        assert re.fullmatch(r"[a-z]+( [a-z]+)*", row["text"])
        assert f" {row['term']} " in f" {row['text']} "


def test_audio_is_what_the_manifest_says(cycle_dir: Path, rows: Rows) -> None:
    """16 kHz mono 16-bit recordings of the stated duration, loud enough and never clipped."""
    for row in rows:
        pcm = read_pcm(cycle_dir / row["audio_filepath"])
        assert row["duration"] == len(pcm) / 16_000
        assert 2.5 <= row["duration"] <= 8
        assert 3_000 < np.abs(pcm.astype(int)).max() < 32_000


def test_noise_is_as_loud_as_its_label(cycle_dir: Path) -> None:
    """A recording without its speech is as many decibels below it as the label says."""
    noisy = [row for row in dataset.plan_cycle(42) if row.utterance.noise_level != "clean"][::9]
    for row in noisy:
        clean = dataset.speak(replace(row.utterance, noise_level="clean")).astype(float)
        heard = read_pcm(cycle_dir / f"audio/{row.utterance.name}.wav") / 32767
        voice = clean * (heard @ clean) / (clean @ clean)
        snr_db = 10 * np.log10(np.sum(voice**2) / np.sum((heard - voice) ** 2))
        assert snr_db == pytest.approx(dataset.SNR_DB[row.utterance.noise_level], abs=0.6)


def test_same_seed_same_plan_and_same_samples(cycle_dir: Path) -> None:
    """Another process, asked again, says every word the same."""
    plan = dataset.plan_cycle(42)
    assert plan == dataset.plan_cycle(42)
    assert plan != dataset.plan_cycle(43)
    for row in plan[::40]:
        again = synthesis.to_pcm(dataset.speak(row.utterance))
        assert np.array_equal(again, read_pcm(cycle_dir / f"audio/{row.utterance.name}.wav"))


def test_same_seed_same_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Manifests of one seed are equal byte for byte, with or without worker processes."""
    monkeypatch.setattr(dataset, "TERMS", TERMS[:3])
    alone = dataset.synthesise_cycle(tmp_path / "alone", workers=1)
    together = dataset.synthesise_cycle(tmp_path / "together", workers=2)
    assert alone.read_bytes() == together.read_bytes()


def test_manifest_comes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupted synthesis leaves no manifest behind that would promise audio."""

    def interrupt(*_: object) -> float:
        raise KeyboardInterrupt

    monkeypatch.setattr(dataset, "_speak_to_file", interrupt)
    with pytest.raises(KeyboardInterrupt):
        dataset.synthesise_cycle(tmp_path, workers=1)
    assert not list(tmp_path.glob("*manifest*"))


def test_general_sentences_are_plain_english_without_terms(tmp_path: Path) -> None:
    """The held-out sentences are written as spoken, hold no term, and are spoken clean."""
    sentences = dataset.general_sentences()
    assert len(sentences) == len(set(sentences)) == 900
    terms = re.compile("|".join(term.text for term in TERMS))
    for sentence in sentences:
        assert re.fullmatch(r"[a-z']+( [a-z']+)*", sentence)
        assert not terms.search(sentence)
    rows = read_rows(dataset.synthesise_general(tmp_path, n=3, workers=1))
    assert [row["text"] for row in rows] == list(sentences[:3])
    assert {row["noise_level"] for row in rows} == {"clean"}
    assert all("term" not in row for row in rows)


def test_general_sentences_are_of_one_kind_and_not_of_the_cycle() -> None:
    """Old and added ones are alike; none says what the cycle says or what another one says."""
    sentences = dataset.general_sentences()
    for sentence in sentences:
        assert 6 <= len(sentence.split()) <= 16
        assert text.OPENINGS.match(sentence), sentence
    cycle = text.LeakDetector.of_benchmark(())
    assert not [sentence for sentence in sentences if cycle.find(sentence)]
    runs = Counter(run for sentence in sentences for run in set(text.runs_of_words(sentence)))
    assert max(runs.values()) == 1


def test_sentences_added_at_the_end_change_none_before_them() -> None:
    """The first two hundred have the words, voices and breath of the model cards' figures."""
    first = dataset.plan_general(42)[: len(dataset.first_general_sentences())]
    told = "\n".join(f"{u.name} {u.voice.voice_id} {u.seed} {u.text}" for u in first)
    assert len(first) == 200
    assert hashlib.sha256(told.encode()).hexdigest() == (
        "a01012d9f614c7555570f04cd2ba85da69c33fa2db7d8d8368e5e9bb33ccc545"
    )
