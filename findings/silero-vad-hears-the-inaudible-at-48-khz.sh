#!/usr/bin/env bash
# silero-vad 6.2.3: at 48 kHz, a hiss above 17 kHz hides a voice from it, and it finds speech where there is nothing to hear.
#
# get_speech_timestamps takes multiples of 16 kHz, and says in a warning that it casts them to 16 kHz. One would expect
# a resampling. It takes each second or third sample, without a filter. So what a recording holds above 8 kHz is folded
# into the band of speech: ultrasonic cleaners and drills, switched power supplies, and the noise that some microphones
# shape into that band because nobody hears it there. The model has learned from recordings that have nothing above 8 kHz.
# The time stamps look sound, and are other ones than for the same recording after a resampling, which gives the same
# answer whatever lies above. So a voice under a hiss of 17 kHz and more is lost, and a voice that was shifted to 16 kHz,
# of which nothing is left at 16 kHz sampling, is "speech". The voice is espeak's.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install --quiet --disable-pip-version-check silero-vad==6.2.3 torch==2.13.0 soxr==1.1.0 scipy==1.17.1 \
  espeakng-loader==0.2.4 numpy==2.4.6

cat >"$work/hear.py" <<'PROGRAM'
import ctypes
import warnings
from importlib.metadata import version

import espeakng_loader
import numpy as np
import soxr
import torch
from scipy.signal import butter, sosfilt
from silero_vad import get_speech_timestamps, load_silero_vad

RATE = 48000
TEXT = b"The patient takes fifty milligrams of metoprolol in the morning, and has no pain."
torch.set_num_threads(1)
MODEL = load_silero_vad()


def voice():
    """Return a sentence at 48 kHz, with a second of silence before and after it."""
    espeak, parts = ctypes.CDLL(espeakng_loader.get_library_path()), []

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
    def keep(samples, count, _):
        if samples and count > 0:
            parts.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    synchronous, utf8 = 2, 1
    rate = espeak.espeak_Initialize(synchronous, 0, espeakng_loader.get_data_path().encode(), 0)
    espeak.espeak_SetSynthCallback(keep)
    espeak.espeak_SetVoiceByName(b"en-us")
    espeak.espeak_Synth(TEXT, len(TEXT) + 1, 0, 1, 0, utf8, None, None)
    espeak.espeak_Synchronize()
    return np.pad(soxr.resample(np.concatenate(parts) / 32768, rate, RATE), RATE)


def heard(samples, rate):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spans = get_speech_timestamps(torch.from_numpy(samples.astype(np.float32)), MODEL, sampling_rate=rate)
    share = sum(span["end"] - span["start"] for span in spans) / rate / (len(VOICE) / RATE - 2)
    return "all" if share > 0.9 else "none" if share == 0 else "less than a half" if share < 0.5 else f"{share:.2f}"


def level(samples):
    return np.sqrt(np.square(samples).mean())


VOICE = voice()
hiss = sosfilt(butter(12, 17000, "high", fs=RATE, output="sos"), np.random.default_rng(0).standard_normal(len(VOICE)))
hiss *= level(VOICE[RATE:-RATE]) / level(hiss)
carrier = np.cos(2 * np.pi * 16000 * np.arange(len(VOICE)) / RATE)
print("silero-vad", version("silero-vad"), "soxr", soxr.__version__)
for name, samples in {
    "a voice": VOICE,
    "a voice, and hiss above 17 kHz, 15 dB louder": VOICE + 10 ** (15 / 20) * hiss,
    "the voice shifted to 16 kHz, and nothing else": 2 * VOICE * carrier,
}.items():
    resampled = soxr.resample(samples, RATE, 16000)
    print(f"{name}: speech found at 48 kHz: {heard(samples, RATE)}; after a resampling: {heard(resampled, 16000)}")
PROGRAM
"$python" "$work/hear.py" 2>"$work/errors" | tee "$work/seen" || { cat "$work/errors"; exit 1; }

cat >"$work/expected" <<'SEEN'
silero-vad 6.2.3 soxr 1.1.0
a voice: speech found at 48 kHz: all; after a resampling: all
a voice, and hiss above 17 kHz, 15 dB louder: speech found at 48 kHz: none; after a resampling: all
the voice shifted to 16 kHz, and nothing else: speech found at 48 kHz: all; after a resampling: none
SEEN
diff "$work/expected" "$work/seen"
