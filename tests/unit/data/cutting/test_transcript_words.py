"""The words of a transcript, and where it must not be cut."""

from __future__ import annotations

from tasks.data.cutting.transcript_words import protect, read_words
from tasks.models.text_style import WritingStyle

STYLE = WritingStyle(
    cased=False,
    punctuated=False,
    unknown_in=lambda text: [char for char in text if not (char.islower() or char in " '")],
)


def cuts_of(text: str, *terms: str) -> str:
    """The transcript with a bar wherever it may be cut."""
    words = read_words(text, STYLE)
    kept = protect(words, terms)
    written = [word.written for word in words]
    return written[0] + "".join(
        (" " if is_kept else "|") + word for is_kept, word in zip(kept, written[1:], strict=True)
    )


def test_words_are_as_the_model_writes_them() -> None:
    """Without capitals and marks; a tag is not said, and a number cannot be spelt here."""
    words = read_words("[DR SMITH]: Take 5 mg, Mrs O’Hara. [noise] Good-bye", STYLE)
    assert [(word.written, word.spoken) for word in words] == [
        ("[DR SMITH]:", ""),
        ("Take", "take"),
        ("5", ""),
        ("mg,", "mg"),
        ("Mrs", "mrs"),
        ("O’Hara.", "o'hara"),
        ("[noise]", ""),
        ("Good-bye", "good bye"),
    ]
    assert [word.written for word in words if word.unspelt] == ["5"]
    assert [word.written for word in words if word.is_tag] == ["[DR SMITH]:", "[noise]"]


def test_a_dash_alone_is_neither_said_nor_unspelt() -> None:
    """It has no sound of its own."""
    (word,) = read_words("—", STYLE)
    assert (word.spoken, word.unspelt) == ("", False)


def test_terms_stay_whole_however_they_are_written() -> None:
    """With capitals, marks and hyphens; each time they occur."""
    text = "The Atrial Fibrillation, then x-ray of the chest; atrial fibrillation again"
    assert cuts_of(text, "atrial fibrillation", "x-ray of the chest") == (
        "The|Atrial Fibrillation,|then|x-ray of the chest;|atrial fibrillation|again"
    )


def test_a_number_stays_with_what_it_counts() -> None:
    """A dose is not divided, nor a word whose place is not known from its neighbours."""
    assert cuts_of("give 2.5 mg now") == "give 2.5 mg|now"
