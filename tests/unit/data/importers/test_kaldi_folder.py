"""Kaldi's folders and archives are imported; broken ones are refused with table and line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import kaldiio
import pytest

from tasks.common.errors import InputError
from tests.support import corpora
from tests.support.corpora import run, speech, write
from tests.support.spoken_sources import SPANS, TEXTS, check, consultation

if TYPE_CHECKING:
    from pathlib import Path


def kaldi(folder: Path, **tables: dict[str, str]) -> Path:
    """A data folder's tables."""
    folder.mkdir(exist_ok=True)
    for name, table in tables.items():
        lines = "".join(f"{key} {value}\n" for key, value in sorted(table.items()))
        (folder / name.replace("_", ".")).write_text(lines)
    return folder


def test_a_kaldi_folder_with_segments(tmp_path: Path) -> None:
    """Speakers are voices."""
    made = consultation(tmp_path / "audio")
    ids = [f"ann-{number}" for number in range(3)]
    source = kaldi(
        tmp_path / "data",
        wav_scp={"visit": str(tmp_path / "audio" / "visit.wav")},
        segments={
            name: f"visit {start} {end}" for name, (start, end) in zip(ids, SPANS, strict=True)
        },
        text=dict(zip(ids, TEXTS, strict=True)),
        utt2spk=dict.fromkeys(ids, "ann"),
    )
    assert run(source, tmp_path / "cycle1").format == "kaldi"
    check(tmp_path / "cycle1", made)
    assert corpora.rows(tmp_path / "cycle1")[0]["voice_id"] == "ann"


def test_a_kaldi_archive_by_kaldiio(tmp_path: Path) -> None:
    """The wav.scp that kaldiio writes names places in an archive."""
    made = [speech(0.6, seed=number) for number in range(3)]
    (tmp_path / "data").mkdir()
    ark, scp = tmp_path / "data" / "wav.ark", tmp_path / "data" / "wav.scp"
    kaldiio.save_ark(
        str(ark), {f"u{n}": (16000, voice) for n, voice in enumerate(made)}, scp=str(scp)
    )
    kaldi(tmp_path / "data", text={f"u{n}": text for n, text in enumerate(TEXTS)})
    run(tmp_path / "data", tmp_path / "cycle1")
    check(tmp_path / "cycle1", made)


BROKEN_KALDI = {
    "a command": ({"wav_scp": {"u": "sph2pipe -f wav a.sph |"}}, "wav.scp:1: names a command"),
    "no recording": ({"text": {"v": "a"}}, "text:1: v is not in wav.scp"),
    "not in segments": ({"segments": {"v": "u 0 1"}}, "text:1: u is not in segments"),
    "times": ({"segments": {"u": "u 0 soon"}}, "segments:1: "),
    "no value": ({"utt2spk": {"u": ""}}, "utt2spk:1: 'u' has no value"),
}


@pytest.mark.parametrize("kind", sorted(BROKEN_KALDI))
def test_a_broken_kaldi_folder_is_refused(tmp_path: Path, kind: str) -> None:
    """With table and line; commands are not run."""
    changes, message = BROKEN_KALDI[kind]
    path = write(tmp_path / "u.wav", speech(1))
    source = kaldi(
        tmp_path / "data", **{"wav_scp": {"u": str(path)}, "text": {"u": "a"}, **changes}
    )
    with pytest.raises(InputError) as refused:
        run(source, tmp_path / "cycle1")
    assert message in str(refused.value)
