"""The gate: how much is missed and how much there is decides, each boundary with its route."""

from __future__ import annotations

import pytest

from tasks.common import neighbour_stages
from tasks.common.errors import InputError
from tasks.decision.gate import Action, GateInputs, check_gate
from tasks.decision.gate_policy import GatePolicy
from tasks.evaluation.hypotheses import Hypothesis
from tasks.evaluation.scoring import score
from tasks.models.catalog import RECOMMENDED, Method, describe
from tests.support import factories
from tests.support.foreign_sentences import GERMAN
from tests.support.gate_cases import NEMOTRON, judge, ker, refused, rows_of


def test_scenario_a_drug_ker_042_on_130_rows_passes() -> None:
    """The specification's scenario A: tune, on the recommended base."""
    result = judge(ker(42, 100))
    assert result.passed
    assert (result.action, result.route) == (Action.TUNE, neighbour_stages.FINETUNE)
    (reason,) = result.reasons
    assert "drug KER is 0.420" in reason.message
    assert "130 rows" in reason.message
    assert RECOMMENDED in reason.message
    assert "0.513 to 0.128" in reason.message


@pytest.mark.parametrize(
    ("missed", "n", "passed"),
    [(30, 100, False), (300, 1000, False), (301, 1000, True), (299, 1000, False), (3, 10, False)],
)
def test_tuning_needs_a_ker_above_three_tenths(missed: int, n: int, *, passed: bool) -> None:
    """Exactly 0.3 is not above 0.3."""
    result = judge(ker(missed, n))
    assert result.passed is passed
    if not passed:
        message = refused(result, Action.GROW, neighbour_stages.BUILD)
        assert "first evaluation" in message


@pytest.mark.parametrize(
    ("missed", "n", "action"),
    [
        (100, 1000, Action.GROW),
        (99, 1000, Action.HARDEN),
        (101, 1000, Action.GROW),
        (1, 10, Action.GROW),
        (0, 50, Action.HARDEN),
    ],
)
def test_under_one_tenth_the_evaluation_must_become_harder(
    missed: int, n: int, action: Action
) -> None:
    """Exactly 0.1 is not under 0.1."""
    message = refused(judge(ker(missed, n)), action, neighbour_stages.BUILD)
    assert ("Do not tune" in message) == (action is Action.HARDEN)


@pytest.mark.parametrize(
    ("cycle", "previous_rows", "passed"),
    [
        (1, None, False),
        (1, 100, False),
        (2, None, False),
        (2, 130, False),
        (2, 131, False),
        (2, 129, True),
        (5, 60, True),
    ],
)
def test_between_the_two_a_later_and_grown_manifest_may_be_tuned(
    cycle: int, previous_rows: int | None, *, passed: bool
) -> None:
    """A KER of 0.2 passes only after the first evaluation, and only if rows were added."""
    result = judge(ker(20, 100), cycle=cycle, previous_rows=previous_rows)
    assert result.passed is passed
    if passed:
        assert "later evaluation of a manifest that has grown" in result.reasons[0].message
    else:
        message = refused(result, Action.GROW, neighbour_stages.BUILD)
        assert ("first evaluation" in message) == (cycle == 1)
        assert ("has not grown" in message) == (cycle > 1 and previous_rows is not None)
        assert ("no cycle before" in message) == (cycle > 1 and previous_rows is None)


@pytest.mark.parametrize(("missed", "n"), [(9, 100), (0, 40)])
def test_growth_does_not_help_an_evaluation_that_is_too_easy(missed: int, n: int) -> None:
    """Under 0.1 a later, grown manifest is refused as well."""
    refused(judge(ker(missed, n), cycle=3, previous_rows=1), Action.HARDEN, neighbour_stages.BUILD)


def test_a_high_ker_needs_no_growth() -> None:
    """Above 0.3 a first cycle and an unchanged manifest pass alike."""
    assert judge(ker(4, 10), cycle=2, previous_rows=130).passed


@pytest.mark.parametrize(("rows", "passed"), [(99, False), (100, True), (101, True), (1, False)])
def test_a_manifest_needs_a_hundred_rows(rows: int, *, passed: bool) -> None:
    """99 are too few, 100 are enough."""
    result = judge(ker(42, 100), rows=rows_of(min(rows, 10), max(rows - 10, 0)))
    assert result.passed is passed
    if rows == 99:
        message = refused(result, Action.GROW, neighbour_stages.BUILD)
        assert "99 rows, fewer than 100" in message


@pytest.mark.parametrize(("rows", "passed"), [(4, False), (5, True), (0, False)])
def test_a_priority_category_needs_five_rows(rows: int, *, passed: bool) -> None:
    """Four are too few, five are enough."""
    result = judge(ker(3, 4), rows=rows_of(rows, 130 - rows))
    assert result.passed is passed
    if not passed:
        message = refused(result, Action.GROW, neighbour_stages.BUILD)
        assert f"drug has {rows} rows, fewer than 5" in message


def test_without_a_manifest_there_is_only_building_one() -> None:
    """The route is build."""
    result = check_gate(GateInputs(None, None, describe(RECOMMENDED)), GatePolicy())
    refused(result, Action.BUILD, "/digital-health-clinical-asr-build")


def test_without_a_baseline_there_is_only_scoring_one() -> None:
    """The route is eval."""
    refused(judge(None), Action.EVALUATE, "/digital-health-clinical-asr-eval")


def test_a_baseline_that_says_nothing_of_the_priority_goes_to_eval() -> None:
    """Rows of another category, or without a term, are no KER of drugs."""
    message = refused(judge(factories.scored(5, 10, "lab")), Action.EVALUATE, neighbour_stages.EVAL)
    assert "no row of drug with a term" in message


def test_a_baseline_older_than_the_manifest_is_a_warning() -> None:
    """Rows that were never scored are counted."""
    fresh = judge(
        factories.scored(42, 100), rows=[factories.utterance(1, text="give aspirin now")] * 130
    )
    assert fresh.warnings == ()
    warning, foreign = judge(factories.scored(42, 100)).warnings
    assert foreign.startswith("100 of 100 rows of the baseline are no rows of this manifest")
    assert "130 of 130 rows" in warning


def test_the_worst_of_several_priority_categories_decides() -> None:
    """One category above 0.3 is worth tuning for, in whichever place it is named."""
    baseline = score(factories.evaluated(2, 50, "drug") + factories.evaluated(40, 50, "condition"))
    both = GatePolicy(priority=("drug", "condition"))
    result = judge(baseline, policy=both)
    assert result.passed
    assert "condition KER is 0.800" in result.reasons[0].message
    refused(judge(baseline), Action.HARDEN, neighbour_stages.BUILD)


def test_each_of_several_priority_categories_needs_its_rows() -> None:
    """A category that the manifest lacks is a reason of its own."""
    baseline = factories.scored(42, 100)
    result = judge(baseline, policy=GatePolicy(priority=("drug", "lab", "role")))
    assert not result.passed
    assert [reason.action for reason in result.reasons] == [Action.GROW] * 2
    assert "lab has 0 rows" in result.reasons[0].message
    assert "role has 0 rows" in result.reasons[1].message


@pytest.mark.parametrize("priority", [("drugs",), ("drug", "Lab"), ("",)])
def test_a_misspelt_priority_category_is_bad_input(priority: tuple[str, ...]) -> None:
    """A category that cannot occur would never pass; it is said at once."""
    with pytest.raises(InputError, match=r"is not a category\. Fix: write .*drug"):
        GatePolicy(priority=priority)


def test_no_priority_category_is_bad_input() -> None:
    """Without one there is nothing to judge."""
    with pytest.raises(InputError, match="at least one"):
        GatePolicy(priority=())


def test_all_reasons_are_told_the_most_fundamental_first() -> None:
    """Language, base, method, KER and rows; the first gives action and route."""
    rows = [factories.utterance(place, "lab", text=GERMAN[place % 4]) for place in range(50)]
    result = judge(ker(1, 100), rows=rows, base=NEMOTRON, method=Method.ADAPTER)
    assert [reason.action for reason in result.reasons] == [
        Action.OTHER_LANGUAGE,
        Action.SUBSTITUTE_BASE,
        Action.STOCK_SFT,
        Action.HARDEN,
        Action.GROW,
        Action.GROW,
    ]
    assert result.route == neighbour_stages.GENERIC


def test_what_the_gate_prints() -> None:
    """passed, action, route, reasons, warnings and the figures behind them."""
    baseline = score(
        factories.evaluated(3, 10, "drug", ipa_source="override") + factories.evaluated(0, 5, "lab")
    )
    printed = judge(baseline, cycle=2, previous_rows=129).as_dict()
    assert list(printed) == ["passed", "action", "route", "reasons", "warnings", "figures"]
    assert printed["passed"] is True
    assert printed["action"] == "tune"
    assert printed["figures"] == {
        "base": RECOMMENDED,
        "cycle": 2,
        "rows": 130,
        "language": "en",
        "baseline_rows": 15,
        "ker": 0.2,
        "ipa_source": {"override": {"n": 10, "ker": 0.3}, "(none)": {"n": 5, "ker": 0.0}},
        "priority": {"drug": {"rows": 60, "n": 10, "ker": 0.3}},
    }


@pytest.mark.parametrize(
    ("text", "ref", "missing"),
    [
        ("order a chest x-ray", "order a chest x ray", False),
        ("take 25 mg", "take twenty five milligrams", False),
        ("Crohn’s disease", "crohn disease", False),
        ("take 25 mg", "take 25 mcg", True),
        ("he is afebrile", "he is a febrile", True),
    ],
)
def test_a_row_in_another_spelling_is_in_the_baseline(
    text: str, ref: str, *, missing: bool
) -> None:
    """The canonical view matches rows; other words are other rows."""
    baseline = score(
        Hypothesis(f"{n}.wav", ref, ref if n < 60 else "x", "x", "drug") for n in range(100)
    )
    rows = [factories.utterance(n, text=text, term=None) for n in range(1, 131)]
    warnings = judge(baseline, rows=rows).warnings
    assert any("rows of the manifest are not in the" in one for one in warnings) is missing


def test_a_refusal_for_too_few_rows_says_what_the_baseline_found() -> None:
    """KER and its n stand once, in the first reason."""
    result = judge(ker(21, 50), rows=rows_of(50))
    message = refused(result, Action.GROW, neighbour_stages.BUILD)
    assert "50 rows, fewer than 100" in message
    assert message.endswith("By its baseline drug KER is 0.420 (21 of 50 rows missed).")
    low = judge(ker(1, 50), rows=rows_of(50))
    assert sum(reason.message.count("drug KER is") for reason in low.reasons) == 1
