"""The gate: every route of the contract, its boundaries, and the specification's scenarios."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tasks.common import neighbour_stages
from tasks.common.errors import InputError
from tasks.data.manifest_language import manifest_language
from tasks.data.row_terms import RowTerm
from tasks.decision.gate import Action, GateInputs, GateResult, check_gate
from tasks.decision.gate_policy import GatePolicy
from tasks.evaluation.hypotheses import Hypothesis, hypothesis_for
from tasks.evaluation.scoring import Scores, score
from tasks.models.catalog import (
    CATALOGUE,
    LEGACY_FALLBACK,
    RECOMMENDED,
    Base,
    Method,
    Status,
    describe,
)
from tasks.models.nemo_archive import Decoder
from tests.support import factories

if TYPE_CHECKING:
    from pathlib import Path

    from tasks.data.manifest import Utterance
    from tasks.evaluation.scoring import Scores

NEMOTRON = "nvidia/nemotron-speech-streaming-en-0.6b"


def rows_of(drug: int, other: int = 0, **fields: Any) -> list[Utterance]:
    """A manifest with drug rows and condition rows."""
    categories = ["drug"] * drug + ["condition"] * other
    return [factories.utterance(place, name, **fields) for place, name in enumerate(categories, 1)]


def ker(missed: int, n: int) -> Scores:
    """A baseline of drug rows."""
    return factories.scored(missed, n)


def judge(
    baseline: Scores | None,
    *,
    rows: list[Utterance] | None = None,
    base: Base | str = RECOMMENDED,
    policy: GatePolicy | None = None,
    **evidence: Any,
) -> GateResult:
    """The gate's verdict on 130 rows, if nothing else is said."""
    return check_gate(
        GateInputs(
            utterances=rows if rows is not None else rows_of(60, 70),
            baseline=baseline,
            base=base if isinstance(base, Base) else describe(base),
            **evidence,
        ),
        policy or GatePolicy(),
    )


def refused(result: GateResult, action: Action, route: str) -> str:
    """Assert a refusal whose only reason names its route; return the reason."""
    assert not result.passed
    assert (result.action, result.route) == (action, route)
    assert len(result.reasons) == 1
    (reason,) = result.reasons
    if (
        route != neighbour_stages.FINETUNE
    ):  # a refusal that stays in this stage names the substitute
        assert route in reason.message
    return reason.message


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


@pytest.mark.parametrize("name", [NEMOTRON, "nemotron-speech-streaming-en-0.6b", NEMOTRON.upper()])
def test_scenario_b_nemotron_streaming_is_refused_with_its_substitute(name: str) -> None:
    """The specification's scenario B: UNK collapse; take Parakeet TDT v2; Riva chunks it."""
    message = refused(
        judge(ker(42, 100), base=name),
        Action.SUBSTITUTE_BASE,
        "/digital-health-clinical-asr-finetune",
    )
    assert "nvidia/parakeet-tdt-0.6b-v2" in message
    assert LEGACY_FALLBACK in message
    assert "UNK" in message
    assert "Riva chunks" in message


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


def pronunciation(known: tuple[int, int], guessed: tuple[int, int]) -> Scores:
    """A baseline with rows of both pronunciation sources."""
    return score(
        factories.evaluated(*known, ipa_source="merriam-webster")
        + factories.evaluated(*guessed, ipa_source="magpie_g2p", start=known[1])
    )


def test_the_contracts_pronunciation_gap_goes_to_build_before_all_else() -> None:
    """KER 0.05 on 420 merriam-webster rows against 0.41 on 180 magpie_g2p rows: step 2d."""
    result = judge(pronunciation((21, 420), (74, 180)))
    assert not result.passed
    assert (result.action, result.route) == (Action.FIX_PRONUNCIATION, neighbour_stages.BUILD)
    message = result.reasons[0].message
    assert "step 2d" in message
    assert "0.050, n=420" in message
    assert "0.411, n=180" in message


def test_a_pronunciation_gap_stops_what_would_else_be_tuned() -> None:
    """Even where the KER of all drug rows is above 0.3."""
    result = judge(pronunciation((5, 100), (90, 100)))
    assert refused(result, Action.FIX_PRONUNCIATION, neighbour_stages.BUILD)


@pytest.mark.parametrize(
    ("known", "guessed", "gap"),
    [
        ((10, 100), (70, 100), True),
        ((11, 100), (70, 100), False),
        ((1, 100), (31, 100), True),
        ((1, 100), (30, 100), False),
        ((60, 100), (60, 100), False),
        ((70, 100), (1, 100), False),
        ((0, 100), (0, 0), False),
    ],
)
def test_the_gap_needs_a_good_dictionary_and_bad_guesses(
    known: tuple[int, int], guessed: tuple[int, int], *, gap: bool
) -> None:
    """Good is at most 0.1, bad is above 0.3."""
    result = judge(pronunciation(known, guessed))
    actions = [reason.action for reason in result.reasons]
    assert (Action.FIX_PRONUNCIATION in actions) is gap


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


ADAPTER_BASES = [
    ("nvidia/parakeet-tdt-0.6b-v2", True),
    ("nvidia/parakeet-tdt-1.1b", True),
    ("nvidia/parakeet-rnnt-0.6b", True),
    ("nvidia/parakeet-rnnt-1.1b", True),
    ("nvidia/parakeet-ctc-1.1b", False),
]


@pytest.mark.parametrize(("base", "broken"), ADAPTER_BASES)
def test_adapters_are_refused_and_on_transducers_are_called_broken(
    base: str, *, broken: bool
) -> None:
    """72 NaN tensors at any learning rate, on TDT and RNN-T."""
    result = judge(ker(42, 100), base=base, method=Method.ADAPTER)
    message = refused(result, Action.STOCK_SFT, neighbour_stages.FINETUNE)
    assert ("72 NaN" in message) is broken
    assert ("none in 96" in message) is broken
    assert "stock full-model tuning" in message


def test_a_cache_aware_nemo_of_ones_own_passes_with_a_warning(tmp_path: Path) -> None:
    """A streaming encoder is recognised by its configuration; the broken base is named."""
    path = factories.write_nemo(tmp_path / "our-model.nemo", factories.STREAMING_CONFIG)
    result = judge(ker(42, 100), base=str(path))
    assert result.passed
    assert any(NEMOTRON.removeprefix("nvidia/") in warning for warning in result.warnings)


@pytest.mark.parametrize(
    ("name", "warned"), [("parakeet-tdt-0.6b-v3", True), ("parakeet-tdt-0.6b-v2", False)]
)
def test_a_multilingual_base_is_told_that_english_is_the_default(
    name: str, *, warned: bool
) -> None:
    """The English base is named instead."""
    warnings = judge(ker(42, 100), base=CATALOGUE[f"nvidia/{name}"]).warnings
    assert any("25 languages" in one and RECOMMENDED in one for one in warnings) is warned


@pytest.mark.parametrize(
    "config", [factories.CTC_CONFIG, factories.TDT_CONFIG, factories.RNNT_CONFIG]
)
def test_a_nemo_of_ones_own_may_be_tuned(tmp_path: Path, config: dict[str, Any]) -> None:
    """A base without a record passes, and the verdict says that there is none."""
    path = factories.write_nemo(tmp_path / "mine.nemo", config)
    result = judge(ker(42, 100), base=str(path))
    assert result.passed
    assert "no result is on record" in result.reasons[0].message


@pytest.mark.parametrize("base", CATALOGUE.values(), ids=list(CATALOGUE))
def test_every_base_of_the_table_passes_but_the_broken_one(base: Base) -> None:
    """The table's status decides; a refusal names the recommended base."""
    result = judge(ker(42, 100), base=base)
    assert result.passed is (base.name != NEMOTRON)
    if base.status is Status.BROKEN:
        assert RECOMMENDED in result.reasons[0].message


GERMAN = (
    "Der Patient nimmt seit drei Wochen Metformin gegen seinen Diabetes.",
    "Bitte verordnen Sie Aspirin, hundert Milligramm, einmal täglich nach dem Essen.",
    "Die Blinddarmoperation verlief ohne Zwischenfälle, die Wunde ist trocken.",
    "Wir haben die Angehörigen über die geplante Verlegung auf die Station informiert.",
)
SPANISH = (
    "El paciente toma metformina desde hace tres semanas para la diabetes.",
    "Por favor, recete aspirina, cien miligramos, una vez al día después de comer.",
    "La apendicectomía transcurrió sin complicaciones y la herida está seca.",
    "Hemos informado a la familia sobre el traslado previsto a la planta.",
)
FRENCH = (
    "Le patient prend de la metformine depuis trois semaines pour son diabète.",
    "Veuillez prescrire de l'aspirine, cent milligrammes, une fois par jour après le repas.",
    "L'appendicectomie s'est déroulée sans complications et la plaie est sèche.",
    "Nous avons informé la famille du transfert prévu dans le service de médecine.",
)
ENGLISH = (
    "Start metformin five hundred milligrams twice daily.",
    "Status post appendectomy, afebrile, tolerating clear liquids.",
    "Levothyroxine, lisinopril and atorvastatin continued; hold warfarin.",
    "Echocardiogram shows hypertrophic cardiomyopathy with diastolic dysfunction.",
)


@pytest.mark.parametrize(
    ("sentences", "language"), [(GERMAN, "de"), (SPANISH, "es"), (FRENCH, "fr")]
)
def test_a_manifest_in_another_language_is_refused(
    sentences: tuple[str, ...], language: str
) -> None:
    """German, Spanish and French are recognised by their text; the route is /finetune-asr."""
    rows = [factories.utterance(place, text=sentences[place % 4]) for place in range(130)]
    assert manifest_language(rows) == language
    message = refused(judge(ker(42, 100), rows=rows), Action.OTHER_LANGUAGE, "/finetune-asr")
    assert f"'{language}'" in message


def test_terse_clinical_english_is_english() -> None:
    """Latin and Greek words do not make another language of it."""
    rows = [factories.utterance(place, text=ENGLISH[place % 4]) for place in range(130)]
    assert manifest_language(rows) == "en"
    assert judge(ker(42, 100), rows=rows).passed


@pytest.mark.parametrize(
    ("fields", "language"),
    [
        ({"lang": "de"}, "de"),
        ({"lang": "de-DE"}, "de"),
        ({"language": "es"}, "es"),
        ({"lang": "en-US"}, "en"),
        ({"lang": "EN"}, "en"),
    ],
)
def test_a_stated_language_goes_before_a_guess(fields: dict[str, str], language: str) -> None:
    """The manifest's own field is believed."""
    rows = rows_of(60, 70, extra=fields)
    assert manifest_language(rows) == language
    assert judge(ker(42, 100), rows=rows).passed is (language == "en")


def test_one_foreign_row_among_english_ones_is_refused() -> None:
    """A mixed manifest is not an English one."""
    rows = [*rows_of(60, 70, extra={"lang": "en"}), factories.utterance(131, extra={"lang": "fr"})]
    refused(judge(ker(42, 100), rows=rows), Action.OTHER_LANGUAGE, neighbour_stages.GENERIC)


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
    with pytest.raises(InputError, match="use one of drug, procedure"):
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


def test_adapters_on_hybrid_models_are_called_broken_too() -> None:
    """A hybrid has a transducer among its decoders."""
    base = Base("hybrid", Decoder.HYBRID_TDT_CTC, Status.UNKNOWN, "a note")
    assert "72 NaN" in judge(ker(42, 100), base=base, method=Method.ADAPTER).reasons[0].message


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


# Several terms a row.


def several(n: int, *, missed: int = 0) -> tuple[list[Utterance], Scores]:
    """Rows of a drug, another and a lab value, and their baseline."""
    terms = (RowTerm("aspirin", "drug"), RowTerm("warfarin", "drug"), RowTerm("inr", "lab"))
    rows = [
        factories.utterance(number, None, text=f"aspirin warfarin inr {number}", terms=terms)
        for number in range(1, n + 1)
    ]
    heard = [
        hypothesis_for(row, "nothing" if place < missed else row.text)
        for place, row in enumerate(rows)
    ]
    return rows, score(heard)


def test_the_minimums_count_rows_not_terms() -> None:
    """Fifty rows of three terms are fifty rows; both categories have them all."""
    rows, baseline = several(50, missed=40)
    result = judge(baseline, rows=rows, policy=GatePolicy(priority=("drug", "lab")))
    (reason,) = result.reasons
    assert "The manifest has 50 rows, fewer than 100" in reason.message
    assert result.figures["priority"] == {
        "drug": {"rows": 50, "n": 100, "rows_with_term": 50, "ker": 0.8},
        "lab": {"rows": 50, "n": 50, "ker": 0.8},
    }
    few, _ = several(4)
    result = judge(baseline, rows=[*few, *rows_of(0, 120)])
    assert "drug has 4 rows, fewer than 5" in result.reasons[0].message


def test_the_reason_says_terms_and_rows() -> None:
    """The n is that of the figure."""
    rows, baseline = several(120, missed=60)
    (reason,) = judge(baseline, rows=rows).reasons
    assert "drug KER is 0.500 (120 of 240 terms in 120 rows missed)" in reason.message


def test_a_baseline_that_knows_one_term_a_row_is_told() -> None:
    """Its other terms count for no KER, and the warning says how they would."""
    rows, baseline = several(120, missed=60)
    assert judge(baseline, rows=rows).warnings == ()
    older = score(
        replace(row.row, terms=(), term="aspirin", entity_category="drug") for row in baseline.rows
    )
    (warning,) = judge(older, rows=rows).warnings
    assert warning.startswith("120 rows of the manifest list several terms")
    assert "asr-flywheel transcribe" in warning
