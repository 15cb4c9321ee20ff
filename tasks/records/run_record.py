"""A run's files in the folder of cycle N+1; run.json comes last and marks them complete."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from tasks.common import atomic_files, hashing
from tasks.common.errors import InputError
from tasks.common.schemas import Schema
from tasks.data.cycle_folder import RUN_NAMES
from tasks.evaluation.leaderboard_markdown import leaderboard_as_markdown
from tasks.evaluation.strict_table import table_origin
from tasks.training.run_info import versions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tasks.data.cycle_folder import Cycle
    from tasks.data.preflight import PreflightResult
    from tasks.data.training_set import TrainingSet
    from tasks.decision.decision_table import TableReading
    from tasks.decision.verdict import Decision
    from tasks.evaluation.keyword_change import KeywordErrorChange
    from tasks.evaluation.leaderboard import Leaderboard
    from tasks.training.run import SftResult
    from tasks.transcription.audio_sets import Transcript

RECORD_NAME = "run.json"
BASELINE_NAME, CROSS_FITTED_NAME = RUN_NAMES
"""The base's rows; every row by a model that never saw it, where the run cross-fitted."""
GENERAL_NAMES = ("general_baseline_hyps.jsonl", "general_hyps.jsonl")
"""General English by the base and by the tuned model, where there is a guardrail."""
JOINED_NAME = "general_joined_hyps.jsonl"
"""What both models write for joined sentences of general English."""
VARIANT_NAMES = ("baseline_variant_hyps.jsonl", "variant_hyps.jsonl")
"""Judged rows under their shifts by base and shipped model, where they were decoded several times;
cross-fitted rows by the base and by their fold's model."""
NONSPEECH_NAME = "nonspeech_hyps.jsonl"
"""What both models find in recordings without speech."""
DECISION_NAME = "decision.json"
_BEGUN = ".run-begun"


class Shipped(Protocol):
    """What a record tells of the model that a cycle ends with."""

    @property
    def model(self) -> Path:
        """The path of the .nemo."""

    @property
    def sha256(self) -> str:
        """The SHA-256 of it."""

    @property
    def tuned_sha256(self) -> str:
        """The SHA-256 of the tuned model as training left it."""

    @property
    def value(self) -> float:
        """How far its weights go from the base (0) to the tuned model (1)."""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """Everything that says which code, data and model made a decision."""

    started: float
    config: Mapping[str, Any]
    gate: Mapping[str, Any]
    preflight: PreflightResult
    data: TrainingSet
    sft: SftResult
    shipped: Shipped
    transcripts: Sequence[Transcript]
    decision: Mapping[str, Any]
    verdicts: int = 1
    variants: Mapping[str, Any] = field(default_factory=dict)
    seconds: Mapping[str, Any] = field(default_factory=dict)
    without_effect: Sequence[Mapping[str, Any]] = ()


def is_complete(cycle: Cycle) -> bool:
    """Return whether the folder holds a finished run's evaluation."""
    return (cycle.path / RECORD_NAME).is_file()


def was_begun(cycle: Cycle) -> bool:
    """Return whether a run has begun to write into the folder and has not finished."""
    return (cycle.path / _BEGUN).exists()


def require_free(cycle: Cycle) -> None:
    """Make sure, before anything is trained, that a run may write its results into the folder.

    Results of an earlier run, finished or not, may be replaced; files that somebody else put
    there may not.

    Raises:
        InputError: it is no folder, cannot be made, or holds results that no run wrote.
    """
    place = cycle.path if cycle.path.exists() else cycle.path.parent
    if not place.is_dir() or not os.access(place, os.W_OK):
        raise InputError(
            f"{cycle.path}: the next cycle's results cannot be written there. "
            f"Fix: make {place} a folder that you may write to."
        )
    if is_complete(cycle) or was_begun(cycle):
        return
    for path in (cycle.offline_hyps, cycle.leaderboard, cycle.path / DECISION_NAME):
        if path.exists():
            raise InputError(
                f"{path}: is there already, and no run of this tool wrote it. "
                "Fix: move it away, so that the results of this run can stand there."
            )


def begin(cycle: Cycle) -> None:
    """Mark the results as being written: the completion mark goes, a mark of the start comes."""
    cycle.path.mkdir(exist_ok=True)
    (cycle.path / _BEGUN).touch()
    (cycle.path / RECORD_NAME).unlink(missing_ok=True)


def read_leaderboard(cycle: Cycle) -> dict[str, Any]:
    """Read the leaderboard of a cycle, as JSON has it.

    Raises:
        InputError: it cannot be read.
    """
    return _read(cycle.found_leaderboard.with_suffix(".json"), Schema.LEADERBOARD, ("sections",))


def write_leaderboard(cycle: Cycle, board: Leaderboard) -> None:
    """Write leaderboard_cycle<N>.md and the same content as JSON."""
    atomic_files.write_text(cycle.leaderboard, leaderboard_as_markdown(board))
    atomic_files.write_json(
        cycle.leaderboard.with_suffix(".json"), Schema.LEADERBOARD.mark(board.as_dict())
    )


def write_decision(
    cycle: Cycle,
    decided: Decision,
    all_rows: TableReading,
    held_out: Mapping[str, KeywordErrorChange],
    everything: Mapping[str, KeywordErrorChange],
    *,
    shipping: Mapping[str, Any] | None = None,
    verdicts: int | None = None,
    boosting: Mapping[str, Any] | None = None,
    kept_runs: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Write decision.json.

    Args:
        cycle: cycle N+1.
        decided: the decision.
        all_rows: the specification's literal reading.
        held_out: the differences on the rows that decide.
        everything: the differences on all rows.
        shipping: what is shipped: its value, why, hashes, the candidates' figures, and the plain
            tuned model's guardrail.
        verdicts: how many verdicts the held-out rows have given, this one included.
        boosting: base and tuned model with and without phrases; left out where nothing was
            boosted.
        kept_runs: earlier kept runs of the cycle; left out where there are none.
    """
    atomic_files.write_json(
        cycle.path / DECISION_NAME,
        Schema.DECISION.mark(
            {
                **decided.as_dict(),
                "verdicts": verdicts,
                "shipping": shipping,
                "strict_table": table_origin().as_dict(),
                **({"kept_runs": [*kept_runs]} if kept_runs else {}),
                **({} if boosting is None else {"boosting": boosting}),
                "all_rows": all_rows.as_dict(),
                "by": {category: delta.as_dict() for category, delta in held_out.items()},
                "by_all_rows": {
                    category: delta.as_dict() for category, delta in everything.items()
                },
            }
        ),
    )


def read_decision(cycle: Cycle) -> dict[str, Any]:
    """Read decision.json.

    Raises:
        InputError: it is not there, or cannot be read.
    """
    return _read(
        cycle.path / DECISION_NAME,
        Schema.DECISION,
        ("decision", "reasons", "route", "basis", "all_rows"),
    )


def trained_file(cycle: Cycle, recorded: Path) -> Path:
    """Return where a file of a model's folder lies: beside the evaluation, else where it was made.

    Cycles that were moved, fetched or preserved have it beside them, and the place where it was
    made may hold another run's by now.

    Args:
        cycle: cycle N+1, which holds the evaluation.
        recorded: the file's path in run.json.
    """
    tuned = cycle.path.parent / f"cycle{cycle.number - 1}"
    beside = tuned / "models" / recorded.parent.name / recorded.name
    return beside if beside.is_file() else recorded


def relative_changes(cycle: Cycle) -> dict[str, float | None]:
    """Return each category's relative change of KER in the run that led to this cycle, if any."""
    if not is_complete(cycle):
        return {}
    by_category = read_decision(cycle).get("by", {})
    return {category: figures.get("relative") for category, figures in by_category.items()}


def other_strict_table(record: Mapping[str, Any], earlier: Mapping[str, Any]) -> str | None:
    """Say that two runs' strict views read different tables.

    None where they read the same, or where a run of a former version does not say which.
    """
    now, before = record.get("strict_table"), earlier.get("strict_table")
    if now is None or before is None or now["sha256"] == before["sha256"]:
        return None
    return (
        "The strict views of the two cycles read different tables "
        f"(before: {before['source']}, {before['sha256'][:8]}; now: {now['source']}, "
        f"{now['sha256'][:8]}): their strict figures are not comparable."
    )


def read(cycle: Cycle) -> dict[str, Any]:
    """Read run.json.

    Raises:
        InputError: the folder holds no finished run, or its record cannot be read.
    """
    path = cycle.path / RECORD_NAME
    if not path.is_file():
        fix = (
            f"name {cycle.next.path}, where the run on {cycle.path.name} left its evaluation"
            if is_complete(cycle.next)
            else "name the folder that a run left its evaluation in, or run `asr-flywheel run` "
            "first"
        )
        raise InputError(f"{cycle.path}: holds no finished run ({RECORD_NAME}). Fix: {fix}.")
    return _read(path, Schema.RUN, ("preflight", "sft", "decision"))


def _read(path: Path, schema: Schema, needed: Sequence[str]) -> dict[str, Any]:
    document = atomic_files.read_json(path)
    if not isinstance(document, dict) or not all(name in document for name in needed):
        raise InputError(f"{path}: is not what a run of this tool writes; it may be damaged.")
    schema.check(document, path)
    return document


def describe(record: RunRecord) -> dict[str, Any]:
    """Return the content of run.json, without the hashes of its files."""
    preflight, split = record.preflight, record.data.split
    return {
        "started": _utc(record.started),
        "finished": _utc(time.time()),
        "config": record.config,
        "without_effect": list(record.without_effect),
        "gate": record.gate,
        "preflight": {
            "rows": len(preflight.rows),
            "audio_seconds": round(sum(r.utterance.duration or 0 for r in preflight.rows), 3),
            "manifest_sha256": hashing.sha256_file(preflight.manifest),
            "warnings": [finding.as_dict() for finding in preflight.warnings],
            **({"set_apart": preflight.set_apart} if preflight.set_apart else {}),
        },
        "split": {
            "train": len(split.train),
            "selection": len(split.selection),
            "validation": len(split.validation),
            "disjoint": str(split.disjoint),
            "warnings": list(split.warnings),
            "content_sha256": record.data.content,
        },
        "sft": {
            "model": str(record.shipped.model),
            "model_sha256": record.shipped.sha256,
            "tuned_sha256": record.shipped.tuned_sha256,
            "value": record.shipped.value,
            "training_run_info": str(record.sft.info),
            "training_run_info_sha256": hashing.sha256_file(record.sft.info),
            "reused": record.sft.reused,
        },
        "transcription": [
            {
                "model": str(transcript.model),
                "rows_decoded": transcript.decoded,
                "audio_seconds": transcript.audio_seconds,
                "seconds": transcript.seconds,
                "rtfx": round(transcript.rtfx, 1),
                "how": transcript.how,
            }
            for transcript in record.transcripts
        ],
        "variants": dict(record.variants),
        "seconds": dict(record.seconds),
        "decision": record.decision,
        "verdicts": record.verdicts,
        "strict_table": table_origin().as_dict(),
        "versions": versions(),
    }


def write(cycle: Cycle, described: Mapping[str, Any], extra_files: Sequence[Path] = ()) -> None:
    """Write run.json, the mark of a finished run.

    Args:
        cycle: cycle N+1.
        described: from ``describe``.
        extra_files: further files that the run made in the cycle's folder; hashes are kept too.
    """
    names = (
        BASELINE_NAME,
        cycle.offline_hyps.name,
        cycle.leaderboard.name,
        cycle.leaderboard.with_suffix(".json").name,
        DECISION_NAME,
        *(path.relative_to(cycle.path).as_posix() for path in extra_files),
    )
    complete(cycle, {**described, "files": dict.fromkeys(names)})


def complete(cycle: Cycle, record: Mapping[str, Any]) -> None:
    """Write run.json as the last file of a run, made here or brought from another host."""
    _write(cycle, record)
    (cycle.path / _BEGUN).unlink(missing_ok=True)


def add_files(cycle: Cycle, files: Sequence[Path]) -> None:
    """Take files that were made after the run into its record, or their new hashes.

    Raises:
        InputError: the folder holds no finished run.
    """
    record = read(cycle)
    names = [path.relative_to(cycle.path).as_posix() for path in files]
    _write(cycle, {**record, "files": {**record.get("files", {}), **dict.fromkeys(names)}})


def _write(cycle: Cycle, record: Mapping[str, Any]) -> None:
    hashes = {
        name: sha256 or hashing.sha256_file(cycle.path / name)
        for name, sha256 in record["files"].items()
    }
    document = Schema.RUN.mark({**record, "files": hashes})
    atomic_files.write_json(cycle.path / RECORD_NAME, document)


def _utc(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
