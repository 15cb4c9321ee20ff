"""The embedded RNN-T and TDT bases: size, papers, configuration, and what they know."""

from __future__ import annotations

import hashlib
import re
import tarfile

import pytest

from tasks.models.catalog import embedded_path
from tests.support.transducer_bases_cases import KINDS, card, config, members, model


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
