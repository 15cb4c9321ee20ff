"""Scoring, against jiwer and against a second, literal reading of the contract's definitions."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

import jiwer
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tasks.data.text_normalizer import normalise
from tasks.evaluation.error_counts import Proportion
from tasks.evaluation.hypotheses import Hypothesis
from tasks.evaluation.incremental_scoring import summarise
from tasks.evaluation.score_summary import summary_as_dict
from tasks.evaluation.scoring import DIMENSIONS, Scores, UtteranceScore, score, score_row
from tests.support import factories

if TYPE_CHECKING:
    from collections.abc import Sequence


# The contract's section on metrics once more, letter by letter and as slow as it reads.


def literal_normalise(text: str) -> str:
    """NFKD, lower case, drop what is not word character, white space or hyphen, collapse, strip."""
    text = unicodedata.normalize("NFKD", text)
    text = text.lower()
    text = "".join(
        char for char in text if re.match(r"\w", char) or re.match(r"\s", char) or char == "-"
    )
    text = re.sub(r"\s+", " ", text)
    return text.strip()


def literal_levenshtein(left: Sequence[str], right: Sequence[str]) -> int:
    """The whole table of edit distances."""
    table = [[0] * (len(right) + 1) for _ in range(len(left) + 1)]
    for i in range(len(left) + 1):
        for j in range(len(right) + 1):
            if i == 0 or j == 0:
                table[i][j] = i + j
            else:
                table[i][j] = min(
                    table[i - 1][j] + 1,
                    table[i][j - 1] + 1,
                    table[i - 1][j - 1] + (left[i - 1] != right[j - 1]),
                )
    return table[-1][-1]


def literal_ker(term: str, hyp: str) -> int:
    """0 if the term's words stand in order and adjacent in the hypothesis, else 1."""
    return 0 if f" {literal_normalise(term)} " in f" {literal_normalise(hyp)} " else 1


def literal_row(ref: str, hyp: str) -> tuple[float, float, int]:
    """WER, CER and SER of one row."""
    ref, hyp = literal_normalise(ref), literal_normalise(hyp)
    words, heard = ref.split(), hyp.split()
    return (
        literal_levenshtein(words, heard) / max(len(words), 1),
        literal_levenshtein(ref, hyp) / max(len(ref), 1),
        0 if ref == hyp else 1,
    )


ALPHABET = "abAB xyé-.,'ß1½ﬁ Ωİ\t—_"
texts = st.text(ALPHABET, max_size=24) | st.text(max_size=12)
few_words = st.lists(st.sampled_from(["aspirin", "now", "give", "a", "b-c"]), max_size=7).map(
    " ".join
)
spoken = texts | few_words


def row(ref: str, hyp: str, term: str | None = None, **fields: str | None) -> Hypothesis:
    """An evaluation row."""
    return Hypothesis("a.wav", ref, hyp, term, **fields)  # type: ignore[arg-type]


@given(spoken)
def test_normalising_follows_the_contract_letter_by_letter(text: str) -> None:
    """NFKD, lower case, drop, collapse, strip; and doing it twice changes nothing."""
    assert normalise(text) == literal_normalise(text)
    assert normalise(normalise(text)) == normalise(text)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("  Give\tAspirin,  NOW! ", "give aspirin now"),
        ("Sjögren’s café", "sjogrens cafe"),
        ("ﬁbrosis ½", "fibrosis 12"),
        ("beta-blocker — twice", "beta-blocker twice"),
        ("COX_2 (inhibitor)", "cox_2 inhibitor"),
        ("1.5 mg/dl", "15 mgdl"),
        ("Straße", "straße"),
        ("…", ""),
        ("", ""),
    ],
)
def test_normalising_by_example(text: str, wanted: str) -> None:
    """Accents, ligatures and punctuation go; hyphens, digits and underscores stay."""
    assert normalise(text) == wanted


@given(spoken, spoken)
def test_a_rows_figures_are_the_contracts(ref: str, hyp: str) -> None:
    """WER, CER and SER of a row equal the literal reading."""
    got = score_row(row(ref, hyp))
    assert (got.wer, got.cer, int(got.sentence_wrong)) == literal_row(ref, hyp)
    assert got.term_missed is None


@given(spoken, spoken)
def test_a_rows_figures_are_jiwers(ref: str, hyp: str) -> None:
    """On normalised text, jiwer gives the same WER and CER."""
    ref, hyp = normalise(ref), normalise(hyp)
    assume(ref)
    got = score_row(row(ref, hyp))
    assert got.wer == pytest.approx(jiwer.wer(ref, hyp))
    assert got.cer == pytest.approx(jiwer.cer(ref, hyp))
    assert got.word_edits == sum(
        getattr(jiwer.process_words(ref, hyp), kind)
        for kind in ("substitutions", "deletions", "insertions")
    )


@given(st.lists(st.tuples(spoken, spoken), min_size=1, max_size=8))
def test_pooled_wer_is_jiwers_figure_for_a_corpus(rows: list[tuple[str, str]]) -> None:
    """All edits over all reference words."""
    kept = [(normalise(ref), normalise(hyp)) for ref, hyp in rows if normalise(ref)]
    assume(kept)
    got = score(row(ref, hyp) for ref, hyp in kept).pooled_wer
    assert got == pytest.approx(jiwer.wer([ref for ref, _ in kept], [hyp for _, hyp in kept]))


@given(st.lists(st.tuples(spoken, spoken, st.none() | spoken), min_size=1, max_size=8))
def test_a_metric_over_rows_is_the_mean_of_the_rows(
    rows: list[tuple[str, str, str | None]],
) -> None:
    """Mean WER, CER, KER and SER equal the literal reading's means."""
    got = score(row(ref, hyp, term) for ref, hyp, term in rows)
    wers, cers, sers = zip(*(literal_row(ref, hyp) for ref, hyp, _ in rows), strict=True)
    kers = [literal_ker(term, hyp) for _, hyp, term in rows if term and literal_normalise(term)]
    assert got.n == len(rows)
    assert got.wer == pytest.approx(sum(wers) / len(wers))
    assert got.cer == pytest.approx(sum(cers) / len(cers))
    assert got.ser == pytest.approx(sum(sers) / len(sers))
    assert got.keyword == Proportion(sum(kers), len(kers))
    assert got.ker == (pytest.approx(sum(kers) / len(kers)) if kers else None)


def test_mean_and_pooled_wer_are_two_figures() -> None:
    """One wrong word of one and none of nine: the mean is a half, the pooled figure a tenth."""
    got = score([row("aspirin", "heparin"), row("a b c d e f g h i", "a b c d e f g h i")])
    assert got.wer == 0.5
    assert got.pooled_wer == pytest.approx(0.1)


def test_a_hand_counted_row() -> None:
    """Of four words two are replaced and one is added; of 20 characters two are edited."""
    got = score_row(row("Give 5 Aspirin, today", "give 5 asprin to day"))
    assert (got.word_edits, got.ref_words) == (3, 4)
    assert (got.char_edits, got.ref_chars) == (2, 20)
    assert got.wer == 0.75
    assert got.cer == 0.1
    assert got.sentence_wrong


@pytest.mark.parametrize(
    ("term", "hyp", "missed"),
    [
        ("aspirin", "give aspirin now", False),
        ("Aspirin", "GIVE ASPIRIN NOW", False),
        ("aspirin", "give aspirins now", True),
        ("aspirin", "give aspirin, now", False),
        ("aspirin", "give as pirin now", True),
        ("atrial fibrillation", "new atrial fibrillation today", False),
        ("atrial fibrillation", "fibrillation atrial", True),
        ("atrial fibrillation", "atrial flutter and fibrillation", True),
        ("atrial fibrillation", "atrial atrial fibrillation", False),
        ("atrial fibrillation", "atrial", True),
        ("x-ray", "chest x-ray now", False),
        ("x-ray", "chest x ray now", True),
        ("x-ray", "chest xray now", True),
        ("Sjögren’s", "known sjogrens syndrome", False),
        ("Ménière", "known meniere disease", False),
        ("INR", "the inr is two", False),
        ("aspirin", "", True),
        ("aspirin", "aspirin", False),
        ("a b", "a a b", False),
    ],
)
def test_a_term_is_found_by_whole_words_in_order_and_adjacent(
    term: str, hyp: str, *, missed: bool
) -> None:
    """KER counts a term that is not there as it was written, normalised."""
    assert score_row(row(f"say {term}", hyp, term)).term_missed is missed
    assert literal_ker(term, hyp) == int(missed)


@given(
    st.lists(st.sampled_from(["a", "b", "aa", "b-a"]), min_size=1, max_size=3),
    st.lists(st.sampled_from(["a", "b", "aa", "b-a"]), max_size=8),
)
def test_term_search_equals_the_literal_reading(term: list[str], hyp: list[str]) -> None:
    """Whatever repeats or overlaps, the search finds what stands there."""
    got = score_row(row("a", " ".join(hyp), " ".join(term)))
    assert int(bool(got.term_missed)) == literal_ker(" ".join(term), " ".join(hyp))


@pytest.mark.parametrize(
    ("ref", "hyp", "wer", "cer", "ser"),
    [
        ("", "", 0.0, 0.0, 0.0),
        ("", "a bc", 2.0, 4.0, 1.0),
        ("a bc", "", 1.0, 1.0, 1.0),
        ("...", "?!", 0.0, 0.0, 0.0),
        ("a", "a b c", 2.0, 4.0, 1.0),
    ],
)
def test_empty_text_is_divided_by_one(
    ref: str, hyp: str, wer: float, cer: float, ser: float
) -> None:
    """An empty reference counts as one word; a rate above 1 is not cut off."""
    got = score([row(ref, hyp)])
    assert (got.wer, got.cer, got.ser) == (wer, cer, ser)


def test_no_rows_have_no_figures() -> None:
    """Nothing scored is not a zero."""
    got = score([])
    assert got.n == 0
    assert [got.wer, got.cer, got.ker, got.ser, got.pooled_wer] == [None] * 5


def test_rows_without_a_term_do_not_count_for_ker() -> None:
    """Two rows with a term, of three: KER has n 2."""
    got = score([row("a", "b", "a"), row("a", "a", "a"), row("a", "b"), row("a", "b", "?!")])
    assert got.keyword == Proportion(1, 2)
    assert got.ker == 0.5
    assert score([row("a", "b")]).ker is None


def test_groups_hold_each_row_once() -> None:
    """A breakdown splits the rows by a field, those without it apart, and keeps their order."""
    got = score(
        [
            row("a", "a", "a", noise_level="clean"),
            row("a", "b", "a", noise_level="snr_5db"),
            row("a", "b", "a"),
            row("a", "c", "a", noise_level="clean"),
        ]
    )
    groups = got.by("noise_level")
    assert {value: group.keyword for value, group in groups.items()} == {
        "clean": Proportion(1, 2),
        "snr_5db": Proportion(1, 1),
        None: Proportion(1, 1),
    }
    assert [one.row.hyp for one in groups["clean"].rows] == ["a", "c"]


def test_what_score_prints() -> None:
    """n, wer, cer, ker, ser, pooled_wer, and for each field's value the rows with a term."""
    printed = summary_as_dict(
        summarise(
            [
                *factories.evaluated(1, 2, "drug", ipa_source="override"),
                row("one two", "one", entity_category="lab"),
            ]
        )
    )
    assert list(printed) == [
        *("n", "wer", "cer", "ker", "ser", "pooled_wer", "by", "intervals", "spelling"),
        "n_with_term",
    ]
    # give aspirin now / give as prin now: 2 of 3; right: 0; one two / one: 1 of 2.
    assert printed["wer"] == pytest.approx((2 / 3 + 0 + 1 / 2) / 3)
    assert printed["pooled_wer"] == pytest.approx(3 / 8)
    assert printed["ker"] == 0.5
    assert printed["ser"] == pytest.approx(2 / 3)
    by = printed["by"]
    assert isinstance(by, dict)
    assert set(by) == set(DIMENSIONS)
    assert by["entity_category"] == {
        "drug": {"n": 2, "ker": 0.5},
        "lab": {"n": 0, "ker": None},
    }
    assert by["ipa_source"] == {"(none)": {"n": 0, "ker": None}, "override": {"n": 2, "ker": 0.5}}


def test_counts_that_contradict_each_other_are_refused() -> None:
    """A right sentence has no edits, and no count is negative."""
    one = row("a", "a")
    with pytest.raises(ValueError, match="without an error"):
        UtteranceScore(one, 1, 1, 0, 1, sentence_wrong=False)
    with pytest.raises(ValueError, match="negative"):
        UtteranceScore(one, -1, 1, 0, 1, sentence_wrong=True)


def test_where_keeps_what_is_wanted() -> None:
    """A part of the rows has its own figures."""
    all_rows = factories.scored(3, 4)
    wrong = all_rows.where(lambda one: bool(one.term_missed))
    assert (wrong.n, wrong.ker) == (3, 1.0)
    assert isinstance(wrong, Scores)


@pytest.mark.parametrize("canonical", [True, False])
def test_the_canonical_view_changes_none_of_the_contracts_figures(*, canonical: bool) -> None:
    """Canonical KER and its counts stand beside; without the view they are as KER."""
    rows = [
        Hypothesis("0.wav", "a chest x ray", "a chest x-ray", "x ray", "procedure"),
        Hypothesis("1.wav", "a chest x ray now", "a chest x\u2011ray now", "x ray", "procedure"),
        Hypothesis("2.wav", "a chest x ray", "a chest", "x ray", "procedure"),
        Hypothesis("3.wav", "give aspirin", "give aspirin", "aspirin", "drug"),
        Hypothesis("4.wav", "aspi\u00adrin", "aspirin", "aspirin", "drug"),
    ]
    summary = summarise(rows, canonical=canonical)
    scores = score(rows)
    assert summary.counts.ker == scores.ker == 3 / 5
    assert summary.counts.wer == scores.wer == pytest.approx((2 / 4 + 2 / 5 + 2 / 4) / 5)
    # Two words either way, "x-ray" or "xray": the correction changes no figure here.
    assert summary.changed_by_hyphens == scores.changed_by_hyphens == 0
    assert summary.format_characters == 1
    by_spelling = 2 if canonical else 0
    assert summary.counts.missed_by_spelling == by_spelling
    assert scores.counts.missed_by_spelling == 2
    spelling = summary_as_dict(summary)["spelling"]
    assert spelling["canonical_ker"] == (3 - by_spelling) / 5
    assert (spelling["n"], spelling["missed_by_spelling_only"]) == (5, by_spelling)
    parts = summary.by["entity_category"]
    assert parts["procedure"].missed_by_spelling == by_spelling
