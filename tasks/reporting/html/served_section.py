"""The report's section on what is served: each bundle's figures, and what the tests say of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.evaluation.keyword_change import ALL_CATEGORIES
from tasks.evaluation.statistics import Interval
from tasks.reporting.html.metric_table import Figure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tasks.records.served_figures import ServedFigures


@dataclass(frozen=True, slots=True)
class ServedLine:
    """One arm: what it is, and its figures in the order of the columns."""

    name: str
    n: int
    figures: Sequence[Figure]


@dataclass(frozen=True, slots=True)
class BundleLine:
    """One bundle: whether its texts are NeMo's, its size, and why texts differ."""

    name: str
    verdict: str
    equal: str
    size: str
    causes: str


@dataclass(frozen=True, slots=True)
class ServedSection:
    """Everything that the section shows.

    Attributes:
        rows: which rows judged.
        columns: names of the figures.
        lines: one for each arm.
        sentences: of the paired tests.
        bundles: one for each bundle.
    """

    rows: str
    columns: Sequence[str]
    lines: Sequence[ServedLine]
    sentences: Sequence[str]
    bundles: Sequence[BundleLine]


def describe_served(figures: ServedFigures | None, priority: Sequence[str]) -> ServedSection | None:
    """Describe what is served; None where nothing was validated.

    Args:
        figures: that validate-serving left.
        priority: categories that have a column of their own, beside all terms.
    """
    if figures is None:
        return None
    known = {name for arm in figures.arms for name in arm["ker"]}
    categories = [name for name in priority if name in known] + [ALL_CATEGORIES]
    columns = [f"KER, {name.strip('()')}" for name in categories]
    return ServedSection(
        figures.rows,
        [*columns, "WER", "U-WER", "rows with a false keyword"],
        [_line(arm, categories) for arm in figures.arms],
        figures.sentences,
        [_bundle(bundle) for bundle in figures.bundles],
    )


def _line(arm: Mapping[str, Any], categories: Sequence[str]) -> ServedLine:
    false = arm["false_keyword_rows"]
    shares = [arm["ker"].get(name) for name in categories]
    return ServedLine(
        str(arm["arm"]),
        int(arm["n"]),
        [
            *(_figure(share) for share in (*shares, arm["wer"], arm["u_wer"])),
            Figure(f"{false['hits']:g} of {false['n']}", ""),
        ],
    )


def _figure(rate: Mapping[str, Any] | None) -> Figure:
    if rate is None:
        return Figure.of(None, None)
    ends = rate["ci"]
    return Figure.of(rate["rate"], None if ends is None else Interval(*ends))


def _bundle(bundle: Mapping[str, Any]) -> BundleLine:
    causes = ", ".join(f"{name} {rows}" for name, rows in bundle["causes"].items())
    return BundleLine(
        bundle["name"],
        bundle["verdict"],
        f"{bundle['equal_texts']} of {bundle['rows']}",
        f"{bundle['bytes'] / 1e6:.1f} MB",
        causes or "–",
    )
