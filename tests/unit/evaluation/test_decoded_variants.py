"""Variants beside the plain decodes of a comparison."""

from __future__ import annotations

import pytest

from tasks.evaluation import diff
from tasks.evaluation.decoded_variants import DecodedVariants, with_variants
from tasks.evaluation.hypotheses import Hypothesis, Partition
from tasks.evaluation.keyword_change import ALL_CATEGORIES
from tasks.evaluation.scoring import score

REF = "give aspirin now"
MISSED = "give as prin now"


def pairing(before: str = MISSED, after: str = REF) -> diff.PairedScores:
    """A drug row and one without a term, both held out."""
    rows = [("a.wav", "aspirin", "drug"), ("b.wav", None, None)]
    return diff.pair(
        *(
            score(
                Hypothesis(path, REF, hyp, term, category, part=Partition.HELD_OUT)
                for path, term, category in rows
            )
            for hyp in (before, after)
        )
    )


def decoded(before: list[str], after: list[str]) -> DecodedVariants:
    """What both models made of the drug row."""
    shifts = (0, 20, 40, 60)[: len(before)]
    return DecodedVariants(shifts, {("a.wav", REF): before}, {("a.wav", REF): after})


def test_a_row_counts_with_the_share_of_its_decodes() -> None:
    """Three of four misses before, one after; rows without variants count as they are."""
    found = with_variants(
        pairing(), decoded([MISSED, REF, MISSED, MISSED], [REF, MISSED, REF, REF])
    )
    drug = found.by_category["drug"]
    assert (drug.before.rate, drug.after.rate, drug.n) == (0.75, 0.25, 1)
    assert (drug.fixed, drug.broken) == (1, 0)
    assert drug.as_dict()["decodes"] == 4
    assert (found.decodes, found.plain.decodes) == (4, 1)
    assert found.plain == pairing()
    wrong = found.row_changes(lambda row: row.sentence_wrong)[ALL_CATEGORIES]
    assert (wrong.before.hits, wrong.after.hits, wrong.n) == (1.75, 0.25, 2)


def test_one_decode_leaves_all_as_it_is() -> None:
    """As if there were no variants."""
    assert with_variants(pairing(), decoded([MISSED], [REF])) == pairing()
    assert with_variants(pairing(), None) == pairing()
    assert "decodes" not in pairing().by_category["drug"].as_dict()


def test_a_file_holds_the_variants_and_not_the_plain_decode() -> None:
    """With shift, term and mark, in the order of the shifts."""
    before, after = decoded([MISSED, REF], [REF, MISSED]).rows(pairing())
    assert [(row["shift"], row["hyp"], row["part"]) for row in before] == [(20, REF, "held-out")]
    assert [(row["shift"], row["hyp"], row["term"]) for row in after] == [(20, MISSED, "aspirin")]


def test_variants_of_folds_go_together() -> None:
    """Under the same shifts; others are refused, and so are rows of one model alone."""
    one = decoded([MISSED, REF], [REF, REF])
    other = DecodedVariants((0, 20), {("c.wav", REF): (REF, REF)}, {("c.wav", REF): (REF, REF)})
    assert (one | other).as_dict() == {"decodes": 2, "shifts": [0, 20], "rows": 2}
    with pytest.raises(ValueError, match="other shifts"):
        one | DecodedVariants((0, 40), {}, {})
    with pytest.raises(ValueError, match="same rows"):
        DecodedVariants((0,), {("a", "b"): ("c",)}, {})
    with pytest.raises(ValueError, match="2 decodes"):
        DecodedVariants((0, 1), {("a", "b"): ("c",)}, {("a", "b"): ("c",)})
