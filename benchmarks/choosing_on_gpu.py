"""How long choosing a mixture takes: the program that decodes them, on the choosing rows of 200."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import torch

from benchmarks.entrypoint_imports import Untyped, greedy_decoder
from tasks.runtimes.base import ENTRY

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.clips import BenchmarkReport, Clips

_CHOOSING_ROWS = {"selection": 40, "general": 50}
_VALUES = [0.2, 0.4, 0.6, 0.8, 1.0, 0.5, 0.7]


def time_choosing(
    report: BenchmarkReport, folder: Path, model: Untyped, clips: Clips, limit_s: float
) -> None:
    """Time the program that decodes mixtures of a base and a perturbed copy.

    Args:
        report: gets its line.
        folder: for the two archives and the answers.
        model: the base.
        clips: of which the first ones choose.
        limit_s: of the program.
    """
    archive = folder / "tdt.nemo"
    model.save_to(str(archive))
    tuned = folder / "tuned.nemo"
    restored = greedy_decoder.restore(str(archive), "cpu")
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in restored.parameters():
            noise = torch.randn(parameter.shape, generator=generator) * parameter.std() * 0.02
            parameter.add_(torch.nan_to_num(noise))
    restored.save_to(str(tuned))
    del restored
    answers = folder / "answers"
    answers.mkdir()
    starts = itertools.accumulate(_CHOOSING_ROWS.values(), initial=0)
    sets = [
        {
            "name": name,
            "audio": clips.paths[start : start + count],
            "durations": clips.seconds[start : start + count],
        }
        for start, (name, count) in zip(starts, _CHOOSING_ROWS.items(), strict=False)
    ]
    request = folder / "choose.request.json"
    request.write_text(
        json.dumps(
            {
                "base": str(archive),
                "tuned": str(tuned),
                "sets": sets,
                "values": _VALUES[:5],
                "answers": str(answers),
                "out": str(folder / "adapted.nemo"),
            }
        )
    )
    for number, answer in enumerate([{"values": _VALUES[5:]}, {"ship": 0.5}], start=1):
        (answers / f"answer-{number}.json").write_text(json.dumps(answer))
    began = time.monotonic()
    process = subprocess.run(
        [sys.executable, str(ENTRY / "interpolate.py"), str(request)],
        capture_output=True,
        text=True,
        check=False,
        timeout=limit_s,
    )
    whole = time.monotonic() - began
    if process.returncode:
        raise RuntimeError(process.stdout[-1500:] + process.stderr[-1500:])
    events = [json.loads(line) for line in process.stdout.splitlines() if line[:1] == "{"]
    lines = (folder / "choose.phases.jsonl").read_text().splitlines()
    moments = [*map(json.loads, lines), {"phase": "end", "time": time.time()}]
    phases: dict[str, float] = {}
    for moment, following in itertools.pairwise(moments):
        took = following["time"] - moment["time"]
        phases[moment["phase"]] = phases.get(moment["phase"], 0.0) + took
    steps = -(-200 // 16)
    report.row(
        choosing=f"{len(_VALUES)} values, {sum(_CHOOSING_ROWS.values())} rows",
        whole_s=round(whole, 1),
        candidates_s=[one["seconds"] for one in events if one["event"] == "candidate"],
        phases_s={name: round(seconds, 2) for name, seconds in phases.items()},
        how=next((one["how"] for one in events if one["event"] == "model"), ""),
        steps_of_an_epoch_of_200_rows=steps,
        needed_s_a_step_for_less_than_an_epoch=round(whole / steps, 2),
    )
