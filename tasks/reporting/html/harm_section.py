"""The report's section on harm: long recordings, silence, punctuation and capitals, each voice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.common.counted import counted
from tasks.decision.group_check import FIELDS
from tasks.reporting.html.metric_table import Figure
from tasks.reporting.html.number_format import fine_points

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


@dataclass(frozen=True, slots=True)
class HarmLine:
    """One figure by both models, in words.

    Attributes:
        name: what was looked at.
        n: on how much.
        before: by the base.
        after: by the shipped model.
        change: in points, or a number of words.
        between: its interval, or its p-value.
        finding: held, broken, unclear, worse, or why it does not apply.
    """

    name: str
    n: str
    before: str
    after: str
    change: str
    between: str
    finding: str


def describe_harms(decision: Mapping[str, Any]) -> Sequence[HarmLine]:
    """Describe what decision.json holds; nothing for a run of a version that did not look."""
    return [
        *_joined(decision.get("joined_sentences")),
        *_nonspeech(decision.get("nonspeech")),
        *_writing(decision.get("writing")),
        *_groups(decision.get("groups")),
    ]


def _joined(block: Mapping[str, Any] | None) -> Iterable[HarmLine]:
    if block is None:
        return
    together = block.get("together")
    for length in (*block["lengths"], *((together,) if together else ())):
        seconds = length["seconds"]
        yield HarmLine(
            f"WER of joined sentences, {'all lengths' if seconds is None else f'{seconds} s'}",
            f"{counted(length['n'], 'recording')}, {counted(length['sentences'], 'sentence')}",
            _percent(length["canonical_wer_a"]),
            _percent(length["canonical_wer_b"]),
            fine_points(length["rise"], 1),
            _between(length["ci"]),
            length["status"],
        )


def _nonspeech(block: Mapping[str, Any] | None) -> Iterable[HarmLine]:
    if block is None:
        return
    for name in ("words", "terms"):
        count = block[name]
        yield HarmLine(
            f"{name} found where nobody speaks",
            counted(block["n"], "recording"),
            str(count["a"]),
            str(count["b"]),
            f"{count['b'] - count['a']:+d}" if count["b"] != count["a"] else "0",
            f"mid-p {count['p']:.3g}",
            "rose" if count["rose"] else "held",
        )


def _writing(block: Mapping[str, Any] | None) -> Iterable[HarmLine]:
    for figure in (block or {}).get("figures", ()):
        if not figure["applicable"]:
            finding = f"not applicable: {figure['reason']}"
            yield HarmLine(figure["figure"], "–", "–", "–", "–", "", finding)
            continue
        yield HarmLine(
            figure["figure"],
            counted(figure["sentences"], "sentence"),
            _percent(figure["a"]),
            _percent(figure["b"]),
            fine_points(figure["change"], 1),
            _between(figure["ci"]),
            figure["status"],
        )


def _groups(block: Mapping[str, Any] | None) -> Iterable[HarmLine]:
    """Yield a line for each voice and group, the surest loss first."""
    groups = (block or {}).get("groups", ())
    order = sorted(groups, key=lambda one: (one["broken"] <= one["fixed"], one["p_adjusted"]))
    for group in order:
        yield HarmLine(
            f"KER, {FIELDS.get(group['field'], group['field'])} {group['value']}",
            counted(group["n"], "row"),
            _percent(group["ker_a"]),
            _percent(group["ker_b"]),
            fine_points(group["ker_b"] - group["ker_a"], 1),
            f"Holm-corrected p {group['p_adjusted']:.3g}",
            "worse" if group["worse"] else "no loss is shown",
        )


def _percent(share: float) -> str:
    return Figure.of(share, None).value


def _between(ends: Sequence[float] | None) -> str:
    return "" if ends is None else f"{fine_points(ends[0], 1)} to {fine_points(ends[1], 1)}"
