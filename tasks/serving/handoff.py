"""Hand-off of a tuned model to serving (specification, 4f).

The stage that serves cannot tell the decoder from the file, and a wrong one makes a broken
deployment without a clear error. So the decoder is read here from the .nemo's own configuration,
checked against what the user says, and written down with everything that the next stage needs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.common import neighbour_stages
from tasks.models import catalog, decoder_targets
from tasks.models.catalog import Status
from tasks.models.decoder_targets import STREAMING_FAMILY
from tasks.models.nemo_archive import Decoder, NemoArchive, open_archive

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tasks.models.catalog import Base
    from tasks.models.decoder_targets import Target

_STREAMING = "cache-aware-rnnt"
_HYBRID = "hybrid"
_SPELLINGS = {
    "ctc": Decoder.CTC.value,
    "greedyctc": Decoder.CTC.value,
    "rnnt": Decoder.RNNT.value,
    "rnntransducer": Decoder.RNNT.value,
    "transducer": Decoder.RNNT.value,
    "tdt": Decoder.TDT.value,
    "tokenandduration": Decoder.TDT.value,
    "tokenanddurationtransducer": Decoder.TDT.value,
    "cacheaware": _STREAMING,
    "cacheawarernnt": _STREAMING,
    "streaming": _STREAMING,
    "streamingrnnt": _STREAMING,
    "nemotronstreaming": _STREAMING,
    "hybrid": _HYBRID,
    "hybridrnntctc": _HYBRID,
    "hybridtdtctc": _HYBRID,
    "tdtctc": _HYBRID,
    "rnntctc": _HYBRID,
}
_USUAL_RATE = 16000
_V3_VOCABULARY = 8192
_ENCODERS = re.compile(r"^(fast)?(conformer|parakeet)")


@dataclass(frozen=True, slots=True)
class Refusal:
    """The reason not to hand a model on; a verdict, not an error.

    Attributes:
        reason: in a sentence, with what to do instead.
        decoder: what the file's own configuration says.
        claimed: what the user says, or "".
        evidence: the fields that told it.
    """

    reason: str
    decoder: str
    claimed: str
    evidence: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the object that ``asr-flywheel handoff --json`` prints before exit code 3."""
        return {
            "refused": True,
            "reason": self.reason,
            "decoder": self.decoder,
            "claimed": self.claimed or None,
            "evidence": list(self.evidence),
        }


@dataclass(frozen=True, slots=True)
class Accepted:
    """A model that can be served.

    Attributes:
        decoder: that is served: the model's own, or of a hybrid's heads the one that is taken.
        target: how its decoder is served.
        evidence: the fields that told the decoder.
        hybrid: whether that head must first be made a model of its own.
        warnings: what does not stop it.
    """

    decoder: Decoder
    target: Target
    evidence: tuple[str, ...]
    hybrid: bool = False
    warnings: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the object that ``asr-flywheel handoff --model … --json`` prints."""
        return {
            "refused": False,
            "decoder": self.decoder.value,
            "riva_decoder_flag": self.target.flag,
            "nim_family": self.target.family,
            "evidence": list(self.evidence),
            "warnings": list(self.warnings),
        }


def judge(model: Path, claimed: str | None, *, needs_weights: bool = True) -> Accepted | Refusal:
    """Say how a .nemo is served, or why it is not.

    Args:
        model: the .nemo.
        claimed: its decoder as the user says, in any usual spelling; None if they say nothing.
        needs_weights: False where nothing but the decoder is asked for.

    Raises:
        InputError: not a readable .nemo.
    """
    archive = open_archive(model, needs_weights=needs_weights)
    configured = _configured_decoder(archive)

    def refuse(reason: str) -> Refusal:
        return Refusal(reason, configured, claimed or "", archive.decoder_evidence)

    claimed_decoder = None if claimed is None else _parse_decoder(claimed)
    if claimed is not None and claimed_decoder is None:
        return refuse(
            f"--decoder {claimed!r} is no decoder that this tool knows (ctc, rnnt, tdt); the "
            f"model's own configuration says {configured!r}."
        )
    if not archive.decoder_evidence:
        return refuse(
            "its configuration names no CTC, RNN-T or TDT decoder (target: "
            f"{archive.config.get('target')!r}): Riva's build for such a model is not known here. "
            f"Ask {neighbour_stages.SERVING}."
        )
    served = _choose_decoder(archive, claimed_decoder)
    if served is None:
        return refuse(
            f"--decoder says {claimed_decoder!r}, but the model's own configuration says "
            f"{configured!r} ({'; '.join(archive.decoder_evidence)}). The wrong NIM "
            f"container makes a broken RMIR without a clear error. "
            f"Leave --decoder out, or say {configured}."
        )
    target = decoder_targets.target(served, cache_aware=archive.is_cache_aware)
    hybrid = served is not archive.decoder
    warnings = _list_warnings(archive, served, hybrid=hybrid)
    return Accepted(served, target, archive.decoder_evidence, hybrid, tuple(warnings))


def judge_named(name: str, claimed: str | None) -> Accepted | Refusal:
    """Judge a .nemo or a known base, which is not downloaded for that.

    Raises:
        InputError: neither a known base nor a readable .nemo.
    """
    base = catalog.in_catalogue(name)
    if base is not None and base.status is Status.BROKEN:
        return Refusal(f"{base.name}: {base.note}.", base.decoder.value, claimed or "", ())
    if (path := catalog.at_hand(name)) is not None or base is None:
        return judge(catalog.resolve(name) if path is None else path, claimed, needs_weights=False)
    return _judge_listed(base, claimed)


def _judge_listed(base: Base, claimed: str | None) -> Accepted | Refusal:
    """Judge a base by the table alone."""
    evidence = (f"the table of bases: {base.decoder.value}",)
    served = _choose_head(base.decoder, None if claimed is None else _parse_decoder(claimed))
    if served is None and base.cache_aware and _parse_decoder(claimed or "") == _STREAMING:
        served = base.decoder
    if served is None:
        return Refusal(
            f"--decoder says {claimed!r}, but {base.name} is {base.decoder.value}.",
            base.decoder.value,
            claimed or "",
            evidence,
        )
    target = decoder_targets.target(served, cache_aware=base.cache_aware)
    return Accepted(served, target, evidence, hybrid=served is not base.decoder)


def _choose_decoder(archive: NemoArchive, claimed: str | None) -> Decoder | None:
    """Return the decoder that is handed on; None if the user's word contradicts the file."""
    if archive.is_cache_aware and archive.decoder.has_transducer:
        return _choose_head(archive.decoder, None) if claimed in (None, _STREAMING) else None
    return _choose_head(archive.decoder, claimed)


def _choose_head(decoder: Decoder, claimed: str | None) -> Decoder | None:
    """Return the head that a user's word means; of a hybrid the transducer, which is measured."""
    if decoder not in (Decoder.HYBRID_RNNT_CTC, Decoder.HYBRID_TDT_CTC):
        return decoder if claimed in (None, decoder.value) else None
    transducer = Decoder.TDT if decoder.is_tdt else Decoder.RNNT
    if claimed in (None, _HYBRID, transducer.value):
        return transducer
    return Decoder.CTC if claimed == Decoder.CTC.value else None


def _configured_decoder(archive: NemoArchive) -> str:
    """Return the decoder in the words of the specification's table."""
    if not archive.decoder_evidence:
        return "unknown"
    if archive.is_cache_aware and archive.decoder.has_transducer:
        return _STREAMING
    if archive.decoder in (Decoder.HYBRID_RNNT_CTC, Decoder.HYBRID_TDT_CTC):
        return _HYBRID
    return archive.decoder.value


def _parse_decoder(claimed: str) -> str | None:
    """Return the decoder that a user's word means; ignore case, dashes and the encoder's name."""
    word = re.sub(r"[^a-z]", "", claimed.lower())
    return _SPELLINGS.get(_ENCODERS.sub("", word))


def _list_warnings(archive: NemoArchive, served: Decoder, *, hybrid: bool) -> Iterator[str]:
    if not archive.has_weights:
        yield "the archive holds no weights: its decoder is known, but nothing can serve it"
    if archive.sample_rate != _USUAL_RATE:
        yield f"the model listens at {archive.sample_rate} Hz, NVIDIA's containers at {_USUAL_RATE}"
    if hybrid:
        other_head = (
            "CTC head" if served.has_transducer else "transducer, which is what is measured,"
        )
        yield (
            f"a hybrid: its {served.value} head is handed on as a model of its own, with the same "
            f"texts; the {other_head} stays behind"
        )
    if archive.is_cache_aware:
        yield (
            "its encoder is cache-aware (streaming): stock tuning of such a base has collapsed "
            f"before; containers of {STREAMING_FAMILY} serve it, as streams only"
        )
    if served is Decoder.TDT and len(archive.vocabulary) < _V3_VOCABULARY:
        yield (
            "NIM 26.10 lists one TDT container, parakeet-0.6b-tdt, with the multilingual v3. "
            "Whether it takes a model of another vocabulary, as a tuned v2, is not said: try it "
            "before you count on it"
        )
