"""Whether a baseline's rows are the manifest's."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tasks.common import neighbour_stages
from tasks.common.counted import agreed, counted
from tasks.data.canonical import canonical
from tasks.data.text_normalizer import normalise

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tasks.data.manifest import Utterance
    from tasks.evaluation.scoring import Scores


def coverage_warnings(
    utterances: Sequence[Utterance],
    baseline: Scores,
    left_out: Scores | None,
    transcribe: str = "asr-flywheel transcribe",
) -> Iterable[str]:
    """Yield a warning where the baseline's rows are not the manifest's, with their number and why.

    Args:
        utterances: the manifest's rows.
        baseline: the rows that judge.
        left_out: rows that the evaluated model was trained on or chosen by, if there are any.
        transcribe: the command that scores the manifest.
    """
    texts = Counter(canonical(utterance.text) for utterance in utterances)
    judging = {canonical(row.row.ref) for row in baseline.rows}
    seen = {canonical(row.row.ref) for row in left_out.rows} if left_out is not None else set()
    known = sum(count for text, count in texts.items() if text in seen and text not in judging)
    missing = sum(count for text, count in texts.items() if text not in seen | judging)
    foreign = sum(canonical(row.row.ref) not in texts for row in baseline.rows)
    if known:
        yield (
            f"{known} of {counted(len(utterances), 'row')} of the manifest "
            f"{agreed(known, 'is', 'are')} left out, since the model that was evaluated, or the "
            f"base, was trained on {agreed(known, 'it', 'them')} or chosen by "
            f"{agreed(known, 'it', 'them')}. KER rests on the other "
            f"{counted(baseline.n, 'row')} of the baseline; scoring it again would not change that."
        )
    if missing:
        yield (
            f"{missing} of {counted(len(utterances), 'row')} of the manifest "
            f"{agreed(missing, 'is', 'are')} not in the baseline: it may "
            f"be older than the manifest. Score it again with {neighbour_stages.EVAL} or "
            f"`{transcribe}`."
        )
    if unlisted := _rows_with_fewer_terms(utterances, baseline):
        yield (
            f"{counted(unlisted, 'row')} of the manifest {agreed(unlisted, 'lists', 'list')} "
            "several terms, and the baseline's rows lack some of them, so that these count for "
            f"no KER. Score the cycle again with `{transcribe}`, or copy terms into "
            "the result's rows."
        )
    if foreign:
        yield (
            f"{foreign} of {counted(baseline.n, 'row')} of the baseline "
            f"{agreed(foreign, 'is no row', 'are no rows')} of this manifest. Score "
            f"this manifest with {neighbour_stages.EVAL} or `{transcribe}`, or name its "
            "own result with --baseline."
        )


def _rows_with_fewer_terms(utterances: Sequence[Utterance], baseline: Scores) -> int:
    """Count the manifest's rows of several terms whose baseline row lacks one of them."""
    scored: dict[str, set[str]] = {}
    several = [utterance for utterance in utterances if utterance.terms]
    for row in baseline.rows if several else ():
        terms = {normalise(one.term) for one in row.occurrences}
        scored.setdefault(canonical(row.row.ref), set()).update(terms)
    return sum(
        not {normalise(item.term) for item in utterance.terms} <= scored[canonical(utterance.text)]
        for utterance in several
        if canonical(utterance.text) in scored
    )
