"""Two months' imports number their recordings alike; combined, they are told apart."""

from __future__ import annotations

from tasks.data.combined_conversations import number_apart


def test_another_recording_of_the_same_number_gets_a_free_one() -> None:
    """The earlier source's numbers stay."""
    first = [("recording 1", "a"), ("recording 1", "a"), ("recording 2", "b")]
    second = [("recording 1", "c"), ("recording 2", "d"), ("recording 3", "e")]
    assert number_apart([first, second]) == [
        {},
        {"recording 1": "recording 4", "recording 2": "recording 5"},
    ]


def test_a_recording_that_an_earlier_source_has_keeps_that_ones_conversation() -> None:
    """A corpus that grew is imported anew, in another order."""
    first = [("recording 1", "a"), ("recording 2", "b")]
    second = [("recording 1", "new"), ("recording 2", "a"), ("recording 3", "b")]
    assert number_apart([first, second]) == [
        {},
        {"recording 1": "recording 4", "recording 2": "recording 1", "recording 3": "recording 2"},
    ]


def test_names_that_a_source_gave_stay() -> None:
    """A visit of two recordings is one conversation, in whichever cycle they are."""
    assert number_apart([[("visit 1", "a")], [("visit 1", "b")]]) == [{}, {}]
