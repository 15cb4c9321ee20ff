"""Texts of the embedded bases in 32 bits: ours against transcribe(), boosted and not.

A GPU's convolutions round their inputs to ten bits by default (TF32), each algorithm in its own
way. So transcribe() itself is compared with transcribe() in batches of another size; and everything
once more without that rounding. What differs then has another cause.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch

from benchmarks.boosting import phrases
from benchmarks.clips import DEVICE, BenchmarkReport, Clips, timed
from benchmarks.entrypoint_imports import (
    Untyped,
    decoding_pipeline,
    greedy_decoder,
    phrase_boosting,
)
from benchmarks.nemo_boosting import boost_by_nemo
from benchmarks.transcribe_settings import changed, stock
from benchmarks.transcription import synthesise
from tasks.models.catalog import embedded_path

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LISTS = (60, 5000)
STRENGTH = 1.0
_BATCH, _OTHER_BATCH = 16, 6
_FRAMES = 8000
_TINY = 24


def compare_texts(
    report: BenchmarkReport, folder: Path, is_time_left: Callable[[], bool], *, tiny: bool
) -> None:
    """Compare the texts of each embedded base on the demo's recordings."""
    recordings = synthesise(folder)
    count = _TINY if tiny else len(recordings.paths)
    clips = Clips(recordings.paths[:count], recordings.seconds[:count])
    paths = {
        kind: embedded_path().with_name(f"embedded_{kind}.nemo") for kind in ("ctc", "rnnt", "tdt")
    }
    for kind, path in paths.items():
        for rounds in (True, False):
            if is_time_left():
                report.attempt(kind, partial(_compare, report, kind, path, clips, rounds))
    for kind, path in paths.items():
        if is_time_left():
            report.attempt(kind, partial(_compare_boosted, report, kind, path, clips))


def _restore(path: Path, *, rounds: bool) -> Untyped:
    """Restore a model whose convolutions round to ten bits, as is PyTorch's default, or not."""
    model = greedy_decoder.restore(str(path), DEVICE)
    torch.backends.cudnn.allow_tf32 = rounds
    return model


def _compare(
    report: BenchmarkReport,
    kind: str,
    path: Path,
    clips: Clips,
    rounds: bool,  # noqa: FBT001 - of a partial
) -> None:
    """Compare one base's texts by each way."""
    how = "TF32" if rounds else "no TF32"
    model = _restore(path, rounds=rounds)
    theirs = stock(model, clips, _BATCH)
    report.row(
        texts=f"{kind}, {how}, transcribe() in batches of {_OTHER_BATCH}, not {_BATCH}",
        changed=changed(theirs, stock(model, clips, _OTHER_BATCH)),
    )
    for fold in (True, False):
        # transcribe() leaves parts of a model in training mode; a graph would keep that.
        restored = _restore(path, rounds=rounds)
        ours = greedy_decoder.GreedyRecognizer(restored, fold=fold)
        budget = decoding_pipeline.prepare(ours, max(clips.seconds), _FRAMES)
        decode = partial(decoding_pipeline.transcribe, ours, clips.paths, clips.seconds, budget)
        decode()
        made, took = timed(decode)
        report.row(
            texts=f"{kind}, {how}, {'folded' if fold else 'as NeMo runs it'}, against transcribe()",
            changed=changed(theirs, made),
            rows=[
                place
                for place, (one, other) in enumerate(zip(theirs, made, strict=True))
                if one != other
            ],
            rtfx=round(sum(clips.seconds) / took),
            how=ours.describe(),
        )


def _compare_boosted(report: BenchmarkReport, kind: str, path: Path, clips: Clips) -> None:
    """Compare one base's texts with phrases."""
    ours = greedy_decoder.GreedyRecognizer(greedy_decoder.restore(str(path), DEVICE))
    budget = decoding_pipeline.prepare(ours, max(clips.seconds), _FRAMES)
    decode = partial(decoding_pipeline.transcribe, ours, clips.paths, clips.seconds, budget)
    plain = decode()
    for count in LISTS:
        wanted = phrases(count)
        ours.boost(phrase_boosting.Booster(ours.model, wanted), STRENGTH)
        made = decode()
        boosted = greedy_decoder.restore(str(path), DEVICE)
        boost_by_nemo(boosted, wanted, STRENGTH)
        report.row(
            texts=f"{kind}, fp32, {count} phrases, against NeMo's own boosting",
            changed=changed(stock(boosted, clips, _BATCH), made),
            by_boosting=changed(plain, made),
            how=ours.describe(),
        )
        del boosted
    ours.boost(None, 0.0)
