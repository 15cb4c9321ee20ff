"""The ward server's parity: row by row against the evaluation, and each planted fault named."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soxr

from asr_flywheel.ward_server import application, audio_upload
from tasks.common.errors import FlywheelError, InputError
from tasks.serving.causes import CauseName
from tasks.serving.edge import edge_validation, http_transcription
from tasks.serving.edge.bundle import open_bundle, write_record
from tasks.serving.edge.http_transcription import TOKEN_VARIABLE
from tasks.serving.parity import MismatchKind
from tests.support import band_bundles, served_cycles, ward_threads

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tasks.serving.edge.edge_validation import BundleReport
    from tasks.serving.edge.recognizers import Samples

pytestmark = pytest.mark.needs("edge")
TOKEN = "a-token-of-this-test"  # noqa: S105 - of tests
DECODE = audio_upload.decode_upload


def validated(cycle: Path, bundle: Path, address: str) -> BundleReport:
    """Everything that validate-serving does with a server's answers."""
    plan = served_cycles.plan(cycle)
    found = edge_validation.find_served(open_bundle(bundle), plan, None)
    server = http_transcription.ask_for_model(http_transcription.find_server(address))
    served = edge_validation.find_behind_server([found], server)
    return edge_validation.compare(plan, served, edge_validation.transcribe(plan, served))


def narrow(samples: Samples) -> Samples:
    """Through a telephone's rate and back."""
    return np.asarray(soxr.resample(soxr.resample(samples, 16000, 8000), 8000, 16000))


def late(samples: Samples) -> Samples:
    """Half a frame later."""
    return np.concatenate([np.zeros(640, np.float32), samples])


def noisy() -> Callable[[Samples], Samples]:
    """Never the same twice."""
    noise = np.random.default_rng(1)

    def change(samples: Samples) -> Samples:
        louder = samples + noise.normal(size=len(samples)) * 0.1
        return np.asarray(louder, dtype=np.float32)

    return change


def clipping(content: bytes, rate: int, longest_s: float) -> Any:
    """Other samples wherever the file's are no 16-bit integers."""
    decoded = DECODE(content, rate, longest_s)
    if content[20:22] == b"\x03\x00":  # WAVE_FORMAT_IEEE_FLOAT
        object.__setattr__(decoded, "samples", np.clip(decoded.samples, -0.02, 0.02))
    return decoded


@pytest.mark.parametrize(
    ("cause", "subtype", "change", "decode"),
    [
        (CauseName.SAMPLE_RATE, "PCM_16", narrow, DECODE),
        (CauseName.SERVER, "PCM_16", late, DECODE),
        (CauseName.UNSTEADY, "PCM_16", noisy(), DECODE),
        (CauseName.CONVERSION, "FLOAT", np.asarray, clipping),
    ],
)
def test_a_server_s_fault_is_named_and_is_not_the_bundle_s(
    cause: CauseName,
    subtype: str,
    change: Callable[[Samples], Samples],
    decode: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Most differing rows have it; NeMo is not asked, since the bundle alone writes its texts."""
    cycle, bundle = served_cycles.make(tmp_path, subtype)
    monkeypatch.setattr(application, "decode_upload", decode)
    with ward_threads.serving(bundle, change) as address:
        found = validated(cycle, bundle, address)
    comparison = found.parity.comparison
    different = [row for row in comparison.rows if row.kind is not MismatchKind.EXACT]
    assert len(different) >= 0.7 * served_cycles.ROWS
    named = {one.name: one.rows for one in found.parity.causes}
    assert named[cause] >= 0.7 * len(different)
    assert sum(named.values()) == len(different)
    assert found.served.name.endswith(" server")


def test_a_server_of_another_bundle_is_refused_before_a_recording_is_sent(tmp_path: Path) -> None:
    """Both fingerprints are named."""
    cycle, bundle = served_cycles.make(tmp_path)
    other = band_bundles.write_bundle(tmp_path / "other")
    (other / "vocab.txt").write_text((other / "vocab.txt").read_text().replace("b7 ", "b07 "))
    record = json.loads((other / "bundle.json").read_text())
    names = tuple(record.pop("files"))
    write_record(other, record, names)
    asked: list[int] = []

    def count(samples: Samples) -> Samples:
        asked.append(len(samples))
        return samples

    with (
        ward_threads.serving(other, count) as address,
        pytest.raises(InputError, match=r"fingerprint \w{12}, which is none of .*Fix: name the"),
    ):
        validated(cycle, bundle, address)
    assert not asked


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("localhost:8765", "is no address of a server"),
        ("http://ward/v2/audio", "is no address of a server"),
        ("http://user:secret@ward", "^server: it is no address"),
        ("http://ward:8765", "would cross the network readable"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused(address: str, reason: str) -> None:
    """Before anything is sent; a password in it is not repeated."""
    with pytest.raises(InputError, match=reason) as refused:
        http_transcription.find_server(address, TOKEN)
    assert "secret" not in str(refused.value)
    assert TOKEN not in str(refused.value)


def test_a_token_is_needed_and_stays_out_of_what_is_shown(tmp_path: Path) -> None:
    """A server that asks for one refuses in words; nobody answers in words, too."""
    _, bundle = served_cycles.make(tmp_path)
    with ward_threads.serving(bundle, token=TOKEN) as address:
        server = http_transcription.find_server(f"{address}/v1/", TOKEN)
        assert http_transcription.ask_for_model(server).model == "bands"
        assert TOKEN not in repr(server)
        with pytest.raises(InputError, match=rf"missing or wrong.*{TOKEN_VARIABLE}"):
            http_transcription.ask_for_model(http_transcription.find_server(address))
    with pytest.raises(FlywheelError, match=r"does not answer.*asr-flywheel serve"):
        http_transcription.ask_for_model(http_transcription.find_server(address))
