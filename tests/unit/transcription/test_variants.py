"""The shifts of a row's unheard variants."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.transcription import variants
from tasks.transcription.audio_sets import AudioSet
from tasks.transcription.variants import FRAME, MOST_VARIANTS, STEP

if TYPE_CHECKING:
    from pathlib import Path


@given(st.integers(1, MOST_VARIANTS), st.integers(0, 2**32 - 1))
def test_shifts_fall_on_all_of_a_frame(count: int, seed: int) -> None:
    """The recording as it is first; the others one in each part of the frame, all different."""
    shifts = variants.shifts(count, seed)
    assert shifts[0] == 0
    assert len(set(shifts)) == count
    assert shifts == variants.shifts(count, seed)
    part = FRAME / count
    for number, shift in enumerate(shifts[1:], start=1):
        assert shift % STEP == 0
        assert number * part - STEP <= shift < (number + 1) * part


def test_another_seed_draws_others() -> None:
    """The seed is the run's."""
    assert variants.shifts(8, 1) != variants.shifts(8, 2)


@pytest.mark.parametrize("count", [0, MOST_VARIANTS + 1])
def test_a_count_that_cannot_be_is_refused(count: int) -> None:
    """One decode is the least."""
    with pytest.raises(ValueError, match="variants"):
        variants.shifts(count, 1)


def test_variants_are_on_by_default_up_to_a_number_of_rows() -> None:
    """By cost; what is asked for counts whatever it costs."""
    assert variants.variant_count(None, variants.MOST_JUDGED) == variants.DEFAULT_VARIANTS
    assert variants.variant_count(None, variants.MOST_JUDGED + 1) == 1
    assert variants.variant_count(3, 10**6) == 3


@pytest.mark.parametrize(("shift", "fields"), [(0, {}), (40, {"shift": 40})])
def test_a_hypothesis_has_a_name_of_its_own_in_the_store(
    shift: int, fields: dict[str, int]
) -> None:
    """That of the recording, where it is as it is, as before there were variants."""
    key = variants.variant_key("abc", shift)
    assert variants.key_fields(key) == {"audio_sha256": "abc", **fields}
    assert (key == "abc") is (shift == 0)


def test_sets_with_and_without_shifts_go_together(tmp_path: Path) -> None:
    """Those of the other are decoded as they are, and none of it apart."""
    one = AudioSet((tmp_path / "a",), (1.0,), ("x",), (tmp_path,), shifts=((0, 40),))
    other = AudioSet((tmp_path / "b",), (2.0,), ("y",), (tmp_path,))
    both = one + other
    assert (both.shifts, both.apart) == (((0, 40), (0,)), False)
    assert both.keys == ("x", "x+40", "y")
    assert (both.decodes, both.decoded_seconds) == (3, 4.0)
    assert both.only([1]).shifts == ((0,),)
    assert (other + other).shifts == ()
