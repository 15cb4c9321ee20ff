"""An edge bundle is opened only if its files are those that were exported."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tasks.common.errors import InputError
from tasks.models.nemo_archive import Decoder
from tasks.serving.edge import bundle
from tasks.serving.edge.bundle import EdgeEngine, EdgePrecision, Framing

if TYPE_CHECKING:
    from pathlib import Path

FIELDS: dict[str, Any] = {
    "engine": "onnx-asr",
    "decoder": "ctc",
    "precision": "fp32",
    "sample_rate": 16000,
    "model_name": "clinic",
    "source_sha256": "0" * 64,
    "lead_silence": 0,
    "features": {"n_fft": 512},
}


def write(folder: Path, **other: str) -> Path:
    """Write a bundle whose files hold their own names."""
    fields = {**FIELDS, **other}
    names = bundle.required_names(
        EdgeEngine(fields["engine"]), Decoder(fields["decoder"]), EdgePrecision(fields["precision"])
    )
    folder.mkdir()
    for name in names:
        (folder / name).write_text(name)
    bundle.write_record(folder, fields, names)
    return folder


def change(folder: Path, **fields: object) -> None:
    """Write other fields into a bundle's record."""
    record = json.loads((folder / bundle.BUNDLE_NAME).read_text())
    (folder / bundle.BUNDLE_NAME).write_text(json.dumps({**record, **fields}))


@pytest.mark.parametrize("engine", list(EdgeEngine))
@pytest.mark.parametrize("decoder", [Decoder.CTC, Decoder.RNNT, Decoder.TDT])
def test_what_was_written_is_opened(tmp_path: Path, engine: EdgeEngine, decoder: Decoder) -> None:
    """Engine, decoder, rate and files come back as they were written."""
    opened = bundle.open_bundle(write(tmp_path / "b", engine=engine, decoder=decoder))
    assert (opened.engine, opened.decoder, opened.sample_rate) == (engine, decoder, 16000)
    assert opened.model_type == f"nemo-conformer-{decoder}"
    assert opened.quantization is None
    assert opened.bytes == sum(map(len, opened.files))


def test_a_bundle_of_an_earlier_version_has_silence_in_front_only(tmp_path: Path) -> None:
    """Its record says nothing of the end; a new one's framing comes back."""
    folder = write(tmp_path / "b")
    change(folder, lead_silence=80)
    assert bundle.open_bundle(folder).framing == Framing(80, 0, snipped=False)
    new = Framing(200, 40, snipped=True)
    change(folder, **new.as_dict())
    assert bundle.open_bundle(folder).framing == new


@pytest.mark.parametrize("precision", [EdgePrecision.INT8, EdgePrecision.INT8_STATIC])
def test_int8_graphs_have_the_name_that_onnx_asr_looks_for(
    precision: EdgePrecision, tmp_path: Path
) -> None:
    """It is ``quantization="int8"`` or ``"int8-static"`` to onnx-asr."""
    opened = bundle.open_bundle(write(tmp_path / "b", precision=precision))
    assert opened.quantization == precision.value
    assert f"model.{precision.value}.onnx" in opened.files


def test_a_changed_file_is_refused_by_its_name(tmp_path: Path) -> None:
    """One other byte in a graph, and the bundle is not opened."""
    folder = write(tmp_path / "b")
    (folder / "model.onnx").write_text("model.onny")
    with pytest.raises(InputError, match=r"model\.onnx: its SHA-256 is .* Fix: copy the whole"):
        bundle.open_bundle(folder)


def test_a_missing_file_is_refused_by_its_name(tmp_path: Path) -> None:
    """Half a bundle is not opened."""
    folder = write(tmp_path / "b")
    (folder / "vocab.txt").unlink()
    with pytest.raises(InputError, match=r"vocab\.txt: is missing"):
        bundle.open_bundle(folder)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"engine": "riva"}, "is damaged"),
        ({"decoder": "hybrid"}, "is damaged"),
        ({"sample_rate": None}, "is damaged"),
        ({"files": ["model.onnx"]}, "is damaged"),
        ({"files": {"model.onnx": "0"}}, "lists no vocab.txt"),
        ({"schema": "asr-flywheel-edge-bundle/2"}, "upgrade asr-flywheel"),
        ({"schema": "asr-flywheel-run/1"}, "its schema is"),
    ],
)
def test_a_damaged_record_is_refused(
    tmp_path: Path, fields: dict[str, object], expected: str
) -> None:
    """A record of another kind, version or content is an input error."""
    folder = write(tmp_path / "b")
    change(folder, **fields)
    with pytest.raises(InputError, match=expected):
        bundle.open_bundle(folder)


def test_a_file_outside_of_the_folder_is_refused(tmp_path: Path) -> None:
    """A record cannot name files elsewhere."""
    folder = write(tmp_path / "b")
    record = json.loads((folder / bundle.BUNDLE_NAME).read_text())
    change(folder, files={**record["files"], "../other": "0"})
    (tmp_path / "other").write_text("")
    with pytest.raises(InputError, match="no name of a file in it"):
        bundle.open_bundle(folder)


def test_a_folder_without_a_record_is_no_bundle(tmp_path: Path) -> None:
    """The message says how a bundle is made."""
    with pytest.raises(InputError, match=r"has no bundle\.json.*handoff CYCLE --format onnx-asr"):
        bundle.open_bundle(tmp_path)


@pytest.mark.needs("edge")
def test_an_environment_without_the_extra_is_told_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before anything imports an engine."""
    bundle.require_extra()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name != "sherpa_onnx" or None)
    with pytest.raises(InputError, match=r"sherpa_onnx: not installed .*\.\[edge\]"):
        bundle.require_extra()
