"""KER on held-out rows by what training saw of them in other rows: their term, their voice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.data.text_normalizer import normalise_term
from tasks.evaluation.diff import term_missed
from tasks.evaluation.keyword_change import summarise_changes

if TYPE_CHECKING:
    from tasks.evaluation.diff import PairedScores
    from tasks.evaluation.keyword_change import KeywordErrorChange
    from tasks.evaluation.scoring import UtteranceScore


def changes_by_exposure(pairing: PairedScores) -> tuple[KeywordErrorChange, ...]:
    """Compare KER on held-out rows by whether training saw their term or voice in other rows.

    Empty where it is not known what was trained on.
    """
    held_out = pairing.held_out
    paired = list(held_out.occurrences(term_missed))
    values: dict[str, list[str | int | None]] = {
        "term": [one.term for one in paired],
        "voice": [_voice(held_out.pairs[one.row].after) for one in paired],
    }
    trained_rows = [pair.after for pair in pairing.trained.pairs]
    trained_values: dict[str, set[str | None]] = {
        "term": {normalise_term(one.term) for row in trained_rows for one in row.occurrences},
        "voice": {_voice(row) for row in trained_rows} - {None},
    }
    exposure_changes = []
    for name, trained in trained_values.items():
        if not trained:
            continue
        for label, is_seen in ((f"seen {name}", True), (f"unseen {name}", False)):
            chosen = [
                one
                for one, value in zip(paired, values[name], strict=True)
                if value is not None and (value in trained) is is_seen
            ]
            exposure_changes.append(summarise_changes(label, chosen))
    return tuple(exposure_changes)


def _voice(row: UtteranceScore) -> str | None:
    voice = row.row.voice_id
    return normalise_term(voice) if voice else None
