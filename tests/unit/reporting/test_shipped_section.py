"""What is shipped, in the report: the curve of mixtures, the reason for one, and its origin."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

from tasks.data.cycle_folder import open_cycle
from tasks.decision import mixture_choice
from tasks.records import run_record
from tasks.reporting.html import png_figures
from tasks.reporting.html.report_data import gather
from tests.support import prepared_cycles
from tests.support.prepared_cycles import render_report

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_what_is_shipped_is_drawn_and_told(tmp_path: Path) -> None:
    """The curve with the chosen point by shape and label, its limit, both ends, and a table."""
    text = render_report(tmp_path, prepared_cycles.Turn(shipped=prepared_cycles.mixture()))
    section = text[text.index("What is shipped") : text.index("Change in missed terms")]
    assert "0.4 of the tuned model’s weights and 0.6 of the base’s" in section
    assert "<h1>Keep the mixture.</h1>" in text
    assert "The mixture misses <strong>" in text
    assert prepared_cycles.mixture().reason in section
    assert section.count("shipped: 0.4</text>") == 2
    assert section.count('<path class="node best"') == 2
    assert section.count('class="allowed"') == 1
    assert "the curve through all; dashed: the allowed +0.375" in section
    assert section.count(">base</text>") == section.count(">plain tuned</text>") == 2
    rows = re.findall(r"<tr><th scope=.row.>(.*?)</tr>", section)
    assert [re.sub("<[^>]*>", " ", row).split()[0] for row in rows] == ["0", "0.4", "1"]
    assert "50.0 %" in rows[1]
    assert "+0.20" in rows[1]
    assert "+0.096" in rows[1]  # of (1.5 + .064 * .2) / (1 + .064 ** 2) points at 1, by the cube
    assert "✓ holds" in rows[1]
    assert "+1.50" in rows[2]
    assert "+1.507" in rows[2]
    assert "✕ no" in rows[2]
    assert "by the curve" in rows[2]


def test_a_mixture_over_the_limit_that_holds_says_by_what(tmp_path: Path) -> None:
    """Reason, table and decision.json agree on the second condition."""
    chosen = prepared_cycles.doubtful_mixture()
    assert chosen.value == 0.4
    assert (
        "Its own rise on them is +0.90 points, over the limit of +0.50 by less than its standard "
        "error of 0.90." in chosen.reason
    )
    text = render_report(tmp_path, prepared_cycles.Turn(shipped=chosen))
    rows = re.findall(r"<tr><th scope=.row.>(.*?)</tr>", text)
    words = [re.sub("<[^>]*>", " ", row) for row in rows]
    (line,) = [one for one in words if one.startswith("0.4")]
    assert "+0.90" in line
    assert "✓ holds" in line
    assert "by the curve; own rise over the limit by less than its standard error of 0.90" in line
    (plain,) = [one for one in words if one.startswith("1 ")]
    assert "✓ holds" in plain
    assert plain.rstrip().endswith("by the curve")


def test_where_no_row_chose_the_reason_stands_alone(tmp_path: Path) -> None:
    """Without a curve; and a run of an older version has no such section."""
    stated = mixture_choice.stated_choice({"drug": 8})
    text = render_report(tmp_path / "stated", prepared_cycles.Turn(shipped=stated))
    section = text[text.index("What is shipped") : text.index("Change in missed terms")]
    assert "Nothing was chosen" in section
    assert "<svg" not in section
    assert "<table" not in section
    asked = mixture_choice.fixed_choice(1.0)
    text = render_report(tmp_path / "off", prepared_cycles.Turn(shipped=asked))
    assert "The tuned model is shipped as training left it." in text
    assert "<h1>Keep the tuned model.</h1>" in text
    assert "What is shipped" not in render_report(tmp_path / "old", prepared_cycles.Turn())


def test_the_origin_names_rows_that_chose_and_three_models(tmp_path: Path) -> None:
    """Selection rows, the checkpoint that was kept, and the hashes of base, tuned and shipped."""
    text = render_report(tmp_path / "now", prepared_cycles.Turn(shipped=prepared_cycles.mixture()))
    assert "18 rows to train on, 6 to choose by, 12 held out" in text
    assert "<dt>Checkpoint</dt><dd>the best, chosen on selection rows</dd>" in text
    for name, sha256 in (
        ("base model", "b" * 64),
        ("tuned model (plain)", prepared_cycles.TUNED_SHA256),
        ("shipped model (mixture)", prepared_cycles.SHIPPED_SHA256),
    ):
        assert f"<dt>{name}</dt><dd><code>{sha256}</code></dd>" in text
    older = render_report(tmp_path / "then", prepared_cycles.Turn())
    assert "18 rows to train on, 12 held out" in older
    assert f"<dt>tuned model</dt><dd><code>{prepared_cycles.SHIPPED_SHA256}</code></dd>" in older


def test_the_curve_is_among_the_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which Prefect shows; a run without candidates has none, nor keeps an earlier run's."""
    for other in ("_forest", "_bars", "_training"):
        monkeypatch.setattr(png_figures, other, lambda *_: None)
    turn = prepared_cycles.Turn(shipped=prepared_cycles.mixture())
    cycle = open_cycle(prepared_cycles.finish_turn(tmp_path, 1, turn))
    evidence = gather(cycle, run_record.read(cycle))
    (path,) = png_figures.write_figures(evidence)
    assert path.name == "mixture.png"
    assert path.read_bytes().startswith(b"\x89PNG")
    older = dataclasses.replace(evidence, decision={**evidence.decision, "shipping": None})
    assert png_figures.write_figures(older) == []
    assert not path.exists()
