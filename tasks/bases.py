"""The base models: which may be tuned, and where a named one comes from (specification, 4c).

This is the one place that knows them. A base is named by ``embedded`` (the small model that ships
with this project), by a catalogue name, or by the path of a .nemo file.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from importlib import resources
from pathlib import Path

from tasks.errors import InputError
from tasks.nemo_archive import Decoder, open_archive

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
    """A base model as the gate sees it.

    Attributes:
        name: as the user named it.
        decoder: its decoder, from the catalogue or from the .nemo's own configuration.
        status: what is known of stock tuning on it.
        note: why, in words that end no sentence.
        cache_aware: whether it is a streaming encoder, whose tuning is broken.
    """

    name: str
    decoder: Decoder
    status: Status
    note: str
    cache_aware: bool = False


CATALOGUE: dict[str, Base] = {
    base.name: base
    for base in (
        Base(
            RECOMMENDED,
            Decoder.TDT,
            Status.VERIFIED,
            "stock tuning took KER from 0.513 to 0.128 in 3 epochs on the reference manifest of "
            "39 rows, rows that were trained on included",
        ),
        Base(
            "nvidia/nemotron-speech-streaming-en-0.6b",
            Decoder.RNNT,
            Status.BROKEN,
            _UNK_COLLAPSE,
            cache_aware=True,
        ),
        Base(
            LEGACY_FALLBACK,
            Decoder.CTC,
            Status.EXPECTED,
            "the legacy fallback; the stock recipe applies, no result is on record",
        ),
        Base("nvidia/parakeet-tdt-1.1b", Decoder.TDT, Status.EXPECTED, "not on record"),
        Base("nvidia/parakeet-rnnt-0.6b", Decoder.RNNT, Status.EXPECTED, "not on record"),
        Base("nvidia/parakeet-rnnt-1.1b", Decoder.RNNT, Status.EXPECTED, "not on record"),
        Base("nvidia/parakeet-ctc-0.6b", Decoder.CTC, Status.EXPECTED, "not on record"),
        Base("nvidia/parakeet-ctc-1.1b", Decoder.CTC, Status.EXPECTED, "not on record"),
    )
}


def embedded_path() -> Path:
    """Where the shipped demo base lies."""
    return Path(str(resources.files("asr_flywheel.embedded") / "embedded_ctc.nemo"))


def describe(name: str) -> Base:
    """What the gate must know of a base; nothing is downloaded.

    Raises:
        InputError: neither a catalogue name nor a readable .nemo file.
    """
    if (known := _in_catalogue(name)) is not None:
        return known
    archive = open_archive(_local_file(name))
    if archive.is_cache_aware:
        return Base(name, archive.decoder, Status.BROKEN, _UNK_COLLAPSE, cache_aware=True)
    if name == EMBEDDED:
        note = "the small demo model of this project; it shows the loop, it is not for a clinic"
        return Base(name, archive.decoder, Status.VERIFIED, note)
    return Base(
        name, archive.decoder, Status.UNKNOWN, "a .nemo of your own; no result is on record"
    )


def _in_catalogue(name: str) -> Base | None:
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
    """The .nemo file of a base, from the local Hugging Face cache if it is there.

    The base is resolved to a file before training starts: with a name, the stock script sleeps a
    minute on one GPU, and what was trained could not be pinned by its hash.

    Raises:
        InputError: no such file, or a catalogue base that is neither cached nor reachable.
    """
    known = _in_catalogue(name)
    if known is None or Path(name).expanduser().is_file():
        return _local_file(name)
    import huggingface_hub  # noqa: PLC0415 - half a second that only a named base pays

    filename = known.name.split("/")[-1] + ".nemo"
    try:
        return Path(huggingface_hub.hf_hub_download(known.name, filename)).resolve()
    except (OSError, ValueError, huggingface_hub.errors.HfHubHTTPError) as unreachable:
        raise InputError(
            f"base {known.name!r}: not in the local cache, and it cannot be downloaded "
            f"({type(unreachable).__name__}). Fix: on a machine with network run "
            f"`hf download {known.name} {filename}`, or pass the path of the .nemo with --base."
        ) from unreachable
