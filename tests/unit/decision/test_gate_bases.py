"""The gate by base and method: the broken base, adapters, and models of one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tasks.common import neighbour_stages
from tasks.decision.gate import Action
from tasks.models.catalog import CATALOGUE, LEGACY_FALLBACK, RECOMMENDED, Base, Method, Status
from tasks.models.nemo_archive import Decoder
from tests.support import factories
from tests.support.gate_cases import NEMOTRON, judge, ker, refused

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", [NEMOTRON, "nemotron-speech-streaming-en-0.6b", NEMOTRON.upper()])
def test_scenario_b_nemotron_streaming_is_refused_with_its_substitute(name: str) -> None:
    """The specification's scenario B: UNK collapse; take Parakeet TDT v2; Riva chunks it."""
    message = refused(
        judge(ker(42, 100), base=name),
        Action.SUBSTITUTE_BASE,
        "/digital-health-clinical-asr-finetune",
    )
    assert "nvidia/parakeet-tdt-0.6b-v2" in message
    assert LEGACY_FALLBACK in message
    assert "UNK" in message
    assert "Riva chunks" in message


ADAPTER_BASES = [
    ("nvidia/parakeet-tdt-0.6b-v2", True),
    ("nvidia/parakeet-tdt-1.1b", True),
    ("nvidia/parakeet-rnnt-0.6b", True),
    ("nvidia/parakeet-rnnt-1.1b", True),
    ("nvidia/parakeet-ctc-1.1b", False),
]


@pytest.mark.parametrize(("base", "broken"), ADAPTER_BASES)
def test_adapters_are_refused_and_on_transducers_are_called_broken(
    base: str, *, broken: bool
) -> None:
    """72 NaN tensors at any learning rate, on TDT and RNN-T."""
    result = judge(ker(42, 100), base=base, method=Method.ADAPTER)
    message = refused(result, Action.STOCK_SFT, neighbour_stages.FINETUNE)
    assert ("72 NaN" in message) is broken
    assert ("none in 96" in message) is broken
    assert "stock full-model tuning" in message


def test_a_cache_aware_nemo_of_ones_own_passes_with_a_warning(tmp_path: Path) -> None:
    """A streaming encoder is recognised by its configuration; the broken base is named."""
    path = factories.write_nemo(tmp_path / "our-model.nemo", factories.STREAMING_CONFIG)
    result = judge(ker(42, 100), base=str(path))
    assert result.passed
    assert any(NEMOTRON.removeprefix("nvidia/") in warning for warning in result.warnings)


@pytest.mark.parametrize(
    ("name", "warned"), [("parakeet-tdt-0.6b-v3", True), ("parakeet-tdt-0.6b-v2", False)]
)
def test_a_multilingual_base_is_told_that_english_is_the_default(
    name: str, *, warned: bool
) -> None:
    """The English base is named instead."""
    warnings = judge(ker(42, 100), base=CATALOGUE[f"nvidia/{name}"]).warnings
    assert any("25 languages" in one and RECOMMENDED in one for one in warnings) is warned


@pytest.mark.parametrize(
    "config", [factories.CTC_CONFIG, factories.TDT_CONFIG, factories.RNNT_CONFIG]
)
def test_a_nemo_of_ones_own_may_be_tuned(tmp_path: Path, config: dict[str, Any]) -> None:
    """A base without a record passes, and the verdict says that there is none."""
    path = factories.write_nemo(tmp_path / "mine.nemo", config)
    result = judge(ker(42, 100), base=str(path))
    assert result.passed
    assert "no result is on record" in result.reasons[0].message


@pytest.mark.parametrize("base", CATALOGUE.values(), ids=list(CATALOGUE))
def test_every_base_of_the_table_passes_but_the_broken_one(base: Base) -> None:
    """The table's status decides; a refusal names the recommended base."""
    result = judge(ker(42, 100), base=base)
    assert result.passed is (base.name != NEMOTRON)
    if base.status is Status.BROKEN:
        assert RECOMMENDED in result.reasons[0].message


def test_adapters_on_hybrid_models_are_called_broken_too() -> None:
    """A hybrid has a transducer among its decoders."""
    base = Base("hybrid", Decoder.HYBRID_TDT_CTC, Status.UNKNOWN, "a note")
    assert "72 NaN" in judge(ker(42, 100), base=base, method=Method.ADAPTER).reasons[0].message
