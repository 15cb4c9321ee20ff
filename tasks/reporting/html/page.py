"""The HTML page: what was gathered, put into words and into the template."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jinja2

from tasks.common.counted import counted
from tasks.common.errors import InputError
from tasks.data.audio_paths import path_parts
from tasks.data.row_reviews import describe_set_apart
from tasks.data.split_parts import Disjointness
from tasks.decision import grow_plan_files
from tasks.decision.grow_plan import AGAINST_FORGETTING
from tasks.decision.guardrail import GuardrailStatus
from tasks.evaluation import alignment
from tasks.evaluation.false_keywords import index_terms
from tasks.records import kept_runs, run_record, verdict_ledger
from tasks.records.purge_notes import describe_purged
from tasks.reporting.html import audio_clips, svg_charts
from tasks.reporting.html.boosting_section import describe_boosting
from tasks.reporting.html.chart_data import category_differences, training_series
from tasks.reporting.html.harm_section import describe_harms
from tasks.reporting.html.metric_table import metric_lines
from tasks.reporting.html.number_format import percent, points
from tasks.reporting.html.served_section import describe_served
from tasks.reporting.html.shipped_section import describe_shipped
from tasks.reporting.html.strict_faults import describe_faults
from tasks.reporting.html.svg_charts import CurveFigure
from tasks.training.run_info import AVERAGE, LAST_CHECKPOINT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from markupsafe import Markup

    from tasks.evaluation.diff import ScorePair
    from tasks.evaluation.error_counts import Proportion
    from tasks.reporting.html.audio_clips import Clip
    from tasks.reporting.html.chart_data import CategoryDifference
    from tasks.reporting.html.report_data import CategoryChange, ReportData

HEARD_ROWS = 12
"""Rows with recording and alignment."""
SHOWN_TERMS = 250
_PLAN_LINES = 8


@dataclass(frozen=True, slots=True)
class ForestLine:
    """A category's difference, drawn and in figures."""

    name: str
    priority: bool
    n: str
    before: str
    after: str
    difference: str
    interval: str
    drawing: Markup


@dataclass(frozen=True, slots=True)
class BarLine:
    """A group's KER before and after, drawn and in figures."""

    name: str
    n: str
    before: str
    after: str
    before_drawing: Markup
    after_drawing: Markup


@dataclass(frozen=True, slots=True)
class HeardRow:
    """A row to listen to."""

    pair: ScorePair
    clip: Clip
    columns: Sequence[alignment.Column]
    name: str

    @property
    def terms(self) -> tuple[str, ...]:
        """The terms of the row."""
        return tuple(item.term for item in self.pair.after.row.flagged)


def render(evidence: ReportData) -> str:
    """Render the page of a cycle: one file without scripts or external resources."""
    template = open_templates().get_template("template.html")
    return template.render(**_template_variables(evidence)) + "\n"


def open_templates() -> jinja2.Environment:
    """Return the environment of the pages' templates, in which every text is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tasks.reporting.html", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"percent": percent, "points": points}
    return environment


def _template_variables(evidence: ReportData) -> dict[str, Any]:
    """Return the variables of the template."""
    decision = evidence.decision
    verdict = str(decision["decision"])
    deltas = evidence.deltas()
    differences = category_differences(deltas)
    scale = _difference_axis(differences)
    terms = evidence.terms()
    boosting = describe_boosting(decision.get("boosting"), evidence.recording)
    used = 0 if boosting is None else boosting.audio_bytes
    listened = heard_rows(evidence, HEARD_ROWS, audio_clips.MOST_BYTES - used)
    words = index_terms(evidence.pairing.terms)
    shipped = describe_shipped(decision.get("shipping"))
    return {
        "cycle": evidence.cycle.number,
        "clinic": evidence.cycle.clinic.name,
        "base": evidence.base,
        "started": str(evidence.record["started"]).replace("T", " ").removesuffix("Z"),
        "verdict": verdict,
        "lead": [deltas[category] for category in evidence.priority if category in deltas],
        "several": _several_decodes(decision, evidence.priority),
        "decision": decision,
        "basis": decision["basis"],
        "parted": evidence.parted,
        "crossed": evidence.crossed is not None,
        "bare": decision.get("bare_decision"),
        "all_rows": decision["all_rows"]["decision"],
        "rows_needed": _rows_needed(decision),
        "guardrail": decision.get("guardrail"),
        "general_wer": _general_wer(decision.get("guardrail")),
        "fragility": decision.get("fragility"),
        "shipped": shipped,
        "boosting": boosting,
        "judged_model": "mixture" if shipped is not None and shipped.mixed else "tuned model",
        "often_judged": verdict_ledger.remark(decision.get("verdicts")),
        "kept_before": [
            kept_runs.beside_verdict(kept)
            for kept in decision.get("kept_runs", ())
            if (evidence.cycle.clinic / kept["folder"]).is_dir()  # may be removed since
        ],
        "against_forgetting": AGAINST_FORGETTING,
        "metrics": list(metric_lines(evidence.judged, words)),
        "trained_metrics": list(metric_lines(evidence.trained, words)),
        "served": describe_served(evidence.served, evidence.priority),
        "harms": describe_harms(decision),
        "strict_faults": describe_faults(evidence.judged),
        "judged_n": len(evidence.judged.pairs),
        "trained_n": len(evidence.trained.pairs),
        "forest": _forest(differences, scale, evidence.priority),
        "axis": scale,
        "noise": [_bar_line(change) for change in evidence.changes("noise_level")],
        "bandwidths": [_bar_line(change) for change in evidence.bandwidths()],
        "sources": [_bar_line(change) for change in evidence.changes("ipa_source")],
        "curves": list(_curves(evidence)),
        "terms": terms[:SHOWN_TERMS],
        "terms_left": max(0, len(terms) - SHOWN_TERMS),
        "heard": listened,
        "heard_terms": {term for row in listened for term in row.terms},
        "rows_left": max(0, len(evidence.judged.pairs) - len(listened)),
        "plan": grow_plan_files.read_lines(evidence.cycle)[:_PLAN_LINES],
        "purged": describe_purged(evidence.record),
        "content": audio_clips.warn_of_content(
            sum(bool(row.clip.uri) for row in listened)
            + (0 if boosting is None else boosting.recordings),
            len(listened) + (0 if boosting is None else len(boosting.wrong)),
        ),
        "provenance": list(_provenance(evidence)),
        "hashes": list(_hashes(evidence)),
        "warnings": [
            *(one["message"] for one in evidence.record.get("without_effect", ())),
            *evidence.record["gate"]["warnings"],
            *evidence.record["split"]["warnings"],
        ],
    }


def _several_decodes(
    decision: Mapping[str, Any], priority: Sequence[str]
) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the priority categories' figures that are means over several decodes a row."""
    figures = decision.get("by", {})
    return [(name, figures[name]) for name in priority if "decodes" in figures.get(name, {})]


def _general_wer(guardrail: Mapping[str, Any] | None) -> tuple[float, float] | None:
    """Return the pooled WER that the guardrail judged; before 0.3 that was to the letter."""
    if guardrail is None:
        return None
    name = "canonical_wer" if "canonical_wer_a" in guardrail else "pooled_wer"
    return guardrail[f"{name}_a"], guardrail[f"{name}_b"]


def _rows_needed(decision: Mapping[str, Any]) -> int | None:
    """Return how many rows of the decision's basis would settle it.

    Where the guardrail is what is unclear, the decision's number counts general sentences, and its
    reason says so.
    """
    guardrail = decision.get("guardrail")
    unclear = guardrail is not None and guardrail["status"] == GuardrailStatus.UNCLEAR
    return None if unclear else decision.get("rows_needed")


def _difference_axis(differences: Iterable[CategoryDifference]) -> svg_charts.Axis:
    intervals = [line.interval for line in differences if line.interval is not None]
    return svg_charts.axis([end for interval in intervals for end in (interval.low, interval.high)])


def _forest(
    differences: Sequence[CategoryDifference], scale: svg_charts.Axis, priority: Sequence[str]
) -> list[ForestLine]:
    lines = []
    for line in differences:
        change, interval = points(line.difference), line.interval
        between = "" if interval is None else f"{points(interval.low)} to {points(interval.high)}"
        label = f"{line.name}: {change} points, 95 % interval {between}, n = {line.counted}"
        lines.append(
            ForestLine(
                line.name,
                line.category in priority,
                line.counted,
                percent(line.before),
                percent(line.after),
                change,
                between,
                svg_charts.difference(scale, line.difference, interval, label),
            )
        )
    return lines


def _bar_line(change: CategoryChange) -> BarLine:
    return BarLine(
        change.name,
        change.after.bracket,
        percent(change.before.rate),
        percent(change.after.rate),
        _bar(change.before, "base", change.name),
        _bar(change.after, "tuned", change.name),
    )


def _bar(share: Proportion, kind: str, name: str) -> Markup:
    label = f"{kind} model, {name}: {share.hits} of {share.unit} missed"
    return svg_charts.bar(share.rate or 0.0, share.interval, kind, label)


def _curves(evidence: ReportData) -> Iterable[CurveFigure]:
    for series in training_series(evidence.epochs):
        label, note = f"{series.title} by epoch", "by epoch"
        if series.best is not None:
            label += f"; the least in epoch {series.best + 1}"
            note = f"epoch {series.best + 1} was kept"
            checkpoint = evidence.training.get("checkpoint", "")
            if checkpoint == LAST_CHECKPOINT:
                note = f"the least in epoch {series.best + 1}; the last epoch was kept"
            elif checkpoint.startswith(AVERAGE):
                note = f"the least in epoch {series.best + 1}; several epochs were averaged"
        drawing = svg_charts.curve(series.values, series.best, label)
        yield CurveFigure(series.title, note, drawing)


def heard_rows(evidence: ReportData, most: int, most_bytes: int) -> list[HeardRow]:
    """Return the worst judged rows with recording and alignment.

    Args:
        evidence: what was gathered.
        most: rows.
        most_bytes: of all recordings together, encoded.
    """
    pairs = [pair for pair in evidence.worst_rows(most) if pair.after.sentence_wrong]
    packed = audio_clips.clips([evidence.audio(pair) for pair in pairs], most_bytes)
    return [_heard_row(pair, clip) for pair, clip in zip(pairs, packed, strict=True)]


def _heard_row(pair: ScorePair, clip: Clip) -> HeardRow:
    row = pair.after.row
    terms = [item.term for item in row.flagged]
    columns = alignment.columns(row.ref, [pair.before.row.hyp, row.hyp], terms)
    return HeardRow(pair, clip, columns, path_parts(row.audio_filepath)[-1])


def _provenance(evidence: ReportData) -> Iterable[tuple[str, str]]:
    """Yield the origin of the figures, in words; skip a part that a record lacks."""
    record, training = evidence.record, evidence.training
    config, split = record["config"], record["split"]
    gate = "; ".join(record["gate"]["reasons"])
    selection = split.get("selection")
    chooses = f", {selection} to choose by" if selection else ""
    disjoint = Disjointness(split.get("disjoint", Disjointness.ROW))
    yield "Gate", gate
    yield (
        "Split",
        (
            f"{counted(split['train'], 'row')} to train on{chooses}, {split['validation']} held "
            f"out, by category, seed {config['seed']}, "
            f"{disjoint.summary(by_term=config.get('hold_out_terms', False))}"
        ),
    )
    if (apart := describe_set_apart(record["preflight"].get("set_apart", {}))) is not None:
        yield "Set apart", apart
    if checkpoint := training.get("checkpoint"):
        yield "Checkpoint", checkpoint
    if recipe := training.get("recipe"):
        yield (
            "Recipe",
            (
                f"{recipe['name']}: peak learning rate {recipe['lr']:g}, warm-up "
                f"{recipe['warmup_steps']} steps, {counted(recipe['epochs'], 'epoch')} at most, "
                f"effective batch {recipe['effective_batch']}, seed {recipe['seed']}"
            ),
        )
    if base := training.get("base"):
        yield "Base", f"{base['name']}, {base['parameters'] / 1e6:.1f} M parameters"
    if runtime := training.get("runtime"):
        place = runtime["image"] or "this tool's own environment"
        processor = ", ".join(runtime["gpus"]) or f"CPU, {counted(runtime['cores'], 'core')}"
        yield "Trained in", f"{place}, on {processor}, {runtime['precision']}"
    if seconds := training.get("wall_seconds"):
        yield "Training took", f"{seconds:.0f} s"
    yield from _seconds(record.get("seconds") or {})
    yield "Versions", ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    if table := record.get("strict_table"):
        other = _other_strict_table(evidence)
        said = "" if other is None else f". {other}"
        yield "Strict view’s table", f"{table['source']}, SHA-256 {table['sha256']}{said}"
    yield "Run", f"started {record['started']}"
    several = any(len(pair.after.row.flagged) > 1 for pair in evidence.pairing.pairs)
    unit, whose = ("term", "") if several else ("row", "term's ")
    yield (
        "KER",
        (
            f"a {unit} is missed if its {whose}words do not stand in order and adjacent in the "
            "transcript; texts are normalised first"
        ),
    )
    yield "Intervals", "95 %: Wilson for shares, Bonett and Price for paired differences"


def _seconds(seconds: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Yield where the run's seconds went; nothing of a run that did not keep them."""
    if not seconds:
        return
    computing = seconds["computing"]
    share = "" if computing is None else f", of which models computed {computing:.0f} s"
    yield "Run took", f"{seconds['run']:.0f} s{share}"
    for job in seconds["jobs"]:
        phases = ", ".join(f"{name} {value:.1f} s" for name, value in job["phases"].items())
        yield f"Job {job['job']}", f"{job['seconds']:.1f} s" + (f": {phases}" if phases else "")


def _other_strict_table(evidence: ReportData) -> str | None:
    """Say that the run before read another table; None where it did not, or there is none."""
    before = evidence.cycle.previous
    if before is None or not run_record.is_complete(before):
        return None
    with suppress(InputError):  # a damaged record of another cycle is no fault of this one
        return run_record.other_strict_table(evidence.record, run_record.read(before))
    return None


def _hashes(evidence: ReportData) -> Iterable[tuple[str, str]]:
    """Yield the SHA-256 of the input and output files."""
    record, training = evidence.record, evidence.training
    if base := training.get("base"):
        yield "base model", base["sha256"]
    shipped = record["sft"]["model_sha256"]
    plain = record["sft"].get("tuned_sha256", shipped)
    if plain == shipped:
        yield "tuned model", shipped
    else:
        yield "tuned model (plain)", plain
        yield "shipped model (mixture)", shipped
    yield "manifest", record["preflight"]["manifest_sha256"]
    yield "training data (audio, text, side)", record["split"]["content_sha256"]
