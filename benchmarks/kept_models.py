"""What cycles end with, seed by seed: base, plain tuned model, and what is shipped.

    python -m benchmarks.kept_models [--seeds 42,43] [--folder kept-models]
                                     [--two-part] [--voices SEED] [--other-drugs] [--json FILE]

Each seed is a split and a training of the demo's cycle, by the product's own command. The table has
the held-out figures of the verdict: drug KER, general WER on the sentences that judge, and the
verdict; and of the plain tuned model the same. ``--two-part`` trains on the rows that would choose,
too, and ships the mixture that was stated beforehand: what it costs to set rows apart. ``--voices``
makes the cycle anew, with other voices, carriers, noise and breath, and ``--other-drugs`` has other
drugs said (benchmarks/other_drugs.py). A seed that is finished in the folder is read, not run.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from asr_flywheel.demo.dataset import synthesise_cycle
from benchmarks.other_drugs import other_terms
from tasks.common import atomic_files
from tasks.common.errors import TrainingError
from tasks.data.cycle_folder import open_cycle
from tasks.stages import evaluate, synthetic_general

SEEDS = tuple(range(42, 52))
_VOICES = 42
_TAIL_LINES = 25


@dataclass(frozen=True, slots=True)
class KeptModel:
    """One seed's cycle.

    Attributes:
        seed: of split and training.
        value: the tuned model's share of what is shipped.
        verdict: on what is shipped.
        drug_ker: of held-out rows, by base, plain tuned and shipped model.
        general_wer: pooled WER on the sentences that judge, by base, plain tuned and shipped model.
        guard: the guardrail's status, for the shipped model.
        trained_rows: of the cycle.
        choosing_s: seconds of the candidates' decoding.
        choice: why this value.
        reasons: of the verdict.
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

    @property
    def general_rise(self) -> tuple[float, float]:
        """Rise of general WER in points, by plain tuned and shipped model."""
        base, plain, shipped = self.general_wer
        return 100 * (plain - base), 100 * (shipped - base)


def make_cycle(folder: Path, voices: int, *, other_drugs: bool) -> Path:
    """Synthesise a cycle and decode it by the base; what is there is kept."""
    cycle = folder / f"voices-{voices}{'-other-drugs' if other_drugs else ''}" / "cycle1"
    if not (cycle / "offline_hyps.jsonl").is_file():
        synthesise_cycle(cycle, seed=voices, terms=other_terms() if other_drugs else None)
        evaluate.transcribe_baseline(open_cycle(cycle), "embedded", None, (), print)
    return cycle


def run_seed(source: Path, folder: Path, seed: int, general: Path, *, two_part: bool) -> KeptModel:
    """Run one cycle by the product's command, and read what it left.

    Raises:
        TrainingError: the command fails.
    """
    work = folder / f"{source.parent.name}-seed-{seed}{'-two-part' if two_part else ''}"
    cycle = work / "cycle1"
    if not cycle.is_dir():
        part = work / ".cycle1"
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(source / "audio", part / "audio", copy_function=os.link)
        for name in ("manifest.jsonl", "offline_hyps.jsonl"):
            shutil.copy(source / name, part / name)
        part.rename(cycle)
    if not (work / "cycle2" / "run.json").is_file():
        line = [sys.executable, "-m", "asr_flywheel", "run", str(cycle), "--base=embedded"]
        line += [f"--seed={seed}", f"--general={general}", *(["--two-part"] if two_part else [])]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        if done.returncode:
            tail = "\n".join((done.stdout + done.stderr).splitlines()[-_TAIL_LINES:])
            raise TrainingError(f"seed {seed}: the run ended with {done.returncode}:\n{tail}")
    return read(work, seed)


def read(work: Path, seed: int) -> KeptModel:
    """Read a finished cycle's figures."""
    decision = atomic_files.read_json(work / "cycle2" / "decision.json")
    board = atomic_files.read_json(work / "cycle2" / "leaderboard_cycle2.json")
    (info,) = (
        atomic_files.read_json(p) for p in work.glob("cycle1/models/*/training_run_info.json")
    )
    plain = next(
        (
            row
            for row in board["sections"]["entity_category"]
            if row["model"].endswith("unmixed")
            and row["rows"] == "held-out"
            and row["entity_category"] == "drug"
        ),
        None,
    )
    drug, guard = decision["by"]["drug"], decision["guardrail"]
    # Where the tuned model is shipped as it is, its guardrail is the verdict's.
    plain_guard = decision["shipping"]["unmixed_guardrail"] or guard
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
    )


def main() -> None:
    """Run all seeds and print the table."""
    parser = argparse.ArgumentParser(description="What cycles end with, seed by seed.")
    parser.add_argument("--seeds", default=",".join(map(str, SEEDS)))
    parser.add_argument("--folder", type=Path, default=Path("kept-models"))
    parser.add_argument("--voices", type=int, default=_VOICES)
    parser.add_argument("--other-drugs", action="store_true")
    parser.add_argument("--two-part", action="store_true")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    general = synthetic_general.manifest()
    source = make_cycle(asked.folder.absolute(), asked.voices, other_drugs=asked.other_drugs)
    print("seed value verdict       drug KER base/tuned/shipped  general rise tuned/shipped")
    models = []
    for seed in map(int, asked.seeds.split(",")):
        kept = run_seed(source, asked.folder.absolute(), seed, general, two_part=asked.two_part)
        models.append(kept)
        if asked.json is not None:
            atomic_files.write_json(asked.json, [asdict(model) for model in models])
        kers = " ".join(f"{ker:.3f}" for ker in kept.drug_ker)
        rises = " ".join(f"{rise:+.2f}" for rise in kept.general_rise)
        print(f"{seed:4} {kept.value:5g} {kept.verdict:13} {kers}            {rises}", flush=True)
    means = [statistics.mean(model.drug_ker[place] for model in models) for place in range(3)]
    keeps = sum(model.verdict == "keep" for model in models)
    print(f"kept {keeps} of {len(models)}; mean drug KER {' '.join(f'{m:.3f}' for m in means)}")


if __name__ == "__main__":
    main()
