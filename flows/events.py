"""Events of a cycle, for automations: what has happened to which cycle of which clinic.

Each event's resource is the cycle, so that an automation can be narrowed to a clinic, a cycle or a
verdict by the labels; the flow run is a related resource.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prefect.events import emit_event

from tasks.data.cycle_folder import clinic_of

if TYPE_CHECKING:
    from tasks.data.cycle_folder import Cycle
    from tasks.decision.gate import GateResult
    from tasks.decision.verdict import Decision
    from tasks.records.inbox import Arrival
    from tasks.training.run import SftResult

GATE_PASSED = "asr-flywheel.gate.passed"
GATE_REFUSED = "asr-flywheel.gate.refused"
TRAINED = "asr-flywheel.trained"
DECIDED = "asr-flywheel.decided"
MANIFEST = "asr-flywheel.manifest"  # .new or .grown


def resource(cycle: Cycle, **labels: str) -> dict[str, str]:
    """What an event is about."""
    return {
        "prefect.resource.id": f"asr-flywheel.cycle.{clinic_of(cycle)}.{cycle.number}",
        "prefect.resource.name": f"{clinic_of(cycle)}, cycle {cycle.number}",
        "clinic": clinic_of(cycle),
        "cycle": str(cycle.number),
        "folder": str(cycle.path),
        **labels,
    }


def gate(cycle: Cycle, verdict: GateResult) -> None:
    """The gate has judged."""
    _emit(
        GATE_PASSED if verdict.passed else GATE_REFUSED,
        resource(cycle, route=verdict.route),
        {"reasons": [reason.message for reason in verdict.reasons], "figures": verdict.figures},
    )


def trained(cycle: Cycle, found: SftResult) -> None:
    """There is a tuned model, trained now or before."""
    best = found.best
    _emit(
        TRAINED,
        resource(cycle, reused=str(found.reused).lower()),
        {
            "model": str(found.model),
            "model_sha256": found.model_sha256,
            "val_wer": None if best is None else best.val_wer,
        },
    )


def decided(cycle: Cycle, found: Decision) -> None:
    """The decision has fallen."""
    _emit(DECIDED, resource(cycle, verdict=found.verdict.value), found.as_dict())


def arrived(cycle: Cycle, arrival: Arrival, run: dict[str, Any]) -> None:
    """A manifest has come; ``run`` holds the parameters of the run that it asks for."""
    _emit(
        f"{MANIFEST}.{'grown' if arrival.grown else 'new'}",
        resource(cycle, manifest=arrival.sha256),
        {"rows": arrival.rows, "sha256": arrival.sha256, "run": run},
    )


def _emit(event: str, about: dict[str, str], payload: dict[str, Any]) -> None:
    emit_event(event=event, resource=about, payload=payload)
