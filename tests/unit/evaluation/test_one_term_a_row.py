"""Rows of one term: all outputs have the same bytes, whether it stands alone or in a list."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING

import pytest

from asr_flywheel.demo.sentence_templates import CARRIERS
from asr_flywheel.demo.terms import TERMS
from tasks.data.row_terms import RowTerm
from tasks.decision.evidence import evidence
from tasks.decision.grow_plan import make_plan
from tasks.decision.verdict import decide
from tasks.evaluation import diff, leaderboard
from tasks.evaluation.false_keywords import index_terms
from tasks.evaluation.hypotheses import Hypothesis, Partition
from tasks.evaluation.incremental_scoring import summarise
from tasks.evaluation.leaderboard_markdown import leaderboard_as_markdown
from tasks.evaluation.metric_changes import metric_changes
from tasks.evaluation.score_summary import summary_as_dict
from tasks.evaluation.scoring import score
from tasks.evaluation.training_exposure import changes_by_exposure

if TYPE_CHECKING:
    from collections.abc import Callable

    from tasks.evaluation.scoring import Scores


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
