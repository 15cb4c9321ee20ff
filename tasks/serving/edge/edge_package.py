"""Hand-off of a model to an engine on a CPU: a bundle for each precision, checked by loading it.

The graphs are NeMo's own export. Before a bundle gets its name, its engine has loaded it and has
decoded rows of the evaluation, whose figures stand on its card.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.common import atomic_files, hashing
from tasks.common.errors import FlywheelError, InputError
from tasks.evaluation.hypotheses import Partition
from tasks.evaluation.result_reading import read_hypotheses
from tasks.evaluation.scoring import score
from tasks.models import catalog, purge_marks
from tasks.models.nemo_archive import open_archive
from tasks.serving import handoff_package, model_card, parity, single_head
from tasks.serving.edge import engine_files, nemo_export, recognizers
from tasks.serving.edge.bundle import (
    BUNDLE_NAME,
    EdgeBundle,
    EdgeEngine,
    EdgePrecision,
    open_bundle,
    write_record,
)
from tasks.serving.handoff import Refusal, judge
from tasks.serving.validation import BASELINE_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tasks.data.cycle_folder import Cycle
    from tasks.evaluation.hypotheses import Hypothesis
    from tasks.runtimes.base import Runtime
    from tasks.serving.edge.nemo_export import NemoExport
    from tasks.serving.handoff import Accepted
    from tasks.serving.handoff_package import Tuned

CARD_NAME = "MODEL_CARD.md"
MOST_CHECKED = 100
"""Rows that a bundle is checked on before it gets its name."""
CALIBRATED = 32
"""Recordings of the training set that set the ranges of static int8."""
_WRONG = 0.5
"""Share of the words from which a bundle is broken, not merely another arithmetic."""


@dataclass(frozen=True, slots=True)
class BundleCheck:
    """What an engine wrote of some rows with a bundle, before the bundle got its name.

    Attributes:
        engine: name and version.
        offline: the rows as NeMo wrote them.
        served: the same rows as the engine wrote them.
        label: which rows these are.
    """

    engine: str
    offline: tuple[Hypothesis, ...]
    served: tuple[Hypothesis, ...]
    label: str

    @property
    def equal(self) -> int:
        """Rows whose text is the same to the letter."""
        return sum(a.hyp == b.hyp for a, b in zip(self.offline, self.served, strict=True))

    @property
    def word_difference(self) -> float:
        """Words to change over words of NeMo's text."""
        return parity.compare(self.offline, self.served).word_difference if self.offline else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return the check as bundle.json holds it."""
        figures = {}
        for name, rows in (("nemo", self.offline), ("served", self.served)):
            scores = score(rows)
            figures[name] = {"ker": scores.ker, "wer": scores.wer, "with_term": scores.keyword.n}
        return {
            "engine": self.engine,
            "rows": len(self.offline),
            "which": self.label,
            "equal": self.equal,
            "word_difference": self.word_difference,
            "figures": figures,
        }


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


def folder_of(source: EdgeSource, engine: EdgeEngine) -> Path:
    """Return the default place of a bundle in fp32: beside the Riva hand-off."""
    suffix = "" if source.fields["decision"] else "-base"
    return source.evaluated.path / f"{handoff_package.FOLDER_NAME}-{engine.value}{suffix}"


def write(
    source: EdgeSource,
    engine: EdgeEngine,
    folders: Mapping[EdgePrecision, Path],
    *,
    runtime: Runtime | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> list[EdgeBundle]:
    """Export a model and write a bundle for each precision.

    A bundle appears whole or not at all, and replaces an earlier one.

    Args:
        source: the model.
        engine: whose form the bundles have.
        folders: where each precision's goes.
        runtime: where NeMo runs; by default on this machine.
        report: is told of each step.

    Raises:
        InputError: something else is at a place, the engine is not installed, it cannot
            compute the model's features, or the model is cache-aware.
        FlywheelError: NeMo could not export it, or what the engine writes is not what NeMo wrote.
    """
    _require_free(folders)
    recognizers.engine_version(engine)
    if open_archive(source.model).is_cache_aware:
        raise InputError(
            f"{source.model}: its encoder is cache-aware (streaming), which these bundles do not "
            "serve. Fix: hand it on to Riva (without --format)."
        )
    with tempfile.TemporaryDirectory(prefix=".export-", dir=source.evaluated.path) as name:
        work = Path(name)
        model, decoder = source.model, source.accepted.decoder
        if source.accepted.hybrid:
            model = work / "head.nemo"
            single_head.convert(source.model, decoder, model, runtime)
        report(f"NeMo exports {source.name} ({decoder.value})")
        parts = engine is EdgeEngine.SHERPA_ONNX and decoder.has_transducer
        rows = calibration_rows(source) if EdgePrecision.INT8_STATIC in folders else ()
        exported = nemo_export.export(
            model, work / "graphs", parts=parts, recordings=rows, runtime=runtime
        )
        return write_exported(source, engine, exported, folders, report)


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


def write_exported(
    source: EdgeSource,
    engine: EdgeEngine,
    exported: NemoExport,
    folders: Mapping[EdgePrecision, Path],
    report: Callable[[str], None] = lambda _: None,
) -> list[EdgeBundle]:
    """Write a bundle for each precision of what NeMo has exported; see ``write``."""
    _require_free(folders)
    engine_files.require_settings(engine, exported, source.model)
    version = recognizers.engine_version(engine)
    bundles = []
    for precision, folder in folders.items():
        report(f"{engine.value}, {precision.value}: writing and checking {folder}")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as name:
            made = Path(name) / folder.name
            made.mkdir()
            _write_bundle(source, engine, precision, exported, made, version)
            if folder.exists():
                shutil.rmtree(folder)
            made.rename(folder)
        bundles.append(open_bundle(folder))
    return bundles


def _require_free(folders: Mapping[EdgePrecision, Path]) -> None:
    for folder in folders.values():
        if folder.exists() and not _is_ours(folder):
            raise InputError(
                f"{folder}: is there already, and it is no exported model. Fix: name another with "
                "--out."
            )


def _is_ours(folder: Path) -> bool:
    return folder.is_dir() and ((folder / BUNDLE_NAME).is_file() or not any(folder.iterdir()))


def _write_bundle(
    source: EdgeSource,
    engine: EdgeEngine,
    precision: EdgePrecision,
    exported: NemoExport,
    folder: Path,
    version: str,
) -> None:
    decoder = source.accepted.decoder
    names = engine_files.write(engine, exported, decoder, precision, folder)
    is_sherpa = engine is EdgeEngine.SHERPA_ONNX
    fields: dict[str, Any] = {
        "engine": engine.value,
        "decoder": decoder.value,
        "onnx_asr_type": f"nemo-conformer-{decoder.value}",
        "precision": precision.value,
        "sample_rate": exported.settings["sample_rate"],
        "model_name": source.name,
        "source_sha256": source.sha256,
        **engine_files.framing(engine).as_dict(),
        **({"high_freq": recognizers.SHERPA_HIGH_FREQ} if is_sherpa else {}),
        "features": exported.settings,
        "subsampling_factor": exported.subsampling,
        **source.fields,
        **(
            {"calibrated_on": len(exported.features)}
            if precision is EdgePrecision.INT8_STATIC
            else {}
        ),
        "exported_by": {
            "nemo": exported.facts["nemo_version"],
            "torch": exported.facts["torch_version"],
        },
        "warnings": [
            *source.accepted.warnings,
            *engine_files.unheeded_settings(engine, exported, decoder),
        ],
    }
    # The engine loads a whole bundle; so the record is written before the check and again after.
    write_record(folder, fields, names)
    if engine is not EdgeEngine.ONNX:
        check = check_bundle(source, open_bundle(folder), f"{engine.value} {version}")
        fields["check"] = check.as_dict()
    atomic_files.write_text(folder / CARD_NAME, source.card(_describe_serving(fields)))
    if (mark := purge_marks.read_mark(source.model)) is not None:
        # A person accepted the model; whoever serves it is to know it, too.
        atomic_files.write_json(folder / purge_marks.MARK_NAME, mark.as_dict())
    write_record(folder, fields, (*names, CARD_NAME))


def check_bundle(source: EdgeSource, bundle: EdgeBundle, engine: str) -> BundleCheck:
    """Decode rows of the evaluation in a bundle's engine, held-out ones where these are marked.

    Raises:
        FlywheelError: it writes half of the words otherwise, or more: the bundle is broken.
    """
    rows = read_hypotheses(source.evaluation)
    held_out = [row for row in rows if row.part is Partition.HELD_OUT]
    chosen = _at_hand(source, held_out or rows)[:MOST_CHECKED]
    recognizer = recognizers.load(bundle)
    served = []
    for row, path in chosen:
        samples, rate = recognizers.read_samples(path)
        served.append(replace(row, hyp=recognizer.recognise(samples, rate)))
    label = "held-out" if held_out else "all"
    check = BundleCheck(engine, tuple(row for row, _ in chosen), tuple(served), label)
    if check.word_difference > _WRONG:
        example = next(
            (a, b) for a, b in zip(check.offline, check.served, strict=True) if a.hyp != b.hyp
        )
        raise FlywheelError(
            f"{bundle.engine.value} loads the export but writes {check.word_difference:.0%} of the "
            f"words otherwise than NeMo: {example[1].hyp[:80]!r} for {example[0].hyp[:80]!r} "
            f"({example[0].audio_filepath}). No bundle was written. Fix: try another --format, and "
            "compare the versions of NeMo, torch and the engine with docs/edge.md."
        )
    return check


def _at_hand(source: EdgeSource, rows: Sequence[Hypothesis]) -> list[tuple[Hypothesis, Path]]:
    """Return the rows whose recordings lie where the evaluation says, seen from its cycles."""
    folders = [one.path for one in (source.evaluated.previous, source.evaluated) if one is not None]
    found = []
    for row in rows:
        for folder in folders:
            if (path := folder / row.audio_filepath).is_file():
                found.append((row, path))
                break
    return found


def _describe_serving(fields: Mapping[str, Any]) -> str:
    """Say on the card how the bundle is loaded, and what was written with it."""
    parts = [
        (
            f"For {fields['engine']}, {fields['precision']}. Figures further up are of NeMo's "
            "decoding in fp32. `asr-flywheel validate-serving CYCLE --engine … --bundle .` "
            "measures this bundle on every row."
        )
    ]
    if check := fields.get("check"):
        served, nemo = check["figures"]["served"], check["figures"]["nemo"]
        parts.append(
            f"Checked with {check['engine']}: {check['equal']} of {check['rows']} {check['which']}"
            f" rows have NeMo's text to the letter; KER {_rate(served['ker'])} (NeMo "
            f"{_rate(nemo['ker'])}), WER {_rate(served['wer'])} (NeMo {_rate(nemo['wer'])})."
        )
    if fields["lead_silence"]:
        parts.append(
            f"Put {fields['lead_silence']} samples of silence before each recording and "
            f"{fields['trail_silence']} after it, and set `snip_edges=True` and `high_freq=0` in "
            "`FeatureExtractorConfig`: otherwise sherpa-onnx's first frame begins half a hop later "
            "than NeMo's, it hears one frame more, and its mel bands end at 7,600 Hz."
        )
    parts += [f"Note: {warning}." for warning in fields["warnings"]]
    return "\n\n".join(parts)


def _rate(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def verify(folder: Path) -> list[str]:
    """Open a bundle as the next stage would, and load it in its engine.

    Returns:
        What was checked, a line each.

    Raises:
        InputError: a file is missing or was changed.
    """
    bundle = open_bundle(folder)
    lines = [f"{len(bundle.files)} files have the hashes of {BUNDLE_NAME}"]
    if bundle.engine is not EdgeEngine.ONNX:
        recognizers.load(bundle)
        version = recognizers.engine_version(bundle.engine)
        lines.append(f"{bundle.engine.value} {version} loads it ({bundle.precision.value})")
    return lines
