"""Cycles of the demo to begin runs from: synthesised, and decoded by the embedded base.

    python -m benchmarks.demo_cycles FOLDER [--voices 42] [--other-drugs] [--general MANIFEST]

makes FOLDER/cycle1, or with ``--general`` has the base decode these sentences for it. Another
``--voices`` has other voices, carriers, noise and breath; ``--other-drugs`` has other drugs said
(benchmarks/other_drugs.py).
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from pathlib import Path

from asr_flywheel.demo.dataset import synthesise_cycle
from benchmarks.other_drugs import other_terms
from tasks.data import joined_sentences
from tasks.data.cycle_folder import open_cycle
from tasks.data.nonspeech import recordings
from tasks.models.catalog import embedded_path
from tasks.runtimes.hardware import detect
from tasks.runtimes.local import LocalRuntime
from tasks.stages import evaluate, prepare
from tasks.training.recipes import Recipe
from tasks.transcription import offline
from tasks.transcription.rows import audio_set, joined_set, nonspeech_set

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

    Kept hypotheses are in the source's folder, so that the base decodes each recording once.
    """
    cycle = work / "cycle1"
    if not cycle.is_dir():
        part = work / ".cycle1"
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(source / "audio", part / "audio", copy_function=os.link)
        hypotheses = source / _HIDDEN
        hypotheses.mkdir(exist_ok=True)
        (part / _HIDDEN).symlink_to(hypotheses, target_is_directory=True)
        for name in ("manifest.jsonl", _BASELINE):
            shutil.copy(source / name, part / name)
        part.rename(cycle)
    return cycle


def decode_general(folder: Path, general: Path) -> None:
    """Have the base decode what guards in a run: general English, short and joined, and silence."""
    cycle, base, runtime = open_cycle(folder / "cycle1"), embedded_path(), LocalRuntime(detect())
    checked = prepare.check(cycle, base, Recipe())
    sentences = prepare.general_set(general, base, Recipe(), checked, clinic=folder).guardrail
    audio = audio_set(sentences, (general.parent.resolve(),)) + nonspeech_set(recordings())
    cache = evaluate.open_hypothesis_cache(cycle, runtime)
    joined = joined_sentences.plan(sentences, joined_sentences.ROWS_ON_CPU)
    with tempfile.TemporaryDirectory(prefix=".joined-", dir=cache.folder) as written:
        joined_sentences.write(joined, Path(written))
        long_audio = joined_set(joined, Path(written))
        offline.transcribe((base,), audio, runtime, cache, print, also=[(base, long_audio)])


def main() -> None:
    """Make the cycle of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--voices", type=int, default=DEMO_VOICES)
    parser.add_argument("--other-drugs", action="store_true")
    parser.add_argument("--general", type=Path)
    asked = parser.parse_args()
    if asked.general is not None:
        decode_general(asked.folder.absolute(), asked.general)
        return
    make_cycle(asked.folder.absolute(), asked.voices, other_drugs=asked.other_drugs)


# Synthesis spawns processes that import this module.
if __name__ == "__main__":
    main()
