"""The path of labels is the best there is, found again by enumerating all."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.data.cutting.ctc_alignment import BLANK, LEAST, PASSED_OVER, UNEXPLAINED, align

if TYPE_CHECKING:
    from collections.abc import Iterator

LABELS = 3
"""And a blank, which is the last one."""
Key = tuple[tuple[int, ...], tuple[bool, ...]]
State = tuple[str, int]
STARTS: tuple[State, ...] = (("blank", 0), ("label", 0))


class EveryPath:
    """All paths of a transcript, by the definition and not by dynamic programming."""

    def __init__(self, log_probs: np.ndarray, labels: list[int], counts: list[int]) -> None:
        self.log_probs, self.labels = log_probs, labels
        self.ends = [0, *np.cumsum(counts).tolist()]
        self.words = [(a, b, n) for n, (a, b) in enumerate(pairwise(self.ends)) if b > a]

    def emit(self, frame: int, state: State) -> float:
        """What a state costs in a frame."""
        kind, place = state
        label = self.labels[place] if kind == "label" else LABELS
        score = max(float(self.log_probs[frame, label]), LEAST)
        is_between = kind == "blank" and place in self.ends
        return max(score, -UNEXPLAINED) if is_between else score

    def followers(self, state: State) -> Iterator[tuple[State, float, int | None]]:
        """The states behind one, what the way costs, and the word that it passes over."""
        kind, place = state
        yield state, 0.0, None
        if kind == "label":
            yield ("blank", place + 1), 0.0, None
            if place + 1 < len(self.labels) and self.labels[place + 1] != self.labels[place]:
                yield ("label", place + 1), 0.0, None
            return
        if place < len(self.labels):
            yield ("label", place), 0.0, None
        for start, end, word in self.words:
            if start == place:
                yield ("blank", end), PASSED_OVER * (end - start), word

    def scores(self) -> dict[Key, float]:
        """The best score of each path that ends with the transcript."""
        ends = {("label", len(self.labels) - 1), ("blank", len(self.labels))}
        found: dict[Key, float] = {}
        waiting: list[tuple[State, tuple[State, ...], frozenset[int], float]] = [
            (first, (first,), frozenset(), 0.0) for first in STARTS
        ]
        while waiting:
            state, path, passed, score = waiting.pop()
            score += self.emit(len(path) - 1, state)
            if len(path) < len(self.log_probs):
                waiting += [
                    (
                        after,
                        (*path, after),
                        passed | ({word} if word is not None else set()),
                        score - cost,
                    )
                    for after, cost, word in self.followers(state)
                ]
            elif state in ends:
                places = tuple(place if kind == "label" else BLANK for kind, place in path)
                key = (places, tuple(n in passed for n in range(len(self.ends) - 1)))
                found[key] = max(score, found.get(key, -np.inf))
        return found


@settings(max_examples=40)
@given(
    st.lists(st.lists(st.integers(0, LABELS - 1), max_size=2), min_size=1, max_size=3),
    st.integers(4, 6),
    st.integers(0, 10_000),
)
def test_no_path_is_better(words: list[list[int]], frames: int, seed: int) -> None:
    """Of all paths of a small transcript, the one that is returned has the highest score."""
    labels = [label for word in words for label in word]
    counts = [len(word) for word in words]
    rng = np.random.default_rng(seed)
    log_probs = rng.uniform(-12, 0, (frames, LABELS + 1)).astype(np.float32)
    found = align(log_probs, np.array(labels, dtype=np.int32), counts, LABELS)
    if not labels:
        assert set(found.places.tolist()) == {BLANK}
        return
    scores = EveryPath(log_probs, labels, counts).scores()
    key = (tuple(found.places.tolist()), found.passed)
    assert np.isclose(scores[key], max(scores.values()), atol=1e-3)


def heard(text: str) -> np.ndarray:
    """Log-probabilities of a model that hears this: a letter a frame, and blanks for dots."""
    log_probs = np.full((len(text), 27), -9.0, dtype=np.float16)
    for frame, char in enumerate(text):
        log_probs[frame, 26 if char == "." else ord(char) - ord("a")] = -0.01
    return log_probs


def align_words(sound: str, words: list[str]) -> tuple[list[str], tuple[bool, ...]]:
    """The sound under each word, and which words were passed over."""
    letters = np.array([ord(char) - ord("a") for char in "".join(words)], dtype=np.int32)
    path = align(heard(sound), letters, [len(word) for word in words], 26)
    under, at = [], 0
    for word in words:
        frames = np.flatnonzero((path.places >= at) & (path.places < at + len(word)))
        under.append("".join(sound[frame] for frame in frames))
        at += len(word)
    return under, path.passed


def test_a_word_that_nobody_says_does_not_move_its_neighbours() -> None:
    """It is passed over, wherever it stands; the others keep their frames."""
    said = "...the..patient...is..stable.."
    words = ["plan", "the", "patient", "feels", "is", "stable", "end"]
    under, passed = align_words(said, words)
    assert passed == (True, False, False, True, False, False, True)
    assert [word for word, missing in zip(under, passed, strict=True) if not missing] == [
        *("the", "patient", "is", "stable")
    ]


def test_speech_without_a_transcript_does_not_move_its_neighbours() -> None:
    """What is said between two words is no word's."""
    under, passed = align_words("..the..nobodywrotethisdown..patient", ["the", "patient"])
    assert under == ["the", "patient"]
    assert not any(passed)


def test_a_misheard_word_stays_where_it_is_said() -> None:
    """Half of its letters are others, and it is not passed over."""
    under, passed = align_words(".give..metopralal..now.", ["give", "metoprolol", "now"])
    assert under[0] == "give"
    assert under[2] == "now"
    assert not any(passed)
    assert set(under[1]) <= set("metopralal")
    assert len(under[1]) == 10


def test_a_recording_of_many_frames_takes_little_memory() -> None:
    """Pointers are kept for a block of frames: not even a byte for each state and frame."""
    sound = ("abc" + "." * 17) * 60
    under, passed = align_words(sound, ["abc"] * 60)
    assert under == ["abc"] * 60
    assert not any(passed)
