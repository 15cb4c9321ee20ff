"""A training step on a CPU by how long a waiting thread keeps its core: default, ours, not at all.

    python -m benchmarks.waiting_threads [--beside 0 2] [--turns 3] [--steps 20] [--json FILE]

The embedded CTC base trains on noise, four rows of five seconds, in a process of its own for each
setting. Beside it run so many processes that are never idle, as other users of a host would. The
settings take turns, and the median of all steps of a setting counts.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.provenance import provenance
from tasks.common import atomic_files
from tasks.models import catalog
from tasks.runtimes import hardware
from tasks.runtimes.hardware import cpu_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

SETTINGS = {"default": {}, "ours": cpu_environment(), "passive": {"OMP_WAIT_POLICY": "passive"}}
"""OpenMP's own, the product's, and threads that sleep at once."""
_ROWS, _SECONDS, _LABELS = 4, 5, 20


def step_seconds(steps: int) -> Iterator[tuple[float, float]]:
    """Train, and yield the seconds and the processor seconds of each step but the first."""
    import torch  # noqa: PLC0415 - the parent needs none
    from nemo.collections.asr.models import ASRModel  # noqa: PLC0415 - likewise

    torch.manual_seed(0)
    model: Any = ASRModel.restore_from(str(catalog.resolve("embedded")), map_location="cpu").train()
    optimiser = torch.optim.AdamW(model.parameters(), 1e-4)
    samples = _SECONDS * 16_000
    noise, lengths = torch.randn(_ROWS, samples), torch.full((_ROWS,), samples)
    labels = torch.randint(1, 100, (_ROWS, _LABELS))
    label_lengths = torch.full((_ROWS,), _LABELS)
    for number in range(steps + 1):
        began, used = time.perf_counter(), time.process_time()
        scores, score_lengths, _ = model.forward(input_signal=noise, input_signal_length=lengths)
        loss = model.loss(
            log_probs=scores,
            targets=labels,
            input_lengths=score_lengths,
            target_lengths=label_lengths,
        )
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        if number:
            yield time.perf_counter() - began, time.process_time() - used


def measure(setting: str, beside: int, steps: int) -> list[tuple[float, float]]:
    """Return the steps of one process, beside so many that are never idle."""
    ours = {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY", *SETTINGS["ours"]}
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    environment |= SETTINGS[setting]
    line = [sys.executable, "-m", "benchmarks.waiting_threads", "--as-child", str(steps)]
    with ExitStack() as stack:
        for _ in range(beside):
            busy = stack.enter_context(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
            stack.callback(busy.kill)
        done = subprocess.run(line, capture_output=True, text=True, check=True, env=environment)
    return [(wall, used) for wall, used in json.loads(done.stdout.splitlines()[-1])]


def compare(beside: int, turns: int, steps: int) -> dict[str, Any]:
    """Return what a step takes by each setting, and the others' medians against ours."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in SETTINGS}
    for _ in range(turns):
        for name in SETTINGS:
            taken[name] += measure(name, beside, steps)
    figures: dict[str, Any] = {
        name: {
            "step_s": round(median(wall for wall, _ in of_setting), 3),
            "processor_s": round(median(used for _, used in of_setting), 3),
        }
        for name, of_setting in taken.items()
    }
    ours = figures["ours"]["step_s"]
    ratios = {
        f"{name} / ours": round(figures[name]["step_s"] / ours, 2)
        for name in SETTINGS
        if name != "ours"
    }
    return {"beside": beside, **figures, **ratios}


def main() -> None:
    """Compare, print the ratios, and write the figures if that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--beside", type=int, nargs="+", default=[0, 2])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--as-child", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.as_child:
        print(json.dumps(list(step_seconds(arguments.as_child))))
        return
    found = []
    for beside in arguments.beside:
        found.append(compare(beside, arguments.turns, arguments.steps))
        print(json.dumps(found[-1]), flush=True)
    if arguments.json:
        record = {**provenance(hardware.detect()), "figures": found}
        atomic_files.write_json(arguments.json, record)


if __name__ == "__main__":
    main()
