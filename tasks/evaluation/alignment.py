"""Reference and hypothesis word under word, so that a person sees what was heard instead."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

import jiwer

from tasks.data.text_normalizer import normalise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasks.evaluation.hypotheses import Hypothesis
    from tasks.evaluation.scoring import Scores, UtteranceScore


def worst(scores: Scores, n: int) -> list[UtteranceScore]:
    """The ``n`` worst rows: missed terms first, then by WER, then by file name."""
    return sorted(
        scores.rows, key=lambda row: (not row.term_missed, -row.wer, row.row.audio_filepath)
    )[:n]


@dataclass(frozen=True, slots=True)
class Column:
    """One place of an alignment: a reference word, and what each hypothesis has there.

    Attributes:
        ref: the word that was said; None where a hypothesis put a word in.
        hyps: each hypothesis' word; None where it has none.
        of_term: whether the reference word belongs to the row's term.
    """

    ref: str | None
    hyps: tuple[str | None, ...]
    of_term: bool = False


def columns(ref: str, hyps: Sequence[str], term: str | None = None) -> list[Column]:
    """Several hypotheses of one reference, aligned with it word by word (jiwer).

    All texts are normalised, as for scoring. Words that hypotheses put in at the same place share
    columns.
    """
    said = normalise(ref).split()
    placed = [_placed(said, normalise(hyp).split()) for hyp in hyps]
    marked = _term_places(said, normalise(term or "").split())
    found: list[Column] = []
    for place in range(len(said) + 1):
        put_in = zip_longest(*(inserted[place] for _, inserted in placed))
        found += [Column(None, words) for words in put_in]
        if place < len(said):
            heard = tuple(words[place] for words, _ in placed)
            found.append(Column(said[place], heard, place in marked))
    return found


def _placed(said: list[str], heard: list[str]) -> tuple[list[str | None], list[list[str]]]:
    """What was heard for each word, and what was put in before each of them and at the end."""
    words: list[str | None] = [None] * len(said)
    inserted: list[list[str]] = [[] for _ in range(len(said) + 1)]
    if not said:
        inserted[0] = heard
        return words, inserted
    (chunks,) = jiwer.process_words(" ".join(said), " ".join(heard)).alignments
    for chunk in chunks:
        part = heard[chunk.hyp_start_idx : chunk.hyp_end_idx]
        if chunk.type == "insert":
            inserted[chunk.ref_start_idx] += part
        elif chunk.type != "delete":
            words[chunk.ref_start_idx : chunk.ref_end_idx] = part
    return words, inserted


def _term_places(said: list[str], term: list[str]) -> set[int]:
    width = len(term)
    starts = [n for n in range(len(said) - width + 1) if width and said[n : n + width] == term]
    return {start + step for start in starts for step in range(width)}


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
