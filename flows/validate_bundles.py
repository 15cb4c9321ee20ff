"""The part of validate-serving for bundles: engines on this machine, no endpoint."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from prefect import task
from prefect.artifacts import create_markdown_artifact

from flows import artifacts, audit, console
from tasks.common.errors import InputError
from tasks.common.privacy_settings import for_log, hides_texts
from tasks.records.audit_log import AuditedAct
from tasks.serving.edge import edge_validation
from tasks.serving.edge.bundle import open_bundle
from tasks.serving.edge.edge_validation import BundleReport, EdgeReport, ServedBundle
from tasks.serving.handoff_package import find_tuned
from tasks.serving.validation import ValidationPlan

if TYPE_CHECKING:
    from flows.serving_config import ServingConfig


def validate(config: ServingConfig, plan: ValidationPlan) -> EdgeReport:
    """Decode a cycle by each bundle, compare it with NeMo's texts, and judge what is served.

    Raises:
        InputError: a bundle is damaged, of another engine than named, or of a model that the cycle
            has no evaluation of.
    """
    served = find_bundles(config, plan)
    audit.record(plan.cycle, AuditedAct.SERVING, to="this machine", recordings=len(plan.rows))
    reports = tuple(validate_bundle(one, plan, probing=config.probing) for one in served)
    report = EdgeReport(reports, edge_validation.judge(plan, reports))
    edge_validation.write(plan.folder, report)
    for line in report.verdict.sentences:
        console.print_stage("served", line)
    console.print_stage("", str(plan.folder / edge_validation.MARKDOWN_NAME))
    create_markdown_artifact(
        key=artifacts.artifact_key(plan.cycle, "serving-parity-edge"),
        description=f"Serving parity of bundles, cycle {plan.cycle.number}",
        markdown=report.as_markdown(texts=not hides_texts()),
    )
    return report


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
                "its own engine, or leave --engine out."
            )
        one = edge_validation.find_served(bundle, plan, tuned)
        if any(one.name == other.name for other in served):
            raise InputError(
                f"{folder}: a second bundle of {one.name}. Fix: validate them one by one."
            )
        served.append(one)
    return served


@task(name="serving-bundle", persist_result=False)
def validate_bundle(served: ServedBundle, plan: ValidationPlan, *, probing: bool) -> BundleReport:
    """Decode every row by one bundle, and say why texts differ."""
    console.print_stage("serving", f"{served.name}: {served.bundle.folder}")
    written = edge_validation.transcribe(plan, served, artifacts.throttled_printer(10.0, "serving"))
    found = edge_validation.compare(
        plan,
        served,
        written,
        probing=probing,
        report=lambda line: console.print_stage("", line),
    )
    exact = sum(
        a.hyp == b.hyp for a, b in zip(found.parity.offline, found.parity.served, strict=True)
    )
    console.print_stage(
        "parity", f"{found.parity.verdict}: {exact} of {len(written)} texts to the letter"
    )
    for line in found.parity.not_compared:
        console.print_stage("", line)
    for cause in found.parity.causes:
        evidence = for_log("; ".join(cause.evidence))
        console.print_stage(
            "", f"{cause.name.value} ({cause.rows} rows): {evidence}. {cause.remedy}."
        )
    return found
