"""Transducers outside of Riva: handed off, loaded, and validated row by row in both engines."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from asr_flywheel.demo import dataset
from asr_flywheel.demo.dataset import plan_cycle
from tasks.data.cycle_folder import open_cycle
from tasks.evaluation.result_reading import read_hypotheses
from tasks.models.nemo_archive import Decoder
from tasks.serving.causes import CauseName
from tasks.serving.edge import edge_validation, graph_decoder, nemo_export
from tasks.serving.edge.bundle import Framing, open_bundle, write_record
from tasks.serving.parity import MismatchKind
from tasks.stages import evaluate
from tests.support import edge_cases
from tests.support.handoff_cases import call_handoff

if TYPE_CHECKING:
    from pathlib import Path

    from tasks.serving.edge.edge_validation import BundleReport
    from tests.support.edge_cases import ExportedCycle

pytestmark = pytest.mark.needs("edge")
ROWS = 48


@pytest.fixture(scope="module", params=[Decoder.RNNT, Decoder.TDT])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ExportedCycle:
    """Rows of the demo that NeMo has decoded with a transducer, and the one export of it."""
    folder = tmp_path_factory.mktemp("transducer")
    base = f"embedded-{request.param.value}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dataset, "plan_cycle", lambda seed: plan_cycle(seed)[::5])
        dataset.synthesise_cycle(folder / "demo" / "cycle1")
    demo = folder / "demo" / "cycle1"
    evaluate.transcribe_baseline(open_cycle(demo), base, None, (), print)
    return edge_cases.export_cycle(demo, folder / "run", 1, base, parts=True)


def validated(made: ExportedCycle, folder: Path) -> BundleReport:
    """Everything that validate-serving does with one bundle."""
    plan = made.plan()
    served = edge_validation.find_served(open_bundle(folder), plan, made.tuned)
    return edge_validation.compare(plan, served, edge_validation.transcribe(plan, served))


def different(found: BundleReport) -> int:
    """How many texts are not NeMo's."""
    return sum(row.kind is not MismatchKind.EXACT for row in found.parity.comparison.rows)


def test_a_transducer_is_handed_off_and_each_other_text_has_its_cause(
    made: ExportedCycle,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """The graphs write NeMo's texts with its features, onnx-asr too; sherpa-onnx writes most."""
    monkeypatch.setattr(nemo_export, "export", lambda *_, **__: made.exported)
    offline = read_hypotheses(made.tuned.evaluated.offline_hyps)
    decoder = graph_decoder.load(made.exported, made.accepted.decoder)
    by_graph = [decoder.decode(features) for features in made.exported.features]
    assert by_graph == [row.hyp for row in offline]
    folders = {}
    for form in ("onnx-asr", "sherpa"):
        code, answer = call_handoff(monkeypatch, capsys, made.cycle, "--format", form, "--int8")
        assert code == 0, answer
        for one in answer["bundles"]:
            folders[form, one["precision"]] = made.cycle.parent / one["folder"]
    monkeypatch.setattr(nemo_export, "export", made.export_again)
    found = {which: validated(made, folder) for which, folder in folders.items()}
    least = {("onnx-asr", "fp32"): 47, ("sherpa", "fp32"): 38}
    for which, report in found.items():
        assert ROWS - different(report) >= least.get(which, 34)
        causes = {cause.name: cause.rows for cause in report.parity.causes}
        assert CauseName.UNEXPLAINED not in causes
        assert sum(causes.values()) == different(report)
        if which == ("sherpa", "fp32"):
            # No option gives it NeMo's window: the graphs write its texts with the window alone.
            assert causes.get(CauseName.WINDOW, 0) >= 0.8 * different(report)
    # What a program that takes sherpa-onnx's defaults hears.
    for cause, fault in (
        (CauseName.MEL_BANDS, {"high_freq": -400.0}),
        (CauseName.FRAME_PHASE, Framing().as_dict()),
    ):
        folder = tmp_path / cause.name
        shutil.copytree(folders["sherpa", "fp32"], folder)
        record = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
        files = tuple(record.pop("files"))
        write_record(folder, {**record, **fault}, files)
        report = validated(made, folder)
        rows = {one.name: one.rows for one in report.parity.causes}[cause]
        sound = different(found["sherpa", "fp32"])
        assert rows >= max(4, 0.7 * (different(report) - sound))
