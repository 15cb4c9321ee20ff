"""The page of a measurement of boosting: one self-contained file, before anything is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tasks.common import atomic_files
from tasks.records.purge_notes import describe_purged
from tasks.reporting.html import audio_clips
from tasks.reporting.html.boosting_section import describe_boosting
from tasks.reporting.html.page import open_templates

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tasks.data.cycle_folder import Cycle


def write_boost_page(cycle: Cycle, result: Mapping[str, Any]) -> Path:
    """Write boost_cycle<N>.html into the cycle's folder.

    Args:
        cycle: that was measured.
        result: the content of boost.json.

    Returns:
        The page's path.
    """
    section = describe_boosting(_as_section(result), lambda name: cycle.path / name)
    page = cycle.path / f"boost_cycle{cycle.number}.html"
    decision = result["decision"]
    text = (
        open_templates()
        .get_template("boost_page.html")
        .render(
            cycle=cycle.number,
            purged=describe_purged(result),
            content=""
            if section is None
            else audio_clips.warn_of_content(section.recordings, len(section.wrong)),
            base=result["base"],
            verdict=decision["decision"],
            strength=f"{result['strength']:g}",
            reasons=decision["reasons"],
            boosting=section,
        )
    )
    atomic_files.write_text(page, text + "\n")
    return page


def _as_section(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return what decision.json would hold of base and boosted base."""
    names = {name: f"base boosted, {name}" for name in result["boosted"]}
    judged = next(iter(names.values()))
    return {
        "list": result["list"],
        "chosen": judged,
        "findings": [one["choice"]["reason"] for one in result["boosted"].values()],
        "models": {
            "base": result["unboosted"],
            **{names[name]: figures for name, figures in result["boosted"].items()},
        },
        "strengths": {names[name]: lines for name, lines in result["strengths"].items()},
        "terms": result["terms"],
        "terms_without_audio": result["terms_without_audio"],
        "false_keyword_rows": result["false_keyword_rows"],
    }
