"""Reference and hypothesis word under word, so that a person sees what was heard instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jiwer

from tasks.normalise import normalise

if TYPE_CHECKING:
    from tasks.hypotheses import Hypothesis
    from tasks.scoring import RowScore, Scores


def worst(scores: Scores, n: int) -> list[RowScore]:
    """The ``n`` worst rows: missed terms first, then by WER, then by file name."""
    return sorted(
        scores.rows, key=lambda row: (not row.term_missed, -row.wer, row.row.audio_filepath)
    )[:n]


def align(row: Hypothesis) -> str:
    """The row's normalised reference over its hypothesis, errors marked S, D or I (jiwer).

    A reference without words cannot be aligned; the hypothesis then stands alone.
    """
    ref, hyp = normalise(row.ref), normalise(row.hyp)
    if not ref:
        return f"HYP: {hyp}"
    text = jiwer.visualize_alignment(
        jiwer.process_words(ref, hyp), show_measures=False, skip_correct=False
    )
    return "\n".join(line for line in text.splitlines()[1:] if line.strip())
