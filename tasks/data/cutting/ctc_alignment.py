"""Align a transcript to what a CTC model heard: one Viterbi pass over a whole recording.

The states are those of CTC (Graves et al. 2006): a blank before, between and behind the labels. Two
more ways lead through them, so that a transcript and a recording that differ do not distort what
stands beside the difference. Between two words, sound that no word explains costs at most
``UNEXPLAINED`` a frame; and a word may be passed over for ``PASSED_OVER`` a label.

torchaudio's ``forced_align`` knows neither, keeps a pointer of each state and frame, which are
gigabytes for an hour, and has no wheel for the torch that this project pins. Here the scores of
some frames are kept, and pointers are computed anew between them: memory grows with the square
root of the frames, and the result is exact.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.common.counted import agreed, counted

if TYPE_CHECKING:
    from collections.abc import Sequence

Floats = np.ndarray[Any, np.dtype[np.float32]]
Ints = np.ndarray[Any, np.dtype[np.int32]]
Bytes = np.ndarray[Any, np.dtype[np.uint8]]

LEAST = -10.0
"""The least log-probability of a label in a frame: one that was misheard is heard nearby."""
UNEXPLAINED = 3.0
"""What a frame costs at most whose sound no word explains."""
PASSED_OVER = 6.0
"""What a label of a word costs that the path passes over."""
_UNREACHED = np.float32(-1e30)
_STAY, _STEP, _JUMP = 0, 1, 2
_NONE: Bytes = np.zeros(0, dtype=np.uint8)
BLANK = -1
"""The label's place in a frame that has none."""


@dataclass(frozen=True, slots=True)
class LabelPath:
    """The best path of labels through a recording.

    Attributes:
        places: of each frame, which label of the transcript is heard there; -1 for none.
        passed: of each word, whether the path passes it over.
    """

    places: Ints
    passed: tuple[bool, ...]


class _Trellis:
    """The states of a transcript, and one step from a frame to the next."""

    def __init__(self, labels: Ints, counts: Sequence[int], blank: int) -> None:
        self._blank = blank
        self._labels = labels
        count = len(labels)
        # Between two equal labels there is a blank.
        joins = labels[1:] != labels[:-1]
        self._joining = np.where(joins, np.float32(0), _UNREACHED).astype(np.float32)
        ends = np.cumsum([0, *counts])
        self._between = np.zeros(count + 1, dtype=np.float32)
        self._between[ends] = 1.0
        spelt = [place for place, size in enumerate(counts) if size]
        self.words = np.array(spelt, dtype=np.int32)
        self._word_starts = ends[self.words].astype(np.int32)
        self._word_ends = ends[self.words + 1].astype(np.int32) if spelt else self._word_starts
        sizes = (self._word_ends - self._word_starts).astype(np.float32)
        self._passing = -np.float32(PASSED_OVER) * sizes
        self.word_of_end = np.full(count + 1, -1, dtype=np.int32)
        self.word_of_end[self._word_ends] = np.arange(len(spelt), dtype=np.int32)
        self.start_of_word = self._word_starts

    def begin(self, frame: Floats) -> tuple[Floats, Floats]:
        """Return the scores of blanks and labels in the first frame."""
        count = len(self._labels)
        blanks = np.full(count + 1, _UNREACHED, dtype=np.float32)
        scores = np.full(count, _UNREACHED, dtype=np.float32)
        blanks[0] = max(frame[self._blank], np.float32(-UNEXPLAINED))
        scores[0] = frame[self._labels[0]]
        return blanks, scores

    def step(
        self, blanks: Floats, scores: Floats, frame: Floats, *, pointers: bool = False
    ) -> tuple[Floats, Floats, Bytes, Bytes]:
        """Return the next frame's scores of blanks and labels, and where each came from.

        Args:
            blanks: scores in the frame before.
            scores: of the labels, likewise.
            frame: log-probabilities of all labels of the model, at least ``LEAST``.
            pointers: whether to tell where each came from; else both are empty.
        """
        arrived = np.empty_like(blanks)
        arrived[0] = blanks[0]
        np.maximum(blanks[1:], scores, out=arrived[1:])
        passing = blanks.take(self._word_starts)
        passing += self._passing
        at_ends = arrived.take(self._word_ends)
        reached = np.maximum(scores, blanks[:-1])
        before = scores[:-1] + self._joining
        from_blanks = from_labels = _NONE
        if pointers:
            from_blanks = np.zeros(len(blanks), dtype=np.uint8)
            from_blanks[1:] = scores > blanks[1:]
            from_blanks[self._word_ends[passing > at_ends]] = _JUMP
            from_labels = (blanks[:-1] > scores).astype(np.uint8)
            from_labels[1:][before > reached[1:]] = _JUMP
        arrived[self._word_ends] = np.maximum(passing, at_ends)
        arrived += frame[self._blank]
        if (gain := -UNEXPLAINED - frame[self._blank]) > 0:
            arrived += gain * self._between
        np.maximum(reached[1:], before, out=reached[1:])
        reached += frame.take(self._labels)
        return arrived, reached, from_blanks, from_labels

    def pointers(
        self, start: tuple[Floats, Floats], log_probs: Floats
    ) -> list[tuple[Bytes, Bytes]]:
        """Return where blanks and labels came from in some frames behind known scores."""
        blanks, scores = start
        came = []
        for frame in _limited(log_probs):
            blanks, scores, *pointers = self.step(blanks, scores, frame, pointers=True)
            came.append((pointers[0], pointers[1]))
        return came


@dataclass(slots=True)
class _State:
    """A state of the path: a label, or the blank before the label of the same place."""

    place: int
    is_label: bool

    def go_back(self, from_blanks: Bytes, from_labels: Bytes, trellis: _Trellis) -> int | None:
        """Go to the state of the frame before; return a word that was passed over on the way."""
        came = int((from_labels if self.is_label else from_blanks)[self.place])
        if self.is_label:
            self.is_label = came != _STEP
            self.place -= came == _JUMP
            return None
        if came == _STEP:
            self.is_label, self.place = True, self.place - 1
        if came != _JUMP:
            return None
        word = int(trellis.word_of_end[self.place])
        self.place = int(trellis.start_of_word[word])
        return int(trellis.words[word])


def align(log_probs: Floats, labels: Ints, counts: Sequence[int], blank: int) -> LabelPath:
    """Return the best path of a transcript through a recording.

    Args:
        log_probs: of each label in each frame, (frames, labels), of any float type.
        labels: of the transcript, word after word.
        counts: labels of each word; a word that the model cannot spell has none.
        blank: the model's blank.

    Raises:
        ValueError: there are more words than frames.
    """
    frames = len(log_probs)
    passed = np.zeros(len(counts), dtype=bool)
    places = np.full(frames, BLANK, dtype=np.int32)
    if not len(labels):
        return LabelPath(places, tuple(passed.tolist()))
    trellis = _Trellis(labels, counts, blank)
    if len(trellis.words) >= frames:
        raise ValueError(
            f"{counted(len(trellis.words), 'word')} {agreed(len(trellis.words), 'does', 'do')} "
            f"not fit into {frames} frames"
        )
    block = max(1, math.isqrt(frames))
    kept: list[tuple[Floats, Floats]] = []
    blanks, scores = trellis.begin(_limited(log_probs[:1])[0])
    for first in range(1, frames, block):
        kept.append((blanks, scores))
        for frame in _limited(log_probs[first : first + block]):
            blanks, scores, *_ = trellis.step(blanks, scores, frame)
    is_label = bool(scores[-1] > blanks[-1])
    state = _State(len(labels) - 1 if is_label else len(labels), is_label=is_label)
    for number in range(len(kept) - 1, -1, -1):
        first = number * block + 1
        pointers = trellis.pointers(kept[number], log_probs[first : first + block])
        for place in range(len(pointers) - 1, -1, -1):
            places[first + place] = state.place if state.is_label else BLANK
            word = state.go_back(*pointers[place], trellis)
            if word is not None:
                passed[word] = True
    places[0] = state.place if state.is_label else BLANK
    return LabelPath(places, tuple(passed.tolist()))


def _limited(log_probs: Floats) -> Floats:
    limited: Floats = np.maximum(log_probs.astype(np.float32), np.float32(LEAST))
    return limited
