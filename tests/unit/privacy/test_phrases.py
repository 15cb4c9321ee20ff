"""Words of a purged text are found wherever they stand, and those of other rows are not."""

from __future__ import annotations

from tasks.privacy.phrases import PurgedPhrases


def phrases(*texts: str, kept: tuple[str, ...] = ()) -> PurgedPhrases:
    """Purged texts, without what kept rows say too."""
    found = PurgedPhrases()
    for text in texts:
        found.add(text)
    for text in kept:
        found.keep(text)
    return found


def test_a_text_is_found_in_another_case_cut_off_and_inside_a_line() -> None:
    """A log writes capitals and cuts, a page puts punctuation."""
    found = phrases("Give five milligrams of apixaban to Mister Heffalump, at noon.")
    assert found.holds("[I] reference: GIVE FIVE MILLIGRAMS OF APIXABAN TO MIST…")
    assert found.holds("such as 'apixaban to mister heffalump at'")
    assert not found.holds("give five milligrams of something else")


def test_what_a_kept_row_says_too_is_no_trace() -> None:
    """Else the rows of others would be cut out."""
    found = phrases(
        "the patient was seen by doctor brown", kept=("the patient was seen by doctor white",)
    )
    assert not found.holds("the patient was seen by doctor white")
    assert found.holds("the patient was seen by doctor brown today")
    same = phrases("come in and sit down", kept=("come in and sit down",))
    assert not same.holds("come in and sit down")


def test_short_texts_are_found_where_nothing_else_stands() -> None:
    """A text of one word is a whole value, and no part of a line."""
    found = phrases("yes")
    assert found.is_whole("Yes.")
    assert not found.holds("yes, the training has ended")


def test_parts_are_words_that_only_a_purged_text_has() -> None:
    """Of a misrecognition in a leaderboard; terms are the clinic's own words."""
    found = phrases("give apix ban now", kept=("give it now",))
    found.keep_terms(["ban"])
    assert found.is_part("apix ban")
    assert not found.is_part("ban")
    assert not found.is_part("give")


def test_a_journal_keeps_phrases() -> None:
    """What was found before a kill is searched for afterwards."""
    found = phrases("one two three four five six")
    assert PurgedPhrases.from_dict(found.as_dict()) == found
