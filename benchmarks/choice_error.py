"""False-keep rate of the whole choice, by simulation.

    python -m benchmarks.choice_error [--studies N] [--decodes N] [--json FILE]

A study is a cycle as a user meets it. A training has 20 epochs, and the rows of selection.jsonl
keep one of them. The mixtures of the coarse grid and of its refinements are decoded on these rows,
with their unheard variants, and on the choosing share of general English; the product's own rule
(tasks/decision/mixture_choice.py) chooses one. If none holds there, another training follows,
within the budget of remedies. The rows that judge are decoded by the last choice, once or under
several unheard variants. The product's own verdict (tasks/decision/verdict.py) is read, with the
guardrail on the sentences that judge. A line is simulated in benchmarks/choice_study.py, and the
choice in benchmarks/simulated_choice.py.

Three ways stand beside each other: ours; the checkpoint alone, chosen on the rows that judge; and
checkpoint and mixture, both chosen on the rows that judge; the latter two by one decode alone. A
useless model counts as kept if its terms are: the guardrail, which might refuse it by chance, is
taken as held.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.choice_study import JUDGING_SENTENCES, SEED, ChoiceStudy
from benchmarks.simulated_choice import (
    CHOOSING_SENTENCES,
    POLICY,
)
from benchmarks.simulated_general import (
    ONE_SIDED,
    GeneralChange,
    guard_error,
)
from benchmarks.simulated_training import (
    FOLDS,
    SHARE,
    ModelChange,
    SimulatedModel,
)
from tasks.decision.choice_rule import RULE, ChoiceRule

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZES = (100, 200, 500)
REMEDIES = (1, 3)
STUDIES = 4000
LIMIT = 0.05

USELESS = (
    SimulatedModel("useless, row by row", ModelChange.ROWS),
    SimulatedModel("useless, term by term", ModelChange.TERMS),
    SimulatedModel("useless, terms held out", ModelChange.HELD_OUT_TERMS),
)
HARMFUL = tuple(
    SimulatedModel(f"harmful, {100 * rise:g} points", ModelChange.GAIN, 0.6, GeneralChange(rise))
    for rise in (0.01, 0.015, 0.02)
)
USEFUL = (
    SimulatedModel("gain, 2.2 points if unmixed", ModelChange.GAIN, 0.6, GeneralChange(0.022, 3.0)),
)
"""As the demo's: the mixture of .5 rises by an eighth of the tuned model's rise."""


def lines(
    one_sided: float = ONE_SIDED, rule: ChoiceRule = RULE, decodes: int = 1
) -> Iterator[ChoiceStudy]:
    """Yield the table's lines."""
    for model, rows, folds, categories, remedies in product(
        (*USELESS, *HARMFUL, *USEFUL), SIZES, (False, True), (1, 2), REMEDIES
    ):
        by_term = model.change is ModelChange.HELD_OUT_TERMS
        # Folds share terms; and a second category only matters to what chance may keep.
        if (by_term and (folds or categories > 1)) or (model not in USELESS and categories > 1):
            continue
        yield ChoiceStudy(model, rows, folds, categories, remedies, one_sided, rule, decodes)


def _print_guard(studies: int, compared: int, one_sided: float) -> list[dict[str, object]]:
    print("sentences   true rise     held   broken  unclear   as the bootstrap")
    found = []
    for row in guard_error(studies, SEED, compared=compared, one_sided=one_sided):
        found.append(dataclasses.asdict(row))
        print(
            f"{row.sentences:9} {100 * row.rise:9.1f}  {row.held:9.3f} {row.broken:8.3f} "
            f"{row.unclear:8.3f}   {row.agreeing} of {row.compared}",
            flush=True,
        )
    return found


def _shown(share: float | None) -> str:
    return "–" if share is None else f"{share:.3f}"


def main() -> None:
    """Print both tables, and fail if a useless or harmful model is kept too often."""
    parser = argparse.ArgumentParser(description="False keeps of the whole choice.")
    parser.add_argument("--studies", type=int, default=STUDIES)
    parser.add_argument("--json", type=Path, help="write both tables here, too")
    parser.add_argument(
        "--compared", type=int, default=0, help="guardrails a cell that the bootstrap judges, too"
    )
    parser.add_argument("--only", default="", help="lines whose model's name begins so")
    parser.add_argument(
        "--one-sided",
        type=float,
        default=ONE_SIDED,
        help="confidence of the guardrail's upper end, to try another than the product's",
    )
    parser.add_argument(
        "--standard-errors",
        type=float,
        default=RULE.standard_errors,
        help="of the rule of choice, to try another than the product's",
    )
    parser.add_argument(
        "--decodes", type=int, default=1, help="of each row that judges, by either model"
    )
    asked = parser.parse_args()
    rule = dataclasses.replace(RULE, standard_errors=asked.standard_errors)
    started = time.monotonic()
    guard = _print_guard(asked.studies, asked.compared, asked.one_sided)
    print(
        "\nmodel                       judged   design cat rem   kept (upper)  and held  "
        "checkpoint  + mixture  | choice held, value"
    )
    found = []
    for line in lines(asked.one_sided, rule, asked.decodes):
        if not line.model.name.startswith(asked.only):
            continue
        row = line.run(asked.studies)
        found.append(row)
        print(
            f"{row.model:27} {row.judged:6} {row.design:>8} {row.categories:3} {row.remedies:3}  "
            f"{row.kept:.3f} ({row.upper:.3f})  {row.kept_and_held:8.3f} "
            f"{_shown(row.checkpoint_on_judging):>11} {_shown(row.all_on_judging):>10}  "
            f"| {row.chose_held:.2f}, {row.value:.2f}",
            flush=True,
        )
    counted = [row for row in found if row.counted]
    for row in sorted(counted, key=lambda row: row.kept)[-1:]:
        print(
            f"kept at most {row.kept:.4f}, upper limit {row.upper:.4f} (limit {LIMIT}): "
            f"{row.model}, {row.judged} rows; {time.monotonic() - started:.0f} s"
        )
    if asked.json:
        record = {
            "studies": asked.studies,
            "decodes": asked.decodes,
            "seed": SEED,
            "rule": dataclasses.asdict(rule),
            "guardrail": dataclasses.asdict(POLICY),
            "one_sided": asked.one_sided,
            "choosing_sentences": CHOOSING_SENTENCES,
            "judging_sentences": JUDGING_SENTENCES,
            "folds": FOLDS,
            "share": SHARE,
            "guard": guard,
            "choice": [dataclasses.asdict(row) for row in found],
        }
        asked.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    sys.exit(any(row.kept > LIMIT for row in counted))


if __name__ == "__main__":
    main()
