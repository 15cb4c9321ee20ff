"""What is served is judged by the project's own paired tests, in a sentence."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tasks.evaluation.hypotheses import Hypothesis, Partition
from tasks.serving.edge import served_verdict


def rows(missed: set[int], n: int = 40, *, part: Partition | None = None) -> list[Hypothesis]:
    """Rows with a drug each, some of them missed."""
    return [
        Hypothesis(
            f"{place}.wav",
            f"give drug{place} now",
            "give rubbish now" if place in missed else f"give drug{place} now",
            term=f"drug{place}",
            entity_category="drug",
            part=part,
        )
        for place in range(n)
    ]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (set(range(4)), set(range(4)), "int8 costs nothing that 40 rows can show against fp32"),
        (set(range(4)), set(range(6)), "costs nothing that 40 rows can show"),
        (set(range(4)), set(range(14)), "int8 loses drugs against fp32: drug 0.100 → 0.350"),
        (set(range(14)), set(range(4)), "int8 finds more terms against fp32"),
    ],
)
def test_a_comparison_says_what_it_costs(before: set[int], after: set[int], said: str) -> None:
    """Two more of forty show nothing; ten do, with mid-p."""
    arms = {"fp32": rows(before), "int8": rows(after)}
    (sentence,) = served_verdict.judge(arms, [("fp32", "int8")]).sentences
    assert said in sentence
    assert "mid-p" in sentence


def test_more_categories_are_not_more_chances_of_a_loss() -> None:
    """Five of forty rows lost (mid-p 0.03) are a loss, unless they are one category's of five."""
    names = ("lab", "role", "anatomy", "condition", "procedure")

    def arm(missed: set[int]) -> list[Hypothesis]:
        return [
            replace(row, entity_category=names[place % 5], audio_filepath=f"{place}.wav")
            for place, row in enumerate(rows(missed))
        ]

    alone = served_verdict.judge(
        {"fp32": rows(set()), "int8": rows({0, 5, 10, 15, 20})}, [("fp32", "int8")]
    )
    assert "int8 loses drugs" in alone.sentences[0]
    among = served_verdict.judge(
        {"fp32": arm({1, 2, 3}), "int8": arm({0, 5, 10, 15, 20})}, [("fp32", "int8")]
    )
    assert "costs nothing that 40 rows can show" in among.sentences[0]


def test_rows_that_were_trained_on_do_not_judge() -> None:
    """Forty held-out rows count, forty trained ones do not."""
    held = rows(set(), part=Partition.HELD_OUT)
    trained = [
        replace(row, audio_filepath=f"t{row.audio_filepath}", part=Partition.TRAINED)
        for row in rows(set(range(40)))
    ]
    verdict = served_verdict.judge({"a": [*held, *trained], "b": [*held, *trained]}, [("a", "b")])
    assert verdict.rows == "held-out"
    assert [(arm.n, arm.keyword["drug"].hits) for arm in verdict.arms] == [(40, 0), (40, 0)]


def test_a_term_that_nobody_said_is_counted() -> None:
    """One row writes another row's drug."""
    false = rows(set())
    false[0] = replace(false[0], hyp="give drug0 drug7 now")
    verdict = served_verdict.judge({"fp32": rows(set()), "int8": false}, [("fp32", "int8")])
    assert [arm.false_rows.hits for arm in verdict.arms] == [0, 1]
    assert "| fp32 | 40 | 0.000" in verdict.as_markdown()
