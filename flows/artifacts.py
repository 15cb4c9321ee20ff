"""What a person sees while a cycle runs: lines on the terminal, artifacts in Prefect.

Artifact keys are made of the name of the folder that holds the cycles, so that each key's history
in the UI is the history of one clinic's cycles.
"""

from __future__ import annotations

import base64
import time
from typing import TYPE_CHECKING, Any

from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact

from flows.console import print_stage
from tasks.common.counted import counted
from tasks.data.cycle_folder import clinic_of
from tasks.decision.grow_plan_files import MD_NAME, as_markdown
from tasks.evaluation.leaderboard_markdown import leaderboard_as_markdown
from tasks.records import verdict_ledger
from tasks.runtimes.job_seconds import seconds_table
from tasks.training.remedies import describe_attempts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from tasks.common.effect_rules import EffectlessParameter
    from tasks.data.cycle_folder import Cycle
    from tasks.data.general_english import GeneralSet
    from tasks.data.split_parts import Split
    from tasks.decision.decision_table import TableReading
    from tasks.decision.gate import GateResult
    from tasks.decision.grow_plan import GrowPlan
    from tasks.decision.verdict import Decision
    from tasks.evaluation.keyword_change import KeywordErrorChange
    from tasks.evaluation.leaderboard import Leaderboard
    from tasks.records.archive import Kept
    from tasks.records.cycle_cost import Cost
    from tasks.stages.shipped_model import ShippedModel
    from tasks.transcription.audio_sets import Transcript


def throttled_printer(every_s: float, name: str) -> Callable[[str], None]:
    """A function that shows a line of progress, but not more often than this."""
    last = float("-inf")

    def report(text: str) -> None:
        nonlocal last
        if time.monotonic() - last >= every_s:
            last = time.monotonic()
            print_stage(name, text)

    return report


def artifact_key(cycle: Cycle, what: str) -> str:
    """A key for Prefect: lower-case letters, digits and dashes only."""
    return f"{clinic_of(cycle)}-{what}"


def without_effect(found: Sequence[EffectlessParameter]) -> None:
    """The parameters that were set and have no effect; the run goes on without them."""
    for place, one in enumerate(found):
        print_stage("" if place else "parameters", f"warning: {one}")


def gate(cycle: Cycle, verdict: GateResult) -> None:
    """The gate's verdict."""
    print_stage("gate", "passed" if verdict.passed else f"refused: go to {verdict.route}")
    for line in (*(reason.message for reason in verdict.reasons), *verdict.warnings):
        print_stage("", line)
    create_markdown_artifact(
        key=artifact_key(cycle, "gate"),
        description=f"Gate, cycle {cycle.number}",
        markdown="\n".join(
            [
                f"# Gate, cycle {cycle.number}: {'passed' if verdict.passed else 'refused'}",
                "",
                *(f"- {reason.message}" for reason in verdict.reasons),
                *(f"- Warning: {warning}" for warning in verdict.warnings),
            ]
        ),
    )


def warnings(lines: Sequence[str]) -> None:
    """What the preflight found that stops nothing."""
    print_stage("preflight", counted(len(lines), "warning") if lines else "no findings")
    for line in lines[:10]:
        print_stage("", line)


def general(found: GeneralSet) -> None:
    """What guards, what chooses, and what training uses."""
    kind = "synthetic sentences" if found.synthetic else "sentences"
    chooses = f", {len(found.choosing)} more choose" if found.choosing else ""
    used = f", {len(found.replay)} more replayed in training" if found.replay else ""
    if found.distilled:
        used += f", {len(found.distilled)} teach the base's outputs"
    print_stage("general", f"{len(found.guardrail)} {kind} guard against forgetting{chooses}{used}")


def split(parts: Split) -> None:
    """The sizes of the split."""
    chooses = f", {len(parts.selection)} to choose by" if parts.selection else ""
    print_stage(
        "split",
        f"{counted(len(parts.train), 'row')} to train on{chooses}, {len(parts.validation)} held "
        f"out, disjoint by {parts.disjoint.names(by_term=parts.by_term)}",
    )
    for line in parts.warnings:
        print_stage("", f"warning: {line}")


def figure(value: float | None) -> str:
    """A figure of a table; nothing where there is none."""
    return "" if value is None else f"{value:.4f}"


def speed(transcripts: Mapping[str, Transcript]) -> None:
    """How fast each model decoded, or that it did not have to."""
    for name, one in transcripts.items():
        kept = len(one.hypotheses) - one.decoded
        again = f"{counted(kept, 'row')} decoded before by the same model" if kept else ""
        new = f"{one.audio_seconds:.0f} s of audio, {one.rtfx:.0f} x real time"
        if one.how:
            print_stage("", f"{name}: {one.how}")
        print_stage(
            "", f"{name}: {'; '.join(part for part in (again, new if one.decoded else '') if part)}"
        )


def waiting(cycle: Cycle) -> None:
    """That another run works on the same cycle."""
    print_stage("claim", f"another run works on {cycle.path}: waiting until it has ended")


def leaderboard(cycle: Cycle, board: Leaderboard, place: Path) -> None:
    """A cycle's leaderboard."""
    print_stage("leaderboard", str(place))
    create_markdown_artifact(
        key=artifact_key(cycle, "leaderboard"),
        description=f"Leaderboard, cycle {cycle.number}",
        markdown=leaderboard_as_markdown(board),
    )


def decision(
    cycle: Cycle,
    decided: Decision,
    all_rows: TableReading,
    held_out: Mapping[str, KeywordErrorChange],
    *,
    shipped: ShippedModel | None = None,
    verdicts: int = 1,
    kept_runs: Sequence[str] = (),
) -> None:
    """The decision, what it is about, and the differences that it rests on."""
    print_stage("decision", f"{decided.verdict.value.upper()} (by {decided.basis} rows)")
    for line in decided.reasons:
        print_stage("", line)
    literal = f"The specification's table over {all_rows.basis}: {all_rows.verdict.value}."
    about = [] if decided.fragility is None else [decided.fragility]
    if shipped is not None:
        tried = [attempt.as_dict() for attempt in shipped.attempts]
        about += describe_attempts(tried)
        about.append(f"Shipped: value {shipped.value:g}. {shipped.reason}")
    if (times := verdict_ledger.remark(verdicts)) is not None:
        about.append(times)
    about += kept_runs
    for line in (literal, *about):
        print_stage("", line)
    create_markdown_artifact(
        key=artifact_key(cycle, "decision"),
        description=f"Decision, cycle {cycle.number}",
        markdown="\n".join(
            [
                f"# Cycle {cycle.number}: {decided.verdict.value}",
                "",
                f"By {decided.basis} rows. Next: `{decided.route}`.",
                "",
                *(f"- {reason}" for reason in decided.reasons),
                f"- {literal}",
                *(f"- {line}" for line in about),
            ]
        ),
    )
    create_table_artifact(
        key=artifact_key(cycle, "diff"),
        description=f"KER by category on held-out rows, cycle {cycle.number}",
        table=[_row(category, delta) for category, delta in held_out.items()],
    )


def _row(category: str, delta: KeywordErrorChange) -> dict[str, str | int]:
    """A row of the diff's table; the UI shows nothing of a nested cell."""
    interval = delta.interval
    return {
        "category": category,
        "n": delta.n if delta.before.in_rows is None else delta.before.bracket,
        "KER before": figure(delta.before.rate),
        "KER after": figure(delta.after.rate),
        "relative": "" if delta.relative is None else f"{delta.relative:+.0%}",
        "95 % interval of the difference": ""
        if interval is None
        else " to ".join(f"{end:+.3f}" for end in interval.as_list()),
        "p": "" if delta.p is None else f"{delta.p:.3g}",
        "fixed": delta.fixed,
        "broken": delta.broken,
    }


def grow_plan(cycle: Cycle, plan: GrowPlan | None) -> None:
    """What to add before the next turn, if the decision asks for it."""
    if plan is None:
        return
    print_stage("grow", f"{counted(plan.rows, 'row')} to add: {cycle.path / MD_NAME}")
    create_markdown_artifact(
        key=artifact_key(cycle, "growth"),
        description=f"What to add after cycle {cycle.number}",
        markdown=as_markdown(plan, cycle.number),
    )


def report(cycle: Cycle, written: Sequence[Path]) -> None:
    """Where the report lies, and its figures, which Prefect shows."""
    print_stage("report", str(written[0]))
    shown = [
        f"![{path.stem}](data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()})"
        for path in written[1:]
    ]
    create_markdown_artifact(
        key=artifact_key(cycle, "report"),
        description=f"Figures of cycle {cycle.number}",
        markdown="\n\n".join([f"The whole report: `{written[0]}`", *shown]),
    )


def cost(cycle: Cycle, found: Cost) -> None:
    """What the cycle has cost so far."""
    place = ", ".join(found.gpus) or "CPU"
    before = "" if found.trained_now else " (by an earlier run)"
    rows = [
        ("training", f"{found.training_s:.0f} s on {place}{before}"),
        ("decoding", f"{found.decoding_s:.0f} s for {found.decoded_audio_s:.0f} s of audio"),
        ("rented hosts, this cycle", f"{found.rented_usd:.2f} USD"),
        ("rented hosts, all cycles", f"{found.rented_usd_all:.2f} USD"),
    ]
    print_stage("cost", "; ".join(f"{name} {what}" for name, what in rows[:3]))
    create_markdown_artifact(
        key=artifact_key(cycle, "cost"),
        description=f"Cost, cycle {cycle.number}",
        markdown="\n".join(
            [
                f"# Cost, cycle {cycle.number}",
                "",
                "| what | cost |",
                "| --- | --- |",
                *(f"| {name} | {what} |" for name, what in rows),
                "",
                "Rentals count when they have ended; their provider's bill is what counts.",
            ]
        ),
    )


def seconds(cycle: Cycle, found: Mapping[str, Any]) -> None:
    """Where the run's seconds went: those that a host bills, and those of models at work."""
    computing = found["computing"]
    shown = "unknown" if computing is None else f"{computing:.0f} s"
    print_stage("seconds", f"{found['run']:.0f} s, of which models computed {shown}")
    create_table_artifact(
        key=artifact_key(cycle, "seconds"),
        description=f"Seconds billed {found['run']:.0f}, computing {shown}, cycle {cycle.number}",
        table=seconds_table(found),
    )


def kept(cycle: Cycle, found: Kept, model: str) -> None:
    """Where the cycle's files are."""
    size = f"{found.bytes / 1e6:.1f} MB"
    print_stage(
        "store", f"{found.url}: {counted(found.files, 'file')}, {size}, {found.sent} of them new"
    )
    create_markdown_artifact(
        key=artifact_key(cycle, "store"),
        description=f"Files of cycle {cycle.number}",
        markdown="\n".join(
            [
                f"# {counted(found.files, 'file')}, {size}",
                "",
                f"- The tuned model: `{model}`",
                f"- All files with their hashes: `{found.url}`",
            ]
        ),
    )
    create_link_artifact(
        key=artifact_key(cycle, "model"),
        link=model,
        link_text=f"Tuned model of cycle {cycle.number}",
        description=f"Tuned model, cycle {cycle.number}",
    )
