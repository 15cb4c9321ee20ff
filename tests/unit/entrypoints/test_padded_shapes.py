"""The shapes that batches are padded to: few, and little padding."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.entrypoints.padded_shapes import MOST_SHAPES, PaddedShapes, choose_shapes

FRAME_S = 0.08


def test_rows_of_one_length_need_one_shape() -> None:
    """A multiple of eight that holds the frame more which a front end may add."""
    assert choose_shapes([15.0] * 200, 16, FRAME_S) == PaddedShapes(16, (192,), 0.0213)
    assert choose_shapes([15.36] * 200, 16, FRAME_S).frames == (200,)


def test_a_batch_of_many_rows_is_nearly_always_long() -> None:
    """Fewer shapes are enough for it than for a batch of few."""
    rng = random.Random(1)  # noqa: S311 - lengths
    seconds = [rng.uniform(1, 20) for _ in range(2000)]
    many, few = (choose_shapes(seconds, rows, FRAME_S) for rows in (16, 4))
    assert len(many.frames) < len(few.frames) <= MOST_SHAPES
    assert many.frames[-1] == few.frames[-1] == 256
    assert many.padding < few.padding < 0.1


def test_batches_by_length_have_shapes_of_their_own() -> None:
    """They come in all lengths, so that four shapes pad them more."""
    seconds = [1 + 19 * place / 2000 for place in range(2000)]
    sorted_ones = choose_shapes(seconds, 16, FRAME_S, by_length=True)
    assert len(sorted_ones.frames) == MOST_SHAPES
    assert sorted_ones.padding > choose_shapes(seconds, 16, FRAME_S).padding


@given(
    seconds=st.lists(st.floats(0.1, 20.0), min_size=1, max_size=12),
    rows=st.integers(1, 4),
    most=st.integers(1, 3),
)
def test_every_batch_fits_into_a_shape(seconds: list[float], rows: int, most: int) -> None:
    """However its rows are drawn, a smaller last one too; at most so many shapes."""
    shapes = choose_shapes(seconds, rows, FRAME_S, most=most)
    assert len(shapes.frames) <= most
    assert list(shapes.frames) == sorted(set(shapes.frames))
    for length in seconds:
        frames = int(-(-length // FRAME_S)) + 1
        bound = shapes.fitting(rows, frames)
        assert bound is not None
        assert bound >= frames
        assert bound % 8 == 0


def test_no_other_bounds_add_fewer_frames() -> None:
    """Tried out for all sets of bounds, on batches of one row."""
    rng = random.Random(2)  # noqa: S311 - lengths
    for _ in range(20):
        seconds = [rng.choice(range(8, 80, 8)) * FRAME_S - 0.1 for _ in range(10)]
        frames = [-(-(int(-(-length // FRAME_S)) + 1) // 8) * 8 for length in seconds]
        shapes = choose_shapes(seconds, 1, FRAME_S, by_length=True, most=3)

        def padded(bounds: tuple[int, ...], frames: list[int] = frames) -> int:
            return sum(min(bound for bound in bounds if bound >= one) for one in frames)

        below = sorted(set(frames) - {max(frames)})
        others = itertools.combinations(below, len(shapes.frames) - 1)
        best = min(padded((*bounds, max(frames))) for bounds in others)
        assert padded(shapes.frames) == best


@pytest.mark.parametrize(
    ("rows", "frames", "bound"),
    [(16, 100, 104), (3, 104, 104), (16, 105, 192), (17, 100, None), (16, 193, None)],
)
def test_a_batch_takes_the_smallest_shape_that_holds_it(
    rows: int, frames: int, bound: int | None
) -> None:
    """None where it has more rows or frames than any."""
    assert PaddedShapes(16, (104, 192), 0.0).fitting(rows, frames) == bound
