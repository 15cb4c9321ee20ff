"""What word boosting gives on the server: a cycle's recordings sent again at several scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.data.canonical_terms import SpokenText
from tasks.evaluation.error_counts import Proportion
from tasks.evaluation.false_keywords import index_terms
from tasks.evaluation.hypotheses import Partition, hypothesis_for
from tasks.evaluation.result_reading import read_hypotheses
from tasks.evaluation.row_basis import HELD_OUT
from tasks.evaluation.scoring import score
from tasks.evaluation.statistics import ends
from tasks.serving import endpoint_transcription
from tasks.serving.word_boosting import WordBoost, describe_support

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tasks.data.preflight import CheckedRow
    from tasks.evaluation.false_keywords import TermIndex
    from tasks.evaluation.scoring import Scores
    from tasks.serving.riva_client import Client

_ALL_ROWS = "all"


@dataclass(frozen=True, slots=True)
class SweepLine:
    """The figures at one score.

    Attributes:
        score: Riva's; 0 is without phrases.
        keyword: terms that were missed.
        false_rows: rows with a phrase or a term that nobody said.
        wer: mean of rows.
        changed: rows whose text is not the one without phrases.
    """

    score: float
    keyword: Proportion
    false_rows: Proportion
    wer: float | None
    changed: int

    def as_dict(self) -> dict[str, Any]:
        """Return the line as serving_parity.json holds it."""
        return {
            "score": self.score,
            "ker": self.keyword.rate,
            "ker_ci": ends(self.keyword.interval),
            "n_with_term": self.keyword.n,
            "false_keyword_rows": self.false_rows.hits,
            "fkr": self.false_rows.rate,
            "fkr_ci": ends(self.false_rows.interval),
            "wer": self.wer,
            "changed_rows": self.changed,
        }


@dataclass(frozen=True, slots=True)
class BoostSweep:
    """Word boosting on the server.

    Attributes:
        phrases: how many were sent.
        basis: the rows of the figures: held-out ones where these are known.
        n: how many rows these are.
        flag: the decoder that riva-build was told, or "".
        lines: without phrases, then by score.
    """

    phrases: int
    basis: str
    n: int
    flag: str
    lines: tuple[SweepLine, ...]

    @property
    def heeded(self) -> bool:
        """Whether any score changed any text."""
        return any(line.changed for line in self.lines)

    @property
    def best(self) -> SweepLine:
        """The score with the fewest missed terms, of those with the fewest false keywords."""
        limit = self.lines[0].false_rows.hits
        holds = [line for line in self.lines if line.false_rows.hits <= limit]
        return min(holds, key=lambda line: (line.keyword.rate or 0.0, line.score))

    def findings(self) -> tuple[str, ...]:
        """Say what the sweep showed."""
        told = f"Boosting by riva-build's {self.flag or 'decoder'}: {describe_support(self.flag)}."
        if not self.heeded:
            scores = ", ".join(f"{line.score:g}" for line in self.lines[1:])
            return told, (
                f"No row changed at score {scores}: this endpoint does not heed boosted phrases."
            )
        best = self.best
        if best.score == 0:
            return told, (
                "The endpoint heeds boosted phrases. No score misses fewer terms without more "
                "false keywords."
            )
        return told, (
            f"The endpoint heeds boosted phrases. Score {best.score:g} misses the fewest terms of "
            "those without more false keywords. These rows chose it, so that its figures flatter: "
            "check it on others."
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the sweep as serving_parity.json holds it."""
        return {
            "phrases": self.phrases,
            "rows": self.basis,
            "n": self.n,
            "decoder": self.flag or None,
            "heeded": self.heeded,
            "findings": list(self.findings()),
            "scores": [line.as_dict() for line in self.lines],
        }


def sweep(
    rows: Sequence[CheckedRow],
    offline: Path,
    client: Client,
    phrases: Sequence[str],
    scores: Sequence[float],
    *,
    flag: str,
    concurrency: int,
    report: Callable[[str], None] = lambda _: None,
) -> BoostSweep:
    """Send recordings again, with phrases, at each score.

    Args:
        rows: that were served without phrases before; checked.
        offline: path of the offline evaluation, which knows the held-out rows; served_hyps.jsonl
            lies beside it.
        client: the endpoint's.
        phrases: as the model writes them.
        scores: Riva's.
        flag: the decoder that riva-build was told, or "".
        concurrency: calls under way at once.
        report: is told of progress.

    Raises:
        ServingError: a row was not answered; all answers before it are kept for the next start.
    """
    parts = {row.audio_filepath: row.part for row in read_hypotheses(offline)}
    names = [row.utterance.audio_filepath for row in rows]
    held_out = {name for name in names if parts.get(name) is Partition.HELD_OUT}
    judging = held_out or set(names)
    terms = [item.term for row in rows for item in row.utterance.flagged]
    index = index_terms([*phrases, *terms])
    plain = {
        row.audio_filepath: row.hyp
        for row in read_hypotheses(offline.parent / endpoint_transcription.SERVED_NAME)
    }

    def line(score_sent: float, texts: dict[str, str]) -> SweepLine:
        scored = score(
            hypothesis_for(row.utterance, texts[row.utterance.audio_filepath])
            for row in rows
            if row.utterance.audio_filepath in judging
        )
        changed = sum(texts[name] != plain[name] for name in judging)
        return SweepLine(
            score_sent, scored.keyword, _false_rows(scored, index), scored.wer, changed
        )

    lines = [line(0.0, plain)]
    for number in sorted(set(scores)):
        boosted = client.with_boost(WordBoost(tuple(phrases), number))
        target = _target(offline.parent, number)
        endpoint_transcription.transcribe(rows, boosted, target, concurrency, report)
        lines.append(line(number, {row.audio_filepath: row.hyp for row in read_hypotheses(target)}))
    return BoostSweep(
        len(phrases), HELD_OUT if held_out else _ALL_ROWS, len(judging), flag, tuple(lines)
    )


def _target(folder: Path, number: float) -> Path:
    return folder / f"served_boosted_{number:g}_hyps.jsonl"


def _false_rows(scores: Scores, index: TermIndex) -> Proportion:
    false = [
        bool(index.false_in(SpokenText(row.row.ref), SpokenText(row.row.hyp)))
        for row in scores.rows
    ]
    return Proportion(sum(false), len(false))
