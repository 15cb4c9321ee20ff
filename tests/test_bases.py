"""The base table: which models may be tuned, and how a name becomes a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tasks import bases
from tasks.bases import CATALOGUE, Status
from tasks.errors import InputError
from tasks.nemo_archive import Decoder
from tests import samples

if TYPE_CHECKING:
    from pathlib import Path

TABLE = {
    "nvidia/parakeet-tdt-0.6b-v2": (Decoder.TDT, Status.VERIFIED),
    "nvidia/nemotron-speech-streaming-en-0.6b": (Decoder.RNNT, Status.BROKEN),
    "nvidia/stt_en_conformer_ctc_large": (Decoder.CTC, Status.EXPECTED),
    "nvidia/parakeet-tdt-1.1b": (Decoder.TDT, Status.EXPECTED),
    "nvidia/parakeet-rnnt-0.6b": (Decoder.RNNT, Status.EXPECTED),
    "nvidia/parakeet-rnnt-1.1b": (Decoder.RNNT, Status.EXPECTED),
    "nvidia/parakeet-ctc-0.6b": (Decoder.CTC, Status.EXPECTED),
    "nvidia/parakeet-ctc-1.1b": (Decoder.CTC, Status.EXPECTED),
}


@pytest.mark.parametrize(("name", "row"), TABLE.items(), ids=list(TABLE))
def test_every_row_of_the_base_table(name: str, row: tuple[Decoder, Status]) -> None:
    """Decoder and status, by the full and by the short name, in any casing."""
    for spelling in (name, name.removeprefix("nvidia/"), name.upper()):
        base = bases.describe(spelling)
        assert (base.name, base.decoder, base.status) == (name, *row)


def test_the_table_has_no_other_rows() -> None:
    """One base is verified and recommended, one is broken and says why."""
    assert set(CATALOGUE) == set(TABLE)
    assert bases.RECOMMENDED == "nvidia/parakeet-tdt-0.6b-v2"
    assert "0.513 to 0.128" in CATALOGUE[bases.RECOMMENDED].note
    broken = CATALOGUE["nvidia/nemotron-speech-streaming-en-0.6b"]
    assert broken.cache_aware
    assert "UNK" in broken.note


def test_a_nemo_of_ones_own_is_described_by_its_configuration(tmp_path: Path) -> None:
    """Decoder from the archive; nothing is on record."""
    base = bases.describe(str(samples.write_nemo(tmp_path / "mine.nemo", samples.TDT_CONFIG)))
    assert (base.decoder, base.status, base.cache_aware) == (Decoder.TDT, Status.UNKNOWN, False)


def test_a_streaming_nemo_is_broken_whatever_its_name(tmp_path: Path) -> None:
    """Its encoder tells."""
    path = samples.write_nemo(tmp_path / "parakeet-tdt.nemo", samples.STREAMING_CONFIG)
    base = bases.describe(str(path))
    assert (base.status, base.cache_aware) == (Status.BROKEN, True)


def test_a_file_resolves_to_its_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is downloaded for a file that is there."""
    path = samples.write_nemo(tmp_path / "mine.nemo")
    monkeypatch.chdir(tmp_path)
    assert bases.resolve("mine.nemo") == path.resolve()


def test_a_file_named_like_a_known_base_is_that_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy in the working folder is used as it is, and the table's word on it holds."""
    path = samples.write_nemo(tmp_path / "parakeet-tdt-0.6b-v2.nemo", samples.TDT_CONFIG)
    monkeypatch.chdir(tmp_path)
    assert bases.resolve(path.name) == path.resolve()
    assert bases.describe(path.name).status is Status.VERIFIED


@pytest.mark.parametrize("name", ["nothing.nemo", "nvidia/parakeet", "", "embeded"])
def test_an_unknown_name_is_bad_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The message lists what is known."""
    monkeypatch.chdir(tmp_path)
    for use in (bases.describe, bases.resolve):
        with pytest.raises(InputError, match="neither a file nor a known base") as told:
            use(name)
        assert "'embedded'" in str(told.value)
        assert bases.RECOMMENDED in str(told.value)


def test_a_known_base_that_is_not_cached_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a network, the command that fetches it elsewhere is given."""
    from huggingface_hub import constants  # noqa: PLC0415 - time that only this test pays

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(InputError, match=r"hf download nvidia/parakeet-ctc-0\.6b"):
        bases.resolve("parakeet-ctc-0.6b")
