"""What Prefect shows of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from flows import artifacts
from tasks.data.cycle_folder import open_cycle
from tasks.decision import evidence
from tasks.decision.verdict import decide
from tasks.evaluation import diff
from tasks.evaluation.hypotheses import Partition
from tasks.evaluation.scoring import score
from tasks.stages.shipped_model import ShippedModel
from tests.support import factories, prepared_cycles

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The Markdown of each artifact by its key, kept here and sent to nobody."""
    found: dict[str, str] = {}

    def keep(*, key: str, markdown: str = "", **_: Any) -> None:
        found[key] = markdown

    monkeypatch.setattr(artifacts, "create_markdown_artifact", keep)
    monkeypatch.setattr(artifacts, "create_table_artifact", keep)
    return found


def test_the_decision_names_what_is_shipped_and_why(
    tmp_path: Path, published: dict[str, str]
) -> None:
    """And from the third on how many verdicts the held-out rows have given."""
    before, after = (
        score(factories.evaluated(missed, 20, part=Partition.HELD_OUT)) for missed in (10, 2)
    )
    pairing = diff.pair(before, after)
    decided = decide(evidence.evidence(pairing), ["drug"])
    reading = evidence.read_all_rows(pairing, ["drug"])
    (tmp_path / "ward" / "cycle2").mkdir(parents=True)
    cycle = open_cycle(tmp_path / "ward" / "cycle2")
    choice = prepared_cycles.mixture().as_dict()
    shipped = ShippedModel(tmp_path / "m.nemo", "e" * 64, choice, None, "f" * 64)
    changes = pairing.by_category
    artifacts.decision(cycle, decided, reading, changes, shipped=shipped, verdicts=2)
    told = published["ward-decision"]
    assert f"- Shipped: value 0.4. {choice['reason']}" in told
    assert "verdicts" not in told
    artifacts.decision(cycle, decided, reading, changes, shipped=shipped, verdicts=3)
    assert "- These held-out rows have given 3 verdicts." in published["ward-decision"]
    artifacts.decision(cycle, decided, reading, changes)
    assert "Shipped" not in published["ward-decision"]
