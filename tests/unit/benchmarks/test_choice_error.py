"""The simulation of the whole choice: what it draws, and that it uses the product's own rules."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import stats

from benchmarks import choice_error, simulated_general
from benchmarks.choice_study import JUDGING_SENTENCES, ChoiceStudy, upper_limit
from benchmarks.decision import ROWS_PER_TERM
from benchmarks.simulated_choice import choose_mixture, general_figures, reachable_values, ship
from benchmarks.simulated_general import (
    GeneralChange,
    bootstrap_guardrail,
    draw_sentences,
    draw_share,
    edits_along_grid,
    judge_sentences,
)
from benchmarks.simulated_training import (
    FOLDS,
    ModelChange,
    RowStates,
    SimulatedModel,
    deal_folds,
    decode,
    draw_effects,
    draw_manifests,
    draw_states,
    hear_judged,
    keep_epoch,
    rank_rows,
    split_ranked,
)
from tasks.decision.choice_rule import RULE
from tasks.decision.mixture_choice import Candidate, choose

USELESS = SimulatedModel("useless", ModelChange.TERMS)
GAIN = SimulatedModel("gain", ModelChange.GAIN, 0.6)


def rng() -> np.random.Generator:
    """A generator of its own for each test."""
    return np.random.default_rng(3)


def test_the_formula_agrees_with_the_products_bootstrap() -> None:
    """Ends within a twelfth of a point on 450 sentences, and the same confidence of the one end."""
    drawn = draw_sentences(rng(), GeneralChange(0.01), np.ones(6), 450)
    for study, fast in enumerate(judge_sentences(drawn)):
        slow = bootstrap_guardrail(drawn, study)
        assert (fast.n, fast.limit, fast.bound) == (slow.n, slow.limit, slow.bound)
        assert fast.rise == pytest.approx(slow.rise)
        assert fast.upper == pytest.approx(slow.upper, abs=0.0008)
        assert fast.interval is not None
        assert slow.interval is not None
        assert fast.interval.low == pytest.approx(slow.interval.low, abs=0.0008)
        assert fast.interval.high == pytest.approx(slow.interval.high, abs=0.0008)


def test_the_true_rise_is_the_mean_rise() -> None:
    """In the sentences that judge, and along the grid in those that choose."""
    change, draws = GeneralChange(0.02, power=3.0), rng()
    drawn = draw_sentences(draws, change, np.full(400, 0.5), 200)
    rises = (drawn.after.sum(1) - drawn.before.sum(1)) / drawn.words.sum(1)
    assert rises.mean() == pytest.approx(0.02 / 8, abs=0.0008)
    share = draw_share(draws, 2000, 200)
    general = edits_along_grid(draws, change, share, (0.0, 0.5, 1.0))
    assert (general.edits[:, 0] == share.before.sum(axis=1)).all()
    rises = (general.edits - general.edits[:, :1]) / general.words[:, None]
    assert rises.mean(axis=0) == pytest.approx([0, 0.0025, 0.02], abs=0.0006)
    # The standard error of each study is that of the draws among studies.
    assert general.errors.mean(axis=0) == pytest.approx(rises.std(axis=0), rel=0.05)


def test_two_sentences_stand_for_all_that_choose() -> None:
    """The product's rule sees the pooled rate and the standard error of the sentences drawn."""
    share = draw_share(rng(), 20, 150)
    general = edits_along_grid(rng(), GeneralChange(0.03), share, (0.0, 1.0))
    base, mixed = (
        [
            Candidate(value, (0.0,) * 20, ("a", "b") * 10, *general_figures(general, study, column))
            for study in range(20)
        ]
        for column, value in enumerate((0.0, 1.0))
    )
    any_curve = dataclasses.replace(RULE, share_of_limit=100.0)
    for study in range(20):
        rise = (mixed[study].general_wer or 0.0) - (base[study].general_wer or 0.0)
        edits = general.edits[study]
        assert rise == pytest.approx((edits[1] - edits[0]) / general.words[study])
        bar = rise - float(general.errors[study, 1])
        for nudge, held in ((-1e-5, False), (1e-5, True)):
            choice = choose([base[study], mixed[study]], bar + nudge, any_curve)
            assert choice.held is held


def test_a_rise_that_any_mixture_has_begins_above_the_base() -> None:
    """With power 0 the smallest mixture is as harmful as the tuned model."""
    assert GeneralChange(0.01).rise_at(np.array([0.0, 0.05, 1.0])).tolist() == [0, 0.01, 0.01]


def test_useless_terms_lose_as_much_as_they_gain() -> None:
    """The sum of the chances of a miss is the base's in each category, in every epoch."""
    draws = rng()
    manifest = draw_manifests(draws, 5, 200)
    effects = draw_effects(draws, ModelChange.TERMS, manifest.difficulty, categories=2, epochs=3)
    for category in range(2):
        own = effects.chance[..., category::2].sum(axis=-1)
        assert own == pytest.approx(
            np.repeat(manifest.difficulty[:, None, category::2].sum(axis=-1), 3, axis=1)
        )
    assert effects.changed.mean() == pytest.approx(0.5, abs=0.05)
    # The two terms of a pair begin at one value, so each value occurs twice.
    starts = np.sort(effects.start[effects.changed])
    assert (starts[::2] == starts[1::2]).all()


@pytest.mark.parametrize("change", list(ModelChange))
def test_a_row_changes_at_most_twice_along_the_grid(change: ModelChange) -> None:
    """From the base's text to the tuned model's, and neighbours are nearly the same."""
    model, draws = SimulatedModel("any", change, 0.6), rng()
    manifest = draw_manifests(draws, 30, 100)
    rows = np.tile(np.arange(100), (30, 1))
    effects = draw_effects(draws, change, manifest.difficulty, 1, epochs=2)
    kept = keep_epoch(effects, np.zeros(30, dtype=np.int64))
    tuned = decode(draws, model, manifest, kept, rows)[:, 0]
    states = draw_states(draws, model, manifest, kept, rows, tuned)
    grid = np.stack([states.at(np.full(30, value)) for value in reachable_values()])
    assert (grid[0] == manifest.missed).all()
    assert (grid[-1] == tuned).all()
    flips = (grid[1:] != grid[:-1]).sum(axis=0)
    assert flips.max() == 2
    assert flips.sum() / len(grid) < 0.1 * flips.size


def test_a_gain_has_the_named_size() -> None:
    """Six of ten misses, net of what is broken."""
    draws = rng()
    manifest = draw_manifests(draws, 400, 100)
    rows = np.tile(np.arange(100), (400, 1))
    effects = draw_effects(draws, ModelChange.GAIN, manifest.difficulty, 1, epochs=1)
    after = decode(draws, GAIN, manifest, effects, rows).mean()
    assert after / manifest.missed.mean() == pytest.approx(0.4, abs=0.02)


def test_no_row_both_chooses_and_judges() -> None:
    """Held out or in folds, in which each row judges once; held-out terms share none either."""
    for by_term in (False, True):
        ranked = rank_rows(rng(), 4, 200, 1 if by_term else 2, by_term=by_term)
        choosing, judging = split_ranked(ranked)
        for chooses, judges in zip(choosing.tolist(), judging.tolist(), strict=True):
            assert not {*chooses} & {*judges}
            if by_term:
                terms = [{row // ROWS_PER_TERM for row in part} for part in (chooses, judges)]
                assert terms[0].isdisjoint(terms[1])
    parts = deal_folds(rank_rows(rng(), 4, 200, 2, by_term=False))
    assert len(parts) == FOLDS
    for study in range(4):
        judged = [row for _, judging in parts for row in judging[study].tolist()]
        assert sorted(judged) == list(range(200))
        for choosing, judging in parts:
            assert not {*choosing[study].tolist()} & {*judging[study].tolist()}


def test_every_value_that_the_rule_asks_for_was_drawn() -> None:
    """Whichever candidate is the best, grid and refinements stay within the drawn values."""
    drawn = set(reachable_values())
    for best in reachable_values()[1:]:
        asked = []

        def candidate_at(value: float, best: float = best) -> Candidate:
            asked.append(value)  # noqa: B023 - used within this round
            return Candidate(value, (abs(value - best),) * 20, ("a", "b") * 10, (40,), (1000,))

        choose_mixture(candidate_at, 0.005)
        assert set(asked) <= drawn
        assert {0.0, *RULE.coarse} <= set(asked)


def test_remedies_train_again_only_while_no_mixture_holds() -> None:
    """A rise that every mixture has holds more often with more trainings, on rows that choose."""
    harmful = dataclasses.replace(GAIN, general=GeneralChange(0.01))
    manifest = draw_manifests(rng(), 60, 100)
    choosing, _ = split_ranked(rank_rows(rng(), 60, 100, 1, by_term=False))
    none, three = (ship(rng(), harmful, manifest, choosing, 1, remedies) for remedies in (0, 3))
    assert none.held.sum() < three.held.sum()
    # What held at once is what is shipped.
    assert (three.values[none.held] == none.values[none.held]).all()
    assert (three.kept.chance[none.held] == none.kept.chance[none.held]).all()


def test_too_few_rows_choose_nothing() -> None:
    """Two categories of a hundred rows have ten selection rows each: the stated value ships."""
    manifest = draw_manifests(rng(), 8, 100)
    choosing, _ = split_ranked(rank_rows(rng(), 8, 100, 2, by_term=False))
    shipped = ship(rng(), USELESS, manifest, choosing, 2, remedies=3)
    assert set(shipped.values) == {RULE.stated}
    assert not shipped.held.any()


def test_a_line_tells_the_ways_apart() -> None:
    """A useless model is kept far more often where the rows that judge choose."""
    row = ChoiceStudy(USELESS, 100, False, 1, 1).run(100)
    assert row.judged == 20
    assert row.counted
    assert row.checkpoint_on_judging is not None
    assert row.all_on_judging is not None
    assert row.kept < row.checkpoint_on_judging <= row.all_on_judging
    assert row.upper == upper_limit(round(100 * row.kept), 100)
    assert ChoiceStudy(USELESS, 100, False, 1, 1).run(100) == row


@pytest.mark.parametrize("change", list(ModelChange))
def test_further_decodes_are_draws_of_the_same_row(change: ModelChange) -> None:
    """What the base and the tuned model have alike they hear alike; the first decode is the row."""
    model, draws = SimulatedModel("any", change, 0.6), rng()
    manifest = draw_manifests(draws, 200, 100)
    rows = np.tile(np.arange(100), (200, 1))
    kept = draw_effects(draws, change, manifest.difficulty, 1, epochs=1)
    tuned = decode(draws, model, manifest, kept, rows)[:, 0]
    states = draw_states(draws, model, manifest, kept, rows, tuned)
    base, _, heard = hear_judged(draws, model, manifest, kept, rows, states, 8).missed
    assert base.mean() == pytest.approx(manifest.missed.mean(), abs=0.01)
    assert heard.mean() == pytest.approx(tuned.mean(), abs=0.02)
    assert ((base > 0) >= manifest.missed).all()
    # Three of four further decodes repeat the row, the others are drawn anew.
    assert base[manifest.missed].mean() == pytest.approx(1 - 7 / 8 / 4 / 3, abs=0.01)
    if change in (ModelChange.TERMS, ModelChange.HELD_OUT_TERMS):
        same = ~np.repeat(kept.changed[:, 0], ROWS_PER_TERM, axis=1)
        assert (heard == base)[same].all()


def test_shares_show_more_gains_and_keep_few_useless_models() -> None:
    """By the product's rule for shares; the ways that choose on the judging rows are left out."""
    once, shares = (ChoiceStudy(GAIN, 100, False, 1, 1, decodes=n).run(120) for n in (1, 8))
    assert shares.kept > once.kept
    assert (shares.judged, shares.value) == (once.judged, once.value)
    assert shares.checkpoint_on_judging is None
    useless = ChoiceStudy(USELESS, 100, False, 1, 1, decodes=8).run(120)
    assert useless.kept < 0.1


def test_a_harmful_model_is_kept_by_the_guardrail_alone() -> None:
    """Its terms gain, and a rise of two points is not kept; without the rise it is."""
    harmful = dataclasses.replace(GAIN, general=GeneralChange(0.02))
    lost, sound = (ChoiceStudy(model, 200, False, 1, 1).run(60) for model in (harmful, GAIN))
    assert lost.kept == 0
    assert sound.kept > 0.3
    assert lost.counted


def test_the_upper_limit_is_clopper_and_pearsons() -> None:
    """As scipy's beta distribution has it; all hits exclude nothing."""
    assert upper_limit(3, 100) == pytest.approx(stats.beta.ppf(0.95, 4, 97))
    assert upper_limit(0, 4000) == pytest.approx(1 - 0.05 ** (1 / 4000))
    assert upper_limit(5, 5) == 1.0


def test_the_lines_hold_what_was_promised() -> None:
    """20, 40 and 100 judged rows and folds, one and three remedies, every model."""
    lines = [*choice_error.lines()]
    assert {line.model for line in lines} == {
        *choice_error.USELESS,
        *choice_error.HARMFUL,
        *choice_error.USEFUL,
    }
    assert {(line.rows, line.remedies) for line in lines if line.folds} == {
        (rows, remedies) for rows in (100, 200, 500) for remedies in (1, 3)
    }
    assert {model.general.rise for model in choice_error.HARMFUL} == {0.01, 0.015, 0.02}
    assert simulated_general.SENTENCES[:2] == (200, JUDGING_SENTENCES)


def test_states_follow_their_thresholds() -> None:
    """The base below the first, in between below the second, then the tuned model."""
    states = RowStates(np.array([[[0.0]], [[0.5]], [[1.0]]]), np.array([[0.3]]), np.array([[0.6]]))
    assert [float(states.at(np.array([v]))[0, 0]) for v in (0.2, 0.3, 0.6)] == [0.0, 0.5, 1.0]
