#!/usr/bin/env bash
# kaldialign 0.12.0: sclite_mode counts four errors where three explain the difference.
#
# Reference "a a b", hypothesis "b c c". By sclite's costs (insertion 3, deletion 3, substitution 4) three
# substitutions and two deletions with two insertions both cost 12. sclite_mode=True takes the second way: four
# errors, WER 1.33. Its default mode and jiwer count three, WER 1.00. So a corpus's WER may rise by a change of mode
# that is meant to choose between equal alignments.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet kaldialign==0.12.0 jiwer==4.0.0
"$dir/venv/bin/python" - <<'PY'
from importlib.metadata import version

import jiwer
import kaldialign

ref, hyp = "a a b", "b c c"
plain = kaldialign.edit_distance(ref.split(), hyp.split())
sclite = kaldialign.edit_distance(ref.split(), hyp.split(), sclite_mode=True)
wer = jiwer.wer(ref, hyp)
print("kaldialign", version("kaldialign"), "default:", plain)
print("kaldialign", version("kaldialign"), "sclite_mode:", sclite)
print("jiwer", version("jiwer"), "wer:", wer)
assert (plain["total"], sclite["total"], wer) == (3, 4, 1.0), "the behaviour changed"
PY
