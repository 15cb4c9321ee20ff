"""The causes of a difference between a model and what is served, each with its remedy."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from tasks.common import neighbour_stages

if TYPE_CHECKING:
    from collections.abc import Mapping


class CauseName(StrEnum):
    """Causes of a difference between a model and what is served."""

    STYLE = "punctuation or casing"
    NUMBERS = "inverse text normalisation"
    SPELLING = "spelling"
    TRUNCATION = "truncation"
    DECODER = "decoder flag"
    BASE = "the untuned base is served"
    SAMPLE_RATE = "sample rate"
    CONVERSION = "audio conversion"
    UNSTEADY = "answers are not repeatable"
    PRECISION = "arithmetic"
    OTHER_MODEL = "another model"
    LABELS = "labels in another order"
    METADATA = "missing or wrong metadata"
    NORMALISATION = "normalisation of the features"
    DITHER = "dither"
    MEL_BANDS = "mel bands"
    FRAME_PHASE = "frame phase"
    END_FRAMES = "frames at the ends"
    WINDOW = "window of the features"
    LOG_FLOOR = "floor of the logarithm"
    GREEDY = "greedy settings"
    QUANTISATION = "quantisation"
    SERVER = "the server before its engine"
    FEATURES = "the engine's own features"
    UNEXPLAINED = "not explained"


REMEDIES: Mapping[CauseName, str] = {
    CauseName.STYLE: "no metric changes, since all normalise first. For the same text switch the "
    "service's automatic punctuation off in the request, or leave its punctuation model out of "
    "riva-build",
    CauseName.NUMBERS: "ask for verbatim transcripts, or build without the inverse text "
    "normalisation (wfst_tokenizer_model, wfst_verbalizer_model)",
    CauseName.SPELLING: "have the service write as the model does (its text normalisation, a word "
    "list or its punctuation model), since KER counts a term in another spelling as missed; "
    "canonical KER counts it as found",
    CauseName.TRUNCATION: "read all results of an answer, not the first alone; raise the service's "
    "limits for the length of a request, and look at its voice activity detection and endpointing",
    CauseName.DECODER: "build again with the decoder flag of the hand-off's deploy.sh "
    "(greedy_ctc for CTC, nemo for RNN-T and TDT), in a container of its NIM family",
    CauseName.BASE: "start the container with NIM_DISABLE_MODEL_DOWNLOAD=true and the exported "
    "model mounted: without it the container serves NVIDIA's own",
    CauseName.SAMPLE_RATE: "send the model's own rate, 16-bit mono PCM, and declare it truly; take "
    "resampling and telephony profiles out of the way between client and service",
    CauseName.CONVERSION: "write the recordings as 16-bit mono PCM at the model's rate yourself, "
    "and switch gain control off in front of the service",
    CauseName.UNSTEADY: "look for several replicas with different models behind one address",
    CauseName.PRECISION: "nothing: half precision and batching move a few words",
    CauseName.OTHER_MODEL: "compare the SHA-256 of what was built with the hand-off's; build and "
    "deploy again from that folder, and clear the old export",
    CauseName.LABELS: "make the bundle again; the list of labels belongs to the graph",
    CauseName.METADATA: "make the bundle again with this version; an engine replaces what is "
    "missing by a default",
    CauseName.NORMALISATION: "set normalize_type in the graph's metadata to the model's",
    CauseName.DITHER: "switch the engine's dither off: NeMo adds none outside of training",
    CauseName.MEL_BANDS: "set high_freq to 0 (half the sample rate) in FeatureExtractorConfig",
    CauseName.FRAME_PHASE: "put the bundle's lead_silence before each recording, its trail_silence "
    "after it, and set snip_edges as it says: sherpa-onnx's first frame begins half a hop later "
    "than NeMo's",
    CauseName.END_FRAMES: "put the bundle's trail_silence after each recording and set snip_edges "
    "as it says: sherpa-onnx mirrors both ends and hears one frame more than NeMo",
    CauseName.WINDOW: "no option of the engine: it has another window for transducers than NeMo. "
    "Use onnx-asr, or a CTC model",
    CauseName.LOG_FLOOR: "no option of the engine: quiet sounds are cut off where NeMo adds a "
    "constant. Use onnx-asr where it matters",
    CauseName.GREEDY: "no option of the engine: it writes fewer labels a frame than the model was "
    "measured with. Use onnx-asr",
    CauseName.QUANTISATION: "compare the figures of both precisions; serve fp32 where terms "
    "are lost",
    CauseName.SERVER: "the bundle is not at fault: compare the server's versions of engine, "
    "onnxruntime, soundfile and soxr with this environment's",
    CauseName.FEATURES: "no option of the engine: compute the features as NeMo does, or use "
    "another engine",
    CauseName.UNEXPLAINED: "look at the rows below and at the build's flags",
}


@dataclass(frozen=True, slots=True)
class Cause:
    """One cause with its evidence.

    Attributes:
        name: of the cause.
        rows: that it explains.
        evidence: sentences without their full stop.
    """

    name: CauseName
    rows: int
    evidence: tuple[str, ...]

    @property
    def remedy(self) -> str:
        """The remedy, in words that end no sentence."""
        return REMEDIES[self.name]

    def as_dict(self) -> dict[str, Any]:
        """Return the cause as the report holds it."""
        return {
            "cause": self.name.value,
            "rows": self.rows,
            "evidence": list(self.evidence),
            "remedy": self.remedy,
            "route": neighbour_stages.SERVING,
        }
