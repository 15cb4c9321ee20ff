"""A tuned model outside of Riva: exported by NeMo, loaded and measured in the engines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
import pytest

from tasks.common.errors import FlywheelError, InputError
from tasks.serving.edge import engine_files, nemo_export
from tasks.serving.edge.bundle import EdgeEngine, Precision, open_bundle
from tests.support import edge_cases
from tests.support.handoff_cases import call_handoff

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.edge_cases import ExportedCycle

pytestmark = pytest.mark.needs("edge")


@pytest.fixture(scope="module")
def made(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> ExportedCycle:
    """Sixteen rows, and the one export of this module."""
    return edge_cases.export_cycle(demo, tmp_path_factory.mktemp("edge"), 3)


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
    for bundle in opened:
        card = (bundle.folder / "MODEL_CARD.md").read_text(encoding="utf-8")
        assert "Apache-2.0" in card
        assert f"For onnx-asr, {bundle.precision.value}." in card
        assert "of 16 all rows have NeMo's text" in card
        code, answer = call_handoff(monkeypatch, capsys, "--verify", bundle.folder)
        assert code == 0
        assert "loads it" in answer["checked"][1]


def test_sherpa_loads_its_own_bundle(made: ExportedCycle, tmp_path: Path) -> None:
    """With the silence that puts its frames where NeMo's are, most texts are NeMo's."""
    (bundle,) = made.write(tmp_path, EdgeEngine.SHERPA_ONNX, Precision.FP32)
    check = bundle.record["check"]
    assert bundle.lead_silence == 80
    assert check["equal"] >= 14
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
        made.write(tmp_path, EdgeEngine.ONNX_ASR, Precision.FP32)
    assert not list(tmp_path.iterdir())


def test_what_is_no_bundle_is_not_replaced(made: ExportedCycle, tmp_path: Path) -> None:
    """A folder with other files stays as it is."""
    other = tmp_path / f"{EdgeEngine.ONNX}-{Precision.FP32}"
    other.mkdir()
    (other / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="no exported model"):
        made.write(tmp_path, EdgeEngine.ONNX, Precision.FP32)
    assert [path.name for path in other.iterdir()] == ["notes.txt"]
