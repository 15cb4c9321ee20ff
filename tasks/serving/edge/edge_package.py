"""Hand-off of a model to an engine on a CPU: a bundle for each precision, checked by loading it.

The graphs are NeMo's own export. Before a bundle gets its name, its engine has loaded it and has
decoded rows of the evaluation, whose figures stand on its card.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.common import atomic_files
from tasks.common.counted import counted
from tasks.common.errors import InputError
from tasks.common.work_folders import work_folder
from tasks.models import purge_marks
from tasks.models.nemo_archive import open_archive
from tasks.serving import handoff_package, single_head
from tasks.serving.edge import engine_files, nemo_export, recognizers
from tasks.serving.edge.bundle import (
    BUNDLE_NAME,
    EdgeBundle,
    EdgeEngine,
    EdgePrecision,
    open_bundle,
    write_record,
)
from tasks.serving.edge.edge_source import EdgeSource, calibration_rows
from tasks.serving.edge.engine_check import check_bundle

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tasks.runtimes.base import Runtime
    from tasks.serving.edge.nemo_export import NemoExport

CARD_NAME = "MODEL_CARD.md"


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
    with work_folder(source.evaluated.path, ".export-") as work:
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
            f"Put {counted(fields['lead_silence'], 'sample')} of silence before each recording and "
            f"{fields['trail_silence']} after it, and set `snip_edges=True` and `high_freq=0` in "
            "`FeatureExtractorConfig`: otherwise sherpa-onnx's first frame begins half a hop later "
            "than NeMo's, it hears one frame more, and its mel bands end at 7,600 Hz."
        )
    parts += [f"Note: {warning}." for warning in fields["warnings"]]
    return "\n\n".join(parts)


def _rate(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
