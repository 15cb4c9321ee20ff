"""What cycle N+1's folder gets from a run; run.json comes last and marks it complete."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks import files
from tasks.sft import versions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tasks.cycle import Cycle
    from tasks.decision import Decision
    from tasks.diff import Delta
    from tasks.leaderboard import Leaderboard
    from tasks.preflight import PreflightResult
    from tasks.sft import SftResult
    from tasks.training_set import TrainingSet
    from tasks.transcribe import Transcript

RECORD_NAME = "run.json"
DECISION_NAME = "decision.json"


@dataclass(frozen=True, slots=True)
class RunRecord:
    """Everything that says which code, data and model made a decision."""

    started: float
    config: Mapping[str, Any]
    gate: Mapping[str, Any]
    preflight: PreflightResult
    data: TrainingSet
    sft: SftResult
    transcripts: Sequence[Transcript]
    decision: Mapping[str, Any]


def begin(cycle: Cycle) -> None:
    """Make the folder and take the completion mark of an earlier run away."""
    cycle.path.mkdir(exist_ok=True)
    (cycle.path / RECORD_NAME).unlink(missing_ok=True)


def write_leaderboard(cycle: Cycle, board: Leaderboard) -> None:
    """Write leaderboard_cycle<N>.md and the same content as JSON."""
    files.write_text(cycle.leaderboard, board.as_markdown())
    files.write_json(cycle.leaderboard.with_suffix(".json"), board.as_dict())


def write_decision(
    cycle: Cycle,
    decided: Decision,
    literal: Decision,
    held_out: Mapping[str, Delta],
    everything: Mapping[str, Delta],
) -> None:
    """Write decision.json: the decision, the specification's literal reading, and the figures."""
    files.write_json(
        cycle.path / DECISION_NAME,
        {
            **decided.as_dict(),
            "all_rows": literal.as_dict(),
            "by": {category: delta.as_dict() for category, delta in held_out.items()},
            "by_all_rows": {category: delta.as_dict() for category, delta in everything.items()},
        },
    )


def write(cycle: Cycle, record: RunRecord) -> None:
    """Write run.json, with the hash of every other file of the cycle's folder that a run makes."""
    preflight, split = record.preflight, record.data.split
    names = (
        "baseline_hyps.jsonl",
        cycle.offline_hyps.name,
        cycle.leaderboard.name,
        cycle.leaderboard.with_suffix(".json").name,
        DECISION_NAME,
    )
    files.write_json(
        cycle.path / RECORD_NAME,
        {
            "started": _utc(record.started),
            "finished": _utc(time.time()),
            "config": record.config,
            "gate": record.gate,
            "preflight": {
                "rows": len(preflight.rows),
                "audio_seconds": round(sum(r.utterance.duration or 0 for r in preflight.rows), 3),
                "manifest_sha256": files.sha256_file(preflight.manifest),
                "warnings": [finding.as_dict() for finding in preflight.warnings],
            },
            "split": {
                "train": len(split.train),
                "validation": len(split.validation),
                "warnings": list(split.warnings),
                "content_sha256": record.data.content,
            },
            "sft": {
                "model": str(record.sft.model),
                "model_sha256": record.sft.model_sha256,
                "training_run_info": str(record.sft.info),
                "reused": record.sft.reused,
            },
            "transcription": [
                {
                    "model": str(one.model),
                    "audio_seconds": one.audio_seconds,
                    "seconds": one.seconds,
                    "rtfx": round(one.rtfx, 1),
                }
                for one in record.transcripts
            ],
            "decision": record.decision,
            "versions": versions(),
            "files": {name: files.sha256_file(cycle.path / name) for name in names},
        },
    )


def _utc(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
