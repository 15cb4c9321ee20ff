"""A tuned model outside of Riva: exported by NeMo, loaded and measured in the engines."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from flows import validate_bundles
from flows.serving_config import EngineName, ServingConfig
from tasks.common.errors import FlywheelError, InputError
from tasks.serving.causes import CauseName
from tasks.serving.edge import (
    edge_validation,
    engine_check,
    engine_files,
    nemo_export,
    quantization,
)
from tasks.serving.edge.bundle import (
    EdgeBundle,
    EdgeEngine,
    EdgePrecision,
    Framing,
    open_bundle,
    write_record,
)
from tasks.serving.edge.edge_validation import EdgeReport
from tasks.serving.parity import MismatchKind
from tests.support import edge_cases
from tests.support.handoff_cases import call_handoff

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tasks.serving.edge.edge_validation import BundleReport
    from tests.support.edge_cases import ExportedCycle

pytestmark = pytest.mark.needs("edge")


@pytest.fixture(scope="module")
def made(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> ExportedCycle:
    """Sixteen rows, and the one export of this module."""
    return edge_cases.export_cycle(demo, tmp_path_factory.mktemp("edge"), 3)


@pytest.fixture(scope="module")
def bundles(
    made: ExportedCycle, tmp_path_factory: pytest.TempPathFactory
) -> dict[EdgeEngine, EdgeBundle]:
    """A sound bundle for each engine."""
    folder = tmp_path_factory.mktemp("sound")
    engines = (EdgeEngine.ONNX_ASR, EdgeEngine.SHERPA_ONNX)
    return {engine: made.write(folder, engine, EdgePrecision.FP32)[0] for engine in engines}


def test_handoff_writes_bundles_that_load_and_write_what_nemo_writes(
    made: ExportedCycle,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Both precisions have a card, hashes and a check of their own."""
    monkeypatch.setattr(nemo_export, "export", lambda *_, **__: made.exported)
    code, answer = call_handoff(monkeypatch, capsys, made.cycle, "--format", "onnx-asr", "--int8")
    assert code == 0, answer
    fp32, int8 = answer["bundles"]
    # One row of the demo's 240 lies between two labels.
    assert fp32["check"]["equal"] >= fp32["check"]["rows"] - 1 == 15
    assert int8["check"]["rows"] == 16
    assert int8["check"]["word_difference"] < 0.1
    assert fp32["source_sha256"] == made.tuned.sha256
    opened = [open_bundle(made.cycle.parent / one["folder"]) for one in (fp32, int8)]
    assert opened[1].bytes < 0.6 * opened[0].bytes
    code, answer = call_handoff(
        monkeypatch, capsys, made.cycle, "--format", "onnx-asr", "--int8-static"
    )
    assert code == 2
    for bundle in opened:
        card = (bundle.folder / "MODEL_CARD.md").read_text(encoding="utf-8")
        assert "Apache-2.0" in card
        assert f"For onnx-asr, {bundle.precision.value}." in card
        assert "of 16 all rows have NeMo's text" in card
        code, answer = call_handoff(monkeypatch, capsys, "--verify", bundle.folder)
        assert code == 0
        assert "loads it" in answer["checked"][1]


def test_sherpa_loads_its_own_bundle(bundles: dict[EdgeEngine, EdgeBundle]) -> None:
    """With its frames where NeMo's are, nearly all texts are NeMo's."""
    bundle = bundles[EdgeEngine.SHERPA_ONNX]
    check = bundle.record["check"]
    assert bundle.framing == Framing(200, 40, snipped=True)
    assert check["equal"] >= 15
    assert {entry.key for entry in onnx.load(bundle.folder / "model.onnx").metadata_props} >= {
        "vocab_size",
        "normalize_type",
        "subsampling_factor",
    }


def test_an_export_that_hears_something_else_becomes_no_bundle(
    made: ExportedCycle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Labels in another order: nothing is left, and the message shows a text."""

    def shuffled(labels: tuple[str, ...]) -> str:
        return "".join(f"{label} {n}\n" for n, label in enumerate([*labels[::-1], "<blk>"]))

    monkeypatch.setattr(engine_files, "label_list", shuffled)
    with pytest.raises(FlywheelError, match=r"loads the export but writes .* Fix:"):
        made.write(tmp_path, EdgeEngine.ONNX_ASR, EdgePrecision.FP32)
    assert not list(tmp_path.iterdir())


def test_what_is_no_bundle_is_not_replaced(made: ExportedCycle, tmp_path: Path) -> None:
    """A folder with other files stays as it is."""
    other = tmp_path / f"{EdgeEngine.ONNX}-{EdgePrecision.FP32}"
    other.mkdir()
    (other / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="no exported model"):
        made.write(tmp_path, EdgeEngine.ONNX, EdgePrecision.FP32)
    assert [path.name for path in other.iterdir()] == ["notes.txt"]


def _plant_labels(folder: Path) -> None:
    lines = (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
    names = [line.rpartition(" ")[0] for line in lines]
    names[5:40] = names[39:4:-1]
    text = "".join(f"{name} {place}\n" for place, name in enumerate(names))
    (folder / "vocab.txt").write_text(text, encoding="utf-8")


def _plant_factor(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "nemo-conformer-ctc"}')


def _plant_normalisation(folder: Path) -> None:
    graph = onnx.load(folder / "model.onnx")
    metadata = engine_files.read_metadata(graph)
    engine_files.set_metadata(graph, {**metadata, "normalize_type": ""})
    onnx.save(graph, folder / "model.onnx")


def _plant_settings(**fields: object) -> Callable[[Path], None]:
    def plant(folder: Path) -> None:
        record = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
        (folder / "bundle.json").write_text(json.dumps({**record, **fields}))

    return plant


def _plant_int8(folder: Path) -> None:
    """Quantise, and leave three of the eight bits of each weight."""
    graph = quantization.quantise(onnx.load(folder / "model.onnx"))
    for tensor in graph.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.uint8 and values.ndim == 2:
            coarse = (values & 0xE0) | 0x10
            tensor.CopyFrom(numpy_helper.from_array(coarse, tensor.name))
    onnx.save(graph, folder / "model.int8.onnx")
    (folder / "model.onnx").unlink()
    record = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    del record["files"]["model.onnx"]
    record["files"]["model.int8.onnx"] = ""
    (folder / "bundle.json").write_text(json.dumps({**record, "precision": "int8"}))


def _rehash(folder: Path) -> None:
    record = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    files = tuple(record.pop("files"))
    write_record(folder, record, files)


FAULTS = {
    CauseName.LABELS: (EdgeEngine.ONNX_ASR, _plant_labels),
    CauseName.METADATA: (EdgeEngine.ONNX_ASR, _plant_factor),
    CauseName.NORMALISATION: (EdgeEngine.SHERPA_ONNX, _plant_normalisation),
    CauseName.FRAME_PHASE: (EdgeEngine.SHERPA_ONNX, _plant_settings(**Framing().as_dict())),
    CauseName.DITHER: (EdgeEngine.SHERPA_ONNX, _plant_settings(dither=0.01)),
    CauseName.QUANTISATION: (EdgeEngine.ONNX_ASR, _plant_int8),
    CauseName.SAMPLE_RATE: (EdgeEngine.SHERPA_ONNX, _plant_settings(sample_rate=8000)),
}


def validated(
    made: ExportedCycle, bundle: EdgeBundle, monkeypatch: pytest.MonkeyPatch
) -> BundleReport:
    """Everything that validate-serving does with one bundle."""
    monkeypatch.setattr(nemo_export, "export", made.export_again)
    plan = made.plan()
    served = edge_validation.find_served(bundle, plan, made.tuned)
    return edge_validation.compare(plan, served, edge_validation.transcribe(plan, served))


@pytest.mark.parametrize("cause", FAULTS)
def test_a_planted_fault_is_named_and_its_repair_was_tried(
    made: ExportedCycle,
    bundles: dict[EdgeEngine, EdgeBundle],
    cause: CauseName,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Most differing rows are attributed to it: putting it right brought their text back."""
    engine, plant = FAULTS[cause]
    folder = tmp_path / "bundle"
    shutil.copytree(bundles[engine].folder, folder)
    plant(folder)
    _rehash(folder)
    found = validated(made, open_bundle(folder), monkeypatch)
    different = [row for row in found.parity.comparison.rows if row.kind is not MismatchKind.EXACT]
    assert len(different) >= 4
    named = {one.name: one for one in found.parity.causes}
    # Noise of the engine's own is also seen by decoding twice.
    noisy = named.pop(CauseName.UNSTEADY, None) if cause is CauseName.DITHER else None
    rows = named[cause].rows if cause in named else 0
    assert rows + (0 if noisy is None else noisy.rows) >= 0.7 * len(different)
    assert sum(one.rows for one in found.parity.causes) == len(different)


def test_a_bundle_that_would_end_the_process_is_refused(
    bundles: dict[EdgeEngine, EdgeBundle], tmp_path: Path
) -> None:
    """sherpa-onnx checks its metadata by exit(); the message names the key."""
    folder = tmp_path / "bundle"
    shutil.copytree(bundles[EdgeEngine.SHERPA_ONNX].folder, folder)
    graph = onnx.load(folder / "model.onnx")
    del graph.metadata_props[:]
    onnx.save(graph, folder / "model.onnx")
    _rehash(folder)
    with pytest.raises(InputError, match="its metadata lacks 'vocab_size'"):
        engine_check.verify(folder)


def test_what_is_served_is_judged_for_each_precision(
    made: ExportedCycle,
    bundles: dict[EdgeEngine, EdgeBundle],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """fp32 and both ways of int8 are compared with NeMo and fp32, and the report is written."""
    smaller = made.write(
        tmp_path, EdgeEngine.ONNX_ASR, EdgePrecision.INT8, EdgePrecision.INT8_STATIC
    )
    fp32 = bundles[EdgeEngine.ONNX_ASR]
    reports = tuple(validated(made, bundle, monkeypatch) for bundle in (fp32, *smaller))
    report = EdgeReport(reports, edge_validation.judge(made.plan(), reports))
    verdict = report.as_dict()["served_verdict"]
    assert [one["arm"] for one in verdict["arms"]] == [
        "tuned NeMo",
        "tuned onnx-asr fp32",
        "tuned onnx-asr int8",
        "tuned onnx-asr int8-static",
    ]
    assert [(one["before"], one["after"]) for one in verdict["comparisons"]] == [
        ("tuned NeMo", "tuned onnx-asr fp32"),
        ("tuned NeMo", "tuned onnx-asr int8"),
        ("tuned NeMo", "tuned onnx-asr int8-static"),
        ("tuned onnx-asr fp32", "tuned onnx-asr int8"),
        ("tuned onnx-asr fp32", "tuned onnx-asr int8-static"),
    ]
    assert "16 rows" in verdict["comparisons"][0]["sentence"]
    assert [bundle.record.get("calibrated_on") for bundle in smaller] == [None, 16]
    assert all(bundle.bytes < 0.6 * fp32.bytes for bundle in smaller)
    assert all(report.parity.comparison.word_difference < 0.1 for report in reports)
    causes = {one.name for report in reports[1:] for one in report.parity.causes}
    assert causes <= {CauseName.QUANTISATION, CauseName.FEATURES, CauseName.PRECISION}
    edge_validation.write(tmp_path, report)
    assert "## What is served" in (tmp_path / edge_validation.MARKDOWN_NAME).read_text("utf-8")
    config = ServingConfig(cycle=made.cycle, bundles=(fp32.folder,), engine=EngineName.SHERPA_ONNX)
    with pytest.raises(InputError, match="is for onnx-asr, not for sherpa-onnx"):
        validate_bundles.find_bundles(config, made.plan())
