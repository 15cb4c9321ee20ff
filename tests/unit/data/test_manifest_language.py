"""A manifest's language by its texts; what the gate makes of it is in test_gate_language.py."""

from __future__ import annotations

import pytest

from tasks.data.manifest import Utterance
from tasks.data.manifest_language import manifest_language
from tests.support import factories


def test_too_little_text_is_not_judged() -> None:
    """Two words of a language tell nothing."""
    assert manifest_language([factories.utterance(1, text="guten Morgen")]) is None


@pytest.mark.parametrize(
    "text",
    [
        "lisinopril 20 mg tab prn / Rx metoprolol d/c aspirin bid po",
        "metoprolol 25 mg po bid",
        "patient received warfarin today",
        "50 µg po qd",
        "50 \u03bcg po qd, \u00bd tab",
        "temp 38.5 °C, bp 120/80, sat 98 %",
        "β-blocker po, TNF-α high",
        "patient’s dose – 20 mg",
        "levothyroxine 88 µg qd – 30′ before food",
    ],
)
def test_shorthand_is_not_taken_for_another_language(text: str) -> None:
    """Drug names resemble many a language; a guess alone is no evidence."""
    rows = [Utterance(number, "a.wav", text) for number in range(1, 40)]
    assert manifest_language(rows) == "en"


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("pacjent przyjmuje aspirynę na noc i nie śpi", "pl"),
        ("пациент принимает метопролол сегодня", "ru"),
        ("ο ασθενής παίρνει ασπιρίνη σήμερα", "el"),
        ("der Patient nimmt 50 µg täglich und schläft nicht", "de"),
        ("het gaat beter met de patient en een van de artsen", "nl"),
    ],
)
def test_other_languages_are_told_by_their_words(text: str, language: str) -> None:
    """Accents, another alphabet or frequent words are the evidence."""
    rows = [Utterance(number, "a.wav", text) for number in range(1, 40)]
    assert manifest_language(rows) == language
