#!/usr/bin/env bash
# SentencePiece 0.2.1: of five characters that nobody sees, three split a word and two become an unknown piece.
#
# Its default normalisation rule (nmt_nfkc) turns U+200B, U+200C and U+FEFF into a space, and keeps U+00AD (soft hyphen)
# and U+2060 (word joiner) as pieces of their own. Text that was copied from a PDF or a web page therefore teaches a
# recogniser "meto prolol" in one case and "meto ⁇ prolol" in the other, while a scorer that drops format characters
# sees "metoprolol" in all of them.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet sentencepiece==0.2.1
"$dir/venv/bin/python" - <<'PY'
import io

import sentencepiece

model = io.BytesIO()
sentencepiece.SentencePieceTrainer.train(
    sentence_iterator=iter(["take five milligrams of metoprolol twice a day"] * 20
                           + ["the patient has no fever today and will come back"] * 20),
    model_writer=model, vocab_size=60, model_type="bpe", minloglevel=2,
)
pieces = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
print("sentencepiece", sentencepiece.__version__)
seen = {}
for code in (0xAD, 0x200B, 0x200C, 0x2060, 0xFEFF):
    seen[code] = pieces.decode(pieces.encode(f"meto{chr(code)}prolol"))
    print(f"U+{code:04X}: {seen[code]!r}")
split, unknown = "meto prolol", "meto \u2047 prolol"
expected = {0xAD: unknown, 0x200B: split, 0x200C: split, 0x2060: unknown, 0xFEFF: split}
assert seen == expected, "the behaviour changed"
PY
