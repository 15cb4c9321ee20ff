"""Validate bundles on a cycle: decode, compare row by row, repair, judge what is served."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tasks.common import atomic_files
from tasks.common.counted import agreed, counted
from tasks.common.errors import InputError
from tasks.common.parameter_names import name_of
from tasks.common.schemas import Schema
from tasks.common.work_folders import work_folder
from tasks.evaluation.hypotheses import hypothesis_for, write_hypotheses
from tasks.evaluation.result_reading import read_hypotheses
from tasks.models import catalog
from tasks.records.run_record import BASELINE_NAME
from tasks.records.served_figures import PARITY_NAME, TUNED
from tasks.serving import parity, parity_report
from tasks.serving.causes import Cause, CauseName
from tasks.serving.edge import (
    nemo_export,
    recognizers,
    repairs,
    served_verdict,
    server_repairs,
    substitutes,
)
from tasks.serving.edge.bundle import EdgeEngine
from tasks.serving.edge.http_transcription import transcribe_over_http
from tasks.serving.edge.repairs import RepairResult
from tasks.serving.parity import THRESHOLDS, MismatchKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from tasks.evaluation.hypotheses import Hypothesis
    from tasks.runtimes.base import Runtime
    from tasks.serving.edge.bundle import EdgeBundle
    from tasks.serving.edge.http_transcription import TranscriptionServer
    from tasks.serving.edge.served_verdict import ServedVerdict
    from tasks.serving.handoff_package import Tuned
    from tasks.serving.parity import ParityRow
    from tasks.serving.parity_report import ParityReport
    from tasks.serving.validation import ValidationPlan

MOST_REPAIRED = 256
"""Differing rows that are decoded again for each repair."""
MARKDOWN_NAME = "serving_parity_edge.md"
_BASE = "base"


@dataclass(frozen=True, slots=True)
class ServedBundle:
    """A bundle, and whose texts it has to write.

    Attributes:
        bundle: what is served.
        role: of its model in the cycle: tuned, base, or another.
        offline: the evaluation by NeMo of its model.
        model: its .nemo where that is at hand; without it no difference of a bundle is attributed.
        server: that serves the bundle; None where the bundle decodes in this process.
    """

    bundle: EdgeBundle
    role: str
    offline: tuple[Hypothesis, ...]
    model: Path | None
    server: TranscriptionServer | None = None

    @property
    def name(self) -> str:
        """The name in reports and of files."""
        where = "" if self.server is None else " server"
        return f"{self.role} {self.bundle.engine.value} {self.bundle.precision.value}{where}"

    @property
    def served_name(self) -> str:
        """The file of what it writes."""
        return f"served_{self.name.replace(' ', '_')}_hyps.jsonl"


@dataclass(frozen=True, slots=True)
class BundleReport:
    """What was found of one bundle: parity with NeMo, causes, and what each repair did."""

    served: ServedBundle
    parity: ParityReport
    repairs: tuple[RepairResult, ...]

    @property
    def equal_texts(self) -> int:
        """Rows whose text is NeMo's to the letter."""
        pairs = zip(self.parity.offline, self.parity.served, strict=True)
        return sum(a.hyp == b.hyp for a, b in pairs)

    def as_dict(self) -> dict[str, Any]:
        """Return the report for programs."""
        return {
            "name": self.served.name,
            "role": self.served.role,
            "source_sha256": self.served.bundle.source_sha256,
            "equal_texts": self.equal_texts,
            "bundle": str(self.served.bundle.folder),
            "bytes": self.served.bundle.bytes,
            **self.parity.as_dict(),
            "repairs": [one.as_dict() for one in self.repairs],
        }


@dataclass(frozen=True, slots=True)
class EdgeReport:
    """Everything that was found of the bundles.

    Attributes:
        bundles: one report each.
        verdict: of what is served.
    """

    bundles: tuple[BundleReport, ...]
    verdict: ServedVerdict

    @property
    def is_equal(self) -> bool:
        """True if every bundle agrees with NeMo within tolerance."""
        return all(one.parity.is_equal for one in self.bundles)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as serving_parity_edge.json holds it."""
        return {
            "bundles": [one.as_dict() for one in self.bundles],
            "served_verdict": self.verdict.as_dict(),
        }

    def as_markdown(self, *, texts: bool = True) -> str:
        """Return the report as Markdown; without texts for a log or an artifact."""
        parts = [self.verdict.as_markdown()]
        for one in self.bundles:
            parts.append(one.parity.as_markdown(texts=texts).rstrip())
            if one.repairs:
                parts += ["## Repairs", _table(one.repairs)]
        return "\n\n".join(parts) + "\n"


def _table(results: Sequence[RepairResult]) -> str:
    lines = ["| put right | rows that differed | repaired |", "| --- | --- | --- |"]
    lines += [f"| {one.says} | {len(one.tried)} | {len(one.repaired)} |" for one in results]
    return "\n".join(lines)


def find_served(bundle: EdgeBundle, plan: ValidationPlan, tuned: Tuned | None) -> ServedBundle:
    """Find whose texts a bundle has to write: the tuned model's, or its base's.

    Raises:
        InputError: no evaluation of its model is beside the cycle's.
    """
    if bundle.engine is EdgeEngine.ONNX:
        raise InputError(
            f"{bundle.folder}: no engine here loads a bundle of --format onnx. Fix: make one with "
            "--format onnx-asr or sherpa."
        )
    offline = tuple(read_hypotheses(plan.offline))
    if tuned is not None and bundle.source_sha256 == tuned.sha256:
        return ServedBundle(bundle, TUNED, offline, tuned.model)
    base = plan.folder / BASELINE_NAME
    if tuned is not None and bundle.source_sha256 == tuned.info["base"]["sha256"]:
        if not base.is_file():
            raise InputError(
                f"{base}: is missing: the base's texts are unknown. Fix: run the cycle again."
            )
        at_hand = catalog.at_hand(tuned.base_name)
        return ServedBundle(bundle, _BASE, tuple(read_hypotheses(base)), at_hand)
    if plan.model is not None:
        # The model that the user names, or the run's: the bundle is compared with its texts.
        return ServedBundle(bundle, "other", offline, plan.model.path)
    raise InputError(
        f"{bundle.folder}: was made of a model with SHA-256 {bundle.source_sha256}, of which the "
        f"cycle has no evaluation. Fix: name its .nemo with {name_of('model')} and its texts with "
        f"{name_of('offline')}."
    )


def find_behind_server(served: Sequence[ServedBundle], server: TranscriptionServer) -> ServedBundle:
    """Find the bundle that a server serves among those that were named.

    Raises:
        InputError: it serves none of them, or does not say which of several.
    """
    if server.fingerprint is None and len(served) == 1:
        return replace(served[0], server=server)
    for one in served:
        if one.bundle.fingerprint == server.fingerprint:
            return replace(one, server=server)
    named = ", ".join(f"{one.bundle.folder} ({one.bundle.fingerprint[:12]})" for one in served)
    raise InputError(
        f"{server.address}: serves {server.model!r} with the fingerprint "
        f"{(server.fingerprint or 'unknown')[:12]}, which is none of the bundles: {named}. Fix: "
        "name the bundle that it was started with, or start it with one of these."
    )


def transcribe(
    plan: ValidationPlan,
    served: ServedBundle,
    report: Callable[[str], None] = lambda _: None,
    at_once: int = 4,
) -> tuple[Hypothesis, ...]:
    """Decode every row by a bundle's engine, and write what it wrote beside the evaluation.

    Args:
        plan: the rows.
        served: the bundle, and the server that answers for it if any.
        report: is told of progress.
        at_once: requests at a time to a server.

    Raises:
        InputError: a server refuses a recording.
        FlywheelError: a server does not answer.
    """
    target = plan.folder / served.served_name
    atomic_files.check_target(target)

    def tell(number: int) -> None:
        report(f"{number} of {counted(len(plan.rows), 'row')}")

    if served.server is None:
        recognizer = recognizers.load(served.bundle)
        texts = []
        for number, row in enumerate(plan.rows, start=1):
            samples, rate = recognizers.read_samples(row.audio)
            texts.append(recognizer.recognise(samples, rate))
            tell(number)
    else:
        recordings = [row.audio for row in plan.rows]
        texts = transcribe_over_http(served.server, recordings, at_once, tell)
    rows = [hypothesis_for(row.utterance, text) for row, text in zip(plan.rows, texts, strict=True)]
    write_hypotheses(target, rows)
    return tuple(rows)


def compare(
    plan: ValidationPlan,
    served: ServedBundle,
    written: Sequence[Hypothesis],
    *,
    probing: bool = True,
    runtime: Runtime | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> BundleReport:
    """Compare what a bundle wrote with its model's texts by NeMo, and say why they differ.

    Args:
        plan: the rows.
        served: the bundle.
        written: its texts of all rows.
        probing: whether rows are decoded again with repairs.
        runtime: where NeMo runs; by default on this machine.
        report: is told of each repair.

    Raises:
        InputError: the two have no row in common.
        FlywheelError: NeMo could not export the model.
    """
    comparison = parity.compare(served.offline, written)
    results: tuple[RepairResult, ...] = ()
    causes: tuple[Cause, ...] = ()
    differing = [row for row in comparison.rows if row.kind is not MismatchKind.EXACT]
    known = _find_base(plan, served, differing)
    if known is not None:
        causes = (known,)
    elif differing and probing and (served.model is not None or served.server is not None):
        results = _repair(plan, served, differing[:MOST_REPAIRED], runtime, report)
        causes = repairs.attribute(results, len(comparison.rows))
    elif differing:
        differ = agreed(len(differing), "differs", "differ")
        says = f"{len(differing)} of {len(comparison.rows)} rows {differ}; nothing was repaired"
        causes = (Cause(CauseName.UNEXPLAINED, len(differing), (says,)),)
    by_audio = {row.audio_filepath: row for row in written}
    offline = tuple(row.offline for row in comparison.rows)
    return BundleReport(
        served,
        parity_report.ParityReport(
            cycle=plan.cycle.number,
            endpoint={
                "address": str(served.bundle.folder)
                if served.server is None
                else f"{served.server.address} ({served.bundle.folder})",
                "engine": served.bundle.engine.value,
                "version": recognizers.engine_version(served.bundle.engine),
                "precision": served.bundle.precision.value,
            },
            comparison=comparison,
            causes=causes,
            offline=offline,
            served=_with_texts(offline, [by_audio[row.audio] for row in comparison.rows]),
            probes=(),
            served_models=(),
            asked=len(written),
            attempts=0,
        ),
        results,
    )


def _with_texts(
    offline: Sequence[Hypothesis], written: Sequence[Hypothesis]
) -> tuple[Hypothesis, ...]:
    """Return the offline rows, with their marks, and the engine's texts."""
    return tuple(replace(a, hyp=b.hyp) for a, b in zip(offline, written, strict=True))


def _find_base(
    plan: ValidationPlan, served: ServedBundle, differing: Sequence[ParityRow]
) -> Cause | None:
    """Attribute rows to the base where their texts are the base's."""
    path = plan.folder / BASELINE_NAME
    if served.role == _BASE or not path.is_file() or not differing:
        return None
    texts = {row.audio_filepath: row.hyp for row in read_hypotheses(path)}
    same = [row for row in differing if texts.get(row.offline.audio_filepath) == row.served]
    if len(same) < max(THRESHOLDS.explained * len(differing), THRESHOLDS.least_probed):
        return None
    says = f"{len(same)} of {len(differing)} differing rows are the base's ({BASELINE_NAME})"
    return Cause(CauseName.BASE, len(differing), (says,))


def _repair(
    plan: ValidationPlan,
    served: ServedBundle,
    differing: Sequence[ParityRow],
    runtime: Runtime | None,
    report: Callable[[str], None],
) -> tuple[RepairResult, ...]:
    recordings = {row.utterance.audio_filepath: row.audio for row in plan.rows}
    paths = [recordings[row.audio] for row in differing]
    bundle, model = served.bundle, served.model
    of_server: tuple[RepairResult, ...] = ()
    if served.server is not None:
        found = server_repairs.repair(differing, paths, bundle, served.server, report)
        of_server = found.results
        differing = [differing[place] for place in found.left]
        paths = [paths[place] for place in found.left]
    if not differing:
        return of_server
    if model is None:
        return (*of_server, _not_repaired(differing))
    with work_folder(plan.folder, ".repairs-") as work:
        parts = bundle.engine is EdgeEngine.SHERPA_ONNX and bundle.decoder.has_transducer
        report(f"NeMo exports {model.name} and computes the features of {len(paths)} rows")
        exported = nemo_export.export(
            model,
            work / "graphs",
            parts=parts,
            recordings=paths,
            substitutes=substitutes.of_features(bundle.engine, bundle.decoder),
            runtime=runtime,
        )
        of_bundle = repairs.repair(differing, paths, bundle, exported, work, report)
    return (*of_server, *of_bundle)


def _not_repaired(rows: Sequence[ParityRow]) -> RepairResult:
    says = f"{repairs.NO_REPAIR}: the bundle's own texts, and its .nemo is not at hand"
    return RepairResult(CauseName.UNEXPLAINED, says, tuple(rows), tuple(rows))


def judge(plan: ValidationPlan, reports: Sequence[BundleReport]) -> ServedVerdict:
    """Judge what is served: the bundles among each other, and against NeMo."""
    arms: dict[str, Sequence[Hypothesis]] = {}
    tuned_rows = read_hypotheses(plan.offline)
    parts = {row.audio_filepath: row.part for row in tuned_rows}
    for one in reports:
        arms.setdefault(f"{one.served.role} NeMo", _marked(one.parity.offline, parts))
        arms[one.served.name] = _marked(one.parity.served, parts)
    pairs = [(f"{one.served.role} NeMo", one.served.name) for one in reports]
    names = [one.served.name for one in reports]
    pairs += [(here, f"{here} server") for here in names if f"{here} server" in names]
    alone = [one for one in reports if one.served.server is None]
    for one in alone:
        for other in alone:
            same_engine = one.served.bundle.engine is other.served.bundle.engine
            a, b = one.served, other.served
            is_smaller = a.role == b.role and a.bundle.quantization is None
            if same_engine and is_smaller and b.bundle.quantization is not None:
                pairs.append((a.name, b.name))
            if same_engine and (a.role, b.role) == (_BASE, TUNED):
                pairs.append((a.name, b.name))
    return served_verdict.judge(arms, pairs)


def _marked(rows: Sequence[Hypothesis], parts: Mapping[str, Any]) -> tuple[Hypothesis, ...]:
    """Return rows with the run's marks, which a base's evaluation does not have."""
    return tuple(replace(row, part=parts.get(row.audio_filepath, row.part)) for row in rows)


def write(folder: Path, report: EdgeReport) -> None:
    """Write serving_parity_edge.md, then serving_parity_edge.json."""
    atomic_files.write_text(folder / MARKDOWN_NAME, report.as_markdown())
    atomic_files.write_json(folder / PARITY_NAME, Schema.SERVING_PARITY.mark(report.as_dict()))
