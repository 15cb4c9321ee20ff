#!/usr/bin/env bash
# NeMo 3.0.0: a learning rate under the schedule's min_lr trains through the whole warm-up before it is refused.
#
# The stock fine-tuning YAML has min_lr 5e-6 and 5,000 steps of warm-up. Whoever lowers the rate to 1e-6, to forget less,
# would expect an error when the schedule is made, or a rate that stays at one of the two. CosineAnnealing takes it,
# and warms up as asked. Only the first step behind the warm-up compares the two numbers and raises ValueError: hours
# of a GPU into the training. min_lr is one number for all groups of parameters. So a group with a lower rate of its own,
# such as an encoder beside a new decoder, ends a training whose general rate is well above. A rate that equals min_lr is taken.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install --quiet --disable-pip-version-check "nemo_toolkit[core]==3.0.0" torch==2.13.0
cat >"$work/rates.py" <<'PROGRAM'
import logging
import warnings

import torch

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)
from nemo.core.optim.lr_scheduler import CosineAnnealing

WARM_UP, STEPS = 50, 200


def steps_until_it_is_refused(*rates):
    """Return after how many steps the schedule raises, or None."""
    groups = [{"params": [torch.nn.Parameter(torch.ones(1))], "lr": rate} for rate in rates]
    optimizer = torch.optim.AdamW(groups)
    schedule = CosineAnnealing(optimizer, max_steps=STEPS, warmup_steps=WARM_UP, min_lr=5e-6)
    for step in range(STEPS):
        optimizer.step()
        try:
            schedule.step()
        except ValueError as refused:
            assert "lower than the minimum learning rate" in str(refused), refused
            return step
    return None


found = {
    "one rate of 1e-6": steps_until_it_is_refused(1e-6),
    "1e-4, and a group of 1e-6": steps_until_it_is_refused(1e-4, 1e-6),
    "one rate of 5e-6, which is min_lr": steps_until_it_is_refused(5e-6),
}
for name, steps in found.items():
    print(f"{name}: {'never refused' if steps is None else f'refused after {steps} steps of {STEPS}, warm-up {WARM_UP}'}")
assert list(found.values()) == [WARM_UP, WARM_UP, None], found
PROGRAM
cd "$work"
"$python" rates.py
# Seen with Python 3.11.7:
# one rate of 1e-6: refused after 50 steps of 200, warm-up 50
# 1e-4, and a group of 1e-6: refused after 50 steps of 200, warm-up 50
# one rate of 5e-6, which is min_lr: never refused
