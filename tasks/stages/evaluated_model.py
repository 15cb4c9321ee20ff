"""Whether a baseline is known to be another model's than the base that is to be tuned.

A run of cycle N leaves the evaluation of its tuned model in cycle N+1. That folder gets the rows of
the next month, and the file that is there is not the evaluation of a base on these rows.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tasks.common import atomic_files, hashing
from tasks.common.parameter_names import name_of
from tasks.common.shell_words import in_shell
from tasks.data.cycle_folder import OFFLINE_NAME, Cycle, cycle_number
from tasks.models import catalog
from tasks.records import run_record

if TYPE_CHECKING:
    from tasks.evaluation.baseline import Baseline

_SHOWN_DIGITS = 12


def how_to_evaluate(cycle: Cycle, base: str) -> str:
    """Return the command that scores a cycle's rows by a base."""
    return f"asr-flywheel transcribe {in_shell(cycle.path)} --model {in_shell(base)}"


def explain_other_model(cycle: Cycle, base: str, baseline: Baseline) -> str | None:
    """Say, with the fix, that a baseline is a tuned model's which is not the base.

    Args:
        cycle: whose baseline it is to be.
        base: that is to be tuned, as the user named it.
        baseline: the cycle's, or the one that was named.

    Returns:
        Two sentences; None where no run has left the file, or where the base is its model.
    """
    path = baseline.path.resolve()
    number = cycle_number(path.parent.name)
    if path.name != OFFLINE_NAME or number is None:
        return None
    holder = Cycle(path.parent, number)
    if not (run_record.is_complete(holder) or run_record.was_begun(holder)):
        return None
    model = Path(base).expanduser()
    if model.is_file() and hashing.sha256(model) == _tuned_sha256(holder):
        return None
    own = cycle.find_baseline()
    is_named = own is None or own.resolve() != path
    leave_out = f" Leave {name_of('baseline')} out then." if is_named else ""
    return (
        f"{baseline.path} is the evaluation of the model that cycle {number - 1} tuned, and not of "
        f"{base}: its KER says nothing about {base}. Fix: `{how_to_evaluate(cycle, base)}` scores "
        f"this cycle's rows, and writes {cycle.own_baseline.name}, which then counts.{leave_out}"
    )


def warn_of_other_base(cycle: Cycle, base: str, baseline: Baseline) -> tuple[str, ...]:
    """Say so, with the fix, where a baseline names its model, and that is not the base.

    It is an evaluation of this cycle's rows all the same, as that of an endpoint is, whose model is
    often another one too. So the gate decides by it.

    Raises:
        InputError: the base is neither known nor a file.
    """
    evaluated, model = baseline.model_sha256, catalog.at_hand(base)
    if evaluated is None or model is None or hashing.sha256(model) == evaluated:
        return ()
    warning = (
        f"The baseline {baseline.path} is by another model (SHA-256 {evaluated[:_SHOWN_DIGITS]}) "
        f"than {base}, whose KER may be another one. Fix: "
        f"`{how_to_evaluate(cycle, base)}` scores the rows by {base}."
    )
    return (warning,)


def _tuned_sha256(evaluated: Cycle) -> str | None:
    """Return the hash of the model that a run evaluated; None where its record does not say."""
    path = evaluated.path / run_record.RECORD_NAME
    record = atomic_files.read_json(path) if path.is_file() else None
    sft = record.get("sft") if isinstance(record, dict) else None
    return sft.get("model_sha256") if isinstance(sft, dict) else None
