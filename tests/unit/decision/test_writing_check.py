"""Punctuation and capitals: a base that writes them keeps them, one that does not is left alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tasks.decision.writing_check import WritingCheck, check_writing
from tasks.evaluation.hypotheses import Hypothesis
from tasks.evaluation.scoring import score
from tasks.evaluation.written_style import count_style

if TYPE_CHECKING:
    from collections.abc import Sequence

REFERENCES = tuple(
    f"On day {number}, Anna took the train to York. Was it late?" for number in range(30)
)


def check(
    base: Sequence[str], tuned: Sequence[str], references: Sequence[str] = REFERENCES
) -> WritingCheck:
    """The check of two models' texts of the same sentences."""
    scores = [
        score(
            Hypothesis(f"{place}.wav", ref, hyp)
            for place, (ref, hyp) in enumerate(zip(references, texts, strict=True))
        )
        for texts in (base, tuned)
    ]
    return check_writing(*scores)


def bare(texts: Sequence[str]) -> list[str]:
    """Texts without marks and capitals."""
    return [text.lower().translate(str.maketrans("", "", ".,?")) for text in texts]


def test_a_model_that_gives_up_marks_and_capitals_is_discarded() -> None:
    """Word for word it hears the same; both figures fall to 0."""
    found = check(REFERENCES, bare(REFERENCES))
    assert [figure.before for figure in found.figures] == [1.0, 1.0]
    assert [figure.after for figure in found.figures] == [0.0, 0.0]
    assert found.harm is not None
    assert "punctuation F1 1.000 → 0.000 on 30 sentences (-100.0 points" in found.harm
    assert "case accuracy" in found.harm


def test_a_fall_within_five_points_is_held() -> None:
    """One sentence of thirty loses all: 3.3 points of case accuracy, 1.7 of F1."""
    found = check(REFERENCES, [*REFERENCES[:-1], *bare(REFERENCES[-1:])])
    assert [figure.status for figure in found.figures] == ["held", "held"]
    assert (found.harm, found.doubt) == (None, None)


def test_a_larger_fall_that_chance_may_explain_is_not_kept() -> None:
    """Two sentences of thirty lose their capitals: 6.7 points, and the interval holds 0."""
    small = [text.lower() for text in REFERENCES[-2:]]
    found = check(REFERENCES, [*REFERENCES[:-2], *small])
    assert found.harm is None
    assert found.doubt is not None
    assert "case accuracy" in found.doubt
    assert "punctuation" not in found.doubt


def test_a_fall_that_may_be_within_the_limit_is_no_harm() -> None:
    """Five sentences of thirty lose their capitals: surely a fall, but perhaps of 4 points."""
    small = [text.lower() for text in REFERENCES[-5:]]
    found = check(REFERENCES, [*REFERENCES[:-5], *small])
    case = found.figures[1]
    assert case.change == pytest.approx(-1 / 6)
    assert case.interval is not None
    assert -0.05 < case.interval.high < 0
    assert (case.status, found.harm) == ("unclear", None)


def test_few_sentences_show_nothing() -> None:
    """Nineteen have 57 marks, and are too few."""
    few = REFERENCES[:19]
    found = check(few, bare(few), few)
    assert [figure.status for figure in found.figures] == [None, None]
    assert "punctuation F1 not applicable (19 sentences have one, fewer than 20)" in str(found)


def test_a_base_that_writes_neither_is_not_asked() -> None:
    """Whatever the tuned model does then is no loss."""
    found = check(bare(REFERENCES), bare(REFERENCES))
    assert [figure.status for figure in found.figures] == [None, None]
    assert (
        str(found) == "Writing: punctuation F1 not applicable (the base writes 0 marks for 90); "
        "case accuracy not applicable (the base writes 0 capitals for 120)."
    )
    assert (found.harm, found.doubt) == (None, None)


def test_references_without_marks_show_nothing() -> None:
    """Neither does a base that writes them."""
    found = check(REFERENCES, bare(REFERENCES), bare(REFERENCES))
    assert "the references have 0 marks, fewer than 20" in str(found)
    assert found.harm is None


@pytest.mark.parametrize(
    ("hyp", "expected"),
    [
        ("He slept. Then he ate.", (2, 2, 2, 2, 2)),
        ("He slept, then he ate.", (1, 2, 2, 2, 1)),
        ("he slept then he ate", (0, 0, 2, 2, 0)),
        # A word that was not recognised says nothing, and its mark nothing either.
        ("He slopt. Then he ate.", (1, 1, 1, 2, 2)),
        ("He slept . Then he ate .", (2, 2, 2, 2, 2)),
        ("“He slept.” Then he ate!", (1, 2, 2, 2, 2)),
        ("", (0, 0, 0, 0, 0)),
    ],
)
def test_marks_and_capitals_are_counted_after_words_that_were_recognised(
    hyp: str, expected: tuple[int, ...]
) -> None:
    """Right, written and said marks; words with a capital in either, and those written alike."""
    found = count_style("He slept. Then he ate.", hyp)
    assert (found.right, found.written, found.said, found.capitals, found.alike) == expected
