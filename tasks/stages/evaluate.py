"""Decode a cycle by one model, and write its evaluation."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from tasks.common import atomic_files, hashing
from tasks.common.errors import InputError
from tasks.data.audio_checks import AudioLimits
from tasks.data.early_checks import check_before_base
from tasks.data.preflight import PreflightResult, preflight
from tasks.data.row_reviews import describe_set_apart, read_reviews, set_apart
from tasks.evaluation import leaderboard
from tasks.evaluation.hypotheses import write_hypotheses
from tasks.evaluation.scoring import score
from tasks.models import catalog
from tasks.models.nemo_archive import open_archive
from tasks.records import run_record
from tasks.runtimes import hardware
from tasks.runtimes.base import ENTRY, Runtime
from tasks.runtimes.local import LocalRuntime
from tasks.training import tuned_models
from tasks.training.seen_sound import roles_for_rows
from tasks.transcription import offline
from tasks.transcription.hypothesis_cache import TranscriptStore
from tasks.transcription.rows import audio_set, hypotheses

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tasks.data.cycle_folder import Cycle
    from tasks.transcription.audio_sets import AudioSet, Transcript


def open_hypothesis_cache(cycle: Cycle, runtime: Runtime) -> TranscriptStore:
    """Open the store of hypotheses of this cycle's recordings, where the runtime decodes."""
    programs = [hashing.sha256_file(ENTRY / name) for name in offline.DECODER]
    decoder = [*programs, runtime.identity]
    return TranscriptStore(cycle.path / ".transcripts", hashing.fingerprint(decoder))


def evaluation_target(cycle: Cycle, out: Path | None) -> Path:
    """Return the path for an evaluation's hypotheses: ``out``, or the cycle's offline_hyps.jsonl.

    Where a run on the cycle before has left its evaluation, or is leaving it, that stays, and the
    path is own_baseline.jsonl.

    Raises:
        InputError: it or the cycle's folder cannot be written, or the folder has an evaluation and
            no rows to score.
    """
    holds_evaluation = run_record.is_complete(cycle) or run_record.was_begun(cycle)
    if holds_evaluation and not cycle.manifest.exists():
        raise InputError(
            f"{cycle.path}: holds the evaluation of the model that cycle {cycle.number - 1} tuned, "
            f"and no manifest. Fix: name cycle {cycle.number - 1} to score its rows; "
            f"{cycle.path.name} gets rows of its own with `asr-flywheel combine` or `import` "
            "(docs/next-month.md)."
        )
    # Beside the result, the folder keeps what was decoded.
    atomic_files.require_writable(cycle.path, "name a copy of it in a folder of yours")
    target = out or (cycle.own_baseline if holds_evaluation else cycle.offline_hyps)
    atomic_files.check_target(target)
    return target


def check_audio(cycle: Cycle, model: Path, audio_roots: Sequence[Path]) -> PreflightResult:
    """Run the preflight of a cycle for decoding only.

    Raises:
        InputError: lists every error that was found.
    """
    limits = AudioLimits(open_archive(model).sample_rate, tuple(audio_roots), 0.0, math.inf)
    checked = preflight(cycle.manifest, limits, None)
    checked.raise_errors()
    return set_apart(checked, read_reviews(cycle))


def write_evaluation(
    cycle: Cycle,
    target: Path,
    model: str,
    file: Path,
    checked: PreflightResult,
    transcript: Transcript,
) -> leaderboard.Leaderboard:
    """Score an evaluation and write its hypotheses; the cycle's own gets its leaderboard too.

    Rows that a tuned model was trained on, or chosen by, are marked so.

    Args:
        cycle: that was decoded.
        target: from ``evaluation_target``.
        model: its name for the leaderboard.
        file: the model.
        checked: the cycle's rows.
        transcript: of them.
    """
    clinic = cycle.path.parent
    roles = roles_for_rows(tuned_models.roles_of(file, clinic), checked.rows, clinic)
    sha256 = hashing.sha256(file)
    rows = [
        replace(row, model_sha256=sha256)
        for row in hypotheses(checked.rows, transcript, roles=roles)
    ]
    name_entries = leaderboard.partition_entries if roles.seen else leaderboard.baseline_entries
    entries = name_entries(model, score(rows))
    note = describe_set_apart(checked.set_apart)
    board = leaderboard.Leaderboard(cycle.number, entries, () if note is None else (note,))
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
    share: Callable[[Sequence[Path], AudioSet, TranscriptStore], None] | None = None,
    *,
    runtime: Runtime | None = None,
    trust: bool = False,
) -> list[Path]:
    """Decode a cycle by one model.

    Without ``out`` the result becomes the cycle's own evaluation, with its leaderboard.

    Args:
        cycle: the cycle.
        model: a .nemo file or a known name.
        out: where the hypotheses go instead.
        audio_roots: more folders under which audio may lie.
        report: is called with lines for a person.
        share: has others decode what is missing, and returns when it is kept; without it
            everything is decoded here.
        runtime: where to decode; by default this environment.
        trust: whether the model may run code of its own.

    Returns:
        The files that were written.
    """
    target = evaluation_target(cycle, out)
    roots = tuple(root.expanduser().resolve() for root in (cycle.path, *audio_roots))
    check_before_base(model, [cycle.manifest], audio_roots)
    path = catalog.resolve(model, trust=trust)
    runtime = runtime or LocalRuntime(hardware.detect(), trust=trust)
    checked = check_audio(cycle, path, audio_roots)
    if share is None:
        runtime.check(report)
    audio, store = audio_set(checked.rows, roots), open_hypothesis_cache(cycle, runtime)
    if share is not None:
        share((path,), audio, store)
    (transcript,) = offline.transcribe((path,), audio, runtime, store, report)
    report(
        f"{transcript.rtfx:.0f} x real time"
        if transcript.decoded
        else "every row has been decoded by this model already"
    )
    write_evaluation(cycle, target, model, path, checked, transcript)
    return [target] if target != cycle.offline_hyps else [target, cycle.leaderboard]
