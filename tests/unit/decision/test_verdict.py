"""The decision: what the held-out rows show, against general English, false keywords and chance."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.common import neighbour_stages
from tasks.common.errors import InputError
from tasks.common.parameter_names import spelled_as
from tasks.decision.decision_table import Verdict
from tasks.decision.guardrail import Guardrail
from tasks.decision.significance import CategoryResult, rows_needed
from tasks.decision.verdict import decide
from tasks.decision.verdict_rules import DecisionEvidence
from tasks.evaluation.error_counts import Proportion
from tasks.evaluation.keyword_change import KeywordErrorChange
from tasks.evaluation.statistics import Interval
from tests.support.factories import delta, held_guardrail

BUILD = "/digital-health-clinical-asr-build"
SERVING = "/riva-asr-custom"


def evidence(*found: KeywordErrorChange, **more: Any) -> DecisionEvidence:
    """Held-out differences, and what else is known; general English was not lost."""
    more.setdefault("guardrail", held_guardrail())
    return DecisionEvidence({one.category: one for one in found}, "held-out", **more)


def moved(
    fixed: int, broken: int, before: int, n: int, category: str = "drug"
) -> KeywordErrorChange:
    """A difference in which rows changed to and fro."""
    return KeywordErrorChange(
        category,
        Proportion(before, n),
        Proportion(before - fixed + broken, n),
        fixed=fixed,
        broken=broken,
    )


def test_scenario_c_a_ker_that_barely_moved_goes_back_to_build() -> None:
    """The specification's scenario C: grow the manifest; signal density beats LR sweeps."""
    decided = decide(evidence(delta(42, 40, 100)), ["drug"])
    assert decided.verdict is Verdict.GROW
    assert decided.bare.verdict is Verdict.GROW
    assert decided.route == neighbour_stages.BUILD == BUILD


def test_the_reference_result_is_kept() -> None:
    """KER 0.513 to 0.128, as the specification reports, is a drop of 75 %, and no chance."""
    decided = decide(evidence(delta(20, 5, 39)), ["drug"])
    assert decided.verdict is Verdict.KEEP
    assert decided.route == SERVING
    assert "0.513 → 0.128" in decided.reasons[0]
    assert "-75% relative" in decided.reasons[0]
    assert str(held_guardrail()) in decided.reasons


@pytest.mark.parametrize(
    ("found", "verdict", "finding"),
    [
        # Five rows fixed and none broken is the least that is shown (mid-p 0.031).
        (moved(5, 0, 10, 20), Verdict.KEEP, CategoryResult.IMPROVED),
        (moved(4, 0, 10, 20), Verdict.INCONCLUSIVE, CategoryResult.UNSETTLED),
        (moved(3, 0, 3, 3), Verdict.INCONCLUSIVE, CategoryResult.UNSETTLED),
        # A drop of 15 % that is shown is not the one that was wanted.
        (moved(30, 0, 200, 300), Verdict.GROW, CategoryResult.MOVED),
        # Nothing moved: 300 rows show that no wanted drop is there, five do not.
        (moved(0, 0, 150, 300), Verdict.GROW, CategoryResult.SMALLER),
        (moved(0, 0, 2, 5), Verdict.INCONCLUSIVE, CategoryResult.UNSETTLED),
        (moved(0, 0, 0, 50), Verdict.GROW, CategoryResult.NOTHING),
        (moved(0, 5, 10, 20), Verdict.DISCARD, CategoryResult.WORSE),
        (moved(0, 4, 10, 20), Verdict.GROW, CategoryResult.SMALLER),
        (moved(1, 3, 4, 20), Verdict.INCONCLUSIVE, CategoryResult.UNSETTLED),
        (moved(0, 6, 0, 20), Verdict.DISCARD, CategoryResult.WORSE),
    ],
)
def test_what_the_rows_show_decides(
    found: KeywordErrorChange, verdict: Verdict, finding: CategoryResult
) -> None:
    """Shown means mid-p under 0.05; a number of rows stands with what is not settled."""
    decided = decide(evidence(found), ["drug"])
    assert (decided.verdict, decided.findings["drug"]) == (verdict, finding)
    if verdict is Verdict.INCONCLUSIVE:
        assert decided.rows_needed is not None
        assert decided.rows_needed > found.n
        assert any(f"About {decided.rows_needed} held-out rows" in one for one in decided.reasons)
    else:
        assert decided.rows_needed is None
    assert decided.route == (SERVING if verdict is Verdict.KEEP else BUILD)


def test_where_the_bare_table_differs_the_reason_says_so() -> None:
    """Four rows of ten are 40 %, and chance."""
    decided = decide(evidence(moved(4, 0, 10, 20)), ["drug"])
    assert decided.bare.verdict is Verdict.KEEP
    assert decided.reasons[-1] == (
        "The specification's table says keep on the same rows: it does not ask whether chance "
        "explains the difference."
    )
    same = decide(evidence(moved(5, 0, 10, 20)), ["drug"])
    assert not any("The specification's table says" in one for one in same.reasons)


def test_more_priority_categories_are_not_more_chances() -> None:
    """What one category alone would show (p 0.031) is not shown as one of two (Holm: 0.063)."""
    both = evidence(moved(5, 0, 10, 20), moved(1, 1, 10, 20, "lab"))
    assert decide(both, ["drug"]).verdict is Verdict.KEEP
    decided = decide(both, ["drug", "lab"])
    assert decided.verdict is Verdict.INCONCLUSIVE
    assert decided.p_adjusted == {"drug": 0.0625, "lab": 1.0}


def test_rows_of_a_term_that_change_together_are_not_as_many_chances() -> None:
    """Twelve rows fixed and two broken are shown (mid-p 0.008), unless most are of one term."""
    rows = moved(12, 2, 20, 40)
    assert decide(evidence(rows), ["drug"]).verdict is Verdict.KEEP
    together = dataclasses.replace(rows, nets=(2, 2, 2, 2, 1, 1, 1, 1, -1, -1))
    assert decide(evidence(together), ["drug"]).verdict is Verdict.KEEP
    uneven = dataclasses.replace(rows, nets=(8, 1, 1, 1, -1))
    decided = decide(evidence(uneven), ["drug"])
    assert decided.verdict is Verdict.INCONCLUSIVE
    assert decided.rows_needed is not None
    assert decided.rows_needed > 40
    assert "over terms" in decided.reasons[0]
    # Three terms could not show anything, whatever they did.
    few = dataclasses.replace(rows, nets=(8, 1, 1))
    assert decide(evidence(few), ["drug"]).verdict is Verdict.KEEP


def test_a_loss_of_one_terms_rows_is_not_shown_as_harm_of_the_category() -> None:
    """Fourteen rows broken and four fixed (mid-p 0.02) are shown, unless ten are of two terms."""
    rows = moved(4, 14, 8, 40)
    assert decide(evidence(rows), ["drug"]).verdict is Verdict.DISCARD
    spread = dataclasses.replace(rows, nets=(-1,) * 14 + (1,) * 4)
    assert decide(evidence(spread), ["drug"]).verdict is Verdict.DISCARD
    uneven = dataclasses.replace(rows, nets=(-6, -4, -2, -1, -1, 2, 2))
    decided = decide(evidence(uneven), ["drug"])
    assert decided.verdict is Verdict.GROW
    assert decided.findings["drug"] is CategoryResult.SMALLER
    # Three terms could not show anything, whatever they did.
    few = dataclasses.replace(rows, nets=(-9, -3, 2))
    assert decide(evidence(few), ["drug"]).verdict is Verdict.DISCARD


def test_more_priority_categories_are_not_more_chances_of_harm() -> None:
    """A loss that one category would show (p 0.031) is not shown as one of two (Holm: 0.063)."""
    both = evidence(moved(1, 1, 10, 20), moved(0, 5, 10, 20, "lab"))
    assert decide(both, ["lab"]).verdict is Verdict.DISCARD
    decided = decide(both, ["drug", "lab"])
    assert decided.verdict is Verdict.INCONCLUSIVE
    assert decided.findings["lab"] is CategoryResult.SMALLER


def test_losses_over_terms_are_corrected_for_the_number_of_categories() -> None:
    """A loss of p 0.04 over terms is harm if one category was looked at, and not of two."""
    lost = dataclasses.replace(moved(6, 24, 10, 60, "lab"), nets=(-4,) * 4 + (-1,) * 8 + (1,) * 6)
    assert lost.p is not None
    assert lost.p < 0.002
    assert decide(evidence(lost), ["lab"]).verdict is Verdict.DISCARD
    both = evidence(moved(1, 1, 10, 60), lost)
    assert decide(both, ["drug", "lab"]).verdict is not Verdict.DISCARD


def test_a_category_that_is_shown_to_be_worse_outweighs_a_gain() -> None:
    """Whichever of the two is named first."""
    both = evidence(moved(9, 0, 10, 20), moved(0, 5, 10, 20, "lab"))
    for order in (["drug", "lab"], ["lab", "drug"]):
        decided = decide(both, order)
        assert decided.verdict is Verdict.DISCARD
        assert decided.bare.verdict is Verdict.GROW
        assert any("lab is shown to be worse" in reason for reason in decided.reasons)


def test_other_categories_do_not_decide() -> None:
    """What was not targeted may get worse without a say."""
    both = evidence(delta(50, 10, 100), delta(10, 90, 100, "lab"))
    assert decide(both, ["drug"]).verdict is Verdict.KEEP


def test_without_general_english_no_model_is_kept() -> None:
    """The gain is shown, and the reasons say what is unchecked and how to check it."""
    with spelled_as({"general": "--general"}):
        decided = decide(evidence(delta(50, 10, 100), guardrail=None), ["drug"])
    assert (decided.verdict, decided.bare.verdict) == (Verdict.INCONCLUSIVE, Verdict.KEEP)
    assert any(
        reason.startswith("Gain shown, forgetting unchecked.") and "--general" in reason
        for reason in decided.reasons
    )
    worse = decide(evidence(delta(10, 50, 100), guardrail=None), ["drug"])
    assert worse.verdict is Verdict.DISCARD


def test_a_rise_within_the_limit_that_could_be_a_large_one_is_not_settled() -> None:
    """The sentences must exclude a rise beyond the bound; so many would."""
    few = Guardrail(
        60, 0.04, 0.042, 0.04, 0.04, Interval(-0.02, 0.024), 0.005, upper=0.016, bound=0.01
    )
    decided = decide(evidence(delta(50, 10, 100), guardrail=few), ["drug"])
    assert decided.verdict is Verdict.INCONCLUSIVE
    # The half-width of 1.4 points must shrink to 0.8.
    assert any("About 184 sentences would settle it" in reason for reason in decided.reasons)


@pytest.mark.parametrize(
    ("after", "interval", "verdict", "word"),
    [
        (0.044, Interval(-0.002, 0.010), Verdict.KEEP, "held"),
        (0.060, Interval(0.010, 0.030), Verdict.DISCARD, "The model forgets"),
        (0.050, Interval(-0.004, 0.024), Verdict.INCONCLUSIVE, "sentences would settle it"),
        (0.050, None, Verdict.INCONCLUSIVE, "whether the model forgets is not"),
    ],
)
def test_a_gain_does_not_outweigh_forgetting(
    after: float, interval: Interval | None, verdict: Verdict, word: str
) -> None:
    """Over the limit and no chance: discard. Over it, and perhaps chance: not settled."""
    upper = None if interval is None else (after - 0.04 + interval.high) / 2
    guardrail = Guardrail(
        200, 0.04, after, 0.04, 0.05, interval, limit=0.005, upper=upper, bound=0.01
    )
    decided = decide(evidence(delta(50, 10, 100), guardrail=guardrail), ["drug"])
    assert decided.verdict is verdict
    assert any(word in reason for reason in decided.reasons)
    assert not any("Forgetting was not checked" in reason for reason in decided.reasons)
    if verdict is Verdict.INCONCLUSIVE:
        assert decided.rows_needed is None
        assert decided.reasons[-1].endswith("it does not look at general English.")


def false_keyword_effect(before: int, after: int, n: int, rows: tuple[int, int]) -> dict[str, Any]:
    """KER where rows that hold a false keyword count as missed, and how many such rows."""
    return {
        "with_false_keywords_as_misses": {"drug": delta(before, after, n)},
        "false_keywords": {"drug": delta(*rows, n)},
    }


def test_a_gain_by_false_keywords_is_discarded() -> None:
    """KER falls to nothing, since every row holds every name; counted as missed, none is left."""
    decided = decide(
        evidence(delta(18, 0, 20), **false_keyword_effect(18, 20, 20, (0, 20))), ["drug"]
    )
    assert decided.verdict is Verdict.DISCARD
    assert any("0 → 20 of 20 rows hold a keyword that nobody said" in r for r in decided.reasons)


def test_false_keywords_of_one_term_are_not_shown_to_rise() -> None:
    """Nine rows with one more (mid-p 0.002) are shown to rise, unless most are of one term."""
    effect = false_keyword_effect(18, 14, 20, (0, 9))
    effect["with_false_keywords_as_misses"] = {"drug": delta(18, 14, 20)}
    found = evidence(delta(18, 2, 20), **effect)
    assert decide(found, ["drug"]).verdict is Verdict.DISCARD
    rise = effect["false_keywords"]["drug"]
    together = dataclasses.replace(rise, nets=(-5, -1, -1, -1, -1))
    effect["false_keywords"] = {"drug": together}
    assert decide(evidence(delta(18, 2, 20), **effect), ["drug"]).verdict is Verdict.KEEP


def test_false_keywords_of_several_categories_are_not_more_chances() -> None:
    """Five rows with one more (mid-p 0.031) are a rise of one category, and not of two."""
    effect = false_keyword_effect(18, 14, 20, (0, 5))
    found = evidence(delta(18, 2, 20), **effect)
    assert decide(found, ["drug"]).verdict is Verdict.DISCARD
    both = {name: {**one, "lab": moved(1, 1, 2, 20, "lab")} for name, one in effect.items()}
    found = evidence(delta(18, 2, 20), moved(1, 1, 10, 20, "lab"), **both)
    assert decide(found, ["drug", "lab"]).verdict is Verdict.KEEP


@pytest.mark.parametrize(
    "more",
    [
        # The gain is left without the rows that hold a false keyword.
        false_keyword_effect(18, 6, 20, (0, 5)),
        # There were as many false keywords before.
        false_keyword_effect(20, 20, 20, (10, 10)),
    ],
)
def test_a_few_false_keywords_do_not_take_a_gain_away(more: dict[str, Any]) -> None:
    """They must have risen, and the gain must be theirs."""
    assert decide(evidence(delta(18, 2, 20), **more), ["drug"]).verdict is Verdict.KEEP


def test_a_gain_on_trained_rows_alone_is_discarded() -> None:
    """The held-out rows show that no wanted drop is there: it was memorised."""
    learnt = {"drug": delta(160, 5, 200)}
    decided = decide(evidence(moved(1, 1, 50, 60), trained=learnt), ["drug"])
    assert decided.verdict is Verdict.DISCARD
    assert any("Memorised" in r and "0.800 → 0.025" in r for r in decided.reasons)
    few = decide(evidence(moved(0, 0, 2, 5), trained=learnt), ["drug"])
    assert few.verdict is Verdict.INCONCLUSIVE


def test_two_cycles_under_five_percent_are_a_floor() -> None:
    """The specification's first stopping rule, which few rows do not excuse."""
    stuck = moved(2, 2, 10, 25)
    alone = decide(evidence(stuck), ["drug"])
    assert alone.verdict is Verdict.INCONCLUSIVE
    twice = decide(evidence(stuck, previous={"drug": -0.04}), ["drug"])
    assert twice.verdict is Verdict.GROW
    assert any("a floor" in reason for reason in twice.reasons)
    before = decide(evidence(stuck, previous={"drug": -0.30}), ["drug"])
    assert before.verdict is Verdict.INCONCLUSIVE


def test_an_overfit_run_must_grow_unless_it_helped() -> None:
    """The specification's second stopping rule; a shown gain of the best checkpoint is kept."""
    rising = "Validation WER rose 0.10 → 0.14 while the training loss fell."
    assert decide(evidence(moved(4, 0, 10, 20), overfit=rising), ["drug"]).verdict is Verdict.GROW
    kept = decide(evidence(moved(9, 0, 10, 20), overfit=rising), ["drug"])
    assert kept.verdict is Verdict.KEEP
    assert any("best checkpoint" in reason for reason in kept.reasons)


def test_a_pronunciation_gap_is_told_first() -> None:
    """Before any figure: it is no matter of the model."""
    gap = "A pronunciation gap, not a model gap: step 2d."
    assert decide(evidence(moved(4, 0, 9, 20), pronunciation_gap=gap), ["drug"]).reasons[0] == gap


@given(st.integers(1, 60), st.integers(1, 3), st.data())
def test_whatever_is_inconclusive_says_what_would_settle_it(
    n: int, categories: int, data: st.DataObject
) -> None:
    """More rows than there are, by a rule that does not fail for any counts."""
    before = data.draw(st.integers(0, n))
    fixed = data.draw(st.integers(0, before))
    broken = data.draw(st.integers(0, n - before))
    found = moved(fixed, broken, before, n)
    needed = rows_needed(found, categories)
    assert needed is None or needed > n
    decided = decide(evidence(found), ["drug"])
    assert (decided.rows_needed is not None) <= (decided.verdict is Verdict.INCONCLUSIVE)


@pytest.mark.parametrize("found", [{}, {"drug": delta(0, 0, 0)}])
def test_nothing_to_decide_on_is_bad_input(found: dict[str, KeywordErrorChange]) -> None:
    """No row of the category, or none with a term."""
    with pytest.raises(InputError, match="no held-out row of category 'drug'"):
        decide(DecisionEvidence(found, "held-out"), ["drug"])


def test_what_decision_json_holds() -> None:
    """Our verdict, the bare one, the grounds, and how many rows are wanting."""
    told = decide(evidence(delta(10, 8, 20)), ["drug"]).as_dict()
    assert told["decision"] == "inconclusive"
    assert told["bare_decision"] == "keep"
    assert told["rows_needed"] == rows_needed(delta(10, 8, 20), 1)
    assert told["movements"] == {"drug": "dropped meaningfully"}
    assert told["findings"] == {"drug": "not settled"}
    assert told["p_adjusted"] == {"drug": 0.25}
    assert told["route"] == BUILD
    assert told["basis"] == "held-out"
    assert told["guardrail"] == held_guardrail().as_dict()
    reasons = told["reasons"]
    assert isinstance(reasons, list)
    assert reasons[0] == (
        "drug KER dropped meaningfully: 0.500 → 0.400 "
        "(10 → 8 of 20 rows missed, -20% relative; 2 fixed, 0 broken; "
        "mid-p 0.25, 95 % interval -0.265 to +0.083): not settled."
    )


def test_where_nothing_moved_chance_explains_nothing() -> None:
    """No term was fixed and none broken: that is said, with the rows that would settle it."""
    decided = decide(evidence(delta(10, 10, 40)), ["drug"])
    assert decided.verdict is Verdict.INCONCLUSIVE
    assert not any("Chance explains" in one for one in decided.reasons)
    still = "No term was fixed and none broken; so few rows do not exclude a drop. About 127 "
    assert any(one.startswith(still) for one in decided.reasons)
    moved = decide(evidence(delta(10, 8, 40)), ["drug"])
    assert any(one.startswith("Chance explains the difference. ") for one in moved.reasons)
