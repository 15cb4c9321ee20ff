#!/usr/bin/env bash
# NeMo 3.0.0: after transcribe(), the encoder of a model in evaluation mode is in training mode, and so is a frozen encoder.
#
# transcribe() puts the model into evaluation mode and says that it sets the mode back. One would expect a model that was in
# evaluation mode to be there afterwards, in all its parts. But its last act is to unfreeze encoder, decoder and joint, and
# unfreezing also switches a module to training, whatever it was before. model.training says False, so a look at it shows
# nothing. Whoever then takes log-probabilities from the same model, for an alignment, a confidence or a beam search, gets
# them with dropout: two passes over one recording differ. And each such pass moves the batch norms' statistics, also
# under no_grad: a model that is saved after it, or only transcribes again, is another model. Nothing was trained.
#
# The same befalls an encoder that was frozen for a fine-tuning, if a baseline is transcribed before: its weights stay
# frozen, since NeMo restores requires_grad, and its statistics follow the training's rows. Without the baseline they do
# not: Lightning keeps the modes that it finds. model.eval(), or encoder.freeze() once more, after transcribe() cures both.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3.11 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install --quiet --disable-pip-version-check torch==2.13.0
"$python" -m pip install --quiet --disable-pip-version-check "nemo_toolkit[asr]==3.0.0" numpy==2.4.6 numba==0.68.1 \
  lightning==2.4.0

cat >"$work/modes.py" <<'PYTHON'
"""Take log-probabilities, and fine-tune a decoder on a frozen encoder, without and with a transcription before."""

import importlib.metadata
import json
import logging
import sys
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)
import lightning.pytorch as pl
import numpy as np
import soundfile
import torch
from nemo.collections.asr.models import EncDecCTCModel
from omegaconf import OmegaConf

LABELS = [" ", *"abcdefghijklmnopqrstuvwxyz"]
ASR = "nemo.collections.asr.modules."
folder = Path(sys.argv[1])
noise = np.random.default_rng(0).standard_normal(32_000) * 0.1
soundfile.write(folder / "row.wav", noise, 16_000)
row = {"audio_filepath": str(folder / "row.wav"), "duration": 2.0, "text": "five milligrams"}
(folder / "rows.json").write_text((json.dumps(row) + "\n") * 8)
signal = {"input_signal": torch.tensor(noise, dtype=torch.float32)[None], "input_signal_length": torch.tensor([32_000])}


def make():
    """A small Conformer with a CTC decoder, as NeMo's configurations describe it."""
    torch.manual_seed(0)
    rows = {"manifest_filepath": str(folder / "rows.json"), "sample_rate": 16_000, "batch_size": 2, "labels": LABELS}
    encoder = {"_target_": f"{ASR}ConformerEncoder", "feat_in": 16, "n_layers": 2, "d_model": 16, "n_heads": 2}
    encoder |= {"subsampling": "striding", "subsampling_factor": 4, "subsampling_conv_channels": 16, "conv_kernel_size": 9}
    decoder = {"_target_": f"{ASR}ConvASRDecoder", "feat_in": 16, "num_classes": len(LABELS), "vocabulary": LABELS}
    config = {
        "sample_rate": 16_000,
        "log_prediction": False,
        "labels": LABELS,
        "train_ds": {**rows, "shuffle": False, "num_workers": 0},
        "preprocessor": {"_target_": f"{ASR}AudioToMelSpectrogramPreprocessor", "features": 16},
        "encoder": encoder,
        "decoder": decoder,
        "optim": {"name": "sgd", "lr": 0.01},
    }
    return EncDecCTCModel(OmegaConf.create(config))


def transcribe(model):
    model.transcribe([str(folder / "row.wav")], verbose=False)


@torch.no_grad()
def log_probabilities(model):
    return model(**signal)[0]


def counted(model):
    """How many batches a batch norm of the encoder has taken into its statistics."""
    return next(int(part.num_batches_tracked) for part in model.modules() if isinstance(part, torch.nn.BatchNorm1d))


print("nemo", importlib.metadata.version("nemo_toolkit"), "torch", torch.__version__.split("+")[0])
for before in ("nothing", "transcribe", "transcribe and eval"):
    model = make().eval()
    if before != "nothing":
        transcribe(model)
    if before == "transcribe and eval":
        model.eval()
    modes = f"model.training {model.training}, encoder.training {model.encoder.training}"
    once, again = log_probabilities(model), log_probabilities(model)
    print(f"{before}: {modes}, two passes alike {torch.equal(once, again)}, batches in the statistics {counted(model)}")
for before in ("nothing", "transcribe"):
    model = make()
    model.encoder.freeze()
    if before != "nothing":
        transcribe(model)
    weights = [weight.clone() for weight in model.encoder.parameters()]
    silent = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = pl.Trainer(accelerator="cpu", max_epochs=1, **silent)
    model.set_trainer(trainer)
    trainer.fit(model)
    kept = all(torch.equal(old, new) for old, new in zip(weights, model.encoder.parameters(), strict=True))
    print(f"encoder frozen, {before}, fit: its weights unchanged {kept}, batches in its statistics {counted(model)}")
PYTHON
cd "$work"
"$python" modes.py "$work" 2>"$work/errors" | grep -E '^(nemo|nothing|transcribe|encoder)' | tee "$work/seen" ||
  { tail -n 30 "$work/errors" >&2; exit 1; }

cat >"$work/expected" <<'SEEN'
nemo 3.0.0 torch 2.13.0
nothing: model.training False, encoder.training False, two passes alike True, batches in the statistics 0
transcribe: model.training False, encoder.training True, two passes alike False, batches in the statistics 2
transcribe and eval: model.training False, encoder.training False, two passes alike True, batches in the statistics 0
encoder frozen, nothing, fit: its weights unchanged True, batches in its statistics 0
encoder frozen, transcribe, fit: its weights unchanged True, batches in its statistics 4
SEEN
diff "$work/expected" "$work/seen"
