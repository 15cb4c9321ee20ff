"""Align reference and hypotheses word by word, to show misrecognitions."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

import jiwer

from tasks.data.text_normalizer import normalise

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tasks.evaluation.hypotheses import Hypothesis
    from tasks.evaluation.scoring import Scores, UtteranceScore


def worst(scores: Scores, n: int) -> list[UtteranceScore]:
    """Return the ``n`` worst rows: missed terms first, then by WER, then by file name."""
    return sorted(
        scores.rows, key=lambda row: (not row.term_missed, -row.wer, row.row.audio_filepath)
    )[:n]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of an alignment: a reference word and each hypothesis' word.

    Attributes:
        ref: the word that was said; None where a hypothesis put a word in.
        hyps: each hypothesis' word; None where it has none.
        of_term: whether the reference word belongs to one of the row's terms.
    """

    ref: str | None
    hyps: tuple[str | None, ...]
    of_term: bool = False


def columns(ref: str, hyps: Sequence[str], terms: Iterable[str] = ()) -> list[Column]:
    """Align several hypotheses with their reference word by word (jiwer).

    All texts are normalised, as for scoring. Words that hypotheses put in at the same place share
    columns.
    """
    ref_words = normalise(ref).split()
    aligned_hyps = [_align_words(ref_words, normalise(hyp).split()) for hyp in hyps]
    term_places = {
        place for term in terms for place in _term_places(ref_words, normalise(term).split())
    }
    aligned_columns: list[Column] = []
    for place in range(len(ref_words) + 1):
        insertions = zip_longest(*(inserted[place] for _, inserted in aligned_hyps))
        aligned_columns += [Column(None, words) for words in insertions]
        if place < len(ref_words):
            hyp_words = tuple(words[place] for words, _ in aligned_hyps)
            aligned_columns.append(Column(ref_words[place], hyp_words, place in term_places))
    return aligned_columns


def _align_words(
    ref_words: list[str], hyp_words: list[str]
) -> tuple[list[str | None], list[list[str]]]:
    """Return the hypothesis words of each reference word, and those inserted before each."""
    aligned_words: list[str | None] = [None] * len(ref_words)
    inserted: list[list[str]] = [[] for _ in range(len(ref_words) + 1)]
    if not ref_words:
        inserted[0] = hyp_words
        return aligned_words, inserted
    (chunks,) = jiwer.process_words(" ".join(ref_words), " ".join(hyp_words)).alignments
    for chunk in chunks:
        part = hyp_words[chunk.hyp_start_idx : chunk.hyp_end_idx]
        if chunk.type == "insert":
            inserted[chunk.ref_start_idx] += part
        elif chunk.type != "delete":
            aligned_words[chunk.ref_start_idx : chunk.ref_end_idx] = part
    return aligned_words, inserted


def _term_places(ref_words: list[str], term_words: list[str]) -> set[int]:
    width = len(term_words)
    starts = [
        n
        for n in range(len(ref_words) - width + 1)
        if width and ref_words[n : n + width] == term_words
    ]
    return {start + step for start in starts for step in range(width)}


def align(row: Hypothesis) -> str:
    """Return the normalised reference over its hypothesis, errors marked S, D or I (jiwer).

    A reference without words cannot be aligned; the hypothesis then stands alone.
    """
    ref, hyp = normalise(row.ref), normalise(row.hyp)
    if not ref:
        return f"HYP: {hyp}"
    text = jiwer.visualize_alignment(
        jiwer.process_words(ref, hyp), show_measures=False, skip_correct=False
    )
    return "\n".join(line for line in text.splitlines()[1:] if line.strip())
