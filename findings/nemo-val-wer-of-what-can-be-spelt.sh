#!/usr/bin/env bash
# NeMo 3.0.0: val_wer is 0 for a model that gets a third of the words wrong.
#
# The rows of a validation have digits and capitals, which the model's tokenizer, or its letters, do not have. One would
# expect each such word to count as an error, as in any WER of texts. But val_wer compares with what the labels
# spell, not with the row's text: what is unknown is "⁇" in the reference, or, in a model of letters, left out of it
# without a trace ("Metoprolol" is "etoprolol"). A model that has learnt just that is perfect by it. So early stopping
# and the choice of the best checkpoint go by a figure that cannot see these words; NeMo's word_error_rate of the same
# hypotheses and the rows' texts sees them. Nothing of it is logged.
#
# Here the model's part is played by its labels: each frame's output is what the row's labels ask for, so that nothing
# but the measure is looked at. Data loader, tokenizer, decoding and metric are those of NeMo's models.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3.11 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install --quiet --disable-pip-version-check torch==2.13.0
"$python" -m pip install --quiet --disable-pip-version-check "nemo_toolkit[asr]==3.0.0" numpy==2.4.6 numba==0.68.1 \
  lightning==2.4.0 sentencepiece==0.2.3
"$python" -m pip list --disable-pip-version-check 2>/dev/null |
  grep -i -E '^(nemo_toolkit|nemo-toolkit|sentencepiece|torch) '

cat >"$work/validate.py" <<'PYTHON'
"""Make validation data and a model of each kind; score a model that writes its labels without a mistake."""

import json
import sys
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")
import numpy as np
import sentencepiece
import soundfile
import torch
from nemo.collections.asr.metrics.wer import word_error_rate
from nemo.collections.asr.models import EncDecCTCModel, EncDecCTCModelBPE
from omegaconf import OmegaConf

SPOKEN = ["take five milligrams of metoprolol", "blood pressure over eighty", "the doctor gives insulin"]
TEXTS = ["take 5 mg of Metoprolol", "blood pressure 120 over 80", "the doctor gives insulin"]
LABELS = [" ", "'", *"abcdefghijklmnopqrstuvwxyz"]
folder = Path(sys.argv[1])
soundfile.write(folder / "row.wav", np.zeros(16_000), 16_000)
rows = [{"audio_filepath": str(folder / "row.wav"), "duration": 1.0, "text": text} for text in TEXTS]
(folder / "rows.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
sentencepiece.SentencePieceTrainer.train(
    sentence_iterator=iter(SPOKEN * 30),
    model_prefix=str(folder / "tokenizer"),
    model_type="bpe",
    vocab_size=60,
    minloglevel=2,
)
pieces = sentencepiece.SentencePieceProcessor(str(folder / "tokenizer.model"))
names = [pieces.id_to_piece(number) for number in range(3, len(pieces))]
(folder / "vocab.txt").write_text("".join(f"{name}\n" for name in names))
asr = "nemo.collections.asr.modules."
layer = {"filters": 8, "repeat": 1, "kernel": [3], "stride": [1], "dilation": [1], "dropout": 0.0}
layer |= {"residual": False, "separable": True}
validation = {"manifest_filepath": str(folder / "rows.json"), "sample_rate": 16_000, "batch_size": len(TEXTS)}
validation |= {"shuffle": False, "num_workers": 0}
config = {
    "sample_rate": 16_000,
    "log_prediction": False,
    "preprocessor": {"_target_": f"{asr}AudioToMelSpectrogramPreprocessor", "features": 16},
    "encoder": {"_target_": f"{asr}ConvASREncoder", "feat_in": 16, "activation": "relu", "jasper": [layer]},
    "decoder": {"_target_": f"{asr}ConvASRDecoder", "feat_in": 8},
}
words = {"tokenizer": {"dir": str(folder), "type": "bpe"}}
words["validation_ds"] = validation
letters = {"labels": LABELS, "validation_ds": {**validation, "labels": LABELS}}
decoders = {"bpe": {"num_classes": -1, "vocabulary": []}, "letters": {"num_classes": len(LABELS), "vocabulary": LABELS}}
models = ("bpe", EncDecCTCModelBPE, words, 0.36), ("letters", EncDecCTCModel, letters, 0.29)
for kind, of, more, expected in models:
    decoder = {**config["decoder"], **decoders[kind]}
    model = of(OmegaConf.create({**config, **more, "decoder": decoder}))
    _, _, targets, lengths = next(iter(model._validation_dl))
    blank = model.decoder.num_classes_with_blank - 1
    frames = torch.full((len(TEXTS), 2 * targets.shape[1] + 1), blank)
    for row, length in enumerate(lengths.tolist()):
        frames[row, 1 : 2 * length : 2] = targets[row, :length]
    outputs = torch.nn.functional.one_hot(frames, blank + 1).float().log()
    ends = torch.full((len(TEXTS),), frames.shape[1])
    model.wer.update(predictions=outputs, predictions_lengths=ends, targets=targets, targets_lengths=lengths)
    val_wer = round(float(model.wer.compute()[0]), 2)
    texts = [hypothesis.text for hypothesis in model.wer.hypotheses]
    true_wer = round(word_error_rate(texts, TEXTS), 2)
    print(f"{kind}: val_wer {val_wer}, WER of the texts {true_wer}: {texts}")
    assert (val_wer, true_wer) == (0.0, expected), "the behaviour changed"
PYTHON
cd "$work"
"$python" validate.py "$work" 2>"$work/log" || { tail -n 30 "$work/log" >&2; exit 1; }
