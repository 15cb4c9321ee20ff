"""The report's section on boosting: four models, strengths, terms, and words written wrongly."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.data.audio_paths import path_parts
from tasks.evaluation.statistics import Interval
from tasks.reporting.html import audio_clips, svg_charts
from tasks.reporting.html.metric_table import Figure
from tasks.reporting.html.number_format import percent
from tasks.reporting.html.svg_charts import CurveFigure, ValuePoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from tasks.reporting.html.audio_clips import Clip

SHOWN_ROWS = 8
"""Rows with a word written wrongly, and their recordings."""
SHOWN_TERMS = 100
_MEASURES = (
    ("fkr", "FKR", "rows with a keyword that nobody said"),
    ("wer", "WER", "word error rate, mean of rows"),
    ("u_wer", "U-WER", "errors outside the listed terms"),
    ("general_wer", "general WER", "on general English"),
    ("general_fkr", "general FKR", "sentences with a keyword that nobody said"),
)


@dataclass(frozen=True, slots=True)
class ModelLine:
    """One measure by each of the four models."""

    name: str
    what: str
    figures: Sequence[Figure]


@dataclass(frozen=True, slots=True)
class StrengthLine:
    """A strength's figures in words."""

    strength: str
    chosen: bool
    ker: Figure
    false_keywords: str
    general_wer: str


@dataclass(frozen=True, slots=True)
class StrengthCurve:
    """The strengths of one model: drawings and the same in figures."""

    model: str
    drawings: Sequence[CurveFigure]
    lines: Sequence[StrengthLine]


@dataclass(frozen=True, slots=True)
class TermLine:
    """A term, how often each model missed it, and what found it."""

    term: str
    category: str
    n: int
    missed: Sequence[int]
    gained_by: str


@dataclass(frozen=True, slots=True)
class WrongRow:
    """A row in which a boosted model wrote what nobody said."""

    model: str
    part: str
    terms: str
    by_boosting: bool
    ref: str
    hyp: str
    plain: str
    name: str
    clip: Clip


@dataclass(frozen=True, slots=True)
class UntrainedLine:
    """KER of one category on the terms that no row trained, by each model."""

    category: str
    n: int
    figures: Sequence[Figure]


@dataclass(frozen=True, slots=True)
class BoostingSection:
    """Everything that the section shows; its terms are of two models where nothing was tuned."""

    lists: str
    chosen: str
    findings: Sequence[str]
    models: Sequence[str]
    measures: Sequence[ModelLine]
    curves: Sequence[StrengthCurve]
    term_models: Sequence[str]
    terms: Sequence[TermLine]
    terms_left: int
    untrained: str
    untrained_lines: Sequence[UntrainedLine]
    wrong: Sequence[WrongRow]
    wrong_left: int

    @property
    def audio_bytes(self) -> int:
        """The size of its recordings, encoded."""
        return sum(len(row.clip.uri) for row in self.wrong)

    @property
    def recordings(self) -> int:
        """How many recordings it has."""
        return sum(bool(row.clip.uri) for row in self.wrong)


def describe_boosting(
    boosting: Mapping[str, Any] | None, recording: Callable[[str], Path]
) -> BoostingSection | None:
    """Describe what decision.json calls ``boosting``.

    Args:
        boosting: of decision.json.
        recording: returns the path of a held-out recording.

    Returns:
        None for a run that boosted nothing, and for one of a version that kept no figures of it.
    """
    if not boosting or "models" not in boosting:
        return None
    models = tuple(boosting["models"])
    terms = [_term_line(one) for one in boosting["terms"]]
    term_models = tuple(boosting["terms"][0]["missed"]) if terms else ()
    wrong = boosting["false_keyword_rows"]
    table = boosting["terms_without_audio"]
    return BoostingSection(
        boosting["list"],
        boosting["chosen"],
        boosting["findings"],
        models,
        list(_measures(boosting["models"])),
        [
            _strength_curve(model, strengths)
            for model, strengths in boosting["strengths"].items()
            if strengths
        ],
        term_models,
        terms[:SHOWN_TERMS],
        max(0, len(terms) - SHOWN_TERMS),
        "" if table is None else f"{table['terms']} of the {table['of_terms']} terms that judge",
        [] if table is None else list(_untrained_lines(table)),
        list(_wrong_rows(wrong[:SHOWN_ROWS], recording)),
        max(0, len(wrong) - SHOWN_ROWS),
    )


def _measures(models: Mapping[str, Mapping[str, Any]]) -> Iterable[ModelLine]:
    first = next(iter(models.values()))
    for category in first["ker"]:
        shares = [_figure(figures["ker"][category]) for figures in models.values()]
        yield ModelLine(f"KER {category}", f"of {first['ker'][category]['n']} terms", shares)
    for key, name, what in _MEASURES:
        if first[key]["rate"] is not None:
            yield ModelLine(name, what, [_figure(figures[key]) for figures in models.values()])


def _figure(rate: Mapping[str, Any]) -> Figure:
    return Figure.of(rate["rate"], _interval(rate["ci"]))


def _interval(ends: Sequence[float] | None) -> Interval | None:
    return None if ends is None else Interval(*ends)


def _strength_curve(model: str, strengths: Sequence[Mapping[str, Any]]) -> StrengthCurve:
    most = max(one["strength"] for one in strengths)
    chosen = next((f"{one['strength']:g}" for one in strengths if one["chosen"]), "none")
    kers = [
        ValuePoint(one["strength"], one["ker"], _interval(one["ker_ci"]), one["chosen"])
        for one in strengths
        if one["ker"] is not None
    ]
    false = [
        ValuePoint(
            one["strength"],
            one["false_keywords"]["rate"],
            _interval(one["false_keywords"]["ci"]),
            one["chosen"],
        )
        for one in strengths
        if one["false_keywords"] is not None and one["false_keywords"]["n"]
    ]
    drawings = []
    ends = [point.interval.high for point in false if point.interval is not None]
    small = svg_charts.share_axis([*ends, *(point.figure for point in false)])
    for title, points, scale in (
        ("KER on the selection rows", kers, svg_charts.SHARES),
        ("Rows with a false keyword", false, small),
    ):
        if points:
            label = f"{title} by strength, {model}; chosen: {chosen}"
            drawing = svg_charts.value_curve(
                points, scale, label, percent, most=most, mark="chosen"
            )
            drawings.append(CurveFigure(title, "by strength, with 95 % intervals", drawing))
    return StrengthCurve(model, drawings, [_strength_line(one) for one in strengths])


def _strength_line(one: Mapping[str, Any]) -> StrengthLine:
    share = one["false_keywords"]
    wer = one["general_wer"]
    return StrengthLine(
        f"{one['strength']:g}",
        one["chosen"],
        Figure.of(one["ker"], _interval(one["ker_ci"])),
        "–" if share is None else f"{share['hits']} of {share['n']}",
        "–" if wer is None else f"{100 * wer:.1f} %",
    )


def _term_line(term: Mapping[str, Any]) -> TermLine:
    missed: Mapping[str, int] = term["missed"]
    counts = tuple(missed.values())
    return TermLine(term["term"], term["category"], term["n"], counts, name_gains(counts))


def name_gains(missed: Sequence[int]) -> str:
    """Say in words which of boosting and tuning found a term that the base missed.

    Args:
        missed: how often base and boosted base missed it; where a model was tuned, also that one
            without phrases and with them.
    """
    base, boosted = missed[:2]
    tuned, both = missed[2:] or (base, boosted)
    alone = (("boosting", boosted), ("tuning", tuned))
    gains = [name for name, count in alone if count < base]
    losses = [f"lost by {name}" for name, count in alone if count > base]
    if both < min(boosted, tuned, base):
        gains.append("both together")
    if both > max(boosted, tuned, base):
        losses.append("lost by both together")
    if gains or losses:
        return ", ".join([*gains, *losses])
    return "nothing" if base else "found by all"


def _untrained_lines(table: Mapping[str, Any]) -> Iterable[UntrainedLine]:
    kers = table["ker"]
    for category, share in next(iter(kers.values())).items():
        if share["n"]:
            figures = [_figure(of_model[category]) for of_model in kers.values()]
            yield UntrainedLine(category, share["n"], figures)


def _wrong_rows(
    rows: Sequence[Mapping[str, Any]], recording: Callable[[str], Path]
) -> Iterable[WrongRow]:
    packed = audio_clips.clips([_recording(row, recording) for row in rows], audio_clips.MOST_BYTES)
    for row, clip in zip(rows, packed, strict=True):
        yield WrongRow(
            row["model"],
            row["part"],
            ", ".join(row["terms"]),
            bool(row["by_boosting"]),
            row["ref"],
            row["hyp"],
            row["hyp_without_phrases"],
            path_parts(row["audio_filepath"])[-1],
            clip,
        )


def _recording(row: Mapping[str, Any], recording: Callable[[str], Path]) -> Path:
    """Return where a row's recording lies: as it was read, or beside the moved cycle."""
    recorded = Path(row["recording"])
    return recorded if recorded.is_file() else recording(row["audio_filepath"])
