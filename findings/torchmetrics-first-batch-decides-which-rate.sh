#!/usr/bin/env bash
# torchmetrics 1.9.0: the first batch decides whether a MetricCollection computes the match error rate or the word error rate.
#
# WordErrorRate counts errors per word of the reference, MatchErrorRate per place of the alignment, so they differ by the
# insertions. Expected of a collection of both: what each computes alone, in whatever order the batches come. But a
# collection saves work by compute groups: after its first update it compares the states, and metrics that hold equal
# numbers are one from then on. Both name their states errors and total, and these are equal after a batch without
# insertions, a perfect one for instance. From the second batch on the later of the two is the earlier one's numbers,
# under its own name. The groups outlive reset(), so the sanity check or the first validation decides for all epochs, and
# each rank decides for itself. Nothing warns. Grouping by values is known to go wrong for a user's own metrics
# (torchmetrics#2596); here it does for two that torchmetrics ships side by side. With compute_groups=False, or
# groups named by the caller, all is right.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 torchmetrics==1.9.0 numpy==2.4.6

cat >"$work/rates.py" <<'PROGRAM'
from importlib.metadata import version

import torch
from torchmetrics import MetricCollection
from torchmetrics.text import MatchErrorRate, WordErrorRate

RIGHT = (["metoprolol fifty milligrams"], ["metoprolol fifty milligrams"])
INSERTIONS = (["the the blood pressure is is high"], ["blood pressure high"])


def text(rates):
    return ", ".join(f"{name} {value.item():.3f}" for name, value in rates.items())


def alone(*batches):
    found = {}
    for kind in (WordErrorRate, MatchErrorRate):
        metric = kind()
        for hypotheses, references in batches:
            metric.update(hypotheses, references)
        found[kind.__name__] = metric.compute()
    return text(found)


def together(*batches, collection=None, **options):
    collection = collection or MetricCollection([WordErrorRate(), MatchErrorRate()], **options)
    collection.reset()
    for hypotheses, references in batches:
        collection.update(hypotheses, references)
    return text(collection.compute())


print("torchmetrics", version("torchmetrics"), "torch", torch.__version__.split("+")[0])
print("each alone:", alone(RIGHT, INSERTIONS))
print("together, the batch with insertions first:", together(INSERTIONS, RIGHT))
print("together, the perfect batch first:", together(RIGHT, INSERTIONS))
print("together, MatchErrorRate first in the list:",
      together(RIGHT, INSERTIONS, collection=MetricCollection([MatchErrorRate(), WordErrorRate()])))  # fmt: skip
print("together, compute_groups=False:", together(RIGHT, INSERTIONS, compute_groups=False))
once = MetricCollection([WordErrorRate(), MatchErrorRate()])
together(RIGHT, collection=once)
print("together, after a perfect epoch and reset():", together(INSERTIONS, RIGHT, collection=once))
PROGRAM
"$python" "$work/rates.py" 2>"$work/warned" | tee "$work/seen"
if [[ -s $work/warned ]]; then cat "$work/warned"; exit 1; fi

cat >"$work/expected" <<'SEEN'
torchmetrics 1.9.0 torch 2.13.0
each alone: WordErrorRate 0.667, MatchErrorRate 0.400
together, the batch with insertions first: WordErrorRate 0.667, MatchErrorRate 0.400
together, the perfect batch first: WordErrorRate 0.667, MatchErrorRate 0.667
together, MatchErrorRate first in the list: MatchErrorRate 0.400, WordErrorRate 0.400
together, compute_groups=False: WordErrorRate 0.667, MatchErrorRate 0.400
together, after a perfect epoch and reset(): WordErrorRate 0.667, MatchErrorRate 0.667
SEEN
diff "$work/expected" "$work/seen"
