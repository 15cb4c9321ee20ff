"""A synthetic clinical cycle: audio, and a manifest such as the build stage would have written.

This is a demonstration of the build stage's *output*, not the build stage. What to say is planned
first, as plain records, from the seed alone; only then is anything spoken, by several processes.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Literal

import numpy as np

from asr_flywheel.demo import synthesis
from asr_flywheel.demo.sentence_templates import CARRIERS, CONTEXTS, ContextType
from asr_flywheel.demo.terms import TERMS, Category, Term
from asr_flywheel.demo.voices import VOICES, Voice

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

NoiseLevel = Literal["clean", "snr_15db", "snr_5db"]

SNR_DB: dict[NoiseLevel, float | None] = {"clean": None, "snr_15db": 15.0, "snr_5db": 5.0}

#: Noise of a term's four rows. Five terms in turn give 9 clean, 7 at 15 dB and 4 at 5 dB in 20.
NOISE_PATTERNS: tuple[tuple[NoiseLevel, ...], ...] = (
    ("clean", "clean", "snr_15db", "snr_5db"),
    ("clean", "clean", "snr_15db", "snr_15db"),
    ("clean", "clean", "snr_15db", "snr_5db"),
    ("clean", "snr_15db", "snr_15db", "snr_5db"),
    ("clean", "clean", "snr_15db", "snr_5db"),
)


@dataclass(frozen=True)
class DemoUtterance:
    """An utterance to synthesise and write to disk.

    Attributes:
        name: File name without its ending.
        text: What is said: lower-case words.
        voice: Who says it.
        noise_level: How noisy the room is.
        seed: Fixes the synthesiser's breath and the noise.
    """

    name: str
    text: str
    voice: Voice
    noise_level: NoiseLevel
    seed: int
    pronunciations: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class ClinicalRow:
    """One row of the benchmark, before synthesis."""

    utterance: DemoUtterance
    term: Term
    context_type: ContextType


@dataclass(frozen=True)
class ManifestRow:
    """One line of the manifest; the field names are the file format."""

    audio_filepath: str
    text: str
    duration: float
    voice_id: str
    noise_level: NoiseLevel


@dataclass(frozen=True)
class GeneralManifestRow(ManifestRow):
    """One line of a manifest of general English; what rests on it is labelled as synthetic."""

    synthetic: bool = True


@dataclass(frozen=True)
class ClinicalManifestRow(ManifestRow):
    """One line of a clinical manifest."""

    term: str
    entity_category: Category
    ipa_source: Literal["override", "magpie_g2p"]
    context_type: ContextType


def synthesise_cycle(
    cycle_dir: Path,
    *,
    seed: int = 42,
    workers: int | None = None,
    pool: Executor | None = None,
    terms: Sequence[Term] | None = None,
) -> Path:
    """Speak the clinical benchmark into a cycle's folder.

    The same seed gives the same manifest, byte for byte, and on one machine the same audio.

    Args:
        cycle_dir: Receives ``audio/*.wav`` (16 kHz, mono, 16 bit) and ``manifest.jsonl``.
        seed: Chooses carriers, voices, noise and breath.
        workers: Processes that speak; by default one for each core. With 1, no process is
            started.
        pool: Of ``speaking_pool``, instead; its processes start once for several sets.
        terms: The terms that are said; by default the benchmark's.

    Returns:
        The manifest's path. It is written last, so where it exists the audio is complete.
    """
    rows = plan_cycle(seed) if terms is None else plan_cycle(seed, terms)
    durations = _speak_all([row.utterance for row in rows], cycle_dir, workers, pool)
    return _write_manifest(
        cycle_dir / "manifest.jsonl",
        (
            ClinicalManifestRow(
                audio_filepath=f"audio/{row.utterance.name}.wav",
                text=row.utterance.text,
                duration=duration,
                voice_id=row.utterance.voice.voice_id,
                noise_level=row.utterance.noise_level,
                term=row.term.text,
                entity_category=row.term.category,
                # Without an override the synthesiser's own letter-to-sound step spoke the term;
                # the manifest's vocabulary calls that magpie_g2p, after the build stage's.
                ipa_source="override" if row.term.ipa else "magpie_g2p",
                context_type=row.context_type,
            )
            for row, duration in zip(rows, durations, strict=True)
        ),
    )


def synthesise_general(
    out_dir: Path,
    *,
    n: int | None = None,
    seed: int = 42,
    workers: int | None = None,
    pool: Executor | None = None,
) -> Path:
    """Speak held-out sentences of general English, clean, by the benchmark's voices.

    They measure the embedded base model on the English that it was made for, and later what a
    tuned model has forgotten of it.

    Args:
        out_dir: Receives ``audio/*.wav`` and ``manifest.jsonl``, whose rows carry no term.
        n: How many sentences, from the first; by default all.
        seed: Chooses voices and breath.
        workers: As in ``synthesise_cycle``.
        pool: Likewise.
    """
    utterances = plan_general(seed)[:n]
    durations = _speak_all(utterances, out_dir, workers, pool)
    return _write_manifest(
        out_dir / "manifest.jsonl",
        (
            GeneralManifestRow(
                audio_filepath=f"audio/{utterance.name}.wav",
                text=utterance.text,
                duration=duration,
                voice_id=utterance.voice.voice_id,
                noise_level=utterance.noise_level,
            )
            for utterance, duration in zip(utterances, durations, strict=True)
        ),
    )


def plan_cycle(seed: int, terms: Sequence[Term] | None = None) -> tuple[ClinicalRow, ...]:
    """Decide every row of a cycle, by default the benchmark's: each term once in each context.

    A term's four rows differ in context, carrier and voice, and never share one noise level.
    """
    rng = random.Random(seed)
    rows: list[ClinicalRow] = []
    for number, term in enumerate(TERMS if terms is None else terms):
        noise = NOISE_PATTERNS[number % len(NOISE_PATTERNS)]
        for context, voice, level in zip(
            CONTEXTS,
            rng.sample(VOICES, len(CONTEXTS)),
            rng.sample(noise, len(noise)),
            strict=True,
        ):
            utterance = DemoUtterance(
                name=f"{len(rows):03d}_{term.text.replace(' ', '_')}_{context}",
                text=_fill(rng.choice(CARRIERS[context][term.category]), term),
                voice=voice,
                noise_level=level,
                seed=rng.getrandbits(32),
                pronunciations=((term.text, term.ipa),) if term.ipa else (),
            )
            rows.append(ClinicalRow(utterance, term, context))
    return tuple(rows)


def plan_general(seed: int) -> tuple[DemoUtterance, ...]:
    """Decide who says each sentence of general English, and how.

    They are drawn one after another, so sentences added at the end change none before them.
    """
    rng = random.Random(seed)
    return tuple(
        DemoUtterance(f"general_{i:03d}", text, rng.choice(VOICES), "clean", rng.getrandbits(32))
        for i, text in enumerate(general_sentences())
    )


def possible_sentences() -> frozenset[str]:
    """Return every sentence that the benchmark says under any seed."""
    return frozenset(
        _fill(carrier, term)
        for term in TERMS
        for context in CONTEXTS
        for carrier in CARRIERS[context][term.category]
    )


def general_sentences() -> tuple[str, ...]:
    """Return the held-out sentences of general English, in the order of their files."""
    later = ("general_english_more.txt", "general_english_own.txt")
    return first_general_sentences() + tuple(
        sentence for name in later for sentence in _read_sentences(name)
    )


def first_general_sentences() -> tuple[str, ...]:
    """Return the first two hundred, which the embedded bases' recipe and model cards mean.

    The recipe leaves out of the training text what shares a run of words with one of these. The
    sentences after them were chosen from what it had left out anyway.
    """
    return _read_sentences("general_english.txt")


def _read_sentences(name: str) -> tuple[str, ...]:
    lines = resources.files("asr_flywheel.demo").joinpath(name)
    return tuple(
        line
        for line in lines.read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    )


def speak(utterance: DemoUtterance) -> synthesis.FloatAudio:
    """Synthesise one utterance, noise included; samples of shape (n,)."""
    synthesiser, bank = _voice_box()
    audio = synthesiser.speak(
        utterance.text,
        utterance.voice,
        seed=utterance.seed,
        pronunciations=dict(utterance.pronunciations),
    )
    snr_db = SNR_DB[utterance.noise_level]
    if snr_db is None:
        return audio
    noise = synthesis.ward_noise(len(audio), bank, np.random.default_rng(utterance.seed))
    return synthesis.mix(audio, noise, snr_db)


def _fill(carrier: str, term: Term) -> str:
    return carrier.format(term=term.text, dose=term.dose)


@cache
def _voice_box() -> tuple[synthesis.Synthesiser, tuple[synthesis.FloatAudio, ...]]:
    """Load this process's synthesiser and background talkers once (about a second)."""
    synthesiser = synthesis.Synthesiser()
    return synthesiser, synthesis.babble_bank(synthesiser)


def _speak_to_file(utterance: DemoUtterance, audio_dir: Path) -> float:
    """Speak one utterance to its file; returns its duration in seconds."""
    return synthesis.write_wav(audio_dir / f"{utterance.name}.wav", speak(utterance))


def speaking_pool(workers: int | None = None) -> Executor:
    """Return processes that speak, by default one for each core; they start when they are asked."""
    # Spawned, not forked: the caller may hold torch's threads, which a fork would break.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers or len(os.sched_getaffinity(0)), mp_context=context)


def _speak_all(
    utterances: Sequence[DemoUtterance],
    out_dir: Path,
    workers: int | None,
    pool: Executor | None,
) -> Sequence[float]:
    """Speak all utterances into ``out_dir/audio``; returns their durations in order."""
    audio_dir = out_dir / "audio"
    audio_dir.mkdir(parents=True, exist_ok=True)
    folders = [audio_dir] * len(utterances)
    if pool is None and (workers or len(os.sched_getaffinity(0))) == 1:
        return list(map(_speak_to_file, utterances, folders))
    with nullcontext(pool) if pool is not None else speaking_pool(workers) as speaking:
        return list(speaking.map(_speak_to_file, utterances, folders, chunksize=8))


def _write_manifest(path: Path, rows: Iterable[ManifestRow]) -> Path:
    """Write rows as JSON lines; the file appears complete or not at all."""
    unfinished = path.with_name(f".{path.name}.tmp")
    unfinished.write_text(
        "".join(json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in rows),
        encoding="utf-8",
    )
    unfinished.replace(path)
    return path
