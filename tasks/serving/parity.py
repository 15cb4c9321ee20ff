"""Served against offline, row by row: which rows differ, and how (specification, 4f).

The offline path runs the same graph that the endpoint serves. Rows are sorted by what kind of
difference they show; why they do is told by tasks/serving/attribution.py.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from rapidfuzz.distance import Levenshtein

from tasks.common.errors import InputError
from tasks.common.parameter_names import name_of
from tasks.data.canonical import canonical
from tasks.data.text_normalizer import normalise
from tasks.evaluation.row_matching import keys

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tasks.evaluation.hypotheses import Hypothesis


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Thresholds of the comparison and of its attribution.

    Attributes:
        cut_edits: of a row that was cut, the share of the words before the cut that may differ: a
            recogniser hears the last ones otherwise when the audio ends there. Likewise of a text
            whose repeated pieces were collapsed.
        tolerated_rows: share of rows whose words may differ by arithmetic (half precision, batches)
            before another cause is looked for.
        tolerated_words: share of words that may, likewise.
        systematic: share of the rows with other words from which a kind of difference, or a probe,
            is a cause and not a coincidence.
        explained: share of the rows that another evaluation must explain to be believed.
        probe_left: share of the difference that a probe that restores may leave, in words.
        unnoticed: share of the difference, or of the words heard if these are fewer, that a probe
            that goes unnoticed may add, in words.
        noticed: share that the control must add, likewise.
        least_heard: share of the words that must have been heard for either to show anything. Those
            that are left of fewer are easy ones, which need no upper band: where noise on the
            weights left a sixth, loud noise in the band took none of note.
        longer: how much longer a text with frames that were not collapsed must be.
        probed: rows that are sent again for probes; on 6, five words by chance hid a filter.
        least_probed: fewer probed rows than this show nothing.
        short_audio: share of a row's audio under which the service has not processed it all.
    """

    cut_edits: float = 0.25
    tolerated_rows: float = 0.05
    tolerated_words: float = 0.005
    systematic: float = 0.5
    explained: float = 0.8
    probe_left: float = 0.5
    unnoticed: float = 0.25
    noticed: float = 0.5
    least_heard: float = 0.25
    longer: float = 1.08
    probed: int = 16
    least_probed: int = 3
    short_audio: float = 0.95


THRESHOLDS = Thresholds()


class MismatchKind(StrEnum):
    """The kind of difference between a served row and the offline one."""

    EXACT = "exact"
    STYLE = "casing or punctuation"
    NUMBERS = "numbers written as digits"
    SPELLING = "the same words, spelled otherwise"
    CUT = "cut short"
    ARTEFACT = "decoder's symbols in the text"
    WORDS = "other words"


_SYMBOLS = re.compile(r"⁇|<unk>|<blank>|<blk>|<pad>|▁|##")
_REPEATED = re.compile(r"(.{1,12}?)\1+")
_DIGITS = re.compile(r"\d")


@dataclass(frozen=True, slots=True)
class ParityRow:
    """One row in both evaluations.

    Attributes:
        audio: the recording, as this host's manifest names it; the offline file may name it by
            another host's path.
        offline: the offline evaluation's row.
        served: the endpoint's text.
        kind: how they differ.
        words: of the normalised offline text.
        edits: words to change to get the served text.
        seconds: of the recording.
        heard_seconds: that the service says it has processed; 0 if it does not say.
        converted: whether the file is not 16-bit PCM and was converted before it was sent.
    """

    audio: str
    offline: Hypothesis
    served: str
    kind: MismatchKind
    words: int
    edits: int
    seconds: float = 0.0
    heard_seconds: float = 0.0
    converted: bool = False

    @property
    def same_words(self) -> bool:
        """True if every metric counts the two alike."""
        return self.kind in (MismatchKind.EXACT, MismatchKind.STYLE)


@dataclass(frozen=True, slots=True)
class ParityComparison:
    """All rows that both have, and the recordings of those that only one of them has."""

    rows: tuple[ParityRow, ...]
    only_offline: tuple[str, ...] = ()
    only_served: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        """True if each row of either evaluation was compared."""
        return not self.only_offline and not self.only_served

    @property
    def counts(self) -> dict[MismatchKind, int]:
        """Rows of each kind, in the order of the kinds."""
        rows_by_kind = Counter(row.kind for row in self.rows)
        return {kind: rows_by_kind[kind] for kind in MismatchKind}

    def of(self, *kinds: MismatchKind) -> tuple[ParityRow, ...]:
        """Return the rows of these kinds."""
        return tuple(row for row in self.rows if row.kind in kinds)

    @property
    def different(self) -> tuple[ParityRow, ...]:
        """The rows whose words differ."""
        return tuple(row for row in self.rows if not row.same_words)

    @property
    def word_difference(self) -> float:
        """Words to change over words of the offline text, all rows together."""
        return sum(row.edits for row in self.rows) / max(sum(row.words for row in self.rows), 1)


def kind_of(offline: str, served: str, thresholds: Thresholds = THRESHOLDS) -> MismatchKind:
    """Classify the difference between a served text and the offline one."""
    if offline == served:
        return MismatchKind.EXACT
    old_text, new_text = normalise(offline), normalise(served)
    old, new = old_text.split(), new_text.split()
    if _has_artefacts(offline, served, thresholds):
        return MismatchKind.ARTEFACT
    if old_text == new_text:
        return MismatchKind.STYLE
    if _only_numbers(old, new):
        return MismatchKind.NUMBERS
    if canonical(offline) == canonical(served):
        return MismatchKind.SPELLING
    cut = _is_cut(old, new, thresholds) or _is_cut(old[::-1], new[::-1], thresholds)
    return MismatchKind.CUT if cut else MismatchKind.WORDS


def _has_artefacts(offline: str, served: str, thresholds: Thresholds) -> bool:
    """Return whether the text holds the decoder's symbols, or frames not yet collapsed."""
    if _SYMBOLS.search(served) and not _SYMBOLS.search(offline):
        return True
    old_text, new_text = (normalise(text).replace(" ", "") for text in (offline, served))
    if not old_text or len(new_text) < thresholds.longer * len(old_text):
        return False
    difference = Levenshtein.normalized_distance(_collapse(old_text), _collapse(new_text))
    return difference <= thresholds.cut_edits


def _collapse(text: str) -> str:
    """Return the text with each piece that repeats at once reduced to one, as CTC does."""
    return _REPEATED.sub(r"\1", text)


def _only_numbers(old: Sequence[str], new: Sequence[str]) -> bool:
    """Return whether words differ only where the served text alone has digits."""
    same = Levenshtein.opcodes(old, new)
    ends = [(0, 0)]
    changed = []
    for step in [step for step in same if step.tag == "equal"]:
        changed.append((old[ends[-1][0] : step.src_start], new[ends[-1][1] : step.dest_start]))
        ends.append((step.src_end, step.dest_end))
    changed.append((old[ends[-1][0] :], new[ends[-1][1] :]))
    stretches = [
        (old_words, new_words) for old_words, new_words in changed if old_words or new_words
    ]
    return bool(stretches) and all(
        _DIGITS.search(" ".join(new_words)) and not _DIGITS.search(" ".join(old_words))
        for old_words, new_words in stretches
    )


def _is_cut(old: Sequence[str], new: Sequence[str], thresholds: Thresholds) -> bool:
    """Return whether ``new`` is the beginning of ``old``, but for what is misheard at the cut."""
    if len(new) >= len(old):
        return False
    if not new:
        return True
    edits = Levenshtein.distance(old[: len(new)], new)
    # The word at the cut may be half of one.
    half_word = old[: len(new) - 1] == new[:-1] and old[len(new) - 1].startswith(new[-1])
    return half_word or edits <= thresholds.cut_edits * len(new)


def compare(
    offline: Sequence[Hypothesis],
    served: Sequence[Hypothesis],
    facts: Callable[[str], tuple[float, float, bool]] = lambda _: (0.0, 0.0, False),
    thresholds: Thresholds = THRESHOLDS,
) -> ParityComparison:
    """Pair two evaluations of the same recordings.

    Args:
        offline: the offline evaluation.
        served: the endpoint's.
        facts: of a served row's audio_filepath: seconds, seconds that the service has processed,
            whether it was converted.
        thresholds: what counts as what.

    Raises:
        InputError: they have no row in common.
    """
    offline_keys, served_keys = keys(
        [(row.audio_filepath, row.ref) for row in offline],
        [(row.audio_filepath, row.ref) for row in served],
    )
    by_key = dict(zip(offline_keys, offline, strict=True))
    rows = []
    for key, row in zip(served_keys, served, strict=True):
        if key not in by_key:
            continue
        counterpart = by_key[key]
        old, new = normalise(counterpart.hyp).split(), normalise(row.hyp).split()
        seconds, heard_seconds, converted = facts(row.audio_filepath)
        rows.append(
            ParityRow(
                row.audio_filepath,
                counterpart,
                row.hyp,
                kind_of(counterpart.hyp, row.hyp, thresholds),
                len(old),
                Levenshtein.distance(old, new),
                seconds,
                heard_seconds,
                converted,
            )
        )
    if not rows:
        raise InputError(
            "the offline and the served evaluation have no row in common (audio file and text). "
            f"Fix: name the offline_hyps.jsonl of the same cycle with {name_of('offline')}."
        )
    answered = set(served_keys)
    return ParityComparison(
        tuple(rows),
        tuple(row.audio_filepath for key, row in by_key.items() if key not in answered),
        tuple(
            row.audio_filepath
            for key, row in zip(served_keys, served, strict=True)
            if key not in by_key
        ),
    )
