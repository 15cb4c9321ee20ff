"""Looking into a .nemo: its decoder, whether it streams, and what it can spell."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import pytest

from tasks.common.errors import InputError
from tasks.models.nemo_archive import Decoder, open_archive
from tests.support import factories

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CTC, TDT, RNNT = factories.CTC_CONFIG, factories.TDT_CONFIG, factories.RNNT_CONFIG
HYBRID = "nemo.collections.asr.models.hybrid_rnnt_ctc_bpe_models.EncDecHybridRNNTCTCBPEModel"


@pytest.mark.parametrize(
    ("config", "decoder"),
    [
        (CTC, Decoder.CTC),
        (TDT, Decoder.TDT),
        (RNNT, Decoder.RNNT),
        ({**RNNT, "loss": {"loss_name": "tdt"}}, Decoder.TDT),
        ({**TDT, "loss": None}, Decoder.TDT),
        ({**RNNT, "target": HYBRID}, Decoder.HYBRID_RNNT_CTC),
        ({**TDT, "target": HYBRID}, Decoder.HYBRID_TDT_CTC),
        ({"joint": {"vocabulary": ["a"]}}, Decoder.RNNT),
    ],
)
def test_the_decoder_is_read_from_the_configuration(
    tmp_path: Path, config: dict[str, Any], decoder: Decoder
) -> None:
    """CTC, RNN-T, TDT and the two hybrids are told apart."""
    assert open_archive(factories.write_nemo(tmp_path / "m.nemo", config)).decoder is decoder


def test_which_decoders_have_a_transducer_and_which_need_cuda() -> None:
    """All but CTC have one; durations need CUDA."""
    assert [decoder for decoder in Decoder if not decoder.has_transducer] == [Decoder.CTC]
    assert {decoder for decoder in Decoder if decoder.is_tdt} == {
        Decoder.TDT,
        Decoder.HYBRID_TDT_CTC,
    }


@pytest.mark.parametrize(
    ("encoder", "streaming"),
    [
        ({"att_context_style": "chunked_limited"}, True),
        ({"conv_context_size": "causal"}, True),
        ({"causal_downsampling": True}, True),
        ({"att_context_style": "regular", "causal_downsampling": False}, False),
        ({"conv_context_size": None}, False),
        (None, False),
    ],
)
def test_a_cache_aware_encoder_is_recognised(
    tmp_path: Path, encoder: dict[str, Any] | None, *, streaming: bool
) -> None:
    """By its attention, its convolutions or its downsampling."""
    path = factories.write_nemo(tmp_path / "m.nemo", {**RNNT, "encoder": encoder})
    assert open_archive(path).is_cache_aware is streaming


def test_the_sample_rate_is_the_models_own(tmp_path: Path) -> None:
    """16 kHz where nothing is said."""
    path = factories.write_nemo(tmp_path / "m.nemo", {**CTC, "sample_rate": 8000})
    assert open_archive(path).sample_rate == 8000
    path = factories.write_nemo(tmp_path / "n.nemo", {"target": "x"})
    assert open_archive(path).sample_rate == 16000


def test_a_sentencepiece_model_tells_what_it_cannot_spell(
    lower_nemo: Path, cased_nemo: Path
) -> None:
    """Capitals, digits and marks that it has never seen, each once."""
    unknown_in = open_archive(lower_nemo).unknown_in
    assert unknown_in("the patient takes aspirin") == []
    assert unknown_in("The 5") == ["5", "T"]
    assert unknown_in("now, Now, Now.") == [",", ".", "N"]
    assert open_archive(cased_nemo).unknown_in("The patient, now.") == []


def test_a_character_model_tells_what_it_cannot_spell(tmp_path: Path) -> None:
    """Its vocabulary is its alphabet; a space needs no symbol."""
    config = {"labels": ["a", "b", "'"]}
    archive = open_archive(factories.write_nemo(tmp_path / "m.nemo", config))
    assert archive.vocabulary == ("a", "b", "'")
    assert archive.unknown_in("ab ba'b") == []
    assert archive.unknown_in("abc Abc") == ["A", "c"]


@pytest.mark.parametrize(
    ("config", "vocabulary"),
    [
        (CTC, ("a", "b")),
        (RNNT, ("a", "b")),
        ({"aux_ctc": {"decoder": {"vocabulary": ["x"]}}, "joint": {"vocabulary": ["y"]}}, ("x",)),
        ({}, ()),
    ],
)
def test_the_vocabulary_is_found_where_each_family_keeps_it(
    tmp_path: Path, config: dict[str, Any], vocabulary: tuple[str, ...]
) -> None:
    """In the decoder, the auxiliary decoder or the joint network."""
    path = factories.write_nemo(tmp_path / "m.nemo", {"target": "t", **config})
    assert open_archive(path).vocabulary == vocabulary


def test_a_compressed_archive_is_read_too(tmp_path: Path, lower_spelling: bytes) -> None:
    """Older models are gzipped tars."""
    path = factories.write_nemo(tmp_path / "m.nemo", CTC, lower_spelling, mode="w:gz")
    assert open_archive(path).unknown_in("aspirin") == []


def cut(share: float) -> Callable[[Path], None]:
    """Keep only the first part of a file."""

    def damage(path: Path) -> None:
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * share)])

    return damage


def cut_gzip(path: Path) -> None:
    """A gzipped archive that was cut short."""
    data = gzip.compress(path.read_bytes(), mtime=0)
    path.write_bytes(data[: len(data) // 2])


def as_folder(path: Path) -> None:
    """A folder by the same name."""
    path.unlink()
    path.mkdir()


BROKEN: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("not a model"),
    "cut in half": cut(0.5),
    "cut near the end": cut(0.8),
    "gzip cut short": cut_gzip,
    "no weights": lambda path: factories.write_tar(path, {"model_config.yaml": b"a: 1"}),
    "no configuration": lambda path: factories.write_tar(path, {"model_weights.ckpt": b"1"}),
    "not a mapping": lambda path: factories.write_tar(
        path, {"model_config.yaml": b"- a", "model_weights.ckpt": b"1"}
    ),
    "bad YAML": lambda path: factories.write_tar(
        path, {"model_config.yaml": b"a: [", "model_weights.ckpt": b"1"}
    ),
    "YAML in no encoding": lambda path: factories.write_tar(
        path, {"model_config.yaml": b"a: \xff\xfe\xff", "model_weights.ckpt": b"1"}
    ),
    "a folder": as_folder,
}


@pytest.mark.parametrize("damage", BROKEN.values(), ids=list(BROKEN))
def test_what_is_no_whole_nemo_is_bad_input(
    tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    """The message names the file and the fix."""
    path = factories.write_nemo(tmp_path / "m.nemo", CTC, weights=b"w" * 40_000)
    damage(path)
    with pytest.raises(InputError, match=r"Fix: name a whole \.nemo") as told:
        open_archive(path)
    assert str(path) in str(told.value)


def test_looking_into_an_archive_unpacks_nothing(tmp_path: Path) -> None:
    """The archive is read, never unpacked: nothing is there but itself."""
    path = factories.write_nemo(tmp_path / "m.nemo")
    open_archive(path)
    assert set(factories.snapshot(tmp_path)) == {"m.nemo"}
