"""The parity report, as JSON for programs and as Markdown for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from tasks.common import atomic_files, neighbour_stages
from tasks.common.counted import agreed, counted
from tasks.common.parameter_names import name_of
from tasks.common.privacy_settings import HIDDEN, for_log
from tasks.common.schemas import Schema
from tasks.evaluation.hypotheses import Partition
from tasks.evaluation.scoring import score
from tasks.serving.parity import THRESHOLDS, MismatchKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from tasks.evaluation.hypotheses import Hypothesis
    from tasks.evaluation.statistics import Interval
    from tasks.serving.boost_sweep import BoostSweep
    from tasks.serving.causes import Cause
    from tasks.serving.parity import ParityComparison, ParityRow, Thresholds
    from tasks.serving.probes import ProbeResult

JSON_NAME = "serving_parity.json"
MARKDOWN_NAME = "serving_parity.md"
_SHOWN_ROWS = 20
_METRICS = ("wer", "cer", "ker", "ser")


class ServingReport(Protocol):
    """The report of a validation: of an endpoint, or of bundles."""

    @property
    def is_equal(self) -> bool:
        """True if served and offline hypotheses agree within tolerance."""

    def as_dict(self) -> dict[str, Any]:
        """Return the report for programs."""


@dataclass(frozen=True, slots=True)
class ParityReport:
    """Everything that a comparison of served and offline found.

    Attributes:
        cycle: number of the cycle whose evaluation was compared.
        endpoint: without its key.
        comparison: row by row.
        causes: why they differ.
        offline: the offline rows that were compared.
        served: the endpoint's rows, in the same order.
        probes: what the probes found.
        served_models: what the endpoint says that it serves.
        asked: rows asked for in this run.
        attempts: further attempts that rate limits and cut connections cost.
        boosting: what boosted phrases give on the server; None where none were sent.
    """

    cycle: int
    endpoint: Mapping[str, Any]
    comparison: ParityComparison
    causes: tuple[Cause, ...]
    offline: tuple[Hypothesis, ...]
    served: tuple[Hypothesis, ...]
    probes: Sequence[ProbeResult]
    served_models: Sequence[Mapping[str, Any]]
    asked: int
    attempts: int
    boosting: BoostSweep | None = None

    @property
    def verdict(self) -> str:
        """``diverges``, ``incomplete``, ``within tolerance``, ``same words`` or ``exact``.

        Rows that could not be compared prove nothing: what looks equal is then ``incomplete``.
        """
        if self.comparison.different and not self._is_tolerable(THRESHOLDS):
            return "diverges"
        if not self.comparison.is_whole:
            return "incomplete"
        if self.comparison.different:
            return "within tolerance"
        exact = all(row.kind is MismatchKind.EXACT for row in self.comparison.rows)
        return "exact" if exact else "same words"

    @property
    def is_equal(self) -> bool:
        """True if served and offline hypotheses agree within tolerance."""
        return self.verdict not in {"diverges", "incomplete"}

    @property
    def not_compared(self) -> tuple[str, ...]:
        """A sentence for each evaluation with rows that the other lacks; () if there are none."""
        comparison = self.comparison
        only = (("offline", comparison.only_offline), ("served", comparison.only_served))
        return tuple(_describe_only(name, rows) for name, rows in only if rows)

    def _is_tolerable(self, limits: Thresholds) -> bool:
        share = len(self.comparison.different) / len(self.comparison.rows)
        few_words = self.comparison.word_difference <= limits.tolerated_words
        return share <= limits.tolerated_rows and few_words

    @property
    def figures(self) -> list[dict[str, Any]]:
        """WER, CER, KER and SER of both, held-out rows first and trained rows labelled."""
        parts: tuple[Partition | None, ...] = (None,)
        if any(row.part is not None for row in self.offline):
            marked = {row.part for row in self.offline}
            parts = (*(part for part in Partition if part in marked), None)
        lines = []
        for part in parts:
            for name, rows in (("offline", self.offline), ("served", self.served)):
                scores = score(row for row in rows if part in {None, row.part})
                label = "all" if len(parts) == 1 else "all, trained on included"
                lines.append(
                    {
                        "rows": label if part is None else part.value,
                        "evaluation": name,
                        "n": scores.n,
                        "n_with_term": scores.keyword.n,
                        **{metric: getattr(scores, metric) for metric in _METRICS},
                    }
                )
        return lines

    def as_dict(self) -> dict[str, Any]:
        """Return the report as serving_parity.json holds it."""
        return {
            "verdict": self.verdict,
            "endpoint": dict(self.endpoint),
            "rows": len(self.comparison.rows),
            "only_offline": list(self.comparison.only_offline),
            "only_served": list(self.comparison.only_served),
            "kinds": {kind.value: n for kind, n in self.comparison.counts.items()},
            "word_difference": self.comparison.word_difference,
            "figures": self.figures,
            "causes": [cause.as_dict() for cause in self.causes],
            "probes": [probe.as_dict() for probe in self.probes],
            "served_models": [dict(model) for model in self.served_models],
            "asked": self.asked,
            "further_attempts": self.attempts,
            "boosting": None if self.boosting is None else self.boosting.as_dict(),
            "differences": [_row(row) for row in _sort_worst_first(self.comparison)],
        }

    def as_markdown(self, *, texts: bool = True) -> str:
        """Return the report as Markdown; without texts for a log or an artifact."""
        comparison = self.comparison
        parts = [
            f"# Serving parity, cycle {self.cycle}: {self.verdict}",
            (
                f"`{self.endpoint['address']}` against the offline evaluation, "
                f"{counted(len(comparison.rows), 'row')}."
            ),
            _table(("", "rows"), ((kind.value, n) for kind, n in comparison.counts.items() if n)),
            *(f"**Not compared**: {line}" for line in self.not_compared),
            "## Figures",
            _table(
                ("rows", "evaluation", "n", "n with term", *(name.upper() for name in _METRICS)),
                (tuple(line.values()) for line in self.figures),
            ),
        ]
        if self.causes:
            causes = [_cause(cause) for cause in self.causes]
            parts += ["## Why they differ", *(causes if texts else map(for_log, causes))]
        if self.probes:
            lines = ((probe.probe.name, probe.probe.against, probe.edits) for probe in self.probes)
            head = ("changed audio, sent again", "compared with", "differing words")
            differing = (
                f"Served and offline differ in {counted(self.probes[0].difference, 'word')} there."
            )
            parts += ["## Probes", differing, _table(head, lines)]
        if self.boosting is not None:
            parts += _boosting(self.boosting)
        if worst := _sort_worst_first(comparison)[:_SHOWN_ROWS]:
            lines4 = (
                (row.audio, row.kind.value, row.offline.hyp, row.served)
                if texts
                else (HIDDEN, row.kind.value, HIDDEN, HIDDEN)
                for row in worst
            )
            title = f"## Rows that differ ({len(worst)} of {len(_sort_worst_first(comparison))})"
            parts += [title, _table(("audio", "how", "offline", "served"), lines4)]
        return "\n\n".join(parts) + "\n"


def _between(interval: Interval | None) -> str:
    return "–" if interval is None else f"{interval.low:.3f} to {interval.high:.3f}"


def _boosting(boosting: BoostSweep) -> list[str]:
    head = ("score", "KER", "95 % interval", "rows with a false keyword", "WER", "changed rows")
    lines = (
        (
            f"{line.score:g}" if line.score else "without phrases",
            line.keyword.rate,
            _between(line.keyword.interval),
            f"{line.false_rows.hits} of {line.false_rows.n}",
            line.wer,
            line.changed,
        )
        for line in boosting.lines
    )
    sent = (
        f"{counted(boosting.phrases, 'phrase')}; {counted(boosting.n, 'row')} ({boosting.basis})."
    )
    return ["## Boosted phrases", sent, _table(head, lines), " ".join(boosting.findings())]


def _sort_worst_first(comparison: ParityComparison) -> list[ParityRow]:
    differing = [row for row in comparison.rows if row.kind is not MismatchKind.EXACT]
    return sorted(differing, key=lambda row: -row.edits)


def _describe_only(evaluation: str, rows: Sequence[str]) -> str:
    examples = ", ".join(f"`{row}`" for row in rows[:_SHOWN_ROWS])
    more = f" and {len(rows) - _SHOWN_ROWS} more" if len(rows) > _SHOWN_ROWS else ""
    return (
        f"{counted(len(rows), 'row')} {agreed(len(rows), 'is', 'are')} in the {evaluation} "
        f"evaluation only ({examples}{more}): recording and reference are the same in no row of "
        "the other. Make the offline evaluation again of the manifest as it is now, or name its "
        f"own with {name_of('offline')}."
    )


def _row(row: ParityRow) -> dict[str, Any]:
    return {
        "audio_filepath": row.audio,
        "how": row.kind.value,
        "offline": row.offline.hyp,
        "served": row.served,
        "word_edits": row.edits,
    }


def _cause(cause: Cause) -> str:
    evidence = "; ".join(cause.evidence)
    return (
        f"**{cause.name.value}** ({counted(cause.rows, 'row')}). {evidence}. Remedy: "
        f"{cause.remedy}. Route: `{neighbour_stages.SERVING}`."
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    lines += ["| " + " | ".join(map(_cell, row)) + " |" for row in rows]
    return "\n".join(lines)


def _cell(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.3f}"
    return str(value).replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")


def write(folder: Path, report: ParityReport) -> None:
    """Write serving_parity.md, then serving_parity.json."""
    atomic_files.write_text(folder / MARKDOWN_NAME, report.as_markdown())
    atomic_files.write_json(folder / JSON_NAME, Schema.SERVING_PARITY.mark(report.as_dict()))
