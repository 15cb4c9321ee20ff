"""A finished run's headline figures with their intervals, under names that stay the same."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_RATES = ("WER", "CER", "KER", "SER", "pooled WER")


def headline_figures(
    record: Mapping[str, Any],
    decision: Mapping[str, Any],
    board: Mapping[str, Any],
    info: Mapping[str, Any],
) -> dict[str, object]:
    """Return figures by name; each with an interval has ``_low`` and ``_high`` beside it.

    Args:
        record: run.json.
        decision: decision.json.
        board: the leaderboard, as JSON has it.
        info: training_run_info.json.
    """
    names = _model_names(record)
    figures: dict[str, object] = {}
    sections = board["sections"]
    for row in sections.get("headline", []):
        place = f"{row['rows']}/{names.get(row['model'], row['model'])}"
        figures[f"{place}/n"] = row.get("n")
        for rate in _RATES:
            _add(figures, f"{place}/{rate}", row.get(rate), row.get(f"{rate} ci"))
    for row in sections.get("entity_category", []):
        place = f"{row['rows']}/{names.get(row['model'], row['model'])}"
        _add(figures, f"{place}/KER.{row['entity_category']}", row.get("KER"), row.get("KER ci"))
    for category, change in decision.get("by", {}).items():
        place = f"verdict/{'all' if category == '(all)' else category}"
        figures[f"{place}/KER_base"] = change.get("ker_a")
        figures[f"{place}/KER_shipped"] = change.get("ker_b")
        figures[f"{place}/relative_change"] = change.get("relative")
        figures[f"{place}/p"] = change.get("p")
        figures[f"{place}/n"] = change.get("n")
        _ends(figures, f"{place}/KER_change", change.get("ci"))
        if change.get("ker_a") is not None and change.get("ker_b") is not None:
            figures[f"{place}/KER_change"] = change["ker_b"] - change["ker_a"]
    figures.update(_general(decision.get("guardrail")))
    for what, counts in (decision.get("nonspeech") or {}).items():
        if what in {"words", "terms"}:
            figures[f"nonspeech/{what}_base"] = counts["a"]
            figures[f"nonspeech/{what}_shipped"] = counts["b"]
    figures["seconds/run"] = record.get("seconds", {}).get("run")
    figures["seconds/computing"] = record.get("seconds", {}).get("computing")
    figures["seconds/training"] = info.get("wall_seconds")
    return figures


def _model_names(record: Mapping[str, Any]) -> dict[str, str]:
    """Return the names under which models are compared over cycles, by the leaderboard's."""
    base = PurePath(record["config"]["base"]).name
    return {base: "base", f"{base} tuned": "shipped"}


def _general(guardrail: Mapping[str, Any] | None) -> dict[str, object]:
    if guardrail is None:
        return {}
    figures: dict[str, object] = {
        "general/WER_base": guardrail.get("canonical_wer_a"),
        "general/WER_shipped": guardrail.get("canonical_wer_b"),
        "general/limit": guardrail.get("limit"),
        "general/n": guardrail.get("n"),
    }
    _add(figures, "general/rise", guardrail.get("rise"), guardrail.get("ci"))
    return figures


def _add(
    figures: dict[str, object], name: str, value: object, interval: Sequence[object] | None
) -> None:
    figures[name] = value
    _ends(figures, name, interval)


def _ends(figures: dict[str, object], name: str, interval: Sequence[object] | None) -> None:
    if interval is not None:
        figures[f"{name}_low"], figures[f"{name}_high"] = interval
