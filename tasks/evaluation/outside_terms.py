"""WER outside the cycle's terms, on its own rows: in-domain harm.

Every word of a reference that belongs to one of the cycle's terms is taken out of the alignment,
with what was put in beside it, since one word is often heard as two. What is left are the errors in
the words around the terms. Tuning on sentences of the same kind lowers them even where the model
loses general English, so that this figure shows harm inside the domain and guards nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rapidfuzz.distance import Levenshtein

from tasks.data.text_normalizer import normalise
from tasks.evaluation import statistics
from tasks.evaluation.block_bootstrap import by_block, rate_interval
from tasks.evaluation.scoring import block_of

if TYPE_CHECKING:
    from tasks.evaluation.false_keywords import TermIndex
    from tasks.evaluation.scoring import Scores
    from tasks.evaluation.statistics import Interval

NAME = "WER outside the terms (in-domain harm)"


@dataclass(frozen=True, slots=True)
class ErrorsOutsideTerms:
    """Word errors outside the terms, pooled over rows.

    Attributes:
        edits: word edits outside the terms.
        words: reference words outside the terms.
        interval: 95 % interval of the rate, by the bootstrap over terms; None with few terms.
    """

    edits: int
    words: int
    interval: Interval | None = None

    @property
    def rate(self) -> float | None:
        """Edits over words; None without words."""
        return self.edits / self.words if self.words else None

    def as_dict(self) -> dict[str, object]:
        """Return the figure for programs."""
        return {
            "words": self.words,
            "edits": self.edits,
            "wer": self.rate,
            "ci": statistics.ends(self.interval),
        }


def count_errors(ref: str, hyp: str, terms: TermIndex) -> tuple[int, int]:
    """Count word edits and reference words outside the terms of one row.

    Args:
        ref: the normalised reference.
        hyp: the normalised hypothesis.
        terms: of the cycle.
    """
    ref_words = ref.split()
    of_term = terms.places_in(ref_words)
    words = len(ref_words) - len(of_term)
    if ref == hyp:
        return 0, words
    edits = 0
    for step in Levenshtein.opcodes(ref_words, hyp.split()):
        if step.tag == "insert":
            if not {step.src_start - 1, step.src_start} & of_term:
                edits += step.dest_end - step.dest_start
        elif step.tag != "equal":
            edits += len(set(range(step.src_start, step.src_end)) - of_term)
    return edits, words


def errors_outside_terms(scores: Scores, terms: TermIndex) -> ErrorsOutsideTerms:
    """Count the word errors outside the terms over scored rows."""
    rows = [row.row for row in scores.rows]
    counts = [count_errors(normalise(row.ref), normalise(row.hyp), terms) for row in rows]
    edits, words = [edits for edits, _ in counts], [words for _, words in counts]
    interval = None
    if rows:
        blocks = (block_of(row.first_term, place) for place, row in enumerate(rows))
        interval = rate_interval(by_block(blocks, edits, words))
    return ErrorsOutsideTerms(sum(edits), sum(words), interval)
