"""The part of validate-serving for bundles: engines on this machine, no endpoint."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from flows import artifacts, audit, console
from tasks.common import privacy_settings
from tasks.common.counted import counted
from tasks.common.errors import InputError
from tasks.common.parameter_names import name_of
from tasks.common.privacy_settings import for_log, hides_texts
from tasks.records import run_record
from tasks.records.audit_log import AuditedAct
from tasks.reporting.html import write_report
from tasks.serving import endpoint_transcription
from tasks.serving.edge import edge_validation, http_transcription
from tasks.serving.edge.bundle import open_bundle
from tasks.serving.edge.edge_validation import BundleReport, EdgeReport, ServedBundle
from tasks.serving.handoff_package import find_tuned
from tasks.serving.validation import ValidationPlan

if TYPE_CHECKING:
    from flows.serving_config import ServingConfig
    from tasks.serving.edge.http_transcription import TranscriptionServer


def validate(
    config: ServingConfig, plan: ValidationPlan, server: TranscriptionServer | None = None
) -> EdgeReport:
    """Decode a cycle by each bundle, compare it with NeMo's texts, and judge what is served.

    Args:
        config: the bundles.
        plan: the rows.
        server: that serves one of the bundles, if any; its answers are compared too.

    Raises:
        InputError: a bundle is damaged, of another engine than named, or of a model that the cycle
            has no evaluation of; or the server serves none of them, or audio would leave the
            machine without consent.
        FlywheelError: the server does not answer.
    """
    served = find_bundles(config, plan)
    if server is not None:
        asked = http_transcription.ask_for_model(server)
        served.append(edge_validation.find_behind_server(served, asked))
        leaving = endpoint_transcription.outgoing_audio(plan.rows, asked)
        console.print_stage("serving", str(leaving))
        endpoint_transcription.require_consent(leaving, consent=config.audio_may_leave)
    host = "this machine" if server is None else server.host
    audit.record(plan.cycle, AuditedAct.SERVING, to=host, recordings=len(plan.rows))
    reports = tuple(
        validate_bundle(one, plan, probing=config.probing, at_once=config.concurrency)
        for one in served
    )
    report = EdgeReport(reports, edge_validation.judge(plan, reports))
    edge_validation.write(plan.folder, report)
    for line in report.verdict.sentences:
        console.print_stage("served", line)
    console.print_stage("", str(plan.folder / edge_validation.MARKDOWN_NAME))
    renew_report(plan)
    create_markdown_artifact(
        key=artifacts.artifact_key(plan.cycle, "serving-parity-edge"),
        description=f"Serving parity of bundles, cycle {plan.cycle.number}",
        markdown=report.as_markdown(texts=not hides_texts()),
    )
    return report


def renew_report(plan: ValidationPlan) -> None:
    """Put the figures into the report of the run whose evaluation this is, if it is one's."""
    evaluated = plan.cycle.next
    if evaluated.path != plan.folder or not run_record.is_complete(evaluated):
        return
    try:
        record = run_record.read(evaluated)
        # A page that was made without sound, or has lost it since, stays without.
        page = evaluated.path / f"report_cycle{evaluated.number}.html"
        silent = not page.is_file() or b"data:audio" not in page.read_bytes()
        with privacy_settings.applied(audio=not silent):
            written = write_report(evaluated, record)
        run_record.add_files(evaluated, written)
    except InputError as wrong:  # the comparison is whole without it
        console.print_stage("report", f"was not made again: {wrong}")
        return
    console.print_stage("report", str(written[0]))


def find_bundles(config: ServingConfig, plan: ValidationPlan) -> list[ServedBundle]:
    """Open the bundles and find whose texts each has to write.

    Raises:
        InputError: see ``validate``.
    """
    tuned = None
    with suppress(InputError):  # a cycle may have an evaluation and no run
        tuned = find_tuned(plan.cycle)
    served: list[ServedBundle] = []
    for folder in config.bundles:
        bundle = open_bundle(folder.expanduser())
        if config.engine is not None and bundle.engine.value != config.engine.value:
            raise InputError(
                f"{folder}: is for {bundle.engine.value}, not for {config.engine.value}. Fix: name "
                f"its own engine, or leave {name_of('engine')} out."
            )
        one = edge_validation.find_served(bundle, plan, tuned)
        if any(one.name == other.name for other in served):
            raise InputError(
                f"{folder}: a second bundle of {one.name}. Fix: validate them one by one."
            )
        served.append(one)
    return served


# Its inputs may not reach a cache: a server's token is among them.
@task(name="serving-bundle", persist_result=False, cache_policy=NO_CACHE)
def validate_bundle(
    served: ServedBundle, plan: ValidationPlan, *, probing: bool, at_once: int = 4
) -> BundleReport:
    """Decode every row by one bundle, here or by its server, and say why texts differ."""
    where = served.bundle.folder if served.server is None else served.server.address
    console.print_stage("serving", f"{served.name}: {where}")
    progress = artifacts.throttled_printer(10.0, "serving")
    written = edge_validation.transcribe(plan, served, progress, at_once)
    found = edge_validation.compare(
        plan,
        served,
        written,
        probing=probing,
        report=lambda line: console.print_stage("", line),
    )
    console.print_stage(
        "parity",
        f"{found.parity.verdict}: {found.equal_texts} of {len(written)} texts to the letter",
    )
    for line in found.parity.not_compared:
        console.print_stage("", line)
    for cause in found.parity.causes:
        evidence = for_log("; ".join(cause.evidence))
        console.print_stage(
            "", f"{cause.name.value} ({counted(cause.rows, 'row')}): {evidence}. {cause.remedy}."
        )
    return found
