"""Two evaluations, compared row by row and judged, for ``asr-flywheel diff`` and for the flow."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from tasks.common.errors import InputError
from tasks.data.cycle_folder import open_cycle
from tasks.data.training_set import held_out_rows
from tasks.decision.gate import GatePolicy, pronunciation_gap
from tasks.decision.guardrail import Guardrail, GuardrailPolicy, check_guardrail
from tasks.decision.verdict import Evidence, TableReading, decide, read_table, require_rows
from tasks.evaluation import diff, leaderboard
from tasks.evaluation.baseline import Baseline, read_baseline
from tasks.evaluation.false_keywords import shouting, vocabulary
from tasks.evaluation.hypotheses import OFFLINE_NAME, Part, read_hypotheses
from tasks.evaluation.row_matching import keys
from tasks.evaluation.scoring import score
from tasks.records import run_record
from tasks.stages.prepare import find_baseline

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tasks.evaluation.scoring import Scores


def judged_rows(pairing: diff.Pairing) -> tuple[diff.Pairing, str]:
    """The rows that decide, and what they are called: held-out ones, where rows are marked."""
    if any(pair.after.row.part is not None for pair in pairing.pairs):
        return pairing.held_out, leaderboard.HELD_OUT
    return pairing, leaderboard.UNTUNED


def evidence(
    pairing: diff.Pairing,
    *,
    cross_fitted: diff.Pairing | None = None,
    guardrail: Guardrail | None = None,
    overfit: str | None = None,
    previous: Mapping[str, float | None] | None = None,
) -> Evidence:
    """What a decision on these rows rests on.

    The held-out rows decide wherever the later evaluation marks its rows. Where it does not, it is
    not known what was trained on, and all rows do. Cross-fitted rows go before either: each was
    scored by a model that had not seen it.
    """
    judged, basis = judged_rows(pairing)
    if cross_fitted is not None:
        judged, basis = cross_fitted, leaderboard.CROSS_FITTED
    gap = pronunciation_gap(judged.after, GatePolicy())
    found = shouting(judged, vocabulary(pair.after.row.term for pair in pairing.pairs))
    return Evidence(
        judged=diff.deltas(judged),
        basis=basis,
        trained=diff.deltas(pairing.trained),
        unshouted=found.unshouted,
        shouting=found.rows,
        guardrail=guardrail,
        pronunciation_gap=None if gap is None else gap.advice,
        overfit=overfit,
        previous=previous or {},
    )


def read_all_rows(pairing: diff.Pairing, priority: Sequence[str]) -> TableReading:
    """The specification's table over all rows, trained ones too, as its own headline has it."""
    _, basis = judged_rows(pairing)
    basis = leaderboard.ALL if basis == leaderboard.HELD_OUT else basis
    found = diff.deltas(pairing)
    require_rows(found, priority, basis)
    return read_table(found, priority, basis)


def guardrail_of(
    after: Path, general: tuple[Path, Path] | None, policy: GuardrailPolicy
) -> Guardrail | None:
    """The guardrail of a comparison: two files that were named, or those in the later cycle.

    Raises:
        InputError: a file cannot be read, or the two have no sentence in common.
    """
    named = general or tuple(after / name for name in run_record.GENERAL_NAMES)
    if general is None and not all(path.is_file() for path in named):
        return None
    base, tuned = (score(read_hypotheses(path)) for path in named)
    pairing = diff.pair(base, tuned)
    return check_guardrail(pairing.before, pairing.after, policy)


def compare(
    before: Path,
    after: Path,
    held_out: Path | None,
    priority: Sequence[str],
    *,
    general: tuple[Path, Path] | None = None,
    limit: GuardrailPolicy | None = None,
) -> dict[str, Any]:
    """Compare two evaluations row by row and decide; what ``asr-flywheel diff --json`` prints.

    The held-out rows are those that a manifest names, else those that the later evaluation marks,
    else it is not known, and the answer says that all rows were counted.

    Raises:
        InputError: a file cannot be read, or there is nothing to compare.
    """
    GatePolicy(priority=tuple(priority))  # names a misspelt category
    earlier, later = _evaluation(before), _evaluation(after)
    scores = later.scores if held_out is None else _mark(later.scores, held_out)
    pairing = diff.pair(earlier.scores, scores)
    grounds = evidence(pairing, guardrail=guardrail_of(after, general, limit or GuardrailPolicy()))
    decided = decide(grounds, priority)
    notes = [f"{one.path.name}: {one.label}." for one in (earlier, later) if one.imported]
    if pairing.only_before or pairing.only_after:
        notes.append(
            f"{pairing.only_before} rows are only in the earlier evaluation and "
            f"{pairing.only_after} only in the later one; they are not compared."
        )
    if grounds.basis == leaderboard.UNTUNED:
        notes.append(
            "It is not known which rows were trained on: name the others with --held-out MANIFEST."
        )
    return {
        **decided.as_dict(),
        "all_rows": read_all_rows(pairing, priority).as_dict(),
        "notes": notes,
        "rows": len(judged_rows(pairing)[0].pairs),
        "only_in_a": pairing.only_before,
        "only_in_b": pairing.only_after,
        **_differences(grounds.judged),
    }


def _differences(found: Mapping[str, diff.Delta]) -> dict[str, object]:
    """The differences by category, and of all categories together."""
    told = {category: delta.as_dict() for category, delta in found.items()}
    return {"overall": told.pop(diff.ALL_CATEGORIES), "by": told}


def _evaluation(path: Path) -> Baseline:
    """A file, or a cycle's evaluation: rather this tool's own, so that both have one decoder."""
    if not path.is_dir():
        return read_baseline(path)
    cycle = open_cycle(path)
    own = cycle.path / OFFLINE_NAME
    baseline = read_baseline(own) if own.is_file() else find_baseline(cycle, None)
    if baseline is None:
        raise InputError(
            f"{cycle.path}: there is no evaluation result in this cycle. Fix: run "
            "`asr-flywheel transcribe`, or put per_sample.json there."
        )
    return baseline


def _mark(scores: Scores, held_out: Path) -> Scores:
    """Mark the rows that a file of held-out rows names; the others were trained on.

    Where the file gives no texts, a row is known by its audio alone.
    """
    rows = [row.row for row in scores.rows]
    named = held_out_rows(held_out)
    by_text = all(text is not None for _, text in named)
    wanted, found = keys(
        [(audio, text or "") for audio, text in named],
        [(row.audio_filepath, row.ref if by_text else "") for row in rows],
    )
    chosen = set(wanted)
    marked = [
        dataclasses.replace(row, part=Part.HELD_OUT if key in chosen else Part.TRAINED)
        for row, key in zip(rows, found, strict=True)
    ]
    if not any(row.part is Part.HELD_OUT for row in marked):
        raise InputError(
            f"{held_out}: none of its rows is in the evaluation (audio file and text). "
            "Fix: name the validation.jsonl of the same cycle."
        )
    return score(marked)
