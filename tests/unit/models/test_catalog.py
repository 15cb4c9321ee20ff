"""The base table: which models may be tuned, and how a name becomes a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tasks.common.errors import InputError
from tasks.models import catalog
from tasks.models.catalog import CATALOGUE, Status
from tasks.models.nemo_archive import Decoder, open_archive
from tests.support import factories

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
    "nvidia/parakeet-tdt-0.6b-v3": (Decoder.TDT, Status.EXPECTED),
    "nvidia/parakeet-unified-en-0.6b": (Decoder.RNNT, Status.UNKNOWN),
    "nvidia/parakeet-tdt_ctc-110m": (Decoder.HYBRID_TDT_CTC, Status.EXPECTED),
    "nvidia/nemotron-3.5-asr-streaming-0.6b": (Decoder.RNNT, Status.UNKNOWN),
}


@pytest.mark.parametrize(("name", "row"), TABLE.items(), ids=list(TABLE))
def test_every_row_of_the_base_table(name: str, row: tuple[Decoder, Status]) -> None:
    """Decoder and status, by the full and by the short name, in any casing."""
    for spelling in (name, name.removeprefix("nvidia/"), name.upper()):
        base = catalog.describe(spelling)
        assert (base.name, base.decoder, base.status) == (name, *row)


def test_the_table_has_no_other_rows() -> None:
    """One base is verified and recommended, one is broken and says why."""
    assert set(CATALOGUE) == set(TABLE)
    assert catalog.RECOMMENDED == "nvidia/parakeet-tdt-0.6b-v2"
    assert "0.513 to 0.128" in CATALOGUE[catalog.RECOMMENDED].note
    (broken,) = [base for base in CATALOGUE.values() if base.status is Status.BROKEN]
    assert broken.name == "nvidia/nemotron-speech-streaming-en-0.6b"
    assert broken.cache_aware
    assert "UNK" in broken.note


def test_a_nemo_of_ones_own_is_described_by_its_configuration(tmp_path: Path) -> None:
    """Decoder from the archive; nothing is on record."""
    base = catalog.describe(str(factories.write_nemo(tmp_path / "mine.nemo", factories.TDT_CONFIG)))
    assert (base.decoder, base.status, base.cache_aware) == (Decoder.TDT, Status.UNKNOWN, False)


def test_a_streaming_nemo_of_ones_own_is_unknown(tmp_path: Path) -> None:
    """Only the base that the specification names is broken; what happened to that one is told."""
    path = factories.write_nemo(tmp_path / "parakeet-tdt.nemo", factories.STREAMING_CONFIG)
    base = catalog.describe(str(path))
    assert (base.status, base.cache_aware) == (Status.UNKNOWN, True)
    assert "nemotron-speech-streaming-en-0.6b collapsed to all-UNK" in base.note


def test_a_file_resolves_to_its_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is downloaded for a file that is there."""
    path = factories.write_nemo(tmp_path / "mine.nemo")
    monkeypatch.chdir(tmp_path)
    assert catalog.resolve("mine.nemo") == path.resolve()


def test_a_file_named_like_a_known_base_is_that_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy in the working folder is used as it is, and the table's word on it holds."""
    path = factories.write_nemo(tmp_path / "parakeet-tdt-0.6b-v2.nemo", factories.TDT_CONFIG)
    monkeypatch.chdir(tmp_path)
    assert catalog.resolve(path.name) == path.resolve()
    assert catalog.describe(path.name).status is Status.VERIFIED


@pytest.mark.parametrize("name", ["nothing.nemo", "nvidia/parakeet", "", "embeded"])
def test_an_unknown_name_is_bad_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The message lists what is known."""
    monkeypatch.chdir(tmp_path)
    for use in (catalog.describe, catalog.resolve):
        with pytest.raises(InputError, match="neither a file nor a known base") as told:
            use(name)
        assert "'embedded'" in str(told.value)
        assert catalog.RECOMMENDED in str(told.value)


@pytest.mark.parametrize(
    ("name", "decoder"), [("embedded-tdt", Decoder.TDT), ("embedded-rnnt", Decoder.RNNT)]
)
def test_a_shipped_base_is_named_without_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, decoder: Decoder
) -> None:
    """Its file is the package's; an installation without the file says so by the file's name."""
    file = tmp_path / f"embedded_{decoder.value}.nemo"
    monkeypatch.setattr("importlib.resources.files", lambda _: tmp_path)
    for use in (catalog.describe, catalog.resolve):
        with pytest.raises(InputError, match=f"lacks its file, {file.name}"):
            use(name)
    factories.write_nemo(file)
    assert catalog.resolve(name) == file
    base = catalog.describe(name)
    assert (base.name, base.decoder, base.licence) == (name, decoder, "Apache-2.0")


@pytest.mark.parametrize("name", list(catalog.SHIPPED))
def test_a_shipped_file_has_the_decoder_of_its_name(name: str) -> None:
    """The table says what the file's own configuration says."""
    path = catalog.embedded_path(name)
    assert open_archive(path).decoder is catalog.SHIPPED[name].decoder


FAMILY = {
    Decoder.CTC: "parakeet-*-ctc-*",
    Decoder.RNNT: "parakeet-rnnt-*",
    Decoder.TDT: "parakeet-tdt-*",
    Decoder.HYBRID_TDT_CTC: "parakeet-tdt-*",
}
LANGUAGES = {"nvidia/parakeet-tdt-0.6b-v3": 25, "nvidia/nemotron-3.5-asr-streaming-0.6b": 35}


@pytest.mark.parametrize("base", CATALOGUE.values(), ids=list(CATALOGUE))
def test_every_base_says_what_a_user_must_know(base: catalog.Base) -> None:
    """Size, licence, languages, source and NIM family; a pin is a whole commit or hash."""
    assert base.millions
    known = ("CC-BY-4.0", "NVIDIA Open Model License", "OpenMDW-1.1")
    assert base.licence in known or "two licences" in base.note
    assert "en" in base.languages
    assert len(set(base.languages)) == len(base.languages) == LANGUAGES.get(base.name, 1)
    assert base.is_multilingual is (base.name in LANGUAGES)
    assert base.source == f"https://huggingface.co/{base.name}"
    wanted = "nemotron-streaming-*" if base.cache_aware else FAMILY[base.decoder]
    assert base.nim_family == wanted
    assert len(base.revision) in (0, 40)
    assert len(base.sha256) in (0, 64)
