"""One stage on a cycle's folder: finds what the stage needs, and calls its logic.

The flow and the command line both go through here, so that ``asr-flywheel gate`` and the flow's
gate cannot disagree.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tasks.common import atomic_files
from tasks.common.errors import InputError
from tasks.data import manifest
from tasks.data.general_english import GeneralSet, divide
from tasks.data.preflight import Limits, PreflightResult, preflight
from tasks.data.training_set import TrainingSet, fold_checked, split_checked, write_training_set
from tasks.decision.gate import Evidence as GateEvidence
from tasks.decision.gate import GatePolicy, GateResult, check_gate
from tasks.decision.verdict import require_rows
from tasks.evaluation import diff, leaderboard
from tasks.evaluation.baseline import Baseline, audio_set, hypotheses, read_baseline
from tasks.evaluation.hypotheses import write_hypotheses
from tasks.evaluation.scoring import score
from tasks.models import catalog
from tasks.models.nemo_archive import open_archive
from tasks.models.text_style import style_of
from tasks.records import run_record
from tasks.runtimes import hardware
from tasks.runtimes.base import ENTRY, LocalRuntime
from tasks.training import sft
from tasks.transcription import offline
from tasks.transcription.hypothesis_cache import TranscriptStore
from tasks.transcription.offline import Transcript

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tasks.data.cycle_folder import Cycle
    from tasks.data.preflight import CheckedRow
    from tasks.runtimes.base import Runtime
    from tasks.training.recipes import Method, Recipe
    from tasks.transcription.offline import AudioSet


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
        base=catalog.describe(base),
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
    *,
    by_term: bool = False,
) -> TrainingSet:
    """Hold out a share of each category; write train.jsonl and validation.jsonl."""
    parts = split_checked(
        checked.rows,
        fraction=fraction,
        seed=seed,
        trained_before=trained_before,
        by_term=by_term,
    )
    return write_training_set(cycle.path, checked.rows, parts, replay=replay)


def folds(
    cycle: Cycle,
    checked: PreflightResult,
    number: int,
    seed: int,
    trained_before: frozenset[str] = frozenset(),
    replay: Sequence[CheckedRow] = (),
) -> list[TrainingSet]:
    """Deal the rows into folds; each has its train.jsonl and validation.jsonl under folds/."""
    parts = fold_checked(checked.rows, number, seed=seed, trained_before=trained_before)
    return [
        write_training_set(
            cycle.path / "folds" / f"{place}of{number}", checked.rows, part, replay=replay
        )
        for place, part in enumerate(parts, start=1)
    ]


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
    programs = [atomic_files.sha256_file(ENTRY / name) for name in offline.DECODER]
    decoder = [*programs, runtime.identity]
    return TranscriptStore(cycle.path / ".transcripts", atomic_files.fingerprint(decoder))


def evaluation_target(cycle: Cycle, out: Path | None) -> Path:
    """Where an evaluation's hypotheses go: ``out``, or the cycle's own offline_hyps.jsonl.

    Raises:
        InputError: it cannot be written, or is a tuned model's evaluation.
    """
    target = out or cycle.offline_hyps
    atomic_files.check_target(target)
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
    share: Callable[[Sequence[Path], AudioSet, TranscriptStore], None] | None = None,
    *,
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
        trust: whether the model may run code of its own.

    Returns:
        The files that were written.
    """
    target = evaluation_target(cycle, out)
    roots = tuple(root.expanduser().resolve() for root in (cycle.path, *audio_roots))
    path = catalog.resolve(model, trust=trust)
    runtime = LocalRuntime(hardware.detect(), trust=trust)
    if share is None:
        runtime.check()
    checked = check_audio(cycle, path, audio_roots)
    audio, kept = audio_set(checked.rows, roots), kept_transcripts(cycle, runtime)
    if share is not None:
        share((path,), audio, kept)
    (transcript,) = offline.transcribe((path,), audio, runtime, kept, report)
    report(
        f"{transcript.rtfx:.0f} x real time"
        if transcript.decoded
        else "every row has been decoded by this model already"
    )
    write_evaluation(cycle, target, model, checked, transcript)
    return [target] if target != cycle.offline_hyps else [target, cycle.leaderboard]
