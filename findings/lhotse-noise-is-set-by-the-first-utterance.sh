#!/usr/bin/env bash
# lhotse 1.33.0: noise that is mixed into a concatenation has its level from the first utterance alone.
#
# cut.mix(noise, snr=10) promises a noise 10 dB below the cut it is mixed into. If that cut was made with append, as
# CutConcatenate makes it, one would expect the energy of the whole. lhotse takes its first track that is not padding. So
# what is said first decides: of a quiet patient and a loud doctor, with the same noise and the same snr, the noise is 27 dB
# below the whole if the patient begins, and 7 dB if the doctor does. If the first is digital silence, a recording of a
# pause for instance, the snr is left aside without a word: the noise has the level of its file, here 14 dB above the
# speech. MixTrack.snr says 10 in all cases. Saved as one recording before, each of them gets its 10 dB.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 lhotse==1.33.0 soundfile==0.14.0 urllib3==2.8.0 numpy==2.4.6

cat >"$work/mix.py" <<'PROGRAM'
"""Append utterances, mix noise in at 10 dB, and measure how far it is below the whole."""

import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import soundfile
from lhotse import Recording

FOLDER, RATE, SNR = Path(sys.argv[1]), 16000, 10
NUMBERS = np.random.default_rng(0)


def cut(name, level, seconds):
    """Make a recording of so many dB below full scale, or a silent one."""
    samples = NUMBERS.standard_normal(seconds * RATE) * (0 if level is None else 10 ** (level / 20))
    soundfile.write(FOLDER / f"{name}.wav", samples.astype(np.float32), RATE, subtype="FLOAT")
    return Recording.from_file(FOLDER / f"{name}.wav").to_cut()


def below(speech, noise):
    """Return the energy of the speech over that of the noise in its mix, in dB."""
    clean = speech.load_audio()[0].astype(np.float64)
    mixed = speech.mix(noise, snr=SNR)
    assert {track.snr for track in mixed.tracks if track.cut.recording_id == noise.recording_id} == {SNR}
    added = mixed.load_audio()[0] - clean
    return f"{10 * np.log10(np.square(clean).mean() / np.square(added).mean()):.0f} dB"


quiet, loud, pause = cut("quiet", -40, 4), cut("loud", -20, 4), cut("pause", None, 4)
noise = cut("noise", -9, 8)
print("lhotse", version("lhotse"))
for name, parts in {
    "quiet": [quiet],
    "quiet, then loud": [quiet, loud],
    "loud, then quiet": [loud, quiet],
    "a silent pause, then loud": [pause, loud],
}.items():
    speech = parts[0]
    for part in parts[1:]:
        speech = speech.append(part)
    soundfile.write(FOLDER / "saved.wav", speech.load_audio()[0], RATE, subtype="FLOAT")
    saved = Recording.from_file(FOLDER / "saved.wav").to_cut()
    noise_of_length = noise.truncate(duration=speech.duration)
    print(f"{name}: the noise is below the whole by {below(speech, noise_of_length)}, as one recording by {below(saved, noise_of_length)}")
PROGRAM
"$python" "$work/mix.py" "$work" 2>"$work/errors" | tee "$work/seen" || { cat "$work/errors"; exit 1; }

cat >"$work/expected" <<'SEEN'
lhotse 1.33.0
quiet: the noise is below the whole by 10 dB, as one recording by 10 dB
quiet, then loud: the noise is below the whole by 27 dB, as one recording by 10 dB
loud, then quiet: the noise is below the whole by 7 dB, as one recording by 10 dB
a silent pause, then loud: the noise is below the whole by -14 dB, as one recording by 10 dB
SEEN
diff "$work/expected" "$work/seen"
