"""The grow plan: the rows to add, worst first, in a form that the build stage can use."""

from __future__ import annotations

import csv
import dataclasses
import io
import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.data.cycle_folder import open_cycle
from tasks.data.vocabularies import CATEGORIES
from tasks.decision import grow_plan_files
from tasks.decision.condition_grid import USUAL_ROWS_PER_TERM
from tasks.decision.decision_table import Verdict
from tasks.decision.gate_policy import GatePolicy
from tasks.decision.grow_plan import GrowPlan, make_plan, plan_for
from tasks.decision.pronunciation_gap import pronunciation_gap
from tasks.decision.verdict import Decision, decide
from tasks.decision.verdict_rules import DecisionEvidence
from tasks.evaluation.diff import PairedScores, pair
from tasks.evaluation.hypotheses import Hypothesis, Partition
from tasks.evaluation.scoring import Scores, score
from tests.support import factories

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

VOICES, NOISES = ("mia", "jason", "ray"), ("clean", "snr_15db", "snr_5db")
CONTEXTS = ("dictation", "handoff", "chart_note", "history")


def rows_of(term: str, missed: Sequence[bool], **fields: Any) -> list[Hypothesis]:
    """Rows of a term in ever other conditions, the first of which is held out."""
    return [
        Hypothesis(
            audio_filepath=f"{term}/{place}.wav",
            ref=f"we gave {term} today",
            hyp="we gave it today" if miss else f"we gave {term} today",
            term=term,
            **{
                "entity_category": "drug",
                "ipa_source": "override",
                "voice_id": VOICES[place % 3],
                "noise_level": NOISES[place % 3],
                "context_type": CONTEXTS[place % 4],
                "part": Partition.TRAINED if place else Partition.HELD_OUT,
                **fields,
            },
        )
        for place, miss in enumerate(missed)
    ]


def clinic(*more: Hypothesis) -> Scores:
    """Two drugs that are missed, one that is not, and whatever is added."""
    return score(
        [
            *rows_of("cefazolin", [True, False, False, False, False]),
            *rows_of("metformin", [False, True, False, False, False]),
            *rows_of("aspirin", [False] * 5),
            *more,
        ]
    )


def plan(scores: Scores, **more: Any) -> GrowPlan:
    """The plan for drugs."""
    return make_plan(scores, ["drug"], model="tuned", **more)


def test_the_terms_that_were_missed_come_worst_first_with_the_reason() -> None:
    """Held-out misses go before misses on trained rows; what was found needs no row."""
    lines = plan(clinic()).lines
    assert [line.term for line in lines] == ["cefazolin", "metformin"]
    assert lines[0].why == "missed in 1 of 1 held-out row"
    assert lines[1].why == "missed in 1 of 4 rows that were trained on"


def test_a_lines_rows_are_its_new_combinations() -> None:
    """Crossing its cells as the build stage does makes that many rows which are not there yet."""
    scores = clinic()
    there = {
        (row.row.term, row.row.voice_id, row.row.noise_level, row.row.context_type)
        for row in scores.rows
    }
    for line in plan(scores).lines:
        crossed = [
            (line.term, voice, noise, context)
            for voice in line.voices
            for noise in line.noise_levels
            for context in line.context_types
        ]
        assert line.rows == sum(one not in there for one in crossed) > 0


def test_the_worst_conditions_are_taken_first() -> None:
    """A voice in which drugs are missed goes before one in which they are found."""
    hard = [
        row
        for number in range(6)
        for row in rows_of(f"term{number}", [True], voice_id="mumbler", noise_level="snr_5db")
    ]
    found = plan(clinic(*hard))
    voices = [one for one in found.conditions if one.dimension == "voice_id"]
    assert voices[0].value == "mumbler"
    assert (voices[0].missed.hits, voices[0].missed.n) == (6, 6)
    first = next(line for line in found.lines if line.term == "cefazolin")
    assert first.voices[0] == "mumbler"


def test_a_priority_category_doubles_and_has_at_least_the_gates_rows() -> None:
    """What the known terms cannot carry goes to new terms; the manifest ends above 100 rows."""
    found = plan(clinic())
    assert found.rows >= 100 - 15
    assert found.new_terms["drug"] * USUAL_ROWS_PER_TERM >= 85 - sum(x.rows for x in found.lines)
    assert any("new drug terms" in line for line in found.advice)


def test_after_forgetting_replay_is_advised_first() -> None:
    """More rows of the clinic's own would not bring general English back."""
    assert "--replay-share" in plan(clinic(), forgets=True).advice[0]
    assert "--replay-share" not in " ".join(plan(clinic()).advice)


def test_the_rows_that_would_settle_it_are_planned() -> None:
    """They are held-out rows, a fifth of all; one turn adds at most three times what is there."""
    many = [row for n in range(20) for row in rows_of(f"drug{n}", [True, *[False] * 4])]
    found = plan(clinic(*many), needed={"drug": 60})
    assert found.rows >= 60 * 5 - 115
    assert any("About 60 held-out rows of drug" in line for line in found.advice)
    assert plan(clinic(*many), needed={"drug": 6000}).rows <= 3 * 115 + USUAL_ROWS_PER_TERM


def test_an_unsettled_decision_plans_the_rows_that_it_lacks() -> None:
    """The number is the decision's own."""
    before, after = five_drugs(3, 2, 0, 0), five_drugs(2, 0, 1, 1)
    unsettled, pairing = decided(before, after)
    assert unsettled.verdict is Verdict.INCONCLUSIVE
    found = plan_for(unsettled, pairing, ["drug"], ("base", "tuned"))
    assert found is not None
    assert any(f"About {unsettled.rows_needed} held-out rows" in line for line in found.advice)


def test_other_categories_get_what_lets_one_row_be_held_out() -> None:
    """And stand after the priority ones, only where a held-out row was missed."""
    lab = rows_of("sodium", [True, False], entity_category="lab")
    learnt = rows_of("ferritin", [False, True], entity_category="lab")
    lines = plan(clinic(*lab, *learnt)).lines
    assert [line.term for line in lines] == ["cefazolin", "metformin", "sodium"]
    assert lines[-1].rows < lines[0].rows


def test_a_pronunciation_gap_comes_first() -> None:
    """Guessed pronunciations stand before everything else, and the first advice is to mend them."""
    known = [
        row
        for n in range(10)
        for row in rows_of(f"known{n}", [False], ipa_source="merriam-webster")
    ]
    guessed = [
        row for n in range(6) for row in rows_of(f"guess{n}", [True], ipa_source="magpie_g2p")
    ]
    scores = clinic(*known, *guessed)
    gap = pronunciation_gap(scores, GatePolicy())
    found = plan(scores, gap=gap)
    assert found.advice[0].startswith("Pronunciation first: merriam-webster rows are good")
    assert {line.ipa_source for line in found.lines[:6]} == {"magpie_g2p"}
    assert found.lines[6].term == "cefazolin"
    assert "audition it first" in found.lines[0].why


def test_the_csv_is_a_term_seed_with_more_columns(tmp_path: Path) -> None:
    """The build stage reads term and entity_category by name, once a term, in its vocabulary."""
    (tmp_path / "cycle2").mkdir()
    odd = 'x, "y"\nz'
    rows = rows_of("cefazolin", [True]) + [
        dataclasses.replace(row, term=odd) for row in rows_of("q", [True])
    ]
    written = grow_plan_files.write_plan(open_cycle(tmp_path / "cycle2"), plan(score(rows)))
    assert [path.name for path in written] == ["grow_plan.csv", "grow_plan.md"]
    text = written[0].read_text(encoding="utf-8")
    assert text.startswith("term,entity_category,")
    read = list(csv.DictReader(io.StringIO(text)))
    assert {row["term"] for row in read} == {"cefazolin", odd}
    assert len(read) == len({row["term"] for row in read})
    assert all(row["entity_category"] in CATEGORIES for row in read)
    assert all(int(row["rows"]) > 0 for row in read)
    shown = written[1].read_text(encoding="utf-8")
    assert "| cefazolin | drug |" in shown
    assert all(line.count(" | ") == 6 for line in shown.splitlines() if "| drug |" in line)


def test_without_a_plan_the_one_of_an_earlier_run_goes(tmp_path: Path) -> None:
    """A kept model must not lie beside a list of what to add."""
    (tmp_path / "cycle2").mkdir()
    cycle = open_cycle(tmp_path / "cycle2")
    grow_plan_files.write_plan(cycle, plan(clinic()))
    assert grow_plan_files.write_plan(cycle, None) == []
    assert list(cycle.path.iterdir()) == []


def test_rows_without_conditions_can_be_planned_too() -> None:
    """A manifest that lacks voices, noise and contexts gets lines without them, and the advice."""
    bare = [
        dataclasses.replace(row, voice_id=None, noise_level=None, context_type=None, part=None)
        for row in rows_of("cefazolin", [True, False])
    ]
    found = plan(score([*bare, dataclasses.replace(bare[0], term=None, audio_filepath="z.wav")]))
    (line,) = found.lines
    assert (line.voices, line.noise_levels, line.context_types) == ((), (), ())
    assert line.rows == 1
    assert line.why == "missed in 1 of 2 rows"
    assert any(re.match("No row has the noise level clean, snr_15db", x) for x in found.advice)
    assert any(x.startswith("1 row has no term") for x in found.advice)


def decided(before: Scores, after: Scores) -> tuple[Decision, PairedScores]:
    """The decision on held-out rows and the pairs it rests on."""
    pairing = pair(before, after)
    changes = pairing.held_out.by_category
    grounds = DecisionEvidence(changes, "held-out", guardrail=factories.held_guardrail())
    return decide(grounds, ["drug"]), pairing


def five_drugs(*missed: int) -> Scores:
    """Of each drug's five rows, all held out, the first so many are missed."""
    return score(
        row
        for place, count in enumerate(missed)
        for row in rows_of(f"drug{place}", [n < count for n in range(5)], part=Partition.HELD_OUT)
    )


def test_the_plan_follows_the_decision() -> None:
    """None for a kept model; the tuned model's misses, or the base's if the tuned one is worse."""
    bad, good, worse = five_drugs(4, 0, 0, 0), five_drugs(0, 1, 0, 0), five_drugs(4, 0, 5, 0)
    little = five_drugs(4, 4, 4)
    names = ("base", "tuned")
    kept, pairing = decided(little, good)
    assert plan_for(kept, pairing, ["drug"], names) is None
    discarded, pairing = decided(bad, worse)
    found = plan_for(discarded, pairing, ["drug"], names)
    assert found is not None
    assert (found.model, [line.term for line in found.lines]) == ("base", ["drug0"])
    assert found.lines[0].why == "missed in 4 of 5 rows"
    unmoved, pairing = decided(little, little)
    found = plan_for(unmoved, pairing, ["drug"], names)
    assert found is not None
    assert (found.model, len(found.lines)) == ("tuned", 3)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "c", "d e"]),
            st.sampled_from([*CATEGORIES[:2], None]),
            st.sampled_from([*VOICES, None]),
            st.sampled_from([*NOISES, None]),
            st.booleans(),
            st.sampled_from([*Partition, None]),
        ),
        max_size=40,
    )
)
def test_any_evaluation_can_be_planned(rows: list[tuple[Any, ...]]) -> None:
    """No line is empty, none is longer than twice the usual, and no term stands twice."""
    made = [
        dataclasses.replace(
            rows_of(term, [miss])[0],
            audio_filepath=f"{place}.wav",
            entity_category=category,
            voice_id=voice,
            noise_level=noise,
            part=part,
        )
        for place, (term, category, voice, noise, miss, part) in enumerate(rows)
    ]
    lines = plan(score(made)).lines
    assert all(0 < line.rows <= 2 * USUAL_ROWS_PER_TERM for line in lines)
    assert len({(line.term, line.category) for line in lines}) == len(lines)


@pytest.mark.parametrize("known", [0.05, 0.5])
def test_a_gap_is_told_by_the_contracts_figures(known: float) -> None:
    """0.05 on dictionary rows against 0.41 on guessed ones is a gap; 0.5 against it is none."""
    rows = [
        *rows_of("k", [n < 100 * known for n in range(100)], ipa_source="merriam-webster"),
        *rows_of("g", [n < 41 for n in range(100)], ipa_source="magpie_g2p"),
    ]
    assert (pronunciation_gap(score(rows), GatePolicy()) is not None) == (known < 0.1)
