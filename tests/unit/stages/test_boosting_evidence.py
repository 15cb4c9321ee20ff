"""What boosting gains and costs, by term, by terms without audio and by false keyword."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from tasks.data.manifest import Utterance
from tasks.data.preflight import CheckedRow
from tasks.data.split_parts import Split
from tasks.decision.guardrail import GuardrailPolicy
from tasks.evaluation.error_counts import Proportion
from tasks.evaluation.false_keywords import index_terms
from tasks.evaluation.hypotheses import hypothesis_for
from tasks.evaluation.scoring import Scores, score
from tasks.stages.boosting_evidence import (
    GENERAL_PART,
    HELD_OUT_PART,
    count_misses,
    describe_untrained,
    strength_lines,
    terms_without_audio,
    wrongly_written,
)
from tasks.stages.boosting_figures import JudgedScores
from tasks.stages.boosting_inputs import BoostingRows, divide_rows

if TYPE_CHECKING:
    from tasks.data.general_english import GeneralSet


def checked(
    name: str, text: str, term: str | None = None, category: str | None = None
) -> CheckedRow:
    """A row that passed the preflight."""
    utterance = Utterance(0, name, text, 2.0, term=term, entity_category=category)
    return CheckedRow(utterance, Path("/clinic") / name, name, text, term)


SPOKEN = (
    checked("1.wav", "give aspirin now", "aspirin", "drug"),
    checked("2.wav", "give Aspirin again", "Aspirin", "drug"),
    checked("3.wav", "give heparin now", "heparin", "drug"),
    checked("4.wav", "a biopsy now", "biopsy", "procedure"),
)


def heard(*texts: str, rows: tuple[CheckedRow, ...] = SPOKEN) -> Scores:
    """The scores of these texts."""
    return score(hypothesis_for(row.utterance, text) for row, text in zip(rows, texts, strict=True))


BASE = heard("give it now", "give it again", "give it now", "a biopsy now")
TUNED = heard("give aspirin now", "give it again", "give it now", "a by now")
MODELS = {"base": BASE, "tuned": TUNED}


def test_each_term_has_its_misses_by_each_model() -> None:
    """A term in another casing is the same term; the base's most missed one comes first."""
    found = count_misses(MODELS, frozenset({"heparin"}))
    assert [(one.term, one.n, dict(one.missed), one.trained) for one in found] == [
        ("aspirin", 2, {"base": 2, "tuned": 1}, False),
        ("heparin", 1, {"base": 1, "tuned": 1}, True),
        ("biopsy", 1, {"base": 0, "tuned": 1}, False),
    ]


def test_terms_that_no_row_trained_have_a_table_of_their_own() -> None:
    """Only they count, each category by itself, with the interval of their rows."""
    table = terms_without_audio(MODELS, frozenset({"heparin"}), ["drug"])
    assert table is not None
    assert (table["terms"], table["of_terms"]) == (1, 2)
    shares = {model: of_model["drug"] for model, of_model in table["ker"].items()}
    assert [(one["hits"], one["n"]) for one in shares.values()] == [(2, 2), (1, 2)]
    interval = Proportion(1, 2).interval
    assert interval is not None
    assert shares["tuned"]["ci"] == interval.as_list()
    lines = describe_untrained(table)
    assert lines[0] == "Terms that no row trained: 1 of the 2 terms that judge."
    assert lines[2].startswith("KER on them, tuned: drug 0.500 (")


def test_where_each_term_was_trained_there_is_no_such_table() -> None:
    """Of the categories that decide; another one's terms are not asked for."""
    trained = frozenset({"heparin", "aspirin"})
    assert terms_without_audio(MODELS, trained, ["drug"]) is None
    assert terms_without_audio(MODELS, trained, ["procedure"]) is not None


@dataclass(frozen=True)
class Sentences:
    """A general set of which these sentences judge."""

    guardrail: tuple[CheckedRow, ...]


def test_what_boosting_wrote_wrongly_comes_before_what_the_model_writes_anyway() -> None:
    """With both texts and the recording, from held-out rows and from general English."""
    general = (checked("g.wav", "we parked the car"), checked("h.wav", "a new one"))
    rows = BoostingRows(
        (),
        SPOKEN,
        cast("GeneralSet", Sentences(general)),
        ("drug",),
        GuardrailPolicy(),
        (),
    )
    plain = JudgedScores(
        heard("give heparin now", "give it again", "give it now", "a biopsy now"),
        heard("we parked the car", "a new one", rows=general),
    )
    boosted = JudgedScores(
        heard("give heparin now", "give it again", "give heparin now", "a biopsy now"),
        heard("we parked aspirin", "a new one", rows=general),
    )
    index = index_terms(["aspirin", "heparin"])
    found = [one.as_dict() for one in wrongly_written("base boosted", rows, plain, boosted, index)]
    assert [(one["audio_filepath"], one["part"], one["by_boosting"]) for one in found] == [
        ("g.wav", GENERAL_PART, ["aspirin"]),
        ("1.wav", HELD_OUT_PART, []),
    ]
    assert found[0]["recording"] == "/clinic/g.wav"
    assert found[0]["hyp"] == "we parked aspirin"
    assert found[0]["hyp_without_phrases"] == "we parked the car"
    none_heard = replace(boosted, general=plain.general)
    assert len(wrongly_written("base boosted", rows, plain, none_heard, index)) == 1


def test_strengths_are_in_order_with_their_false_keywords() -> None:
    """The chosen one is marked; where none was counted, none is told."""
    candidates = [
        {"strength": strength, "ker": 0.5, "ker_ci": None, "general_wer": None}
        for strength in (1.0, 0.0, 0.5)
    ]
    lines = strength_lines(candidates, {0.0: Proportion(0, 4), 0.5: Proportion(1, 4)}, 0.5)
    assert [(line["strength"], line["chosen"]) for line in lines] == [
        (0.0, False),
        (0.5, True),
        (1.0, False),
    ]
    assert lines[1]["false_keywords"]["hits"] == 1
    assert lines[2]["false_keywords"] is None


def test_rows_that_are_trained_on_give_their_terms() -> None:
    """With terms held out, no term of the rows that judge is among them."""
    rows = [
        replace(row, utterance=replace(row.utterance, row=number))
        for number, row in enumerate(
            (checked(f"{place}.wav", f"give drug{place}", f"Drug{place}", "drug"))
            for place in range(30)
        )
    ]
    split = Split(tuple(range(10)), tuple(range(10, 30)), ())
    divided = divide_rows(rows, split, None, ("drug",), GuardrailPolicy(), ())
    assert divided.trained_terms == {f"drug{place}" for place in range(10)}
    silent = {"base": heard(*[""] * 20, rows=divided.held_out)}
    table = terms_without_audio(silent, divided.trained_terms, ["drug"])
    assert table is not None
    assert (table["terms"], table["of_terms"]) == (20, 20)
