"""Cycles of the demo to begin runs from: synthesised, and decoded by the embedded base.

    python -m benchmarks.demo_cycles FOLDER [--voices 42] [--other-drugs]

makes FOLDER/cycle1. Another ``--voices`` has other voices, carriers, noise and breath;
``--other-drugs`` has other drugs said (benchmarks/other_drugs.py).
"""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path

from asr_flywheel.demo.dataset import synthesise_cycle
from benchmarks.other_drugs import other_terms
from tasks.data.cycle_folder import open_cycle
from tasks.stages import evaluate

DEMO_VOICES = 42
_BASELINE = "offline_hyps.jsonl"
_HIDDEN = ".transcripts"


def make_cycle(folder: Path, voices: int, *, other_drugs: bool) -> Path:
    """Synthesise a cycle and decode it by the base; what is there is kept."""
    cycle = folder / "cycle1"
    if not (cycle / "manifest.jsonl").is_file():
        synthesise_cycle(cycle, seed=voices, terms=other_terms() if other_drugs else None)
    if not (cycle / _BASELINE).is_file():
        evaluate.transcribe_baseline(open_cycle(cycle), "embedded", None, (), print)
    return cycle


def copy_cycle(source: Path, work: Path) -> Path:
    """Copy what a run begins with into WORK/cycle1; recordings are linked, what is there is kept.

    The base's texts of the recordings go with it, as in the demo, so that no run decodes them anew.
    """
    cycle = work / "cycle1"
    if not cycle.is_dir():
        part = work / ".cycle1"
        shutil.rmtree(part, ignore_errors=True)
        for name in ("audio", _HIDDEN):
            if (source / name).is_dir():
                shutil.copytree(source / name, part / name, copy_function=os.link)
        for name in ("manifest.jsonl", _BASELINE):
            shutil.copy(source / name, part / name)
        part.rename(cycle)
    return cycle


def main() -> None:
    """Make the cycle of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--voices", type=int, default=DEMO_VOICES)
    parser.add_argument("--other-drugs", action="store_true")
    asked = parser.parse_args()
    make_cycle(asked.folder.absolute(), asked.voices, other_drugs=asked.other_drugs)


# Synthesis spawns processes that import this module.
if __name__ == "__main__":
    main()
