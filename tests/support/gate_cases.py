"""The gate's verdict on a manifest of drug rows, for the tests of the gate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tasks.common import neighbour_stages
from tasks.decision.gate import Action, GateInputs, GateResult, check_gate
from tasks.decision.gate_policy import GatePolicy
from tasks.models.catalog import RECOMMENDED, Base, describe
from tests.support import factories

if TYPE_CHECKING:
    from tasks.data.manifest import Utterance
    from tasks.evaluation.scoring import Scores

NEMOTRON = "nvidia/nemotron-speech-streaming-en-0.6b"


def rows_of(drug: int, other: int = 0, **fields: Any) -> list[Utterance]:
    """A manifest with drug rows and condition rows."""
    categories = ["drug"] * drug + ["condition"] * other
    return [factories.utterance(place, name, **fields) for place, name in enumerate(categories, 1)]


def ker(missed: int, n: int) -> Scores:
    """A baseline of drug rows."""
    return factories.scored(missed, n)


def judge(
    baseline: Scores | None,
    *,
    rows: list[Utterance] | None = None,
    base: Base | str = RECOMMENDED,
    policy: GatePolicy | None = None,
    **evidence: Any,
) -> GateResult:
    """The gate's verdict on 130 rows, if nothing else is said."""
    return check_gate(
        GateInputs(
            utterances=rows if rows is not None else rows_of(60, 70),
            baseline=baseline,
            base=base if isinstance(base, Base) else describe(base),
            **evidence,
        ),
        policy or GatePolicy(),
    )


def refused(result: GateResult, action: Action, route: str) -> str:
    """Assert a refusal whose only reason names its route; return the reason."""
    assert not result.passed
    assert (result.action, result.route) == (action, route)
    assert len(result.reasons) == 1
    (reason,) = result.reasons
    if (
        route != neighbour_stages.FINETUNE
    ):  # a refusal that stays in this stage names the substitute
        assert route in reason.message
    return reason.message
