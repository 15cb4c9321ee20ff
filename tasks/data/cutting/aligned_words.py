"""Where the words of a transcript were heard, how surely, and what was said without a transcript.

The score of a row is that of its worst sixteen labels that follow each other: their mean
probability at the places where the alignment has them. A frame whose sound no word explains counts
as a label of probability 0. So a misheard word lowers a score a little, and a sentence without a
transcript far. A row with a word that was not heard at all scores 0.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.data.cutting.ctc_alignment import BLANK, UNEXPLAINED
from tasks.data.cutting.pauses import pauses_between
from tasks.data.cutting.row_cuts import WordGap

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tasks.data.cutting.ctc_alignment import Floats, Ints, LabelPath
    from tasks.data.cutting.pauses import Pause
    from tasks.data.cutting.row_cuts import CutRow
    from tasks.data.cutting.transcript_words import TranscriptWord

_WORST_LABELS = 16
_UNEXPLAINED_FRAMES = 4
"""So many are speech; fewer may be a breath, or the end of a word."""


@dataclass(frozen=True, slots=True)
class HeardWord:
    """A word that was aligned: its place in the transcript and its span in seconds."""

    place: int
    start: float
    end: float


@dataclass(frozen=True)
class AlignedTranscript:
    """A transcript's words in a recording.

    Attributes:
        words: of the transcript.
        heard: those of them that were heard, in their order.
        passed: places of the words that the path passes over.
        times: of each label that counts and each frame that no word explains, in seconds, sorted.
        probabilities: of the same labels; 0 for what was passed over or is unexplained.
        unexplained: times of the frames that no word explains.
        seconds: of the recording.
    """

    words: tuple[TranscriptWord, ...]
    heard: tuple[HeardWord, ...]
    passed: tuple[int, ...]
    times: Floats
    probabilities: Floats
    unexplained: Floats
    seconds: float
    _quiet: Any = field(default=(), repr=False)

    def score(self, row: CutRow) -> float:
        """Return the worst mean probability of sixteen labels of a row; 0 with a word unheard."""
        if any(row.first <= place < row.last for place in self.passed):
            return 0.0
        start, end = row.start, row.end
        first, last = np.searchsorted(self.times, [start, end])
        inside = self.probabilities[first:last]
        if not len(inside):
            return 0.0
        size = min(_WORST_LABELS, len(inside))
        sums = np.cumsum(np.concatenate(([0.0], inside)))
        return round(float(((sums[size:] - sums[:-size]) / size).min()), 3)

    def bounds(self) -> tuple[float, float]:
        """Return where the first row begins and the last one ends, in seconds."""
        first, last = self.heard[0], self.heard[-1]
        start, end = 0.0, self.seconds
        if not any(word.unspelt for word in self.words[: first.place]):
            before = pauses_between(self._quiet, 0.0, first.start)
            start = WordGap(None, before[-1], 0.0).start_of_row if before else 0.0
        if not any(word.unspelt for word in self.words[last.place + 1 :]):
            behind = pauses_between(self._quiet, last.end, self.seconds)
            end = WordGap(behind[0], None, 0.0).end_of_row if behind else self.seconds
        return start, end

    def gaps(self, kept: Sequence[bool]) -> list[WordGap]:
        """Return what lies between the words.

        Args:
            kept: of each place between two words, whether it must not be cut.
        """
        gaps = [WordGap(None, None, 0.0, is_kept=True)] * (len(self.words) - 1)
        for one, other in pairwise(self.heard):
            # What was not heard stays with the word before it; a speaker's label with the next.
            place = other.place - 1
            while place > one.place and self.words[place].is_tag:
                if not self.words[place].written.endswith(":"):
                    break
                place -= 1
            between = self.words[one.place + 1 : other.place]
            is_unspelt = any(word.unspelt for word in between)
            gaps[place] = self._gap(one, other, is_kept=kept[place], is_unspelt=is_unspelt)
        return gaps

    def _gap(self, one: HeardWord, other: HeardWord, *, is_kept: bool, is_unspelt: bool) -> WordGap:
        pauses = pauses_between(self._quiet, one.end, other.start)
        at = (one.end + other.start) / 2
        first, last = np.searchsorted(self.unexplained, [one.end, other.start])
        is_speech = not is_unspelt and last - first >= _UNEXPLAINED_FRAMES
        if not pauses:
            return WordGap(None, None, at, is_kept)
        if is_speech:
            said = self.unexplained[first:last]
            behind = [pause for pause in pauses if pause.start <= said[0]]
            ahead = [pause for pause in pauses if pause.end >= said[-1]]
            if behind and ahead and behind[0] != ahead[-1]:
                return WordGap(behind[0], ahead[-1], at, is_kept, unexplained=True)
        longest = max(pauses, key=_seconds)
        return WordGap(longest, longest, at, is_kept)

    def stretches(self, gaps: Sequence[WordGap]) -> Iterator[tuple[float, float]]:
        """Yield the spans in seconds in which something is said that the transcript lacks."""
        for gap in gaps:
            if gap.unexplained:
                yield round(gap.end_of_row, 3), round(gap.start_of_row, 3)


def _seconds(pause: Pause) -> float:
    return pause.seconds


def locate_words(
    words: Sequence[TranscriptWord],
    path: LabelPath,
    log_probs: Floats,
    labels: Ints,
    counts: Sequence[int],
    *,
    blank: int,
    stride_s: float,
    quiet: Any,  # noqa: ANN401 - of booleans
) -> AlignedTranscript:
    """Return where the words of a transcript were heard.

    Args:
        words: of the transcript.
        path: the best one, of the same labels.
        log_probs: of each label in each frame.
        labels: of all words.
        counts: of each word.
        blank: the model's blank.
        stride_s: seconds of a frame.
        quiet: which hundredths of a second hold no speech.
    """
    spoken = np.flatnonzero(path.places != BLANK)
    at = path.places[spoken]
    chances = np.exp(log_probs[spoken, labels[at]].astype(np.float32))
    firsts = np.full(len(labels), -1, dtype=np.int64)
    lasts = np.full(len(labels), -1, dtype=np.int64)
    best = np.zeros(len(labels), dtype=np.float32)
    firsts[at[::-1]] = spoken[::-1]
    lasts[at] = spoken
    np.maximum.at(best, at, chances)
    silent = path.places == BLANK
    is_loud = silent & (log_probs[:, blank].astype(np.float32) < -UNEXPLAINED)
    unexplained = (np.flatnonzero(is_loud) * stride_s).astype(np.float32)
    heard: list[HeardWord] = []
    ends = np.cumsum([0, *counts])
    times = firsts.astype(np.float32) * np.float32(stride_s)
    behind = 0.0
    for place, (start, end) in enumerate(pairwise(ends)):
        if start == end:
            continue
        if path.passed[place] or firsts[start] < 0:
            times[start:end] = behind
            continue
        behind = float((lasts[end - 1] + 1) * stride_s)
        heard.append(HeardWord(place, float(firsts[start] * stride_s), behind))
    # A frame that no word explains says nothing where a word stands that cannot be spelt.
    unexplained = unexplained[~_unspelt_at(words, heard, unexplained)]
    all_times = np.concatenate([times, unexplained])
    order = np.argsort(all_times, kind="stable")
    return AlignedTranscript(
        tuple(words),
        tuple(heard),
        tuple(place for place, is_passed in enumerate(path.passed) if is_passed),
        all_times[order],
        np.concatenate([best, np.zeros(len(unexplained), np.float32)])[order],
        unexplained,
        len(log_probs) * stride_s,
        quiet,
    )


def _unspelt_at(words: Sequence[TranscriptWord], heard: Sequence[HeardWord], times: Floats) -> Any:  # noqa: ANN401 - booleans
    """Return of times whether a word that cannot be spelt stands between the words around them."""
    places = [0, *(word.place + 1 for word in heard), len(words) + 1]
    between = [
        any(word.unspelt for word in words[first : last - 1]) for first, last in pairwise(places)
    ]
    starts = [word.start for word in heard]
    return np.array(between, dtype=bool)[np.searchsorted(starts, times, side="right")]
