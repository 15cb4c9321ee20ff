"""A model that becomes bundles: a run's tuned model, or its base to compare with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tasks.common import atomic_files, hashing
from tasks.common.errors import InputError
from tasks.models import catalog
from tasks.records.run_record import BASELINE_NAME
from tasks.serving import handoff_package, model_card
from tasks.serving.handoff import Refusal, judge

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tasks.data.cycle_folder import Cycle
    from tasks.serving.handoff import Accepted
    from tasks.serving.handoff_package import Tuned

CALIBRATED = 32
"""Recordings of the training set that set the ranges of static int8."""


@dataclass(frozen=True, slots=True)
class EdgeSource:
    """A model that becomes bundles, and the evaluation by which they are checked.

    Attributes:
        model: its .nemo.
        sha256: of that.
        name: for reports and answers.
        evaluated: the cycle that holds the evaluation.
        evaluation: the file of it.
        accepted: how the model is served.
        fields: what the record says of its origin.
        card: renders its card, given how it is served.
    """

    model: Path
    sha256: str
    name: str
    evaluated: Cycle
    evaluation: Path
    accepted: Accepted
    fields: Mapping[str, Any]
    card: Callable[[str], str]


def tuned_source(tuned: Tuned, accepted: Accepted) -> EdgeSource:
    """Return a run's tuned model as a source of bundles."""
    facts = handoff_package.gather_facts(tuned, accepted)
    return EdgeSource(
        tuned.model,
        tuned.sha256,
        f"{tuned.base_name} tuned ({tuned.model.parent.name})",
        tuned.evaluated,
        tuned.evaluated.offline_hyps,
        accepted,
        {
            "base": tuned.base_name,
            "licence_of_base": facts.base.licence if facts.base is not None else None,
            "decision": tuned.verdict,
        },
        lambda serving: model_card.render(replace(facts, serving=serving)),
    )


def base_source(tuned: Tuned, decoder: str | None = None) -> EdgeSource | Refusal:
    """Return a run's base as a source of bundles, so that what is served can be compared.

    Raises:
        InputError: its file is not at hand, or is not the one that was tuned.
    """
    model = catalog.resolve(tuned.base_name)
    accepted = judge(model, decoder)
    if isinstance(accepted, Refusal):
        return accepted
    sha256 = str(tuned.info["base"]["sha256"])
    if (actual := hashing.sha256(model)) != sha256:
        raise InputError(
            f"{model}: its SHA-256 is {actual}, but the run tuned {sha256}. Fix: bring that base "
            "back."
        )
    base = catalog.describe(tuned.base_name)
    licence = base.licence or "not known: ask whoever made it"
    return EdgeSource(
        model,
        sha256,
        f"{tuned.base_name}, not tuned",
        tuned.evaluated,
        tuned.evaluated.path / BASELINE_NAME,
        accepted,
        {"base": tuned.base_name, "licence_of_base": base.licence, "decision": None},
        lambda serving: (
            f"# {tuned.base_name}, not tuned\n\nThe base of {tuned.model.parent.name}, to compare "
            f"what is served. Licence: {licence}.\n\n## Serving\n\n{serving}\n"
        ),
    )


def calibration_rows(source: EdgeSource) -> tuple[Path, ...]:
    """Choose recordings that the tuned model was trained on: they judge nothing.

    Raises:
        InputError: the cycle has none at hand.
    """
    tuned = source.evaluated.previous or source.evaluated
    listed = tuned.path / "train.jsonl"
    rows = atomic_files.read_jsonl(listed) if listed.is_file() else []
    paths = (tuned.path / str(row["audio_filepath"]) for row in rows)
    found = [path for path in paths if path.is_file()]
    if not found:
        raise InputError(
            f"{listed}: names no recording that is here, and static int8 is calibrated on "
            "rows that trained. Fix: bring the cycle's train.jsonl and audio back, or take --int8."
        )
    step = max(1, len(found) // CALIBRATED)
    return tuple(found[::step][:CALIBRATED])
