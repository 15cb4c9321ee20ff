"""The grow plan's files, grow_plan.csv and grow_plan.md.

The CSV can be handed to the build stage as its term_seed.csv: the first two columns are that file's
(``term,entity_category``, one line a term); the others tell which voices, noise levels and contexts
to cross for the term and why. The Markdown says the same for people.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from tasks.common import atomic_files, neighbour_stages
from tasks.common.counted import agreed, counted
from tasks.common.errors import InputError
from tasks.decision.grow_plan import TITLES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from tasks.data.cycle_folder import Cycle
    from tasks.decision.grow_plan import GrowPlan, PlanLine
    from tasks.evaluation.error_counts import Proportion

CSV_NAME, MD_NAME = "grow_plan.csv", "grow_plan.md"
_COLUMNS = (
    *("term", "entity_category", "rows", "voices", "noise_levels", "context_types"),
    *("ipa_source", "missed_held_out", "missed_trained", "why"),
)
_SHOWN = 60


def as_csv(plan: GrowPlan) -> str:
    """Return the text of grow_plan.csv; lists within a cell are separated by ``|``."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for line in plan.lines:
        writer.writerow(
            [
                line.term,
                line.category,
                line.rows,
                *("|".join(values) for values in (line.voices, line.noise_levels)),
                "|".join(line.context_types),
                line.ipa_source or "",
                _fraction(line.held_out),
                _fraction(line.trained),
                line.why,
            ]
        )
    return text.getvalue()


def _fraction(share: Proportion) -> str:
    """Format a proportion as "1 of 4", which no spreadsheet takes for a date."""
    return f"{share.hits} of {share.n}" if share.n else ""


def as_markdown(plan: GrowPlan, cycle: int) -> str:
    """Return the text of grow_plan.md."""
    parts = [
        f"# Grow plan for cycle {cycle}",
        (
            f"{counted(plan.rows, 'row')} to add with `{neighbour_stages.BUILD}`, worst first, "
            f"from what {plan.model} misses. `{CSV_NAME}` beside this file has the same lines and "
            "can be used as the build stage's `term_seed.csv` (steps 2a to 2e)."
        ),
    ]
    if plan.advice:
        parts.append("\n".join(f"- {line}" for line in plan.advice))
    head = ("term", "category", "rows", "voices", "noise levels", "contexts", "why")
    parts += ["## Terms, worst first", _table(head, (_cells_of(x) for x in plan.lines[:_SHOWN]))]
    if len(plan.lines) > _SHOWN:
        parts.append(
            f"{counted(len(plan.lines) - _SHOWN, 'more term')} "
            f"{agreed(len(plan.lines) - _SHOWN, 'is', 'are')} in `{CSV_NAME}`."
        )
    parts.append(f"## Conditions, worst first (KER by {plan.basis} rows)")
    rows = (
        (
            TITLES[condition.dimension],
            condition.value,
            _rate(condition.missed),
            str(condition.missed.n),
            str(condition.added),
        )
        for condition in plan.conditions
    )
    parts.append(_table(("what", "value", "KER", "n", "rows to add"), rows))
    return "\n\n".join(parts) + "\n"


def _cells_of(line: PlanLine) -> tuple[str, ...]:
    return (
        *(line.term, line.category, str(line.rows)),
        *(", ".join(v) for v in (line.voices, line.noise_levels, line.context_types)),
        line.why,
    )


def _rate(share: Proportion) -> str:
    return "–" if share.rate is None else f"{share.rate:.3f}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for row in rows:
        cells = [cell.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ") for cell in row]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def write_plan(cycle: Cycle, plan: GrowPlan | None) -> list[Path]:
    """Write both files into a cycle's folder; without a plan, remove those of an earlier run.

    Returns:
        The files that are there now.
    """
    table, text = cycle.path / CSV_NAME, cycle.path / MD_NAME
    if plan is None:
        for path in (table, text):
            path.unlink(missing_ok=True)
        return []
    atomic_files.write_text(table, as_csv(plan))
    atomic_files.write_text(text, as_markdown(plan, cycle.number))
    return [table, text]


def read_lines(cycle: Cycle) -> list[dict[str, str]]:
    """Read the lines of a cycle's grow_plan.csv by column name; empty where there is none.

    Raises:
        InputError: it is there and cannot be read.
    """
    path = cycle.path / CSV_NAME
    if not path.is_file():
        return []
    try:
        lines = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
    except (OSError, UnicodeDecodeError, csv.Error) as wrong:
        raise InputError(f"{path}: cannot be read ({wrong}).") from wrong
    return [line for line in lines if set(line) == set(_COLUMNS)]
