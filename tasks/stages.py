"""One stage on a cycle's folder: finds what the stage needs, and calls its logic.

The flow and the command line both go through here, so that ``asr-flywheel gate`` and the flow's
gate cannot disagree.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

from tasks import bases, diff, files, hardware, leaderboard, manifest, run_record, sft
from tasks import transcribe as transcription
from tasks.cycle import Cycle, open_cycle
from tasks.decision import Evidence, TableReading, decide, read_table, require_rows
from tasks.errors import InputError
from tasks.evaluation import Baseline, audio_set, hypotheses, read_baseline
from tasks.gate import Evidence as GateEvidence
from tasks.gate import GatePolicy, GateResult, check_gate, pronunciation_gap
from tasks.general import GeneralSet, divide
from tasks.hypotheses import OFFLINE_NAME, Part, write_hypotheses
from tasks.keywords import shouting, vocabulary
from tasks.matching import keys
from tasks.nemo_archive import open_archive
from tasks.preflight import Limits, PreflightResult, preflight
from tasks.runtime import ENTRY, LocalRuntime
from tasks.scoring import score
from tasks.training_set import TrainingSet, held_out_rows, split_checked, write_training_set
from tasks.transcribe import Transcript
from tasks.transcripts import TranscriptStore
from tasks.writing_style import style_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from tasks.guardrail import Guardrail
    from tasks.preflight import CheckedRow
    from tasks.recipes import Method, Recipe
    from tasks.runtime import Runtime
    from tasks.scoring import Scores


def find_baseline(cycle: Cycle, named: Path | None) -> Baseline | None:
    """The evaluation result that was named, else the cycle folder's, else None.

    Raises:
        InputError: it cannot be read.
    """
    path = named or cycle.find_baseline()
    return None if path is None else read_baseline(path.expanduser())


def judge(
    cycle: Cycle, base: str, policy: GatePolicy, baseline: Baseline | None, method: Method
) -> GateResult:
    """The gate on a cycle's folder.

    Raises:
        InputError: a file cannot be read, or the base is neither known nor a file.
    """
    before = cycle.previous
    known_before = before is not None and before.manifest.is_file()
    evidence = GateEvidence(
        utterances=manifest.read_manifest(cycle.manifest) if cycle.manifest.is_file() else None,
        baseline=None if baseline is None else baseline.unseen,
        base=bases.describe(base),
        method=method,
        cycle=cycle.number,
        previous_rows=len(manifest.read_manifest(before.manifest))
        if before is not None and known_before
        else None,
    )
    return check_gate(evidence, policy)


def check(
    cycle: Cycle,
    base: Path,
    recipe: Recipe,
    audio_roots: Sequence[Path] = (),
    *,
    keep_style: bool = False,
) -> PreflightResult:
    """The preflight of a cycle for training on a base.

    Raises:
        InputError: lists every error that was found.
    """
    archive = open_archive(base)
    limits = Limits(
        archive.sample_rate, tuple(audio_roots), recipe.min_duration, recipe.max_duration
    )
    result = preflight(cycle.manifest, limits, style_of(archive), restyle=not keep_style)
    result.raise_errors()
    return result


def general_set(
    general: Path,
    base: Path,
    recipe: Recipe,
    checked: PreflightResult,
    *,
    audio_roots: Sequence[Path] = (),
    replay: int = 0,
    keep_style: bool = False,
) -> GeneralSet:
    """The general English that guards a cycle, and what of it is replayed in training.

    Raises:
        InputError: lists every error of the set's manifest and audio; or it is too small, or
            shares a recording with the cycle.
    """
    archive = open_archive(base)
    manifest_path = general.expanduser().resolve()
    found = preflight(
        manifest_path,
        Limits(archive.sample_rate, tuple(audio_roots), recipe.min_duration, math.inf),
        style_of(archive),
        restyle=not keep_style,
    )
    found.raise_errors()
    return divide(
        manifest_path,
        found.rows,
        checked.rows,
        replay=replay,
        longest=recipe.max_duration,
        trained_before=sft.trained_before(base),
    )


def split(
    cycle: Cycle,
    checked: PreflightResult,
    fraction: float,
    seed: int,
    trained_before: frozenset[str] = frozenset(),
    replay: Sequence[CheckedRow] = (),
) -> TrainingSet:
    """Hold out a share of each category; write train.jsonl and validation.jsonl."""
    parts = split_checked(checked.rows, fraction=fraction, seed=seed, trained_before=trained_before)
    return write_training_set(cycle, checked.rows, parts, replay=replay)


def require_decidable(
    checked: PreflightResult,
    data: TrainingSet,
    priority: Sequence[str],
    baseline: Baseline | None,
    *,
    decides: bool = False,
) -> None:
    """Make sure, before anything is trained, that the decision will have rows to rest on.

    Args:
        checked: the cycle's rows.
        data: its split.
        priority: the categories that the decision looks at.
        baseline: the cycle's evaluation; an imported one will stand on the leaderboard.
        decides: whether the tuned model will be compared with the imported one.

    Raises:
        InputError: a priority category has no held-out row with a term, or the imported
            evaluation lacks it, or has no row of this cycle at all.
    """
    silent = Transcript(data.train, ("",) * len(checked.rows), 0, 0.0, 0.0)
    planned = score(hypotheses(checked.rows, silent, data.split))
    pairing = diff.pair(planned, planned)
    if baseline is not None and baseline.imported:
        hosted = diff.pair(baseline.scores, planned)
        pairing = hosted if decides else pairing
    require_rows(diff.deltas(pairing.held_out), priority, leaderboard.HELD_OUT)


def kept_transcripts(cycle: Cycle, runtime: Runtime) -> TranscriptStore:
    """The hypotheses that were made before of this cycle's recordings, where it decodes now."""
    programs = [files.sha256_file(ENTRY / name) for name in transcription.DECODER]
    decoder = [*programs, runtime.identity]
    return TranscriptStore(cycle.path / ".transcripts", files.fingerprint(decoder))


def evaluation_target(cycle: Cycle, out: Path | None) -> Path:
    """Where an evaluation's hypotheses go: ``out``, or the cycle's own offline_hyps.jsonl.

    Raises:
        InputError: it cannot be written, or is a tuned model's evaluation.
    """
    target = out or cycle.offline_hyps
    files.check_target(target)
    if out is None and run_record.is_complete(cycle):
        raise InputError(
            f"{cycle.path}: holds the evaluation of a tuned model ({run_record.RECORD_NAME}), "
            "which a new baseline would overwrite. Fix: write it elsewhere with --out FILE, "
            "and name it to gate and run with --baseline FILE."
        )
    return target


def check_audio(cycle: Cycle, model: Path, audio_roots: Sequence[Path]) -> PreflightResult:
    """The preflight of a cycle for decoding only.

    Raises:
        InputError: lists every error that was found.
    """
    limits = Limits(open_archive(model).sample_rate, tuple(audio_roots), 0.0, math.inf)
    checked = preflight(cycle.manifest, limits, None)
    checked.raise_errors()
    return checked


def write_evaluation(
    cycle: Cycle, target: Path, model: str, checked: PreflightResult, transcript: Transcript
) -> leaderboard.Leaderboard:
    """Score an evaluation and write its hypotheses; the cycle's own gets its leaderboard too.

    Args:
        cycle: that was decoded.
        target: from ``evaluation_target``.
        model: its name for the leaderboard.
        checked: the cycle's rows.
        transcript: of them.
    """
    rows = hypotheses(checked.rows, transcript)
    board = leaderboard.Leaderboard(cycle.number, leaderboard.baseline_entries(model, score(rows)))
    write_hypotheses(target, rows)
    if target == cycle.offline_hyps:
        run_record.write_leaderboard(cycle, board)
    return board


def transcribe_baseline(
    cycle: Cycle,
    model: str,
    out: Path | None,
    audio_roots: Sequence[Path],
    report: Callable[[str], None],
) -> list[Path]:
    """Decode a cycle by one model.

    Without ``out`` the result becomes the cycle's own evaluation, with its leaderboard.

    Returns:
        The files that were written.
    """
    target = evaluation_target(cycle, out)
    roots = tuple(root.expanduser().resolve() for root in (cycle.path, *audio_roots))
    path = bases.resolve(model)
    runtime = LocalRuntime(hardware.detect())
    runtime.check()
    checked = check_audio(cycle, path, audio_roots)
    (transcript,) = transcription.transcribe(
        (path,), audio_set(checked.rows, roots), runtime, kept_transcripts(cycle, runtime), report
    )
    report(
        f"{transcript.rtfx:.0f} x real time"
        if transcript.decoded
        else "every row was decoded before by the same model"
    )
    write_evaluation(cycle, target, model, checked, transcript)
    return [target] if target != cycle.offline_hyps else [target, cycle.leaderboard]


def judged_rows(pairing: diff.Pairing) -> tuple[diff.Pairing, str]:
    """The rows that decide, and what they are called: held-out ones, where rows are marked."""
    if any(pair.after.row.part is not None for pair in pairing.pairs):
        return pairing.held_out, leaderboard.HELD_OUT
    return pairing, leaderboard.UNTUNED


def evidence(
    pairing: diff.Pairing,
    *,
    guardrail: Guardrail | None = None,
    overfit: str | None = None,
    previous: Mapping[str, float | None] | None = None,
) -> Evidence:
    """What a decision on these rows rests on.

    The held-out rows decide wherever the later evaluation marks its rows. Where it does not, it is
    not known what was trained on, and all rows do.
    """
    judged, basis = judged_rows(pairing)
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


def compare(
    before: Path, after: Path, held_out: Path | None, priority: Sequence[str]
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
    grounds = evidence(pairing)
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
