"""The base models: which may be tuned, and where a named one comes from (specification, 4c).

This is the one place that knows them. A base is named by ``embedded`` (the small model that ships
with this project), by a catalogue name, or by the path of a .nemo file.

Licences, sizes, revisions and hashes are those of the models' public pages, read in November 2026.
Nothing of this machine's has tuned them: only the specification's own result makes one verified.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from importlib import resources
from pathlib import Path
from typing import Any

from tasks import base_cache, hashes
from tasks.base_cache import Pinned
from tasks.errors import InputError
from tasks.nemo_archive import Decoder, open_archive
from tasks.riva_build import STREAMING_FAMILY, target

RECOMMENDED = "nvidia/parakeet-tdt-0.6b-v2"
LEGACY_FALLBACK = "nvidia/stt_en_conformer_ctc_large"
EMBEDDED = "embedded"
_UNK_COLLAPSE = (
    "its tuning is broken: validation collapses to all-UNK after the first training step, at any "
    "hyperparameter. For streaming serving, Riva chunks a non-streaming base just fine"
)


class Status(StrEnum):
    """What is known of stock tuning on a base."""

    VERIFIED = "verified"
    EXPECTED = "expected"
    BROKEN = "broken"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Base:
    """A base model: what is known of it before anything is downloaded.

    Attributes:
        name: as the user named it.
        decoder: its decoder, from the catalogue or from the .nemo's own configuration.
        status: what is known of stock tuning on it.
        note: why, in words that end no sentence.
        cache_aware: whether it is a streaming encoder, whose tuning is broken.
        millions: parameters in millions, rounded as its makers do; None where not known.
        licence: under which its weights are published; "" where not known.
        languages: that it writes, as ISO 639 codes.
        source: where the above is from.
        revision: the commit of its repository that is taken; "" for the newest, which the first
            download then pins.
        sha256: of its .nemo as its repository publishes it; "" where no public page that we saw
            tells it, and the first download pins it.
    """

    name: str
    decoder: Decoder
    status: Status
    note: str
    cache_aware: bool = False
    millions: int | None = None
    licence: str = ""
    languages: tuple[str, ...] = ()
    source: str = ""
    revision: str = ""
    sha256: str = ""

    @property
    def nim_family(self) -> str:
        """The NIM containers that serve it (specification, table 4f); "" for a hybrid."""
        if self.cache_aware:
            return STREAMING_FAMILY
        found = target(self.decoder)
        return "" if found is None else found.family

    def as_dict(self) -> dict[str, Any]:
        """What ``asr-flywheel bases --json`` prints."""
        told = asdict(self)
        told["decoder"], told["status"] = self.decoder.value, self.status.value
        told["languages"] = list(self.languages)
        return {**told, "nim_family": self.nim_family}


def _nvidia(
    name: str,
    decoder: Decoder,
    status: Status,
    note: str,
    millions: int,
    *,
    cache_aware: bool = False,
    licence: str = "CC-BY-4.0",
    revision: str = "",
    sha256: str = "",
) -> Base:
    """A row of the table: an English model that NVIDIA publishes on Hugging Face."""
    return Base(
        f"nvidia/{name}",
        decoder,
        status,
        note,
        cache_aware,
        millions,
        licence,
        ("en",),
        f"https://huggingface.co/nvidia/{name}",
        revision,
        sha256,
    )


_NOT_ON_RECORD = "the stock recipe applies, no result is on record"
CATALOGUE: dict[str, Base] = {
    base.name: base
    for base in (
        _nvidia(
            "parakeet-tdt-0.6b-v2",
            Decoder.TDT,
            Status.VERIFIED,
            "stock tuning took KER from 0.513 to 0.128 in 3 epochs on the reference manifest of "
            "39 rows, rows that were trained on included",
            600,
        ),
        _nvidia(
            "nemotron-speech-streaming-en-0.6b",
            Decoder.RNNT,
            Status.BROKEN,
            _UNK_COLLAPSE,
            600,
            cache_aware=True,
            licence="NVIDIA Open Model License",
        ),
        _nvidia(
            "stt_en_conformer_ctc_large",
            Decoder.CTC,
            Status.EXPECTED,
            f"the legacy fallback; {_NOT_ON_RECORD}",
            120,
            revision="2c8326e4e43ae5b994612cfea3f3029818fb23c6",
        ),
        _nvidia(
            "parakeet-tdt-1.1b",
            Decoder.TDT,
            Status.EXPECTED,
            _NOT_ON_RECORD,
            1100,
            revision="74ec7598b4a8dae899a5bd04eaa0e9a92bf36a62",
            sha256="9c563d52bdffeacbac0c5b894fdea9be82fea3a6bd8bb8018ff57888e2b5d988",
        ),
        _nvidia("parakeet-rnnt-0.6b", Decoder.RNNT, Status.EXPECTED, _NOT_ON_RECORD, 600),
        _nvidia(
            "parakeet-rnnt-1.1b",
            Decoder.RNNT,
            Status.EXPECTED,
            _NOT_ON_RECORD,
            1100,
            revision="2326ee79c014e914d01b12595eacc243d2816a69",
        ),
        _nvidia("parakeet-ctc-0.6b", Decoder.CTC, Status.EXPECTED, _NOT_ON_RECORD, 600),
        _nvidia(
            "parakeet-ctc-1.1b",
            Decoder.CTC,
            Status.EXPECTED,
            _NOT_ON_RECORD,
            1100,
            sha256="8e91253dd1380b0988e34606d0b6bdfdf244a4fbb0f67e01a088083fc7485a08",
        ),
    )
}


def embedded_path() -> Path:
    """Where the shipped demo base lies."""
    return Path(str(resources.files("asr_flywheel.embedded") / "embedded_ctc.nemo"))


def embedded_speech() -> Path:
    """A second and a half of synthetic speech that every installation can decode."""
    return Path(str(resources.files("asr_flywheel.embedded") / "speech.wav"))


EMBEDDED_SPEECH_SAYS = "take a seat"
"""What is said there."""


def describe(name: str) -> Base:
    """What the gate must know of a base; nothing is downloaded.

    Raises:
        InputError: neither a catalogue name nor a readable .nemo file.
    """
    if (known := in_catalogue(name)) is not None:
        return known
    archive = open_archive(_local_file(name))
    if archive.is_cache_aware:
        return Base(name, archive.decoder, Status.BROKEN, _UNK_COLLAPSE, cache_aware=True)
    if name == EMBEDDED:
        return _embedded(archive.decoder)
    return Base(
        name, archive.decoder, Status.UNKNOWN, "a .nemo of your own; no result is on record"
    )


def _embedded(decoder: Decoder) -> Base:
    return Base(
        EMBEDDED,
        decoder,
        Status.VERIFIED,
        "the small demo model of this project; it shows the loop, it is not for a clinic",
        millions=6,
        licence="Apache-2.0",
        languages=("en",),
        source="asr_flywheel/embedded/MODEL_CARD.md",
    )


def in_catalogue(name: str) -> Base | None:
    """The table's row of a name, with or without "nvidia/", in any casing; else None."""
    short = name.lower().removesuffix(".nemo")
    for base in CATALOGUE.values():
        if short in (base.name, base.name.removeprefix("nvidia/")):
            return base
    return None


def _local_file(name: str) -> Path:
    if name == EMBEDDED:
        return embedded_path()
    path = Path(name).expanduser()
    if path.is_file():
        return path.resolve()
    raise InputError(
        f"base {name!r}: neither a file nor a known base. Fix: name a .nemo file, "
        f"{EMBEDDED!r}, or one of {', '.join(CATALOGUE)}."
    )


def resolve(name: str) -> Path:
    """The .nemo file of a base; a catalogue name becomes a pinned file with a checked hash.

    The base is resolved to a file before training starts: with a name, the stock script sleeps a
    minute on one GPU, and what was trained could not be pinned by its hash.

    Raises:
        InputError: no such file, a catalogue base that is neither cached nor reachable, or one
            whose content is not the pinned one.
    """
    return resolve_pinned(name).path


def resolve_pinned(name: str) -> Pinned:
    """The .nemo file of a base with its revision and hash; see ``resolve``."""
    known = in_catalogue(name)
    if known is None or Path(name).expanduser().is_file():
        path = _local_file(name)
        return Pinned(path, "", hashes.sha256(path))
    return base_cache.resolve(known.name, known.revision, known.sha256)
