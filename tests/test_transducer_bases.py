"""The embedded RNN-T and TDT bases: size, papers, configuration, and what they know."""

from __future__ import annotations

import hashlib
import re
import tarfile
from typing import TYPE_CHECKING, Any

import jiwer
import pytest
import yaml

from asr_flywheel.demo.dataset import synthesise_general
from tasks.models.catalog import embedded_path

if TYPE_CHECKING:
    from pathlib import Path

    from tasks.training.run import SftResult

FOLDER = embedded_path().parent
KINDS = ("rnnt", "tdt")


def model(kind: str) -> Path:
    """The base's file."""
    return FOLDER / f"embedded_{kind}.nemo"


def card(kind: str) -> str:
    """The base's model card."""
    return (FOLDER / f"MODEL_CARD_{kind.upper()}.md").read_text(encoding="utf-8")


def members(path: Path) -> dict[str, bytes]:
    """An archive's files, by their names without the random prefix."""
    found = {}
    with tarfile.open(path) as archive:
        for member in archive.getmembers():
            if stream := archive.extractfile(member):
                name = re.sub(r"^(\./)?([0-9a-f]{32}_)?", "", member.name)
                found[name] = stream.read()
    return found


def config(path: Path) -> dict[str, Any]:
    """An archive's configuration."""
    loaded: dict[str, Any] = yaml.safe_load(members(path)["model_config.yaml"])
    return loaded


@pytest.fixture(scope="module")
def general(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manifest of the held-out sentences of general English, spoken."""
    return synthesise_general(tmp_path_factory.mktemp("general"))


@pytest.mark.parametrize("kind", KINDS)
def test_file_is_small_and_the_one_on_the_card(kind: str) -> None:
    """Fourteen megabytes at most; size and SHA-256 are the card's."""
    content = model(kind).read_bytes()
    assert len(content) <= 14_000_000
    assert f"`{hashlib.sha256(content).hexdigest()}`" in card(kind)
    assert f"{len(content):,} bytes".replace(",", " ") in card(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_config_has_what_transcribing_and_tuning_read(kind: str) -> None:
    """Data sets, SpecAugment, decoding and loss are there; no folder of a machine is."""
    told = config(model(kind))
    assert {"train_ds", "validation_ds", "test_ds", "spec_augment", "optim"} <= told.keys()
    assert told["decoding"]["strategy"] == "greedy_batch"
    ctc = config(embedded_path())
    assert {name: told[name] for name in ("encoder", "preprocessor", "spec_augment")} == {
        name: ctc[name] for name in ("encoder", "preprocessor", "spec_augment")
    }
    if kind == "tdt":
        assert told["loss"]["loss_name"] == "tdt"
        assert told["joint"]["num_extra_outputs"] == 5
        durations = [0, 1, 2, 3, 4]
        assert told["model_defaults"]["tdt_durations"] == durations
        assert told["decoding"]["durations"] == durations
        assert told["loss"]["tdt_kwargs"]["durations"] == durations
    else:
        assert told["loss"]["loss_name"] == "warprnnt_numba"
    with tarfile.open(model(kind)) as archive:
        assert {(m.uname, m.gname, m.mtime) for m in archive.getmembers()} == {("", "", 0)}
    assert not re.search(r"(^|\s)/\w", members(model(kind))["model_config.yaml"].decode())


@pytest.mark.parametrize("kind", KINDS)
def test_tokenizer_is_the_ctc_bases(kind: str) -> None:
    """All embedded bases write alike."""
    ours, ctc = members(model(kind)), members(embedded_path())
    assert ours["tokenizer.model"] == ctc["tokenizer.model"]


@pytest.mark.parametrize("kind", KINDS)
def test_base_knows_general_english(kind: str, general: Path) -> None:
    """Restored from 16 bits, it hears held-out sentences as well as its card says."""
    import torch  # noqa: PLC0415 - ten seconds that the other tests need not pay
    from nemo.collections.asr.models import ASRModel  # noqa: PLC0415

    from base_training.evaluate import pooled, transcribe  # noqa: PLC0415

    restored = ASRModel.restore_from(str(model(kind)), map_location="cpu")
    assert {parameter.dtype for parameter in restored.parameters()} == {torch.float32}
    count = f"{sum(parameter.numel() for parameter in restored.parameters()):,}"
    assert count.replace(",", " ") in card(kind)
    wer = pooled(jiwer.wer, transcribe(restored, general))
    row = re.search(r"\| general English, clean \| 200 \| (0\.\d+) \|", card(kind))
    assert row
    # Another processor's rounding may change a few words of the 1,660.
    assert wer == pytest.approx(float(row[1]), abs=0.006)
    assert wer <= 0.5


def test_rnnt_base_is_tuned_on_a_cpu(tuned_rnnt: tuple[Path, SftResult]) -> None:
    """The stock recipe runs on it without a GPU and leaves a model of the same kind."""
    _, tuned = tuned_rnnt
    assert config(tuned.model)["loss"] == config(model("rnnt"))["loss"]
    assert (
        members(tuned.model)["model_weights.ckpt"] != members(model("rnnt"))["model_weights.ckpt"]
    )


@pytest.mark.parametrize("kind", KINDS)
def test_recipe_starts_from_the_ctc_bases_encoder(kind: str, tmp_path: Path) -> None:
    """A fresh transducer has the CTC base's encoder, weight by weight, and can be saved."""
    import torch  # noqa: PLC0415
    from nemo.collections.asr.models import ASRModel  # noqa: PLC0415

    from base_training import transducer  # noqa: PLC0415

    fresh = transducer.create(
        transducer.TransducerKind(kind), embedded_path(), tmp_path / "tokenizer"
    )
    ctc = ASRModel.restore_from(str(embedded_path()), map_location="cpu")
    theirs = ctc.encoder.state_dict()
    ours = fresh.encoder.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    transducer.save(fresh, tmp_path / "fresh.nemo")
    told, shipped = config(tmp_path / "fresh.nemo"), config(model(kind))
    for name in ("decoder", "joint", "decoding", "loss", "model_defaults", "labels"):
        assert told[name] == shipped[name]
