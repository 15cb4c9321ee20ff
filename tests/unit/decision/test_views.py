"""Other views of the same rows: would they have decided otherwise?"""

from __future__ import annotations

import pytest

from tasks.decision.decision_table import Verdict
from tasks.decision.evidence import evidence
from tasks.decision.guardrail import GuardrailPolicy, check_guardrail
from tasks.decision.verdict import Decision, decide
from tasks.decision.verdict_rules import (
    GUARDRAIL_TO_THE_LETTER,
    PLAIN_DECODE,
    SPELLING_BLIND,
    STRICT,
    TWO_PART,
)
from tasks.evaluation import diff
from tasks.evaluation.decoded_variants import DecodedVariants
from tasks.evaluation.hypotheses import Hypothesis, Partition
from tasks.evaluation.scoring import Scores, score
from tests.support import factories

REF = "give aspirin 50 mg now"


def rows(hyps: list[str], part: Partition | None = Partition.HELD_OUT, start: int = 0) -> Scores:
    """Drug rows of ten terms' worth of recordings."""
    return score(
        Hypothesis(f"{n}.wav", REF, hyp, "aspirin", "drug", part=part)
        for n, hyp in enumerate(hyps, start=start)
    )


def judged(
    before: Scores, after: Scores, base: list[str] | None = None, tuned: list[str] | None = None
) -> Decision:
    """The decision, with general English by base and tuned model, or as it was."""
    guardrail = factories.held_guardrail()
    if base is not None and tuned is not None:
        first, second = (
            score(
                Hypothesis(f"g{n}.wav", ref, hyp)
                for n, (ref, hyp) in enumerate(zip(base, hyps, strict=True))
            )
            for hyps in (base, tuned)
        )
        guardrail = check_guardrail(first, second, GuardrailPolicy())
    return decide(evidence(diff.pair(before, after), guardrail=guardrail), ["drug"])


def test_views_that_agree_are_named_in_one_line() -> None:
    """Nothing is spelled otherwise, no dose is wrong, no row chose."""
    made = judged(rows(["give as prin 50 mg now"] * 20), rows([REF] * 20))
    assert made.verdict is Verdict.KEEP
    assert made.views == {STRICT: Verdict.KEEP, SPELLING_BLIND: Verdict.KEEP}
    assert made.fragility == "No other view would have decided otherwise (strict, spelling-blind)."
    assert made.as_dict()["fragility"] == made.fragility


def test_a_wrong_dose_makes_the_strict_view_decide_otherwise() -> None:
    """Every term is right and every dose is tenfold: nothing gained for the strict view."""
    made = judged(rows(["give as prin 50 mg now"] * 20), rows(["give aspirin 500 mg now"] * 20))
    assert made.verdict is Verdict.KEEP
    assert made.views[STRICT] is not Verdict.KEEP
    assert made.fragility is not None
    assert made.fragility.startswith("Fragile: another view would have decided otherwise (strict: ")
    assert "alike: spelling-blind" in made.fragility


def test_rows_that_chose_judge_in_the_two_part_view_only() -> None:
    """The held-out rows were all fixed, those that chose all broken."""
    before = Scores((*rows(["give x now"] * 20).rows, *rows([REF] * 30, Partition.CHOSE, 20).rows))
    after = Scores((*rows([REF] * 20).rows, *rows(["give x now"] * 30, Partition.CHOSE, 20).rows))
    made = judged(before, after)
    assert made.verdict is Verdict.KEEP
    assert made.views[TWO_PART] is not Verdict.KEEP
    assert TWO_PART not in judged(rows(["give x now"] * 20), rows([REF] * 20)).views


def test_general_english_to_the_letter_is_a_view_where_it_differs() -> None:
    """The tuned model writes numbers in words; one word of another is wrong for both."""
    written = ["take 25 steps to the gate"] * 60
    spoken = ["take twenty five steps to the gate"] * 60
    made = judged(rows(["give x now"] * 20), rows([REF] * 20), written, spoken)
    assert made.verdict is Verdict.KEEP
    assert made.views[GUARDRAIL_TO_THE_LETTER] is Verdict.DISCARD
    assert made.guardrail is not None
    assert made.guardrail.to_the_letter is not None
    assert made.guardrail.to_the_letter.after == pytest.approx(2 / 6)
    assert made.guardrail.after == 0
    same = judged(rows(["give x now"] * 20), rows([REF] * 20), written, written)
    assert same.guardrail is not None
    assert same.guardrail.to_the_letter is None
    assert GUARDRAIL_TO_THE_LETTER not in same.views


def varied(before: list[list[str]], after: list[list[str]]) -> Decision:
    """The decision on rows that were decoded several times, the plain decode first."""
    keys = [(f"{n}.wav", REF) for n in range(len(before))]
    variants = DecodedVariants(
        tuple(range(len(before[0]))),
        dict(zip(keys, before, strict=True)),
        dict(zip(keys, after, strict=True)),
    )
    pairing = diff.pair(*(rows([texts[0] for texts in side]) for side in (before, after)))
    made = evidence(pairing, variants=variants, guardrail=factories.held_guardrail())
    return decide(made, ["drug"])


MISSED = "give x now"


def test_one_lucky_decode_does_not_keep() -> None:
    """The recordings as they are all gain; under every other shift nothing changes."""
    made = varied([[MISSED] * 4] * 20, [[REF, MISSED, MISSED, MISSED]] * 20)
    assert made.views[PLAIN_DECODE] is Verdict.KEEP
    assert made.bare.verdict is Verdict.KEEP
    assert made.plain["drug"].after.hits == 0
    assert made.plain["drug"].shares is None
    # The rows are of one term, whose drop of a quarter every row shows.
    assert made.verdict is Verdict.KEEP
    lucky = [[REF, MISSED, MISSED, MISSED]] * 5 + [[MISSED] * 4] * 15
    made = varied([[MISSED] * 4] * 20, lucky)
    assert made.verdict is not Verdict.KEEP
    assert made.reasons[0].startswith("One decode is one draw here: ")
    assert "drug KER 1.000 → 0.750 by one decode, 1.000 → 0.938 by all" in made.reasons[0]
    assert made.fragility is not None
    assert "plain decode: keep" in made.fragility
    assert made.as_dict()["plain"] == {"drug": made.plain["drug"].as_dict()}


def test_both_figures_stand_in_the_verdict_where_it_is_the_same() -> None:
    """KER is the mean over the decodes, with its test; that of one decode beside it."""
    after = [[REF, REF, REF, MISSED]] * 15 + [[MISSED, REF, REF, REF]] * 5
    made = varied([[MISSED] * 4] * 20, after)
    assert made.verdict is made.views[PLAIN_DECODE] is Verdict.KEEP
    (line,) = (reason for reason in made.reasons if reason.startswith("drug KER"))
    assert "1.000 → 0.250 (20 → 5 of 20 rows missed, -75% relative; 20 fixed, 0 broken" in line
    assert "sign-flip mid-p" in line
    assert "one decode gives 1.000 → 0.250" in line
    assert not made.reasons[0].startswith("One decode")


def test_one_decode_a_row_decides_as_without_variants() -> None:
    """To the last figure of decision.json."""
    before, after = [[MISSED]] * 20, [[REF]] * 12 + [[MISSED]] * 8
    alone = varied(before, after)
    assert alone.views.keys() == {STRICT, SPELLING_BLIND}
    assert "plain" not in alone.as_dict()
    plain = judged(rows([MISSED] * 20), rows([REF] * 12 + [MISSED] * 8))
    assert alone.as_dict() == plain.as_dict()


def test_rows_needed_are_fewer_where_decodes_are_several() -> None:
    """The same mean drop with less noise in each row wants fewer rows."""
    before = [[MISSED, MISSED]] * 10 + [[REF, REF]] * 10
    after = [[MISSED, REF]] * 3 + [[MISSED, MISSED]] * 7 + [[REF, REF]] * 9 + [[REF, MISSED]]
    made = varied(before, after)
    assert made.verdict is Verdict.INCONCLUSIVE
    assert made.rows_needed is not None
    assert made.rows_needed > 20


def test_without_other_views_nothing_is_said() -> None:
    """Evidence that was put together by hand has none."""
    alone = decide(evidence(diff.pair(rows(["give x now"] * 20), rows([REF] * 20))), ["drug"])
    assert alone.verdict is Verdict.INCONCLUSIVE
    assert alone.views == {STRICT: Verdict.INCONCLUSIVE, SPELLING_BLIND: Verdict.INCONCLUSIVE}


def test_rows_missed_by_spelling_only_are_told_where_they_change_nothing() -> None:
    """KER and canonical KER side by side, for the priority category."""
    hyps = [REF] * 18 + ["give aspi-rin 50 mg now"] * 2
    made = judged(rows(["give x now"] * 20), rows(hyps))
    assert made.missed_by_spelling == {"drug": (0, 0)}
    term = "x ray"
    ref = "order a chest x ray"

    def procedure(hyps: list[str]) -> Scores:
        return score(
            Hypothesis(f"{n}.wav", ref, hyp, term, "procedure", part=Partition.HELD_OUT)
            for n, hyp in enumerate(hyps)
        )

    before = procedure(["order a chest"] * 20)
    after = procedure([ref] * 17 + ["order a chest x-ray"] * 3)
    made = decide(
        evidence(diff.pair(before, after), guardrail=factories.held_guardrail()), ["procedure"]
    )
    assert made.missed_by_spelling == {"procedure": (0, 3)}
    assert (
        "procedure: KER 1.000 → 0.150, canonical KER 1.000 → 0.000; missed by spelling only: "
        "0 → 3 of 20 rows." in made.reasons
    )
    assert not made.reasons[0].startswith("Spelling decides")
    assert made.as_dict()["canonical"] == {
        "procedure": {
            "n": 20,
            "ker_a": 1.0,
            "ker_b": 0.0,
            "missed_by_spelling_only_a": 0,
            "missed_by_spelling_only_b": 3,
        }
    }
