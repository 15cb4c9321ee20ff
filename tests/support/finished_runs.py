"""A finished run's files around any model, or a real training, by the writers that a run uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.common import atomic_files, hashing
from tasks.data.cycle_folder import Cycle, open_cycle
from tasks.decision import evidence
from tasks.decision.verdict import decide
from tasks.evaluation import diff, leaderboard
from tasks.evaluation.hypotheses import Partition, write_hypotheses
from tasks.evaluation.scoring import score
from tasks.records import run_record
from tasks.training import run as training_run
from tests.support import factories

if TYPE_CHECKING:
    from pathlib import Path

    from tasks.evaluation.hypotheses import Hypothesis


def finish(cycle: Path, model: Path, *, base: str = "embedded", after: int = 2) -> Cycle:
    """Make ``model`` the result of a run on a cycle; of 20 held-out drug rows 10 were missed.

    Args:
        cycle: a cycle's folder.
        model: any .nemo, which is copied and gets a training's record; or what a real training has
            left in one of the cycle's models, which stays as it is.
        base: the base's name.
        after: how many of the 20 rows the tuned model misses: 2 is a keep, 10 is not.

    Returns:
        The cycle that holds the evaluation.
    """
    opened = open_cycle(cycle)
    trained_here = model.with_name(training_run.INFO_NAME).is_file()
    tuned = model if trained_here else _plant(opened, model, base)
    sha256 = hashing.sha256_file(tuned)
    held, trained = Partition.HELD_OUT, Partition.TRAINED
    before = score([*factories.evaluated(10, 20, part=held), *_more(40, trained)])
    now = score([*factories.evaluated(after, 20, part=held), *_more(5, trained)])
    pairing = diff.pair(before, now)
    grounds = evidence.evidence(pairing, guardrail=factories.held_guardrail())
    decided = decide(grounds, ["drug"])
    all_rows = evidence.read_all_rows(pairing, ["drug"])
    following = opened.next
    run_record.begin(following)
    write_hypotheses(following.path / "baseline_hyps.jsonl", [row.row for row in before.rows])
    write_hypotheses(following.offline_hyps, [row.row for row in now.rows])
    entries = leaderboard.tuned_entries(base, before, f"{base} tuned", now)
    run_record.write_leaderboard(following, leaderboard.Leaderboard(following.number, entries))
    run_record.write_decision(following, decided, all_rows, grounds.judged, pairing.by_category)
    atomic_files.write_json(
        following.path / run_record.RECORD_NAME,
        {
            "finished": "2026-11-24T22:00:00Z",
            "preflight": {"rows": 120, "audio_seconds": 360.0, "manifest_sha256": "a" * 64},
            "sft": {"model": str(tuned), "model_sha256": sha256},
            "decision": decided.as_dict(),
        },
    )
    return following


def _plant(cycle: Cycle, model: Path, base: str) -> Path:
    """A run's folder without a training."""
    run = cycle.path / "models" / "run-1"
    run.mkdir(parents=True)
    tuned = run / training_run.MODEL_NAME
    tuned.write_bytes(model.read_bytes())
    info = {
        "model_sha256": hashing.sha256_file(tuned),
        "base": {"name": base, "path": "/base", "sha256": "b" * 64, "parameters": 5891185},
        "recipe": {"name": "verified", "lr": 3e-4, "epochs": 3, "effective_batch": 4, "seed": 42},
        "runtime": {"gpus": [], "precision": "32-true", "nemo": "3.0.0", "torch": "2.13.0"},
        "dataset": {"train_rows": 100, "validation_rows": 20},
        "best_epoch": 1,
    }
    atomic_files.write_json(run / training_run.INFO_NAME, info)
    return tuned


def _more(missed: int, part: Partition) -> list[Hypothesis]:
    return factories.evaluated(missed, 100, start=100, part=part)
