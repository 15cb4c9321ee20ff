"""The gate by language: a manifest that is not English is sent to /finetune-asr."""

from __future__ import annotations

import pytest

from tasks.common import neighbour_stages
from tasks.data.manifest_language import manifest_language
from tasks.decision.gate import Action
from tests.support import factories
from tests.support.foreign_sentences import FRENCH, GERMAN, SPANISH
from tests.support.gate_cases import judge, ker, refused, rows_of

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
