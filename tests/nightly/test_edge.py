"""Transducers outside of Riva: exported in the parts that each engine wants, and heard alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import soundfile

from asr_flywheel.demo import dataset
from asr_flywheel.demo.dataset import plan_cycle
from tasks.common import atomic_files
from tasks.data.cycle_folder import open_cycle
from tasks.evaluation.hypotheses import read_hypotheses
from tasks.models.catalog import embedded_path
from tasks.models.nemo_archive import Decoder
from tasks.serving.edge import bundle, engine_files, graph_decoder, nemo_export, recognizers
from tasks.serving.edge.bundle import EdgeEngine, EdgePrecision
from tasks.stages import evaluate

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.needs("edge")


@pytest.mark.parametrize("decoder", [Decoder.RNNT, Decoder.TDT])
def test_a_transducer_writes_nemos_texts(
    decoder: Decoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """onnx-asr all of them, and so do the graphs with NeMo's features; sherpa-onnx most."""
    cycle = tmp_path / "cycle1"
    monkeypatch.setattr(dataset, "plan_cycle", lambda seed: plan_cycle(seed)[::5])
    dataset.synthesise_cycle(cycle)
    model = embedded_path().with_name(f"embedded_{decoder.value}.nemo")
    evaluate.transcribe_baseline(open_cycle(cycle), str(model), None, (), print)
    offline = read_hypotheses(open_cycle(cycle).offline_hyps)
    rows = atomic_files.read_jsonl(cycle / "manifest.jsonl")
    recordings = [cycle / row["audio_filepath"] for row in rows]
    exported = nemo_export.export(model, tmp_path / "graphs", parts=True, recordings=recordings)
    decoding = graph_decoder.load(exported, decoder)
    by_graph = [decoding.decode(features) for features in exported.features]
    assert by_graph == [row.hyp for row in offline]
    equal = {}
    for engine in (EdgeEngine.ONNX_ASR, EdgeEngine.SHERPA_ONNX):
        folder = tmp_path / engine.value
        folder.mkdir()
        names = engine_files.write(engine, exported, decoder, EdgePrecision.FP32, folder)
        fields = {
            "engine": engine.value,
            "decoder": decoder.value,
            "precision": "fp32",
            "sample_rate": 16000,
            "model_name": model.stem,
            "source_sha256": "",
            "lead_silence": engine_files.lead_silence(engine),
            "features": dict(exported.settings),
        }
        bundle.write_record(folder, fields, names)
        recognizer = recognizers.load(bundle.open_bundle(folder))
        texts = [
            recognizer.recognise(*soundfile.read(path, dtype="float32")) for path in recordings
        ]
        equal[engine] = sum(a == b.hyp for a, b in zip(texts, offline, strict=True))
    assert equal[EdgeEngine.ONNX_ASR] >= 47
    assert equal[EdgeEngine.SHERPA_ONNX] >= 38
