#!/usr/bin/env bash
# transformers 5.23.0: Trainer gives the text of each shorter recording one letter more, and how many depends on the batch size.
#
# evaluate() joins the outputs of all batches into one array, padded with -100. For labels everybody knows it and replaces
# it. For a CTC model's outputs it comes as a vector of -100 for each class, which stands for "nothing here"; one would expect
# that to be the blank, or to be left out. But compute_metrics takes an argmax, and of equal numbers that is class 0. Where
# class 0 is a letter, each recording whose batch is shorter than the longest batch ends with it: "no fever" is "no fevera".
# A model that makes no error has a WER of 18.5% here, from the last words of the rows; with all rows in one batch it has 0,
# since within a batch the model itself says what is behind the end. So a change of per_device_eval_batch_size, or one long
# row, changes the WER; and early stopping and the best checkpoint go by it.
#
# That most published vocabularies begin with the blank hides it, and so does one that is sorted with the space first,
# since a space at the end is stripped. One that is written down as letters, space, unknown, blank has it. For one
# wrapper of Trainer it is told in jonatasgrosman/huggingsound#68; that it depends on batches is not. The argmax in
# preprocess_logits_for_metrics, which is advised to save memory, makes it worse: then the texts end with the
# tokenizer's "unknown", for each vocabulary. In both ways, what is -100 must become the blank.
# The model here is no recogniser: its frames hold what it has to write, so that nothing but the evaluation is looked at.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 transformers==5.23.0 accelerate==1.15.0 \
  numpy==2.4.6 jiwer==4.0.0
cat >"$work/evaluate.py" <<'PROGRAM'
"""Evaluate a model without errors by Trainer, with three orders of the same vocabulary and three sizes of a batch."""

import json
import warnings

warnings.filterwarnings("ignore")
import jiwer
import numpy as np
import torch
import transformers
from transformers import Trainer, TrainingArguments, Wav2Vec2CTCTokenizer

transformers.logging.set_verbosity_error()
TEXTS = ["take five milligrams of metoprolol twice a day", "no fever", "blood pressure is normal", "stop insulin",
         "see me in a week", "give her the tablets with food"]  # fmt: skip
LETTERS = [*"abcdefghijklmnopqrstuvwxyz"]
ORDERS = {
    "blank first": ["[PAD]", "[UNK]", "|", *LETTERS],
    "space first": ["|", *LETTERS, "[UNK]", "[PAD]"],
    "letters first": [*LETTERS, "|", "[UNK]", "[PAD]"],
}


class Perfect(torch.nn.Module):
    """A CTC model whose frames are the numbers of the classes that it has to write."""

    def __init__(self, classes):
        super().__init__()
        self.classes, self.sure = classes, torch.nn.Parameter(torch.tensor(10.0))

    def forward(self, input_values, labels):
        logits = torch.nn.functional.one_hot(input_values, self.classes) * self.sure
        return {"loss": logits.sum() * 0, "logits": logits}


def evaluate(order, batch, masked=False, early=False):
    with open("vocab.json", "w") as file:
        json.dump({token: number for number, token in enumerate(order)}, file)
    tokenizer = Wav2Vec2CTCTokenizer("vocab.json", unk_token="[UNK]", pad_token="[PAD]", word_delimiter_token="|")
    blank = tokenizer.pad_token_id

    def row(text):
        labels = tokenizer(text).input_ids
        return {"input_values": [frame for label in labels for frame in (label, blank)], "labels": labels}

    def collate(rows):
        def padded(field, value):
            longest = max(len(one[field]) for one in rows)
            return torch.tensor([one[field] + [value] * (longest - len(one[field])) for one in rows])

        return {"input_values": padded("input_values", blank), "labels": padded("labels", -100)}

    def wer(outputs):
        best = outputs.predictions if early else np.argmax(outputs.predictions, axis=-1)
        if masked:
            best[(outputs.predictions == -100).all(axis=-1)] = blank
        said.extend(tokenizer.batch_decode(best))
        labels = np.where(outputs.label_ids == -100, blank, outputs.label_ids)
        return {"wer": jiwer.wer(tokenizer.batch_decode(labels, group_tokens=False), said)}

    said = []
    options = TrainingArguments("runs", per_device_eval_batch_size=batch, report_to=[], use_cpu=True, disable_tqdm=True)
    rows = [row(text) for text in TEXTS]
    of = {"data_collator": collate, "compute_metrics": wer, "eval_dataset": rows}
    if early:
        of["preprocess_logits_for_metrics"] = lambda logits, _: logits.argmax(-1)
    return Trainer(Perfect(len(order)), options, **of).evaluate()["eval_wer"], said


print("transformers", transformers.__version__)
for name, order in ORDERS.items():
    print(f"{name}: WER {', '.join(f'{evaluate(order, batch)[0]:.3f} by {batch}' for batch in (1, 2, 6))}")
print("; ".join(evaluate(ORDERS["letters first"], 1)[1][1:4]))
early, said = evaluate(ORDERS["blank first"], 1, early=True)
print(f"blank first, argmax before the batches are joined: WER {early:.3f} by 1, {said[1]}")
print(f"letters first, the blank put where all is -100: WER {evaluate(ORDERS['letters first'], 1, masked=True)[0]:.3f} by 1")
PROGRAM
cd "$work"
"$python" evaluate.py 2>"$work/errors" | grep -v '^{' | tee "$work/seen" || { tail -n 20 "$work/errors" >&2; exit 1; }

cat >"$work/expected" <<'SEEN'
transformers 5.23.0
blank first: WER 0.000 by 1, 0.000 by 2, 0.000 by 6
space first: WER 0.000 by 1, 0.000 by 2, 0.000 by 6
letters first: WER 0.185 by 1, 0.148 by 2, 0.000 by 6
no fevera; blood pressure is normala; stop insulina
blank first, argmax before the batches are joined: WER 0.185 by 1, no fever[UNK]
letters first, the blank put where all is -100: WER 0.000 by 1
SEEN
diff "$work/expected" "$work/seen"
