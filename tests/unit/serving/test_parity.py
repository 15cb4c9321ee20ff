"""Served against offline: how rows differ, and why, as far as texts and probes alone can tell."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tasks.common.errors import InputError
from tasks.evaluation.hypotheses import Hypothesis
from tasks.serving import attribution, parity, probes
from tasks.serving.attribution import ServingEvidence
from tasks.serving.causes import CauseName
from tasks.serving.parity import MismatchKind
from tasks.serving.parity_report import ParityReport
from tasks.serving.probes import ProbeCause, ProbeResult

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SAID = "please give twenty five milligrams of metoprolol tartrate every morning before she eats"


@pytest.mark.parametrize(
    ("served", "kind"),
    [
        (SAID, MismatchKind.EXACT),
        (SAID.capitalize(), MismatchKind.STYLE),
        (f"{SAID.capitalize()}.", MismatchKind.STYLE),
        (SAID.replace("twenty five", "25"), MismatchKind.NUMBERS),
        (SAID.replace(" before she eats", ""), MismatchKind.CUT),
        (SAID.replace("fore she eats", ""), MismatchKind.CUT),
        (SAID.removeprefix("please give twenty "), MismatchKind.CUT),
        ("please give twenty five milligrams of metal", MismatchKind.CUT),
        ("", MismatchKind.CUT),
        (SAID.replace("tartrate", "⁇"), MismatchKind.ARTEFACT),
        ("".join(letter * 2 for letter in SAID), MismatchKind.ARTEFACT),
        (" ".join(word + word[-2:] for word in SAID.split()), MismatchKind.ARTEFACT),
        (SAID.replace("metoprolol", "metropolol"), MismatchKind.WORDS),
        (SAID.replace("milligrams of ", ""), MismatchKind.WORDS),
        (SAID.replace("milligrams", "mg"), MismatchKind.SPELLING),
        (SAID.replace("milligrams", "micrograms"), MismatchKind.WORDS),
        (f"{SAID} again", MismatchKind.WORDS),
        (
            "the train leaves at nine and nobody knows why it is late today at all",
            MismatchKind.WORDS,
        ),
    ],
)
def test_how_a_row_differs(served: str, kind: MismatchKind) -> None:
    """Style, numbers, cuts at either end, the decoder's symbols, and other words."""
    assert parity.kind_of(SAID, served) is kind


@pytest.mark.parametrize(
    ("offline", "served", "kind"),
    [
        ("chest x-ray today", "chest x ray today", MismatchKind.SPELLING),
        ("Crohn's disease", "Crohn disease", MismatchKind.SPELLING),
        ("follow-up in clinic", "followup in clinic", MismatchKind.SPELLING),
        ("he is afebrile", "he is a febrile", MismatchKind.WORDS),
        ("chest x-ray today", "chest x ray", MismatchKind.WORDS),
    ],
)
def test_another_spelling_is_named_as_such(offline: str, served: str, kind: MismatchKind) -> None:
    """By the canonical view; what it does not know as one word stays other words."""
    assert parity.kind_of(offline, served) is kind


def rows(texts: Sequence[str]) -> list[Hypothesis]:
    """An evaluation of so many recordings."""
    return [
        Hypothesis(f"audio/{place}.wav", f"{SAID} {place}", text)
        for place, text in enumerate(texts)
    ]


def compared(
    change: Callable[[int, str], str], n: int = 20, facts: Callable[[str], Any] | None = None
) -> parity.ParityComparison:
    """``n`` rows against themselves after a change of their text."""
    offline = [f"{SAID} in room number {chr(97 + place)}" for place in range(n)]
    served = [change(place, text) for place, text in enumerate(offline)]
    more = () if facts is None else (facts,)
    return parity.compare(rows(offline), rows(served), *more)


def names(
    found: parity.ParityComparison,
    evidence: ServingEvidence = ServingEvidence(),  # noqa: B008 - frozen
) -> list[CauseName]:
    """The causes that are named; each has evidence and a remedy."""
    causes = attribution.attribute(found, evidence)
    assert all(cause.evidence and cause.remedy and cause.rows for cause in causes)
    return [cause.name for cause in causes]


def garble(place: int, text: str) -> str:
    """Another word in every row."""
    return text.replace("milligrams", f"{'abc'[place % 3]}milligrow")


def outcome(
    finds: ProbeCause,
    edits: int,
    *,
    restores: bool = False,
    difference: int = 20,
    heard: int = 60,
    words: int = 80,
    tried: int = 6,
) -> ProbeResult:
    """A probe with which so many words differ, where ``difference`` did without it."""
    probe = probes.Probe("planted", finds, restores, lambda samples, _: samples, "planted")
    return ProbeResult(probe, edits, difference, heard, words, tried)


def most_wrong(unheard: int, control: int, *, difference: int, heard: int) -> ServingEvidence:
    """A probe of the rate, and the control, of a service that has most words wrong."""
    counts: Any = {"difference": difference, "heard": heard, "words": 168, "tried": 16}
    return ServingEvidence(
        probes=(
            outcome(ProbeCause.SAMPLE_RATE, unheard, **counts),
            outcome(ProbeCause.CONTROL, control, **counts),
        )
    )


def serving(*parameters: dict[str, str]) -> ServingEvidence:
    """A greedy CTC model behind an endpoint that says this of the models it serves."""
    models = [{"model": "m", "parameters": one} for one in parameters]
    return ServingEvidence(flag="decoder=greedy_ctc", served_models=models)


NOTICED = outcome(ProbeCause.CONTROL, 40)
CASES: dict[str, tuple[Callable[[int, str], str], ServingEvidence, list[CauseName]]] = {
    "nothing": (lambda _, text: text, ServingEvidence(), []),
    "casing": (lambda _, text: text.upper(), ServingEvidence(), [CauseName.STYLE]),
    "digits": (
        lambda _, text: text.replace("twenty five", "25"),
        ServingEvidence(),
        [CauseName.NUMBERS],
    ),
    "spelling": (
        lambda _, text: text.replace("milligrams", "mg"),
        ServingEvidence(),
        [CauseName.SPELLING],
    ),
    "cut": (lambda _, text: " ".join(text.split()[:5]), ServingEvidence(), [CauseName.TRUNCATION]),
    "cut and casing": (
        lambda place, text: " ".join(text.split()[:5]) if place % 2 else text.title(),
        ServingEvidence(),
        [CauseName.TRUNCATION, CauseName.STYLE],
    ),
    "silence": (lambda *_: "", ServingEvidence(), [CauseName.DECODER]),
    "symbols": (
        lambda _, text: text.replace("please", "⁇ ⁇"),
        ServingEvidence(),
        [CauseName.DECODER],
    ),
    "another model": (garble, ServingEvidence(), [CauseName.OTHER_MODEL]),
    "another model, probed": (
        garble,
        ServingEvidence(probes=(outcome(ProbeCause.SAMPLE_RATE, 19, restores=True), NOTICED)),
        [CauseName.OTHER_MODEL],
    ),
    "a rate that restores": (
        garble,
        ServingEvidence(probes=(outcome(ProbeCause.SAMPLE_RATE, 2, restores=True),)),
        [CauseName.SAMPLE_RATE],
    ),
    "a band that goes unnoticed": (
        garble,
        ServingEvidence(probes=(outcome(ProbeCause.SAMPLE_RATE, 24), NOTICED)),
        [CauseName.SAMPLE_RATE],
    ),
    "a band that is noticed": (
        garble,
        ServingEvidence(probes=(outcome(ProbeCause.SAMPLE_RATE, 28), NOTICED)),
        [CauseName.OTHER_MODEL],
    ),
    "a service that gets no worse by anything": (
        garble,
        ServingEvidence(
            probes=(outcome(ProbeCause.SAMPLE_RATE, 20), outcome(ProbeCause.CONTROL, 26))
        ),
        [CauseName.OTHER_MODEL],
    ),
    # Measured, of 168 words: every second sample dropped, and noise on another model's weights.
    "a control that takes all that was right": (
        garble,
        most_wrong(117, 174, difference=117, heard=51),
        [CauseName.SAMPLE_RATE],
    ),
    "a band that takes two fifths of what was right": (
        garble,
        most_wrong(130, 163, difference=105, heard=63),
        [CauseName.OTHER_MODEL],
    ),
    "a service whose few right words are easy ones": (
        garble,
        most_wrong(145, 166, difference=141, heard=27),
        [CauseName.OTHER_MODEL],
    ),
    "a level that restores": (
        garble,
        ServingEvidence(probes=(outcome(ProbeCause.CONVERSION, 1, restores=True), NOTICED)),
        [CauseName.CONVERSION],
    ),
    "too few probed": (
        garble,
        ServingEvidence(probes=(outcome(ProbeCause.CONVERSION, 1, restores=True, tried=2),)),
        [CauseName.OTHER_MODEL],
    ),
    "two answers": (
        garble,
        ServingEvidence(
            probes=(outcome(ProbeCause.STEADY, 3), outcome(ProbeCause.CONVERSION, 1, restores=True))
        ),
        [CauseName.UNSTEADY],
    ),
    "the wrong decoder, as it says itself": (
        garble,
        serving({"decoder_type": "nemo"}),
        [CauseName.DECODER],
    ),
    "with a language model, as it says itself": (
        garble,
        serving({"decoder": "flashlight", "type": "offline"}),
        [CauseName.DECODER],
    ),
    "the right decoder": (garble, serving({"decoder_type": "greedy"}), [CauseName.OTHER_MODEL]),
    "a parameter whose name holds the word": (
        garble,
        serving({"decoder_chunk_size": "1.12", "flashlight_decoder.beam_size": "32"}),
        [CauseName.OTHER_MODEL],
    ),
    "a decoder that nobody knows": (
        garble,
        serving({"decoder": "1.12"}),
        [CauseName.OTHER_MODEL],
    ),
    "the decoder of a streaming model beside it": (
        garble,
        serving({"decoder": "nemo", "type": "online"}, {"decoder": "greedy", "type": "offline"}),
        [CauseName.OTHER_MODEL],
    ),
    "several models, any of which may answer": (
        garble,
        serving({"decoder": "nemo"}, {"decoder": "greedy"}),
        [CauseName.OTHER_MODEL],
    ),
    "several models, one of which is silent": (
        garble,
        serving({"decoder": "nemo"}, {"version": "1"}),
        [CauseName.OTHER_MODEL],
    ),
    "cut, whatever decoder it says": (
        lambda _, text: " ".join(text.split()[:5]),
        serving({"decoder": "nemo"}),
        [CauseName.TRUNCATION],
    ),
    "a rate that restores, whatever decoder it says": (
        garble,
        replace(
            serving({"decoder": "nemo"}),
            probes=(outcome(ProbeCause.SAMPLE_RATE, 2, restores=True),),
        ),
        [CauseName.SAMPLE_RATE],
    ),
    "some rows cut, the others with symbols": (
        lambda place, text: (
            " ".join(text.split()[:5]) if place < 8 else text.replace("please", "⁇ ⁇")
        ),
        serving({"decoder": "nemo"}),
        [CauseName.DECODER, CauseName.TRUNCATION],
    ),
}


@pytest.mark.parametrize(("change", "evidence", "wanted"), CASES.values(), ids=list(CASES))
def test_a_cause_needs_its_evidence(
    change: Callable[[int, str], str], evidence: ServingEvidence, wanted: list[CauseName]
) -> None:
    """The same rows mean another cause where another probe holds."""
    assert names(compared(change), evidence) == wanted


def test_a_few_words_are_arithmetic() -> None:
    """Half precision moves some; half of the rows it does not."""
    one = compared(lambda place, text: garble(place, text) if place == 3 else text, n=40)
    assert names(one) == [CauseName.PRECISION]
    assert names(one, serving({"decoder": "nemo"})) == [CauseName.PRECISION]
    some = compared(lambda place, text: garble(place, text) if place < 8 else text, n=40)
    assert names(some) == [CauseName.UNEXPLAINED]


def test_what_the_endpoint_says_of_its_decoder_is_quoted() -> None:
    """Beside the symbols, too; rows that are whole but cut are not put down to it."""
    for change in (garble, lambda _, text: text.replace("please", "⁇ ⁇"), lambda *_: ""):
        found = compared(change)
        (cause,) = attribution.attribute(found, serving({"decoder": "nemo", "type": "offline"}))
        assert cause.name is CauseName.DECODER
        assert cause.evidence[-1] == (
            "the endpoint says decoder=nemo; the hand-off's build has decoder=greedy_ctc"
        )


def test_the_untuned_base_is_recognised_by_its_own_evaluation() -> None:
    """What the endpoint answers is word by word what the base had answered."""
    found = compared(garble)
    base = {row.offline.audio_filepath: row.served.upper() for row in found.rows}
    assert names(found, ServingEvidence(others={"the base": base})) == [CauseName.BASE]
    other = dict.fromkeys(base, "something else")
    assert names(found, ServingEvidence(others={"the base": other})) == [CauseName.OTHER_MODEL]


def test_files_that_were_converted_are_suspected_if_they_alone_differ() -> None:
    """Not where the others differ as much."""

    def facts(audio: str) -> tuple[float, float, bool]:
        return 5.0, 0.0, int(audio[6:-4]) < 6

    only = compared(lambda place, text: garble(place, text) if place < 6 else text, facts=facts)
    assert names(only) == [CauseName.CONVERSION]
    assert names(compared(garble, facts=facts)) == [CauseName.OTHER_MODEL]


def test_audio_that_the_service_did_not_process_is_a_cut() -> None:
    """Even where other words were heard."""
    found = compared(garble, facts=lambda _: (10.0, 4.0, False))
    assert names(found) == [CauseName.TRUNCATION]


def test_evaluations_without_a_common_row_are_bad_input() -> None:
    """The message says which file to name."""
    with pytest.raises(InputError, match="with offline"):
        parity.compare(rows(["one"]), [Hypothesis("audio/x.wav", "other", "one")])


def test_rows_are_paired_over_hosts() -> None:
    """By the end of the path and the reference; what only one has is named."""
    offline = [Hypothesis("/lab/c1/audio/1.wav", "a", "a"), Hypothesis("/lab/2.wav", "b", "b")]
    found = parity.compare(offline, [Hypothesis("audio/1.wav", "a", "A")])
    assert (len(found.rows), found.only_offline, found.only_served) == (1, ("/lab/2.wav",), ())
    assert found.rows[0].audio == "audio/1.wav"


def report_of(found: parity.ParityComparison) -> ParityReport:
    """The report of a comparison, without causes."""
    offline = tuple(row.offline for row in found.rows)
    served = tuple(
        replace(row, hyp=one.served) for row, one in zip(offline, found.rows, strict=True)
    )
    endpoint = {"address": "localhost:50051"}
    return ParityReport(1, endpoint, found, (), offline, served, (), (), asked=1, attempts=0)


@pytest.mark.parametrize(
    ("served", "verdict"),
    [
        ([SAID] * 40, "exact"),
        ([SAID.upper()] * 40, "same words"),
        ([*[SAID] * 39, SAID.replace("give", "gave")], "within tolerance"),
        ([*[SAID] * 20, *["something else"] * 20], "diverges"),
    ],
)
def test_the_verdict_says_what_was_compared(served: list[str], verdict: str) -> None:
    """Equal texts are equal only if no row was left out on either side; a difference stays one."""
    offline, theirs = rows([SAID] * 40), rows(served)
    report = report_of(parity.compare(offline, theirs))
    assert report.verdict == verdict
    assert report.is_equal is (verdict != "diverges")
    for mine, other in ((offline, theirs[10:]), (offline[10:], theirs)):
        report = report_of(parity.compare(mine, other))
        assert report.verdict == ("diverges" if verdict == "diverges" else "incomplete")
        assert not report.is_equal


def test_rows_of_one_evaluation_alone_are_named() -> None:
    """A hundred rows each, one in common: 99 that were not compared are no parity."""
    offline = rows(["a"] * 100)
    served = [
        replace(row, ref=f"corrected {row.ref}", hyp="garbage") if place else row
        for place, row in enumerate(offline)
    ]
    report = report_of(parity.compare(offline, served))
    assert report.verdict == "incomplete"
    names_ = [f"audio/{place}.wav" for place in range(1, 100)]
    told = report.as_dict()
    assert (told["rows"], told["only_offline"], told["only_served"]) == (1, names_, names_)
    text = report.as_markdown()
    assert "# Serving parity, cycle 1: incomplete" in text
    assert "99 rows are in the offline evaluation only (`audio/1.wav`, " in text
    assert "99 rows are in the served evaluation only" in text
    assert "and 79 more" in text
