"""Rows of several terms: each counts for its own category, and all of a row hang together."""

from __future__ import annotations

import csv
import io
import itertools
import json
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from asr_flywheel.demo.sentence_templates import CARRIERS
from asr_flywheel.demo.terms import TERMS
from tasks.common.errors import InputError
from tasks.data.row_terms import RowTerm
from tasks.decision.decision_table import describe, movement
from tasks.decision.evidence import evidence, missed_or_wrong_value
from tasks.decision.grow_plan import make_plan
from tasks.decision.significance import rows_needed
from tasks.decision.verdict import decide
from tasks.evaluation import diff, leaderboard
from tasks.evaluation.error_counts import Proportion
from tasks.evaluation.false_keywords import FalseKeywordFinder, false_keyword_effect, index_terms
from tasks.evaluation.hypotheses import Hypothesis, Partition, hypothesis_for, write_hypotheses
from tasks.evaluation.incremental_scoring import ScoreAccumulator, score_file, summarise
from tasks.evaluation.leaderboard_markdown import leaderboard_as_markdown
from tasks.evaluation.metric_changes import metric_changes
from tasks.evaluation.result_reading import read_hypotheses, read_results
from tasks.evaluation.score_summary import summary_as_dict
from tasks.evaluation.scoring import score
from tasks.evaluation.secondary_metrics import compute_secondary_metrics
from tasks.evaluation.statistics import mcnemar_mid_p, sign_flip_mid_p, wilson
from tasks.evaluation.training_exposure import changes_by_exposure
from tests.support import factories

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tasks.evaluation.keyword_change import KeywordErrorChange
    from tasks.evaluation.scoring import Scores

DRUGS = ("aspirin", "warfarin", "heparin", "insulin", "digoxin", "morphine")
TROPONIN = RowTerm("troponin", "lab")


def row(number: int, hyp: str, *terms: str | RowTerm, **fields: Any) -> Hypothesis:
    """A row that gives its terms in its reference; a text is a drug."""
    flagged = tuple(item if isinstance(item, RowTerm) else RowTerm(item, "drug") for item in terms)
    ref = f"give {' and '.join(item.term for item in flagged)} now"
    return Hypothesis(f"{number}.wav", ref, hyp, terms=flagged, **fields)


def heard(number: int, missed: Sequence[str], *terms: str | RowTerm, **fields: Any) -> Hypothesis:
    """A row in which these terms are missed and all else is right."""
    right = row(number, "", *terms, **fields)
    hyp = right.ref
    for term in missed:
        hyp = hyp.replace(term, "something")
    return replace(right, hyp=hyp)


# What is counted.


def test_each_term_counts_for_its_category() -> None:
    """KER is over terms, with its rows beside; WER and SER stay over rows."""
    scores = score(
        [
            heard(0, ["warfarin"], "aspirin", "warfarin", TROPONIN),
            heard(1, ["troponin"], "aspirin", TROPONIN),
            heard(2, [], "heparin"),
            Hypothesis("3.wav", "no term here", "no term here"),
        ]
    )
    assert scores.keyword == Proportion(2, 6, 3)
    assert scores.sentence == Proportion(2, 4)
    groups = scores.by("entity_category")
    assert groups["drug"].keyword == Proportion(1, 4, 3)
    assert groups["lab"].keyword == Proportion(1, 2)
    assert groups[None].n == 1
    assert {name: group.keyword.hits for name, group in scores.by("term").items() if name} == {
        "aspirin": 0,
        "warfarin": 1,
        "troponin": 1,
        "heparin": 0,
    }
    assert scores.by("noise_level")[None].keyword == Proportion(2, 6, 3)
    assert (scores.rows[0].term_missed, scores.rows[2].term_missed) == (True, False)


def test_an_interval_takes_a_row_for_one_draw() -> None:
    """Two terms of one row are missed together: they are no two rows."""
    share = Proportion(10, 40, 20)
    assert share.interval == wilson(5, 20)
    assert Proportion(10, 40, 40) == Proportion(10, 40)
    assert (share.bracket, share.unit) == ("40 in 20 rows", "40 terms in 20 rows")
    assert share + Proportion(1, 2) == Proportion(11, 42, 22)
    with pytest.raises(ValueError, match="cannot stand in"):
        Proportion(1, 2, 3)


def test_spellings_are_told_term_by_term() -> None:
    """One is missed by spelling only, the other is not there at all."""
    terms = (RowTerm("x ray", "procedure"), RowTerm("aspirin", "drug"))
    said = "an x ray and aspirin"
    counts = score([Hypothesis("0.wav", said, "an x-ray and a prin", terms=terms)]).counts
    assert (counts.terms_missed, counts.missed_by_spelling) == (2, 1)
    assert counts.canonical_keyword == Proportion(1, 2, 1)


def test_a_false_keyword_counts_once_a_row_and_once_in_each_category() -> None:
    """The rate of all rows is no sum of the categories'."""
    scores = score(
        [
            row(0, "give heparin now", "aspirin", TROPONIN),
            heard(1, [], "aspirin", "heparin"),
        ]
    )
    found = compute_secondary_metrics(scores)
    assert found.false_keywords == Proportion(1, 2)
    assert found.false_keywords_of("drug") == Proportion(1, 2)
    assert found.false_keywords_of("lab") == Proportion(1, 1)
    assert found.near_misses() == {"aspirin": {"heparin": 1}, "troponin": {"(nothing)": 1}}


def many(seed: int, n: int = 60, part: Partition | None = None) -> list[Hypothesis]:
    """Rows of one to four terms, some missed, some without a term, some of a single one."""
    draw = random.Random(seed)  # noqa: S311 - repeatable, not secret
    rows = []
    for number in range(n):
        terms: list[str | RowTerm] = [*draw.sample(DRUGS, draw.randint(0, 3))]
        if draw.random() < 0.4:
            terms.append(TROPONIN)
        names = [item if isinstance(item, str) else item.term for item in terms]
        missed = [name for name in names if draw.random() < 0.4]
        fields: dict[str, Any] = {"noise_level": draw.choice(("clean", None)), "part": part}
        one = heard(number, missed, *terms, **fields)
        if len(terms) == 1 and number % 2:
            (only,) = one.terms
            one = replace(one, term=only.term, entity_category=only.entity_category, terms=())
        rows.append(one)
    return rows


def test_a_file_of_any_length_gives_the_same_counts(tmp_path: Path) -> None:
    """In one go, row by row, and in parts that are merged."""
    nothing_left = Hypothesis("x.wav", "give ?! now", "give now", terms=(RowTerm("?!", "drug"),))
    rows = [*many(1), nothing_left]
    path = tmp_path / "rows.jsonl"
    write_hypotheses(path, rows)
    assert read_hypotheses(path) == tuple(rows)
    scores, summary = score(rows), score_file(path)
    first, second = (
        ScoreAccumulator(index_terms(scores.terms)),
        ScoreAccumulator(index_terms(scores.terms)),
    )
    for number, one in enumerate(rows):
        (first if number < 25 else second).add(one)
    first.merge(second)
    for found in (summary, first.summary(), summarise(rows, index_terms(scores.terms))):
        assert found.counts.keyword == scores.keyword
        assert found.counts.ser == scores.ser
        for dimension in ("entity_category", "term", "noise_level"):
            groups = scores.by(dimension)
            assert {name: counts.keyword for name, counts in found.by[dimension].items()} == {
                name: group.keyword for name, group in groups.items()
            }
    printed = summary_as_dict(summary)
    assert printed["n_with_term"] > printed["rows_with_term"] == scores.keyword.rows
    drugs = printed["by"]["entity_category"]["drug"]
    assert drugs["rows_with_term"] < drugs["n"]
    assert summary.beyond is not None
    assert summary.beyond.as_dict() == compute_secondary_metrics(scores).as_dict()


# One term a row.


def demo_rows(*, listed: bool, seed: int) -> Scores:
    """Rows of the demo's sentences and terms, some missed; the term alone, or a list of one."""
    draw = random.Random(seed)  # noqa: S311 - repeatable, not secret
    said = random.Random(0)  # noqa: S311 - the same rows, whatever is heard
    rows = []
    for number in range(120):
        term = TERMS[number % len(TERMS)]
        context = said.choice(sorted(CARRIERS))
        carrier = said.choice(CARRIERS[context][term.category])
        ref = carrier.format(term=term.text, dose=term.dose)
        hyp = ref.replace(term.text, "uh") if draw.random() < 0.5 else ref
        if draw.random() < 0.1:
            hyp += f" {draw.choice(TERMS).text}"
        single = {"term": term.text, "entity_category": term.category}
        several = {"terms": (RowTerm(term.text, term.category),)}
        rows.append(
            Hypothesis(
                f"{number}.wav",
                ref,
                hyp,
                **(several if listed else single),
                ipa_source="override" if term.ipa else "magpie_g2p",
                voice_id=f"v{number % 5}",
                noise_level=("clean", "snr_5db")[number % 2],
                part=Partition.HELD_OUT if number % 4 else Partition.TRAINED,
            )
        )
    return score(rows)


def board(before: Scores, after: Scores) -> list[str]:
    """The bytes of the leaderboard."""
    pairing = diff.pair(before, after)
    made = leaderboard.Leaderboard(
        2,
        leaderboard.tuned_entries("base", before, "tuned", after)[:2],
        changes=metric_changes(pairing.held_out),
        exposure=changes_by_exposure(pairing),
    )
    return [leaderboard_as_markdown(made), json.dumps(made.as_dict())]


def decision(before: Scores, after: Scores) -> list[str]:
    """The bytes of differences, decision and grow plan."""
    pairing = diff.pair(before, after)
    decided = decide(evidence(pairing), ["drug", "lab"])
    changes = {name: delta.as_dict() for name, delta in pairing.by_category.items()}
    plan = make_plan(after, ["drug"], model="tuned")
    return [json.dumps(changes), json.dumps(decided.as_dict()), repr(plan)]


def figures(_: Scores, after: Scores) -> list[str]:
    """The bytes of ``score --json``."""
    summary = summarise((one.row for one in after.rows), index_terms(after.terms))
    return [json.dumps(summary_as_dict(summary))]


@pytest.mark.parametrize("written", [board, decision, figures])
def test_a_manifest_with_one_term_a_row_gives_the_same_bytes(
    written: Callable[[Scores, Scores], list[str]],
) -> None:
    """Whether the term stands alone or in a list: leaderboard, diff, decision, score, grow plan."""
    alone, listed = (
        written(*(demo_rows(listed=listed, seed=seed) for seed in (1, 2)))
        for listed in (False, True)
    )
    assert alone == listed
    assert "in rows" not in "".join(listed)


# Comparisons.


def compared(
    before: Sequence[Hypothesis], after: Sequence[Hypothesis], category: str = "drug"
) -> KeywordErrorChange:
    """The change of a category's KER."""
    return diff.pair(score(before), score(after)).by_category[category]


@pytest.mark.parametrize("nets", [[2, 1, -1, 3, 2, 2], [2] * 5, [3, -1, 1, 2, -2], [1, 1, 1, -1]])
def test_the_sign_flip_test_is_exact(nets: list[int]) -> None:
    """All flips are counted, and half of those that are as far."""
    flips = [
        abs(sum(sign * net for sign, net in zip(signs, nets, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(nets))
    ]
    total = abs(sum(nets))
    expected = sum((flip > total) + (flip == total) / 2 for flip in flips) / len(flips)
    assert sign_flip_mid_p(nets) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("fixed", "broken"), [(5, 0), (8, 1), (3, 3), (0, 7), (40, 22)])
def test_the_sign_flip_test_of_single_terms_is_mcnemars(fixed: int, broken: int) -> None:
    """Also for the last row that is counted exactly, and beyond."""
    nets = [1] * fixed + [-1] * broken
    assert sign_flip_mid_p(nets) == pytest.approx(mcnemar_mid_p(fixed, broken), abs=1e-12)
    assert sign_flip_mid_p([2] * fixed + [-2] * broken) == pytest.approx(sign_flip_mid_p(nets))
    large = [1] * (1100 + fixed) + [-1] * (1000 + broken)
    assert sign_flip_mid_p(large) == pytest.approx(
        mcnemar_mid_p(1100 + fixed, 1000 + broken), rel=0.02
    )


def test_terms_that_change_together_in_a_row_are_one_change() -> None:
    """Four rows of three terms show no more than four rows."""
    terms = [DRUGS[:3], DRUGS[3:], (DRUGS[0], DRUGS[2], DRUGS[4]), (DRUGS[1], DRUGS[3], DRUGS[5])]
    change = compared(
        [heard(n, of_row, *of_row) for n, of_row in enumerate(terms)],
        [heard(n, [], *of_row) for n, of_row in enumerate(terms)],
    )
    assert (change.n, change.rows, change.fixed) == (12, 4, 12)
    assert change.row_nets == (3, 3, 3, 3)
    assert change.p_rows == mcnemar_mid_p(4, 0) == 0.0625
    assert change.p == max(change.p_rows, change.p_terms or 0.0)
    # Twelve terms that change on their own would show it.
    assert mcnemar_mid_p(12, 0) < 0.001
    # The interval is that of four rows, too.
    four = compared(
        [heard(n, [DRUGS[n]], DRUGS[n]) for n in range(4)],
        [heard(n, [], DRUGS[n]) for n in range(4)],
    )
    assert change.interval == four.interval


def test_the_larger_p_counts_where_a_term_changes_as_a_whole() -> None:
    """Forty rows, but one term that is learnt and four others that change by one row each."""
    others = DRUGS[1:]
    before = [heard(n, ["aspirin"], "aspirin", others[n % 5]) for n in range(40)]
    after = [
        heard(n, ["aspirin", others[n]] if n < 4 else [], "aspirin", others[n % 5])
        for n in range(40)
    ]
    change = compared(before, after)
    assert len(change.nets) == 5
    assert change.p_terms is not None
    assert change.p_rows is not None
    assert change.p == change.p_terms > 0.2
    assert change.p_rows < 1e-6
    record = change.as_dict()
    assert (record["rows_with_term"], record["p_rows"]) == (40, change.p_rows)


def test_few_terms_cannot_hide_harm() -> None:
    """Under five changed terms say nothing about terms; the rows then count."""
    before = [heard(n, [], "aspirin", "warfarin") for n in range(30)]
    after = [heard(n, ["aspirin"] if n < 12 else [], "aspirin", "warfarin") for n in range(30)]
    change = compared(before, after)
    assert change.p == change.p_rows
    assert change.p is not None
    assert change.p < 0.001


def test_the_rows_that_are_asked_for_are_rows() -> None:
    """A change that needs so many single-term rows needs about as many of two that go together."""
    single = compared(
        [heard(n, [DRUGS[n % 6]] if n % 4 < 2 else [], DRUGS[n % 6]) for n in range(24)],
        [heard(n, [DRUGS[n % 6]] if n % 4 < 1 else [], DRUGS[n % 6]) for n in range(24)],
    )
    pairs = [(DRUGS[n % 6], DRUGS[(n + 1) % 6]) for n in range(24)]
    double = compared(
        [heard(n, pairs[n] if n % 4 < 2 else [], *pairs[n]) for n in range(24)],
        [heard(n, pairs[n] if n % 4 < 1 else [], *pairs[n]) for n in range(24)],
    )
    assert (single.n, double.n, double.rows) == (24, 48, 24)
    assert double.inflation == 2
    assert rows_needed(single, 1) == rows_needed(double, 1)


def test_two_evaluations_are_compared_on_the_terms_that_both_have() -> None:
    """An older result knows one term of the row; the order of a list does not matter."""
    older = Hypothesis("0.wav", "give aspirin and warfarin now", "give now", "warfarin", "drug")
    newer = heard(0, [], "aspirin", "warfarin")
    change = compared([older], [newer])
    assert (change.n, change.fixed) == (1, 1)
    turned = replace(newer, terms=newer.terms[::-1], hyp="give aspirin now")
    assert compared([turned], [newer]).fixed == 1


def test_a_wrong_dose_spoils_all_terms_of_its_row() -> None:
    """As a false keyword does; a false keyword is counted in rows."""
    said = "give aspirin and warfarin 5 mg"
    terms = (RowTerm("aspirin", "drug"), RowTerm("warfarin", "drug"))
    before = score([Hypothesis("0.wav", said, said, terms=terms)])
    wrong = score([Hypothesis("0.wav", said, f"{said}0 heparin", terms=terms)])
    other = heard(1, [], "heparin", "insulin")
    pairing = diff.pair(
        score([before.rows[0].row, other]),
        score([replace(wrong.rows[0].row, hyp=said + "0"), other]),
    )
    assert pairing.changes(missed_or_wrong_value)["drug"].after == Proportion(2, 4, 2)
    pairing = diff.pair(score([before.rows[0].row, other]), score([wrong.rows[0].row, other]))
    effect = false_keyword_effect(
        pairing, FalseKeywordFinder(index_terms(pairing.terms)), diff.term_missed
    )
    assert effect.rows["drug"].after == Proportion(1, 2)
    assert effect.with_false_keywords_as_misses["drug"].after == Proportion(2, 4, 2)


def test_the_table_says_terms_and_rows() -> None:
    """In a sentence of the decision."""
    change = compared(
        [heard(n, ["aspirin"], "aspirin", "warfarin") for n in range(20)],
        [heard(n, [], "aspirin", "warfarin") for n in range(20)],
    )
    told = describe(change, movement(change))
    assert "20 → 0 of 40 terms in 20 rows missed" in told


def test_terms_that_were_trained_on_are_told_apart_from_others_of_a_row() -> None:
    """One term of a held-out row was heard in training, the other never."""
    rows = [
        heard(0, [], "aspirin", part=Partition.TRAINED),
        heard(1, ["warfarin"], "aspirin", "warfarin", part=Partition.HELD_OUT),
    ]
    seen, unseen = changes_by_exposure(diff.pair(score(rows), score(rows)))
    assert (seen.category, seen.after) == ("seen term", Proportion(0, 1))
    assert (unseen.category, unseen.after) == ("unseen term", Proportion(1, 1))


# The leaderboard and the grow plan.


def test_the_leaderboard_shows_rows_where_they_differ() -> None:
    """In every section that has a KER, and in its JSON."""
    scores = score(many(2, part=Partition.HELD_OUT))
    board = leaderboard.Leaderboard(1, leaderboard.baseline_entries("base", scores))
    text, record = leaderboard_as_markdown(board), json.loads(json.dumps(board.as_dict()))
    keyword, drug = scores.keyword, scores.by("entity_category")["drug"].keyword
    assert f"| {keyword.n} ({keyword.rows} rows) |" in text
    assert f"({drug.n} in {drug.rows} rows)" in text
    (headline,) = record["sections"]["headline"]
    assert (headline["n with term"], headline["in rows"]) == (keyword.n, keyword.rows)
    lines = {line["entity_category"]: line for line in record["sections"]["entity_category"]}
    assert (lines["drug"]["n"], lines["drug"]["in rows"]) == (drug.n, drug.rows)
    assert record["beyond"][0]["spelling"]["rows_with_term"] == keyword.rows
    # A term stands once in a row, so that its n is that of its rows.
    assert not any("in rows" in line for line in record["sections"]["term"])


def test_the_grow_plan_names_each_missed_term_and_counts_rows_once() -> None:
    """Sixty rows of two missed terms are sixty rows of the category, to be doubled."""
    scores = score([heard(n, ["aspirin", "warfarin"], "aspirin", "warfarin") for n in range(60)])
    plan = make_plan(scores, ["drug"], model="base", trained=False)
    assert {line.term for line in plan.lines} == {"aspirin", "warfarin"}
    # Two rows by its lines, since no condition is named; the other 58 are for new terms.
    assert plan.new_terms == {"drug": 5}
    assert not any("have no term" in line for line in plan.advice)


# Files.


def test_results_are_checked_as_manifests_are(tmp_path: Path) -> None:
    """Every row, with its fix; case and plural of a category are read as the right word."""
    good = heard(0, [], "aspirin", "warfarin").as_dict()
    path = tmp_path / "rows.jsonl"
    plural = [{**item, "entity_category": "Drugs"} for item in good["terms"]]
    factories.write_rows(path, [{**good, "terms": plural}])
    (read,), notes = read_results(path)
    assert read.flagged == (RowTerm("aspirin", "drug"), RowTerm("warfarin", "drug"))
    assert "'Drugs' of 2 rows was read as 'drug'" in " ".join(notes.lines())
    bad = [
        {**good, "audio_filepath": "1.wav", "terms": [{"term": "heparin"}]},
        {**good, "audio_filepath": "2.wav", "terms": ["aspirin"]},
        {**good, "audio_filepath": "3.wav", "terms": None, "term": "aspirin; warfarin"},
        {**good, "audio_filepath": "4.wav", "terms": None, "term": ["aspirin", "warfarin"]},
    ]
    factories.write_rows(path, [good, *bad])
    with pytest.raises(InputError) as told:
        read_hypotheses(path)
    assert "4 errors" in str(told.value)
    assert "row 2: the term does not stand in ref" in str(told.value)
    assert str(told.value).count('write "terms": [{"term": "aspirin"') == 2


def test_two_rows_of_one_recording_become_one_of_two_terms(tmp_path: Path) -> None:
    """As an eval that knows one term a row writes them."""
    both = heard(0, [], "aspirin", "warfarin")
    single = [
        replace(both, terms=(), term=item.term, entity_category="drug") for item in both.terms
    ]
    path = tmp_path / "rows.jsonl"
    write_hypotheses(path, single)
    with pytest.raises(InputError, match="keep one of them alone") as told:
        read_hypotheses(path)
    assert json.dumps([item.as_dict() for item in both.terms]) in str(told.value)
    # The fix, followed: one row, two terms.
    write_hypotheses(path, [both])
    assert score(read_hypotheses(path)).keyword == Proportion(0, 2, 1)


def test_a_table_holds_the_list_as_text(tmp_path: Path) -> None:
    """As JSON in a cell, and its terms are found for the false keywords."""
    rows = [heard(0, ["warfarin"], "aspirin", "warfarin").as_dict()]
    text = io.StringIO()
    writer = csv.DictWriter(text, ["audio_filepath", "ref", "hyp", "terms"], extrasaction="ignore")
    writer.writeheader()
    writer.writerows({**one, "terms": json.dumps(one["terms"])} for one in rows)
    path = tmp_path / "rows.csv"
    path.write_text(text.getvalue())
    summary = score_file(path)
    assert summary.counts.keyword == Proportion(1, 2, 1)
    assert summary.beyond is not None
    assert set(summary.beyond.term_index.by_first_word) == {"aspirin", "warfarin"}


def test_an_evaluation_row_keeps_the_manifests_terms() -> None:
    """With their categories."""
    said = factories.utterance(
        1, None, text="aspirin and troponin", terms=(RowTerm("aspirin", "drug"), TROPONIN)
    )
    made = hypothesis_for(said, "aspirin")
    assert made.terms == said.terms
    assert made.categories == ("drug", "lab")
    assert made.as_dict()["terms"][1] == {"term": "troponin", "entity_category": "lab"}
