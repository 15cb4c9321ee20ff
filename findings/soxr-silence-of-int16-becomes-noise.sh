#!/usr/bin/env bash
# soxr 1.1.0: 16-bit samples that are resampled come back with noise: silence is not silent, and equal channels are not equal.
#
# soxr.resample takes int16 as well as floats and returns the type it was given. Of digital silence one would expect zeros,
# and of a recording that has the wanted rate already, the recording. But libsoxr dithers whatever it writes with 16 bits,
# and the wrapper gives no way to say no. A fifth of the samples of silence are -1 or 1, a quarter of a recording's change
# on the way from 16 kHz to 16 kHz, and since it is the same noise in each pass, it adds up. So a mute stretch is no longer
# found by its zeros, a mono recording in two channels is no longer found by their equality, and a log-mel front end sees
# noise in the place of its floor. Cut in chunks (ResampleStream) a recording gets other samples than as a whole. Floats
# have nothing of this: resampled as floats and rounded, silence is zero and each sample within a half. The dither is known
# to its author (python-soxr#10, #11) for being poor or not repeatable; that it is there is told in no documentation.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install --quiet --disable-pip-version-check soxr==1.1.0 numpy==2.4.6

"$python" - <<'PROGRAM' | tee "$work/seen"
import numpy as np
import soxr

SILENCE = np.zeros(48000, np.int16)
RECORDING = (np.random.default_rng(0).standard_normal(48000) * 3000).astype(np.int16)


def share(changed):
    return f"{changed.mean():.0%}"


def rounded(samples, *rates):
    return np.rint(soxr.resample(samples.astype(np.float64), *rates)).astype(np.int16)


def in_chunks(samples, *rates):
    stream = soxr.ResampleStream(*rates, 1, dtype="int16")
    return np.concatenate([stream.resample_chunk(part, last=at == 9) for at, part in enumerate(np.split(samples, 10))])


down, same = (48000, 16000), (16000, 16000)
print("soxr", soxr.__version__)
silent = soxr.resample(SILENCE, *down)
print("silence: values", np.unique(silent).tolist(), "not zero:", share(silent != 0))
print("silence, as floats: not zero:", share(rounded(SILENCE, *down) != 0))
print("16 kHz to 16 kHz: changed:", share(soxr.resample(RECORDING, *same) != RECORDING))
print("16 kHz to 16 kHz, as floats: changed:", share(rounded(RECORDING, *same) != RECORDING))
passes = RECORDING
for _ in range(8):
    passes = soxr.resample(passes, *same)
print("16 kHz to 16 kHz, eight times: changed:", share(passes != RECORDING), "by up to", abs(passes.astype(int) - RECORDING).max())
both = soxr.resample(np.stack([RECORDING, RECORDING], axis=1), *down)
print("two equal channels: unlike:", share(both[:, 0] != both[:, 1]))
whole = soxr.resample(RECORDING, *down)
print("in ten chunks: other than the whole:", share(in_chunks(RECORDING, *down) != whole))
print("the whole twice: unlike:", share(soxr.resample(RECORDING, *down) != whole))
PROGRAM

cat >"$work/expected" <<'SEEN'
soxr 1.1.0
silence: values [-1, 0, 1] not zero: 23%
silence, as floats: not zero: 0%
16 kHz to 16 kHz: changed: 25%
16 kHz to 16 kHz, as floats: changed: 0%
16 kHz to 16 kHz, eight times: changed: 25% by up to 8
two equal channels: unlike: 46%
in ten chunks: other than the whole: 41%
the whole twice: unlike: 0%
SEEN
diff "$work/expected" "$work/seen"
