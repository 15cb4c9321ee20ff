"""A decoder's labels become words, each as sure as its least sure label."""

from __future__ import annotations

import pytest

from tasks.entrypoints.spoken_words import join_labels


@pytest.mark.parametrize(
    ("pieces", "confidence", "words"),
    [
        (
            ["▁take", "▁met", "op", "rolol"],
            [0.9, 0.8, 0.3, 0.7],
            [("take", 0.9), ("metoprolol", 0.3)],
        ),
        (["▁now", ".", "▁Then"], [0.9, 0.4, 0.8], [("now.", 0.4), ("Then", 0.8)]),
        (
            ["▁now", "▁", ".", "▁Then"],
            [0.9, 0.9, 0.4, 0.8],
            [("now", 0.9), (".", 0.4), ("Then", 0.8)],
        ),
        (["▁now", "▁."], [0.9, 0.4], [("now.", 0.4)]),
        (["▁", "x", "y", "▁", "z"], [0.1, 0.9, 0.8, 0.2, 0.7], [("xy", 0.8), ("z", 0.7)]),
        (["a", "b", " ", "c"], [0.9, 0.8, 0.1, 0.7], [("ab", 0.8), ("c", 0.7)]),
        (["op", "▁now"], [0.5, 0.6], [("op", 0.5), ("now", 0.6)]),
        ([], [], []),
    ],
)
def test_labels_become_words(
    pieces: list[str], confidence: list[float], words: list[tuple[str, float]]
) -> None:
    """Pieces of words, punctuation with a space before it, letters, and the mark alone."""
    assert join_labels(pieces, confidence) == words
