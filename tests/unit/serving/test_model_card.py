"""The card that is handed on: what was measured and what was mixed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.decision.mixture_choice import fixed_choice
from tasks.models.catalog import embedded_path
from tasks.records import run_record
from tasks.training.run import INFO_NAME
from tests.support import finished_runs, prepared_cycles

if TYPE_CHECKING:
    from collections.abc import Callable

    from tasks.data.cycle_folder import Cycle
    from tasks.decision.mixture_choice import Choice


def test_the_card_says_what_was_measured(cycle: Path, ask_handoff: Callable[..., Any]) -> None:
    """Held-out figures first, then those on trained rows; data, recipe, licence and limits."""
    evaluated = finished_runs.finish(cycle, embedded_path())
    ask_handoff(cycle)
    card = (evaluated.path / "handoff" / "MODEL_CARD.md").read_text()
    assert 0 < card.index("| held-out |") < card.index("| trained on |")
    for part in (
        "Apache-2.0",
        "| Languages | en |",
        "0.100 (0.028 to 0.301)",
        "Decision: **keep**",
        "| Trained on | 100 |",
        "| Peak learning rate | 0.0003 |",
        "Only 20 rows were held out",
        "not for any clinical use",
        "decoder=greedy_ctc",
    ):
        assert part in card, part


def record_shipping(evaluated: Cycle, choice: Choice, **dataset: int) -> None:
    """Take a choice into the training's record, as a run does."""
    path = Path(run_record.read(evaluated)["sft"]["model"]).with_name(INFO_NAME)
    info = json.loads(path.read_text())
    shipping = {"mixed": choice.value < 1, "base_sha256": "b" * 64, "tuned_sha256": "f" * 64}
    info["shipping"] = {**shipping, **choice.as_dict()}
    info["checkpoint"] = "the best by validation WER, chosen on selection rows"
    info["dataset"] |= dataset
    path.write_text(json.dumps(info))


def test_the_card_says_what_was_mixed(cycle: Path, ask_handoff: Callable[..., Any]) -> None:
    """Value, both hashes, the rule, and which rows chose; an older run's card has none of it."""
    evaluated = finished_runs.finish(cycle, embedded_path())
    ask_handoff(cycle)
    card = evaluated.path / "handoff" / "MODEL_CARD.md"
    assert "What is shipped" not in card.read_text()
    record_shipping(evaluated, prepared_cycles.mixture(), selection_rows=30)
    ask_handoff(cycle)
    text = card.read_text()
    for part in (
        "of the base's weights and the tuned model's, with the value 0.4",
        "| Value | 0.4 (0 is the base, 1 the tuned model) |",
        f"| SHA-256 of the base | `{'b' * 64}` |",
        f"| SHA-256 of the tuned model | `{'f' * 64}` |",
        f"| Why | {prepared_cycles.mixture().reason} |",
        "of these the lowest KER, and of equal ones the smallest value",
        "| Selection rows | 30 |",
        "| Selection rows, to choose by | 30 |",
        "The held-out rows chose neither the mixture nor the checkpoint.",
    ):
        assert part in text, part


def test_the_card_says_that_nothing_was_mixed(cycle: Path, ask_handoff: Callable[..., Any]) -> None:
    """Where the tuned model is shipped; and that judging rows chose, where they did."""
    evaluated = finished_runs.finish(cycle, embedded_path())
    record_shipping(evaluated, fixed_choice(1.0), selection_rows=0)
    path = evaluated.path / run_record.RECORD_NAME
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "config": {"two_part": True}}))
    ask_handoff(cycle)
    text = (evaluated.path / "handoff" / "MODEL_CARD.md").read_text()
    assert "nothing was mixed. The held-out rows chose the checkpoint as well" in text
    assert "| Value |" not in text
    assert "| Rule |" not in text
