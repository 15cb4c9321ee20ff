"""A base tells how sure it is of the words that it writes, by the program that asks NeMo."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr_flywheel.demo.dataset import synthesise_general
from tasks.models.catalog import embedded_path
from tasks.runtimes import hardware
from tasks.runtimes.local import LocalRuntime
from tasks.transcription import offline
from tasks.transcription.audio_sets import AudioSet
from tasks.transcription.confidence import measure_confidence
from tasks.transcription.hypothesis_cache import TranscriptStore

SENTENCES = 4


@pytest.fixture(scope="module")
def audio(tmp_path_factory: pytest.TempPathFactory) -> AudioSet:
    """Sentences as they are spoken, and the same ones behind loud noise."""
    folder = tmp_path_factory.mktemp("spoken")
    manifest = synthesise_general(folder, n=SENTENCES, workers=1)
    rng = np.random.default_rng(1)
    plain = [
        folder / json.loads(line)["audio_filepath"] for line in manifest.read_text().splitlines()
    ]
    noisy = []
    for path in plain:
        samples, rate = soundfile.read(path)
        noise = rng.standard_normal(len(samples)) * np.sqrt(np.mean(samples**2))
        noisy.append(path.with_name(f"noisy_{path.name}"))
        soundfile.write(noisy[-1], np.clip(samples + noise, -1, 1), rate, subtype="PCM_16")
    paths = (*plain, *noisy)
    seconds = tuple(soundfile.info(path).duration for path in paths)
    return AudioSet(paths, seconds, tuple(path.name for path in paths), (folder,))


@pytest.mark.parametrize("kind", ["ctc", "tdt", pytest.param("rnnt", marks=pytest.mark.by_night)])
def test_noise_makes_a_base_less_sure_of_the_words_that_it_writes(
    kind: str, audio: AudioSet, tmp_path: Path
) -> None:
    """The words are those of the hypotheses; a confidence is between 0 and 1."""
    model = embedded_path().with_name(f"embedded_{kind}.nemo")
    runtime = LocalRuntime(hardware.detect())
    words = measure_confidence(model, audio, runtime, tmp_path)
    assert words is not None
    (transcript,) = offline.transcribe((model,), audio, runtime, TranscriptStore(tmp_path, "x"))
    texts = [" ".join(one.word for one in row) for row in words]
    # Other threads round otherwise, which may turn a word that is barely heard.
    assert texts[:SENTENCES] == list(transcript.hypotheses[:SENTENCES])
    means = [np.mean([one.confidence for one in row]) for row in words if row]
    assert len(means) > SENTENCES
    assert all(0 <= one.confidence <= 1 for row in words for one in row)
    assert min(means[:SENTENCES]) > 0.7
    assert np.mean(means[:SENTENCES]) > np.mean(means[SENTENCES:]) + 0.1
    assert not list(Path(tmp_path).glob(".work-*"))
