"""The site's automations, as code: each is off until somebody switches it on.

Registering again updates them and leaves switched on what a user has switched on.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from prefect.automations import (
    Automation,
    CallWebhook,
    ChangeFlowRunState,
    EventTrigger,
    Posture,
    RunDeployment,
    SendNotification,
)
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.exceptions import ObjectNotFound

from blocks.email import EmailNotification
from flows import events
from tasks.common.errors import InputError

if TYPE_CHECKING:
    from uuid import UUID

    from prefect.events.actions import Action

NEXT_CYCLE = "asr-flywheel: next cycle"
LOST = "asr-flywheel: lost runs"
FAILED = "asr-flywheel: failed runs"
LONG = "asr-flywheel: long runs"
# Which runs are ours: every deployment of deployments/prefect.yaml has this tag.
_OURS = {"prefect.resource.id": "prefect.tag.asr", "prefect.resource.role": "tag"}
_ENDS = {f"prefect.flow-run.{ending}" for ending in ("Completed", "Failed", "Crashed", "Cancelled")}
_SUBJECT = "{{ flow_run.name }} ({{ flow.name }}): {{ event.event.rpartition('.')[2] }}"
_BODY = """{{ flow.name }} {{ flow_run.name }}: {{ flow_run.state.name }}
{{ flow_run.state.message or '' }}
{{ flow_run | ui_url }}"""
_JSON = """{
 "automation": {{ automation.name | tojson }},
 "flow": {{ flow.name | tojson }},
 "run": {{ flow_run.name | tojson }},
 "run_id": {{ flow_run.id | string | tojson }},
 "state": {{ flow_run.state.name | tojson }},
 "message": {{ (flow_run.state.message or '') | tojson }},
 "url": {{ flow_run | ui_url | tojson }}
}"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whom to notify, and when a run is too long.

    Attributes:
        webhook: name of a saved Webhook block of Prefect's, or None.
        email: name of a saved SMTP E-mail block, or None.
        longest: a run that takes longer is told of.
        lost_after: a run without heartbeat for so long is crashed; a server that was away for two
            minutes must not crash runs that live.
    """

    webhook: str | None = None
    email: str | None = None
    longest: timedelta = timedelta(hours=12)
    lost_after: timedelta = timedelta(minutes=10)


def register(settings: Wanted, *, enable: bool = False) -> list[Automation]:
    """Make or update the automations on the server.

    Args:
        settings: whom to notify; without anybody there are no notifications.
        enable: switch all of them on.

    Raises:
        InputError: a block that is named is not there.
    """
    automations = [next_cycle(), lost_runs(settings.lost_after)]
    actions = _notify_actions(settings)
    if actions:
        automations += [failed_runs(actions), long_runs(actions, settings.longest)]
    return [_save(automation, enable=enable) for automation in automations]


def next_cycle() -> Automation:
    """Make the automation that starts a run by the event of a new or grown manifest."""
    with get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name("finetune-cycle/finetune-cycle")
    run = {"__prefect_kind": "jinja", "template": "{{ event.payload.run | tojson }}"}
    return Automation(
        name=NEXT_CYCLE,
        description="A manifest that is new or has grown in a store's inbox starts its cycle.",
        trigger=EventTrigger(
            expect={f"{events.MANIFEST}.*"},
            for_each={"prefect.resource.id", "manifest"},
            posture=Posture.Reactive,
            threshold=1,
        ),
        actions=[
            RunDeployment(
                source="selected",
                deployment_id=deployment.id,
                parameters={"config": {"__prefect_kind": "json", "value": run}},
            )
        ],
    )


def lost_runs(after: timedelta) -> Automation:
    """Make the automation that marks a run without heartbeat as Crashed."""
    beat = "prefect.flow-run.heartbeat"
    return Automation(
        name=LOST,
        description=f"Marks as crashed what had no heartbeat for {after}: its process is gone.",
        trigger=EventTrigger(
            after={beat},
            expect={beat, *_ENDS},
            for_each={"prefect.resource.id"},
            match_related=_OURS,
            posture=Posture.Proactive,
            threshold=1,
            within=after,
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.CRASHED, message="Its heartbeat has stopped: the process is gone."
            )
        ],
    )


def failed_runs(actions: list[Action]) -> Automation:
    """Make the automation that notifies of a run that failed or crashed."""
    return Automation(
        name=FAILED,
        description="Tells of runs that failed or crashed.",
        trigger=EventTrigger(
            expect={"prefect.flow-run.Failed", "prefect.flow-run.Crashed"},
            match={"prefect.resource.id": "prefect.flow-run.*"},
            match_related=_OURS,
            for_each={"prefect.resource.id"},
            posture=Posture.Reactive,
            threshold=1,
        ),
        actions=list(actions),
    )


def long_runs(actions: list[Action], longest: timedelta) -> Automation:
    """Make the automation that notifies of a run that has not ended after so long."""
    return Automation(
        name=LONG,
        description=f"Tells of runs that have not ended after {longest}.",
        trigger=EventTrigger(
            after={"prefect.flow-run.Running"},
            expect=_ENDS,
            match={"prefect.resource.id": "prefect.flow-run.*"},
            match_related=_OURS,
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=longest,
        ),
        actions=list(actions),
    )


def _notify_actions(settings: Wanted) -> list[Action]:
    actions: list[Action] = []
    if settings.webhook is not None:
        actions.append(
            CallWebhook(block_document_id=_find_block("webhook", settings.webhook), payload=_JSON)
        )
    if settings.email is not None:
        slug = EmailNotification.get_block_type_slug()
        actions.append(
            SendNotification(
                block_document_id=_find_block(slug, settings.email), subject=_SUBJECT, body=_BODY
            )
        )
    return actions


def _find_block(slug: str, name: str) -> UUID:
    with get_client(sync_client=True) as client:
        try:
            return client.read_block_document_by_name(name, slug).id
        except ObjectNotFound as unknown:
            raise InputError(
                f"there is no {slug} block {name!r}. Fix: save one in the UI."
            ) from unknown


def _save(automation: Automation, *, enable: bool) -> Automation:
    """Make it, or update the one of the same name."""
    with get_client(sync_client=True) as client:
        saved = client.read_automations_by_name(automation.name)
    automation.enabled = enable or any(other.enabled for other in saved)
    if saved:
        automation.id = saved[0].id
        automation.update()
    else:
        automation.create()
    return automation
