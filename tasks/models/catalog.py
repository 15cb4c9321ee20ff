"""The base models: which may be tuned, and where a named one comes from (specification, 4c).

This is the one place that knows them. A base is named by ``embedded``, ``embedded-tdt`` or
``embedded-rnnt`` (the small models that ship with this project), by a catalogue name, or by the
path of a .nemo file.

Licences, sizes, revisions and hashes are those of the models' public pages, read in November 2026.
Nothing of this machine's has tuned them: only the specification's own result makes one verified.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from importlib import resources
from pathlib import Path
from typing import Any

from tasks.common import hashing
from tasks.common.errors import InputError
from tasks.common.installation import BASES_FOLDER, find_bundle_root
from tasks.models import hub_cache, nemo_archive
from tasks.models.decoder_targets import target
from tasks.models.hub_cache import Pinned
from tasks.models.nemo_archive import Decoder, open_archive


class Method(StrEnum):
    """How the model is to be adapted; only stock full-model tuning is supported."""

    SFT = "sft"
    ADAPTER = "adapter"


RECOMMENDED = "nvidia/parakeet-tdt-0.6b-v2"
LEGACY_FALLBACK = "nvidia/stt_en_conformer_ctc_large"
EMBEDDED = "embedded"
_UNK_COLLAPSE = (
    "its tuning is broken: validation collapses to all-UNK after the first training step, at any "
    "hyperparameter. For streaming serving, Riva chunks a non-streaming base just fine"
)
_OWN_STREAMING = (
    "a cache-aware (streaming) .nemo of your own; no result is on record, and stock tuning of "
    "nemotron-speech-streaming-en-0.6b collapsed to all-UNK: training stops if this one does too"
)
_ENGLISH = ("en",)
_V3_LANGUAGES = (
    "bg", "hr", "cs", "da", "nl", "en", "et", "fi", "fr", "de", "el", "hu", "it", "lv", "lt",
    "mt", "pl", "pt", "ro", "sk", "sl", "es", "sv", "ru", "uk",
)  # fmt: skip
_NEMOTRON_3_5_LANGUAGES = (
    "en", "es", "de", "fr", "it", "ar", "ja", "ko", "pt", "ru", "hi", "zh", "vi", "he", "nl",
    "cs", "da", "pl", "no", "sv", "th", "tr", "bg", "el", "et", "fi", "hr", "hu", "lt", "lv",
    "ro", "sk", "uk", "mt", "sl",
)  # fmt: skip


class Status(StrEnum):
    """The result of stock tuning that is known for a base."""

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
        cache_aware: whether its encoder is a streaming one with limited, cached context.
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
    def is_multilingual(self) -> bool:
        """Whether it writes other languages than English."""
        return any(language != "en" for language in self.languages)

    @property
    def nim_family(self) -> str:
        """The NIM containers that serve it, or a hybrid's transducer (specification, table 4f)."""
        return target(self.decoder, cache_aware=self.cache_aware).family

    def as_dict(self) -> dict[str, Any]:
        """Return the record that ``asr-flywheel bases --json`` prints."""
        record = asdict(self)
        record["decoder"], record["status"] = self.decoder.value, self.status.value
        record["languages"] = list(self.languages)
        return {**record, "nim_family": self.nim_family}


def _shipped_base(name: str, decoder: Decoder, status: Status, note: str, card: str) -> Base:
    """Return the row of a small English model that ships with this project."""
    return Base(
        name,
        decoder,
        status,
        f"{note}, it is not for a clinic",
        millions=6,
        licence="Apache-2.0",
        languages=("en",),
        source=f"asr_flywheel/embedded/{card}",
    )


SHIPPED: dict[str, Base] = {
    base.name: base
    for base in (
        _shipped_base(
            EMBEDDED,
            Decoder.CTC,
            Status.VERIFIED,
            "the small demo model of this project; it shows the loop",
            "MODEL_CARD.md",
        ),
        _shipped_base(
            "embedded-tdt",
            Decoder.TDT,
            Status.EXPECTED,
            "a small TDT model of this project; it rehearses the loop on a GPU",
            "MODEL_CARD_TDT.md",
        ),
        _shipped_base(
            "embedded-rnnt",
            Decoder.RNNT,
            Status.EXPECTED,
            "a small RNN-T model of this project; it rehearses the loop",
            "MODEL_CARD_RNNT.md",
        ),
    )
}
"""The models in asr_flywheel/embedded, by the names that they are given everywhere."""


def _nvidia_base(
    name: str,
    decoder: Decoder,
    status: Status,
    note: str,
    millions: int,
    *,
    cache_aware: bool = False,
    licence: str = "CC-BY-4.0",
    languages: tuple[str, ...] = _ENGLISH,
    revision: str = "",
    sha256: str = "",
) -> Base:
    """Return the row of a model that NVIDIA publishes on Hugging Face."""
    return Base(
        f"nvidia/{name}",
        decoder,
        status,
        note,
        cache_aware,
        millions,
        licence,
        languages,
        f"https://huggingface.co/nvidia/{name}",
        revision,
        sha256,
    )


_NOT_ON_RECORD = "the stock recipe applies, no result is on record"
CATALOGUE: dict[str, Base] = {
    base.name: base
    for base in (
        _nvidia_base(
            "parakeet-tdt-0.6b-v2",
            Decoder.TDT,
            Status.VERIFIED,
            "stock tuning took KER from 0.513 to 0.128 in 3 epochs on the reference manifest of "
            "39 rows, rows that were trained on included",
            600,
        ),
        _nvidia_base(
            "nemotron-speech-streaming-en-0.6b",
            Decoder.RNNT,
            Status.BROKEN,
            _UNK_COLLAPSE,
            600,
            cache_aware=True,
            licence="NVIDIA Open Model License",
        ),
        _nvidia_base(
            "stt_en_conformer_ctc_large",
            Decoder.CTC,
            Status.EXPECTED,
            f"the legacy fallback; {_NOT_ON_RECORD}",
            120,
            revision="2c8326e4e43ae5b994612cfea3f3029818fb23c6",
        ),
        _nvidia_base(
            "parakeet-tdt-1.1b",
            Decoder.TDT,
            Status.EXPECTED,
            _NOT_ON_RECORD,
            1100,
            revision="74ec7598b4a8dae899a5bd04eaa0e9a92bf36a62",
            sha256="9c563d52bdffeacbac0c5b894fdea9be82fea3a6bd8bb8018ff57888e2b5d988",
        ),
        _nvidia_base("parakeet-rnnt-0.6b", Decoder.RNNT, Status.EXPECTED, _NOT_ON_RECORD, 600),
        _nvidia_base(
            "parakeet-rnnt-1.1b",
            Decoder.RNNT,
            Status.EXPECTED,
            _NOT_ON_RECORD,
            1100,
            revision="2326ee79c014e914d01b12595eacc243d2816a69",
        ),
        _nvidia_base("parakeet-ctc-0.6b", Decoder.CTC, Status.EXPECTED, _NOT_ON_RECORD, 600),
        _nvidia_base(
            "parakeet-ctc-1.1b",
            Decoder.CTC,
            Status.EXPECTED,
            _NOT_ON_RECORD,
            1100,
            sha256="8e91253dd1380b0988e34606d0b6bdfdf244a4fbb0f67e01a088083fc7485a08",
        ),
        _nvidia_base(
            "parakeet-tdt-0.6b-v3",
            Decoder.TDT,
            Status.EXPECTED,
            "multilingual, it detects the language by itself; whether English tuning costs it the "
            f"other languages is not measured; {_NOT_ON_RECORD}",
            600,
            languages=_V3_LANGUAGES,
        ),
        _nvidia_base(
            "parakeet-unified-en-0.6b",
            Decoder.RNNT,
            Status.UNKNOWN,
            "one model for offline and streaming use; no result is on record, and public copies "
            "name two licences: read its page",
            600,
            licence="",
        ),
        _nvidia_base(
            "parakeet-tdt_ctc-110m",
            Decoder.HYBRID_TDT_CTC,
            Status.EXPECTED,
            f"a hybrid, of which the hand-off makes a model of one head; {_NOT_ON_RECORD}",
            110,
        ),
        _nvidia_base(
            "nemotron-3.5-asr-streaming-0.6b",
            Decoder.RNNT,
            Status.UNKNOWN,
            "cache-aware and prompted with a language; its makers have a tuning guide of their "
            "own, the stock recipe has not been tried on it",
            600,
            cache_aware=True,
            licence="OpenMDW-1.1",
            languages=_NEMOTRON_3_5_LANGUAGES,
        ),
    )
}


def embedded_path(name: str = EMBEDDED) -> Path:
    """Return where a shipped base lies; an installation may lack its file."""
    file = f"embedded_{SHIPPED[name].decoder.value}.nemo"
    return Path(str(resources.files("asr_flywheel.embedded") / file))


def embedded_speech() -> Path:
    """Return the path of the short synthetic speech that every installation can decode."""
    return Path(str(resources.files("asr_flywheel.embedded") / "speech.wav"))


EMBEDDED_SPEECH_SAYS = "take a seat"
"""What is said there."""


def describe(name: str) -> Base:
    """Describe a base for the gate without downloading it.

    Raises:
        InputError: neither a catalogue name nor a readable .nemo file.
    """
    if (base := in_catalogue(name)) is not None:
        return base
    path = _local_file(name)
    if name in SHIPPED:
        return SHIPPED[name]
    archive = open_archive(path)
    if archive.is_cache_aware:
        return Base(name, archive.decoder, Status.UNKNOWN, _OWN_STREAMING, cache_aware=True)
    return Base(
        name, archive.decoder, Status.UNKNOWN, "a .nemo of your own; no result is on record"
    )


def in_catalogue(name: str) -> Base | None:
    """Return the catalogue's row of a name, with or without "nvidia/", in any casing; else None."""
    short = name.lower().removesuffix(".nemo")
    for base in CATALOGUE.values():
        if short in (base.name, base.name.removeprefix("nvidia/")):
            return base
    return None


def _local_file(name: str) -> Path:
    if name in SHIPPED:
        return _shipped_file(name)
    path = Path(name).expanduser()
    if path.is_file():
        return path.resolve()
    if (bundled := _bundled_file(name)) is not None:
        return bundled
    raise InputError(
        f"base {name!r}: neither a file nor a known base. Fix: name a .nemo file, "
        f"{', '.join(map(repr, SHIPPED))}, or one of {', '.join(CATALOGUE)}."
    )


def _bundled_file(name: str) -> Path | None:
    """Return a base of the user's own that the offline bundle brought, by its file's name."""
    root = find_bundle_root()
    if root is None or Path(name).name != name:
        return None
    path = root / BASES_FOLDER / name
    return path if path.is_file() else None


def _shipped_file(name: str) -> Path:
    path = embedded_path(name)
    if not path.is_file():
        raise InputError(
            f"base {name!r}: this installation lacks its file, {path.name}. Fix: install a release "
            f"that ships it, or name {EMBEDDED!r}."
        )
    return path


def resolve(name: str, *, trust: bool = False) -> Path:
    """Return the .nemo file of a base; a catalogue name becomes a pinned, verified file.

    The base is resolved to a file before training starts: with a name, the stock script sleeps a
    minute on one GPU, and what was trained could not be pinned by its hash.

    Args:
        name: of the base, or the path of a file.
        trust: whether the file may run code of its own when NeMo restores it.

    Raises:
        InputError: no such file, a catalogue base that is neither cached nor reachable, one whose
            content is not the pinned one, or one that is not trusted and holds more than weights.
    """
    path = resolve_pinned(name).path
    if not trust:
        nemo_archive.check_safe(path)
    return path


def at_hand(name: str) -> Path | None:
    """Return the file of a base that needs no download, or None.

    Raises:
        InputError: neither a file nor a known base.
    """
    base = in_catalogue(name)
    if base is None or Path(name).expanduser().is_file():
        return _local_file(name)
    return hub_cache.find_cached(base.name, base.revision)


def resolve_pinned(name: str) -> Pinned:
    """Return the .nemo file of a base with its revision and hash; see ``resolve``."""
    base = in_catalogue(name)
    if base is None or Path(name).expanduser().is_file():
        path = _local_file(name)
        return Pinned(path, "", hashing.sha256(path))
    return hub_cache.resolve(base.name, base.revision, base.sha256)
