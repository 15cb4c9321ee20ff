#!/usr/bin/env bash
# Whisper's normaliser of English (whisper-normalizer 0.1.15, transformers 5.23.0): millimetres are hesitation, and not scored.
#
# Leaderboards and papers compare recognisers after EnglishTextNormalizer, so that "5 mg" and "five mg" are no error. Of a
# unit one would expect that it stays. It deletes what it takes for fillers, before all else and wherever it stands as a
# word: hmm, mm, mhm, mmm, uh and um. So "5 mm", "5 um" and "5" are one text, and "120 mm Hg" is "120 hg". A recogniser
# that drops each "mm" has no error for it; one that writes "cm" has an insertion, and none for a substitution, so the
# same wrong word costs more than with other units, and the rate is of fewer words. What is written without a space, "5mm",
# is split only later and keeps its unit: then the right "5 mm" of a recogniser is a deletion. The words mmHg
# and mmol stay. That the pattern deletes words "mm" is said in openai/whisper#659, which kept 20mm from being 20hmm.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install --quiet --disable-pip-version-check whisper-normalizer==0.1.15 transformers==5.23.0 jiwer==4.0.0 \
  numpy==2.4.6

cat >"$work/units.py" <<'PROGRAM'
"""Normalise and score a few dictated measures."""

import json
import os
from importlib.metadata import files, version

os.environ["TRANSFORMERS_VERBOSITY"] = "error"
import jiwer
from transformers.models.whisper.english_normalizer import EnglishTextNormalizer as OfTransformers
from whisper_normalizer.english import EnglishTextNormalizer

spellings = next(file for file in files("whisper-normalizer") if file.name == "english.json")
normalize, of_transformers = EnglishTextNormalizer(), OfTransformers(json.loads(spellings.read_text()))
print(*(f"{name} {version(name)}" for name in ("whisper-normalizer", "transformers", "jiwer")))
for text in ("a nodule of 5 mm", "sections of 4 um", "120 mm Hg", "120 mmHg", "a nodule of 5mm", "a nodule of 5 cm", "4 mg and 2 ml"):
    assert normalize(text) == of_transformers(text), text
    print(f"{text} -> {normalize(text)}")


def errors(said, heard):
    found = jiwer.process_words(normalize(said), normalize(heard))
    counts = found.substitutions, found.deletions, found.insertions
    return f"{counts[0]} substituted, {counts[1]} deleted, {counts[2]} inserted of {found.hits + sum(counts[:2])} words"


for said, heard in (("5 mm", "5"), ("5 mg", "5"), ("5 mm", "5 cm"), ("5 ml", "5 cm"), ("5mm", "5 mm")):
    print(f"said {said}, heard {heard}: {errors(said, heard)}")
PROGRAM
"$python" "$work/units.py" 2>"$work/errors" | tee "$work/seen" || { cat "$work/errors"; exit 1; }

cat >"$work/expected" <<'SEEN'
whisper-normalizer 0.1.15 transformers 5.23.0 jiwer 4.0.0
a nodule of 5 mm -> a nodule of 5
sections of 4 um -> sections of 4
120 mm Hg -> 120 hg
120 mmHg -> 120 mmhg
a nodule of 5mm -> a nodule of 5 mm
a nodule of 5 cm -> a nodule of 5 cm
4 mg and 2 ml -> 4 mg and 2 ml
said 5 mm, heard 5: 0 substituted, 0 deleted, 0 inserted of 1 words
said 5 mg, heard 5: 0 substituted, 1 deleted, 0 inserted of 2 words
said 5 mm, heard 5 cm: 0 substituted, 0 deleted, 1 inserted of 1 words
said 5 ml, heard 5 cm: 1 substituted, 0 deleted, 0 inserted of 2 words
said 5mm, heard 5 mm: 0 substituted, 1 deleted, 0 inserted of 2 words
SEEN
diff "$work/expected" "$work/seen"
