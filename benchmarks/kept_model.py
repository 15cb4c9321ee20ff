"""One cycle of benchmarks.kept_models: run by the product's command, and its figures read.

    python -m benchmarks.kept_model SOURCE WORK --seed 42 [--general FILE] [--option=--two-part …]
                                    [--grid 0.4,0.5] [--prefect FOLDER]

copies the cycle SOURCE (benchmarks/demo_cycles.py) to WORK/cycle1 and runs it. What is finished
there is not run again. ``--grid`` also decodes mixtures of these values on what judges, into
WORK/grid.json. ``--prefect`` is a Prefect home whose database is up to date: the run gets a copy.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.demo_cycles import copy_cycle
from tasks.common import atomic_files, hashing
from tasks.data.manifest import read_manifest
from tasks.evaluation.hypotheses import hypothesis_for
from tasks.evaluation.scoring import canonical_errors, score
from tasks.models.catalog import embedded_path
from tasks.records import run_record
from tasks.runtimes import hardware
from tasks.runtimes.local import LocalRuntime
from tasks.training import run as training_run
from tasks.transcription import mixtures, variants
from tasks.transcription.audio_sets import AudioSet
from tasks.transcription.mixtures import ChoosingAudio, MixturesWanted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tasks.data.manifest import Utterance
    from tasks.evaluation.scoring import UtteranceScore
    from tasks.transcription.mixtures import Texts

GRID_NAME = "grid.json"
_PRIORITY = "drug"
_GENERAL = "general"


@dataclass(frozen=True, slots=True)
class KeptModel:
    """One seed's cycle.

    Attributes:
        seed: of split and training.
        value: the tuned model's share of what is shipped.
        verdict: on what is shipped.
        drug_ker: of held-out rows, by base, plain tuned and shipped model. The plain tuned model
            decodes each row once, the others as often as the run does.
        general_wer: pooled WER on the sentences that judge, by base, plain tuned and shipped model.
        guard: the guardrail's status, for the shipped model.
        trained_rows: of the cycle, replayed sentences among them.
        choosing_s: seconds of the candidates' decoding.
        choice: why this value.
        reasons: of the verdict.
        one_decode: drug KER by base and shipped model, where each row is decoded as it is alone.
        sentences: of general English that judge.
        seconds: of the run, its jobs and their phases, as run.json has them.
        grid: figures of mixtures on what judges, where they were asked for.
    """

    seed: int
    value: float
    verdict: str
    drug_ker: tuple[float, float, float]
    general_wer: tuple[float, float, float]
    guard: str
    trained_rows: int
    choosing_s: float
    choice: str
    reasons: tuple[str, ...]
    one_decode: tuple[float | None, float | None] = (None, None)
    sentences: int = 0
    seconds: Mapping[str, Any] = field(default_factory=dict)
    grid: tuple[Mapping[str, Any], ...] = field(default=())

    @property
    def general_rise(self) -> tuple[float, float]:
        """Rise of general WER in points, by plain tuned and shipped model."""
        base, plain, shipped = self.general_wer
        return 100 * (plain - base), 100 * (shipped - base)


def read(work: Path, seed: int) -> KeptModel:
    """Read a finished cycle's figures."""
    decision = atomic_files.read_json(work / "cycle2" / "decision.json")
    board = atomic_files.read_json(work / "cycle2" / "leaderboard_cycle2.json")
    info = atomic_files.read_json(_shipped_folder(work, decision) / training_run.INFO_NAME)
    plain = next(
        (
            row
            for row in board["sections"]["entity_category"]
            if row["model"].endswith("unmixed")
            and row["rows"] == "held-out"
            and row["entity_category"] == _PRIORITY
        ),
        None,
    )
    drug, guard = decision["by"][_PRIORITY], decision["guardrail"]
    # Where the tuned model is shipped as it is, its guardrail is the verdict's.
    plain_guard = decision["shipping"]["unmixed_guardrail"] or guard
    run_json, grid = work / "cycle2" / run_record.RECORD_NAME, work / GRID_NAME
    seconds = atomic_files.read_json(run_json)["seconds"] if run_json.is_file() else {}
    plainly = decision.get("plain", {}).get(_PRIORITY, {})
    return KeptModel(
        seed,
        info["shipping"]["value"],
        decision["decision"],
        (drug["ker_a"], drug["ker_b"] if plain is None else plain["KER"], drug["ker_b"]),
        (guard["pooled_wer_a"], plain_guard["pooled_wer_b"], guard["pooled_wer_b"]),
        guard["status"],
        info["dataset"]["train_rows"],
        info["shipping"]["seconds"],
        info["shipping"]["reason"],
        tuple(decision["reasons"]),
        (plainly.get("ker_a"), plainly.get("ker_b")),
        guard.get("n", 0),
        seconds,
        tuple(atomic_files.read_json(grid)["candidates"]) if grid.is_file() else (),
    )


def _shipped_folder(work: Path, decision: Mapping[str, Any]) -> Path:
    """Return the folder of the training whose model was judged; a remedy leaves several."""
    sha256 = decision["shipping"].get("shipped_sha256")
    folders = [path.parent for path in work.glob(f"cycle1/models/*/{training_run.INFO_NAME}")]
    (folder,) = (
        folder
        for folder in folders
        if len(folders) == 1 or hashing.sha256(folder / training_run.MODEL_NAME) == sha256
    )
    return folder


def run(source: Path, work: Path, options: Sequence[str], prefect: Path | None = None) -> int:
    """Run one cycle by the product's command, unless it is finished; return the exit code.

    Args:
        source: the cycle to begin with.
        work: gets its copy and what follows.
        options: of the command.
        prefect: a Prefect home to copy; servers of several runs do not share one.
    """
    cycle = copy_cycle(source, work)
    if (work / "cycle2" / run_record.RECORD_NAME).is_file():
        return 0
    if prefect is not None:
        home = work / "prefect"
        if not home.is_dir():
            shutil.copytree(prefect, home)
        os.environ["PREFECT_HOME"] = str(home)
    line = [sys.executable, "-m", "asr_flywheel", "run", str(cycle), "--base=embedded", *options]
    return subprocess.run(line, check=False).returncode


def decode_grid(work: Path, seed: int, values: Sequence[float]) -> list[dict[str, Any]]:
    """Decode base, mixtures and tuned model on what judges: drug rows under the run's shifts.

    Returns:
        For each value KER over all decodes, KER of the plain decode, and pooled general WER, with
        the misses of each row and the edits of each sentence that they are the means of.
    """
    decision = atomic_files.read_json(work / "cycle2" / "decision.json")
    folder = _shipped_folder(work, decision)
    tuned = folder / training_run.TUNED_NAME
    tuned = tuned if tuned.is_file() else folder / training_run.MODEL_NAME
    config = atomic_files.read_json(work / "cycle2" / run_record.RECORD_NAME)["config"]
    judged = [
        row
        for row in read_manifest(work / "cycle1" / "validation.jsonl")
        if row.entity_category == _PRIORITY and row.term
    ]
    names = {
        row["audio_filepath"]
        for row in atomic_files.read_jsonl(work / "cycle2" / run_record.GENERAL_NAMES[0])
    }
    general_file = Path(config["general"]).resolve()
    guards = [row for row in read_manifest(general_file) if row.audio_filepath in names]
    shifts = variants.shifts(variants.DEFAULT_VARIANTS, seed)
    sets = [
        *(
            ChoosingAudio(f"judged/{shift}", _audio(judged, work / "cycle1"), shift)
            for shift in shifts
        ),
        ChoosingAudio(_GENERAL, _audio(guards, general_file.parent)),
    ]
    found: list[dict[str, Any]] = []

    def answer(texts: Mapping[float, Texts]) -> MixturesWanted:
        if not texts:
            return MixturesWanted(values=tuple(values))
        found.extend(
            {
                "value": value,
                **_figures([[judged, of_value[f"judged/{shift}"]] for shift in shifts]),
                **_general_figures(guards, of_value[_GENERAL]),
            }
            for value, of_value in sorted(texts.items())
        )
        return MixturesWanted(ship=1.0)

    out = work / "grid.nemo"
    runtime = LocalRuntime(hardware.detect())
    mixtures.decode_mixtures(
        embedded_path(), tuned, sets, out, runtime, answer, partial(print, flush=True)
    )
    out.unlink()
    return found


def _audio(rows: Sequence[Utterance], folder: Path) -> AudioSet:
    audio = tuple((folder / row.audio_filepath).resolve() for row in rows)
    return AudioSet(
        audio, tuple(row.duration or 0.0 for row in rows), tuple(map(str, audio)), (folder,)
    )


def _figures(decodes: Sequence[Sequence[Any]]) -> dict[str, Any]:
    missed = [[bool(row.term_missed) for row in _scores(rows, texts)] for rows, texts in decodes]
    shares = [sum(row) / len(row) for row in zip(*missed, strict=True)]
    return {
        "ker": round(sum(shares) / len(shares), 4),
        "plain_ker": round(sum(missed[0]) / len(missed[0]), 4),
        "misses": [sum(row) for row in zip(*missed, strict=True)],
        "decodes": len(missed),
    }


def _general_figures(rows: Sequence[Utterance], texts: Sequence[str]) -> dict[str, Any]:
    errors = [canonical_errors(row) for row in _scores(rows, texts)]
    edits, words = ([one[place] for one in errors] for place in (0, 1))
    return {"general_wer": round(sum(edits) / sum(words), 5), "edits": edits, "words": sum(words)}


def _scores(rows: Sequence[Utterance], texts: Sequence[str]) -> tuple[UtteranceScore, ...]:
    return score(hypothesis_for(row, text) for row, text in zip(rows, texts, strict=True)).rows


def main() -> None:
    """Run the cycle of the command line, and decode the grid if it is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--option", action="append", default=[])
    parser.add_argument("--grid")
    parser.add_argument("--prefect", type=Path)
    asked = parser.parse_args()
    options = [f"--seed={asked.seed}", *asked.option]
    if code := run(asked.source, asked.work, options, asked.prefect):
        sys.exit(code)
    out = asked.work / GRID_NAME
    if asked.grid and not out.is_file():
        started = time.monotonic()
        candidates = decode_grid(asked.work, asked.seed, [float(v) for v in asked.grid.split(",")])
        seconds = round(time.monotonic() - started, 1)
        atomic_files.write_json(out, {"candidates": candidates, "seconds": seconds})


if __name__ == "__main__":
    main()
