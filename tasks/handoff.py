"""Hand-off of a tuned model to serving (specification, 4f).

The stage that serves cannot tell the decoder from the file, and a wrong one makes a broken
deployment without a clear error. So the decoder is read here from the .nemo's own configuration,
checked against what the user says, and written down with everything that the next stage needs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks import riva_build, routing
from tasks.bases import LEGACY_FALLBACK, RECOMMENDED
from tasks.nemo_archive import Decoder, NemoArchive, open_archive

if TYPE_CHECKING:
    from pathlib import Path

    from tasks.riva_build import Target

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
_ENCODERS = re.compile(r"^(fast)?(conformer|parakeet)")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a model is not handed on; a verdict, not an error.

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
        """What ``asr-flywheel handoff --json`` prints before exit code 3."""
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
        archive: its file's configuration.
        target: how its decoder is served.
        warnings: what does not stop it.
    """

    archive: NemoArchive
    target: Target
    warnings: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """What ``asr-flywheel handoff --model … --json`` prints."""
        return {
            "refused": False,
            "decoder": self.archive.decoder.value,
            "riva_decoder_flag": self.target.flag,
            "nim_family": self.target.family,
            "evidence": list(self.archive.decoder_evidence),
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
    told = _told(archive)

    def refuse(reason: str) -> Refusal:
        return Refusal(reason, told, claimed or "", archive.decoder_evidence)

    wanted = None if claimed is None else _meant(claimed)
    if claimed is not None and wanted is None:
        return refuse(
            f"--decoder {claimed!r} is no decoder that this tool knows (ctc, rnnt, tdt); the "
            f"model's own configuration says {told!r}."
        )
    if not archive.decoder_evidence:
        return refuse(
            "its configuration names no CTC, RNN-T or TDT decoder (target: "
            f"{archive.config.get('target')!r}): Riva's build for such a model is not known here. "
            f"Ask {routing.SERVING}."
        )
    if archive.is_cache_aware:
        return refuse(
            "its encoder is cache-aware (streaming), a base whose tuning is broken: validation "
            "collapses to all-UNK after the first step. Tune "
            f"{RECOMMENDED} or {LEGACY_FALLBACK} instead; Riva chunks a non-streaming base for "
            "streaming serving."
        )
    if wanted is not None and wanted != told:
        return refuse(
            f"--decoder says {wanted!r}, but the model's own configuration says {told!r} "
            f"({'; '.join(archive.decoder_evidence)}). The wrong NIM container makes a broken RMIR "
            f"without a clear error. Leave --decoder out, or say {told}."
        )
    found = riva_build.target(archive.decoder)
    if found is None:
        return refuse(
            "it is a hybrid with a transducer and a CTC head, which riva-build's inline conversion "
            "cannot export. Make a base of one head from the hybrid base with NeMo's "
            "examples/asr/asr_hybrid_transducer_ctc/helpers/convert_nemo_asr_hybrid_to_ctc.py, "
            "tune that (`asr-flywheel run CYCLE --base FILE.nemo`), and hand that run on: what is "
            "handed on is what was measured."
        )
    return Accepted(archive, found, _warnings(archive))


def _told(archive: NemoArchive) -> str:
    """The decoder in the words of the specification's table."""
    if not archive.decoder_evidence:
        return "unknown"
    if archive.is_cache_aware and archive.decoder.has_transducer:
        return _STREAMING
    if archive.decoder in (Decoder.HYBRID_RNNT_CTC, Decoder.HYBRID_TDT_CTC):
        return _HYBRID
    return archive.decoder.value


def _meant(claimed: str) -> str | None:
    """The decoder that a user's word means: case, dashes and the encoder's name do not matter."""
    word = re.sub(r"[^a-z]", "", claimed.lower())
    return _SPELLINGS.get(_ENCODERS.sub("", word))


def _warnings(archive: NemoArchive) -> tuple[str, ...]:
    found = []
    if not archive.has_weights:
        found.append("the archive holds no weights: its decoder is known, but nothing can serve it")
    if archive.sample_rate != _USUAL_RATE:
        found.append(
            f"the model listens at {archive.sample_rate} Hz, NVIDIA's containers at {_USUAL_RATE}"
        )
    return tuple(found)
