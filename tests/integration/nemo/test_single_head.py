"""A hybrid's heads as models of their own, by NeMo itself: what each writes is what it wrote."""

# ruff: noqa: PLC0415 - torch and NeMo take ten seconds that collecting tests need not pay

from __future__ import annotations

import pickle
import sys
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from tasks.common.errors import FlywheelError
from tasks.models.nemo_archive import Decoder, check_safe, open_archive
from tasks.runtimes.base import ENTRY
from tasks.serving import single_head
from tests.support import factories, nemo_models

sys.path.insert(0, str(ENTRY))

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Noise of several lengths."""
    folder = tmp_path_factory.mktemp("recordings")
    return [
        str(factories.write_wav(folder / f"{seed}.wav", 1 + seed / 2, seed=seed))
        for seed in range(4)
    ]


def heard(path: Path, recordings: list[str], head: str | None = None) -> list[str]:
    """What a model writes by itself, or by one of its heads."""
    from nemo.collections.asr.models import ASRModel
    from omegaconf import OmegaConf, open_dict

    model: Any = ASRModel.restore_from(str(path), map_location="cpu")
    with open_dict(model.cfg):
        model.cfg.validation_ds = OmegaConf.create({"sample_rate": factories.RATE})
    if head is not None:
        model.change_decoding_strategy(decoder_type=head)
    found = model.transcribe(recordings, batch_size=4, verbose=False)
    return [getattr(one, "text", one) for one in (found[0] if isinstance(found, tuple) else found)]


@pytest.mark.parametrize(
    ("kind", "transducer"), [("hybrid", Decoder.RNNT), ("hybrid-tdt", Decoder.TDT)]
)
def test_each_head_writes_what_the_hybrid_wrote(
    tmp_path: Path, recordings: list[str], kind: str, transducer: Decoder
) -> None:
    """Texts are equal and not empty; the archive is a plain one of that decoder, with its class."""
    import torch

    torch.manual_seed(7)  # of random weights, some write nothing
    hybrid = nemo_models.make(tmp_path / "hybrid.nemo", kind)
    for head, name in ((transducer, "rnnt"), (Decoder.CTC, "ctc")):
        alone = tmp_path / f"{name}.nemo"
        single_head.convert(hybrid, head, alone)
        assert open_archive(alone).decoder is head
        check_safe(alone)
        texts = heard(hybrid, recordings, name)
        assert any(texts)
        assert heard(alone, recordings) == texts
        assert heard(alone, recordings[:1]) == texts[:1]
    assert not list(tmp_path.glob(".head-*"))


def test_what_is_no_hybrid_is_an_error_with_the_log(tmp_path: Path) -> None:
    """And no file is left."""
    path = factories.write_nemo(tmp_path / "m.nemo")
    with pytest.raises(FlywheelError, match="aux_ctc"):
        single_head.convert(path, Decoder.CTC, tmp_path / "out.nemo")
    assert not (tmp_path / "out.nemo").exists()


class Caller:
    """Its pickle calls a harmless function that is none of torch's."""

    def __reduce__(self) -> tuple[Any, tuple[int, int, int]]:
        """Make a date."""
        return date, (2026, 1, 1)


def test_nemo_restores_tensors_only_unless_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where NeMo's own loader asks for nothing, as before 3.0; with trust also in 3.0."""
    import torch
    from nemo.core.connectors.save_restore_connector import SaveRestoreConnector
    from weights_only import load_tensors_only  # type: ignore[import-not-found]

    hook = "_load_state_dict_from_disk"
    assert hasattr(SaveRestoreConnector, hook)

    def as_before(path: str, map_location: str = "cpu") -> object:
        return torch.load(path, map_location=map_location, weights_only=False)

    monkeypatch.setattr(SaveRestoreConnector, hook, staticmethod(as_before))
    path = tmp_path / "weights.ckpt"
    path.write_bytes(factories.no_tensors(pickle.dumps({"w": Caller()}, protocol=2)))
    connector: Any = SaveRestoreConnector()
    load_tensors_only()
    with pytest.raises(pickle.UnpicklingError):
        connector._load_state_dict_from_disk(str(path), map_location="cpu")
    load_tensors_only(trust=True)
    assert connector._load_state_dict_from_disk(str(path)) == {"w": date(2026, 1, 1)}
