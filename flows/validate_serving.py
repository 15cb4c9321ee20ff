"""The flow: does the endpoint write what the offline evaluation wrote, and if not, why?"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.blocks.system import Secret

from blocks.riva_endpoint import RivaEndpoint
from flows import artifacts, audit, console
from flows.parameters_without_effect import effectless_in_validation
from flows.serving_config import ServingConfig
from tasks.common import privacy_settings
from tasks.common.counted import agreed, counted
from tasks.common.errors import InputError
from tasks.common.privacy_settings import for_log, hides_texts
from tasks.data.cycle_folder import open_cycle
from tasks.data.cycle_lock import lock_cycle
from tasks.data.early_checks import check_before_base
from tasks.models import catalog
from tasks.records.audit_log import AuditedAct
from tasks.serving import (
    boost_sweep,
    endpoint_transcription,
    parity_report,
    validation,
    word_boosting,
)
from tasks.serving.boost_sweep import BoostSweep
from tasks.serving.edge import http_transcription
from tasks.serving.edge.bundle import require_extra
from tasks.serving.endpoint_transcription import Served
from tasks.serving.parity_report import ParityReport, ServingReport
from tasks.serving.riva_client import KEY_VARIABLE, Client, Endpoint
from tasks.serving.validation import ValidationPlan

if TYPE_CHECKING:
    from tasks.serving.edge.http_transcription import TranscriptionServer


@flow(name="validate-serving")
def validate_serving(config: ServingConfig) -> ServingReport:
    """Send a cycle's recordings to an endpoint and compare its answers with the offline ones."""
    artifacts.without_effect(effectless_in_validation(config))
    cycle = open_cycle(config.cycle)
    validation.find_offline(cycle, config.offline)  # before anybody is asked
    if config.bundles:
        require_extra()
        from flows import validate_bundles  # noqa: PLC0415 - its libraries are an extra's

        with privacy_settings.applied(no_texts=config.no_texts), lock_cycle(cycle):
            return validate_bundles.validate(config, find_plan(config), find_server(config))
    endpoint = find_endpoint(config)
    with privacy_settings.applied(no_texts=config.no_texts), lock_cycle(cycle):
        plan = find_plan(config)
        leaving = endpoint_transcription.outgoing_audio(plan.rows, endpoint)
        console.print_stage("serving", str(leaving))
        endpoint_transcription.require_consent(leaving, consent=config.audio_may_leave)
        audit.record(cycle, AuditedAct.SERVING, to=endpoint.host, recordings=len(plan.rows))
        phrases = read_phrases(config, plan)
        client = Client(endpoint)
        try:
            served = transcribe(config, plan, client)
            boosting = boost(config, plan, client, phrases)
            return compare(config, plan, client, served, boosting)
        finally:
            client.close()


def find_plan(config: ServingConfig) -> ValidationPlan:
    """What would be sent and compared.

    Raises:
        InputError: there is no offline evaluation, or a recording cannot be sent.
    """
    cycle = open_cycle(config.cycle)
    if config.model is not None:
        check_before_base(config.model, [cycle.manifest], config.audio_roots)
    return validation.plan(
        cycle,
        offline=config.offline,
        model=None if config.model is None else catalog.resolve_pinned(config.model).path,
        audio_roots=config.audio_roots,
    )


def read_phrases(config: ServingConfig, plan: ValidationPlan) -> tuple[str, ...]:
    """The phrases to boost, as the served model writes them; () where no list is named.

    Raises:
        InputError: the list cannot be read, or the model can spell none of it.
    """
    if config.phrases is None:
        return ()
    listed = word_boosting.read_phrases(config.phrases.expanduser(), plan.model)
    for note in listed.notes():
        console.print_stage("boost", note)
    if not listed.phrases:
        raise InputError(
            f"{config.phrases}: the model can spell none of its phrases. Fix: name a list in the "
            "model's alphabet."
        )
    return listed.phrases


def find_endpoint(config: ServingConfig) -> Endpoint:
    """The endpoint with its key, which comes from a Secret block or from the environment.

    Raises:
        InputError: there is no such block, or the endpoint is not whole.
    """
    settings, secret = config.endpoint, config.api_key_secret
    if config.endpoint_block is not None:
        try:
            block = cast("RivaEndpoint", RivaEndpoint.load(config.endpoint_block))
        except ValueError as unknown:
            raise _no_block("endpoint_block", config.endpoint_block) from unknown
        settings, secret = block.settings, secret or block.api_key_secret

    return settings.endpoint(lambda: _read_key(secret, KEY_VARIABLE))


def find_server(config: ServingConfig) -> TranscriptionServer | None:
    """The ward server with its token, which comes from where an endpoint's key does; None for none.

    Raises:
        InputError: there is no such block, or the address is none.
    """
    if config.server is None:
        return None
    return http_transcription.find_server(
        config.server, _read_key(config.api_key_secret, http_transcription.TOKEN_VARIABLE)
    )


def _read_key(secret: str | None, variable: str) -> str:
    """Read a key from a Secret block, or from the environment where none is named."""
    if secret is None:
        return os.environ.get(variable, "").strip()
    try:
        return str(cast("Secret[str]", Secret.load(secret)).get())
    except ValueError as unknown:
        raise _no_block("api_key_secret", secret) from unknown


def _no_block(field: str, name: str) -> InputError:
    return InputError(f"{field}: there is no such block {name!r}. Fix: save one in the UI.")


# Neither task's inputs may reach a log or a cache: the client holds the key.
@task(name="serving-transcribe", persist_result=False)
def transcribe(config: ServingConfig, plan: ValidationPlan, client: Client) -> Served:
    """Every row by the endpoint, one offline call each."""
    target = plan.folder / endpoint_transcription.SERVED_NAME
    served = endpoint_transcription.transcribe(
        plan.rows, client, target, config.concurrency, artifacts.throttled_printer(10.0, "serving")
    )
    waits = f", {counted(served.attempts, 'further attempt')}" if served.attempts else ""
    console.print_stage(
        "serving", f"{target}: {counted(len(served.heard), 'row')}, {served.asked} asked for{waits}"
    )
    return served


@task(name="serving-boost", persist_result=False)
def boost(
    config: ServingConfig, plan: ValidationPlan, client: Client, phrases: tuple[str, ...]
) -> BoostSweep | None:
    """Every row again with phrases, at several scores; None without phrases."""
    if not phrases:
        return None
    scores = config.boost_scores or word_boosting.scores_for(plan.flag)
    told = ", ".join(f"{score:g}" for score in scores)
    console.print_stage(
        "boost",
        f"{counted(len(phrases), 'phrase')} {agreed(len(phrases), 'goes', 'go')} with each "
        f"recording, at score {told}",
    )
    found = boost_sweep.sweep(
        plan.rows,
        plan.offline,
        client,
        phrases,
        scores,
        flag=plan.flag,
        concurrency=config.concurrency,
        report=artifacts.throttled_printer(10.0, "boost"),
    )
    for finding in found.findings():
        console.print_stage("boost", finding)
    return found


@task(name="serving-parity", persist_result=False)
def compare(
    config: ServingConfig,
    plan: ValidationPlan,
    client: Client,
    served: Served,
    boosting: BoostSweep | None = None,
) -> ParityReport:
    """Row by row against the offline evaluation, with the causes of a difference."""
    report = validation.compare(
        plan,
        client,
        served,
        probing=config.probing,
        report=lambda line: console.print_stage("", line),
    )
    report = replace(report, boosting=boosting)
    parity_report.write(plan.folder, report)
    console.print_stage("parity", f"{report.verdict} ({plan.folder / parity_report.MARKDOWN_NAME})")
    for line in report.not_compared:
        console.print_stage("", line)
    for cause in report.causes:
        evidence = for_log("; ".join(cause.evidence))
        console.print_stage("", f"{cause.name.value}: {evidence}. {cause.remedy}.")
    create_markdown_artifact(
        key=artifacts.artifact_key(plan.cycle, "serving-parity"),
        description=f"Serving parity, cycle {plan.cycle.number}: {report.verdict}",
        markdown=report.as_markdown(texts=not hides_texts()),
    )
    return report
