"""NeMo's recognisers, taken apart: features and encoder, greedy decoding, text.

``transcribe()`` does these one after the other, batch by batch, and waits for each. Here they are
three steps that the pipeline may run at the same time. What is computed is the same: the model's
own modules are called, and the text is spelt by its own decoding object.

Models whose forward pass is another than CTC's, RNN-T's or TDT's, and beam search, are not taken
apart: ``whole`` says so, and they are decoded by their own ``transcribe()``.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import cuda_graphs  # type: ignore[import-not-found]  # lies beside this file
import decoding_parts  # type: ignore[import-not-found]  # likewise
import encoder_runner  # type: ignore[import-not-found]  # likewise
import nemo_audio_formats  # type: ignore[import-not-found]  # likewise
import nvrtc_guard  # type: ignore[import-not-found]  # likewise
import phrase_boosting  # type: ignore[import-not-found]  # likewise
import torch
from audio_reader import FULL_SCALE  # type: ignore[import-not-found]  # likewise
from greedy_labels import (  # type: ignore[import-not-found]  # likewise
    Encoded,
    Labels,
    PendingLabels,
    merge,
)
from length_batching import Budget  # type: ignore[import-not-found]  # likewise
from nemo.collections.asr.models import ASRModel
from nemo.collections.asr.modules import ConformerEncoder
from omegaconf import OmegaConf, open_dict
from onednn_linear import (  # type: ignore[import-not-found]  # likewise
    OneDnnLinear,
    use_onednn_linears,
)
from token_decoder import TokenDecoder  # type: ignore[import-not-found]  # likewise

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# A frame budget beyond which a GPU's arithmetic units are busy anyway, measured on an H100.
GPU_FRAMES = 200_000
GPU_ROWS = 512
# Greedy decoding of transducers takes as long for many rows as for few. On a small GPU memory is
# the bound, of which encodings and the loop's own copies take a share.
GPU_DECODED_TOGETHER = 2048
_LEAST_TOGETHER = 256
_TOGETHER_SHARE = 0.1
# On a CPU small batches stay in its caches, measured with the embedded base on two cores.
CPU_FRAMES = 3_000
CPU_ROWS = 16
CPU_WARM_UP = 100
# Parameters from which on 16 bits pay. A smaller model keeps a GPU waiting for its next operation
# either way, and its texts change: 16 of 240 of the embedded base's, and KER with them.
_LARGE = 100_000_000
_MEMORY_SHARE = 0.7
_PROBE_FRAMES = 30_000


def restore(path: str, device: str) -> Any:  # noqa: ANN401 - NeMo ships no types
    """Restore a model for inference; from here on NeMo is guarded against what it does itself."""
    nvrtc_guard.install()
    cuda_graphs.install()
    nemo_audio_formats.by_content()  # for those that their own transcribe() decodes
    # A GPU's convolutions round 32 bits to ten by default, each algorithm in its own way. So a text
    # depended on what else was in its batch: 3 of 1,440 differed, and without the rounding none.
    torch.backends.cudnn.allow_tf32 = False
    model = ASRModel.restore_from(path, map_location=device)
    if model.cfg.get("validation_ds") is None:
        # transcribe() reads this key, and a model that was never validated lacks it.
        with open_dict(model.cfg):
            model.cfg.validation_ds = OmegaConf.create({"sample_rate": model.cfg.sample_rate})
    return model.to(device).eval()


def compute_dtype(model: Any, name: str | None = None) -> torch.dtype:  # noqa: ANN401
    """Return the number format to decode in: bfloat16 for a large model on a GPU that has it.

    Args:
        model: as ``restore`` returns it.
        name: "float32" or "bfloat16", instead.
    """
    if name is not None:
        return {"float32": torch.float32, "bfloat16": torch.bfloat16}[name]
    parameters = list(model.parameters())
    large = sum(parameter.numel() for parameter in parameters) >= _LARGE
    if parameters[0].is_cuda and large and torch.cuda.is_bf16_supported():
        return torch.bfloat16
    return torch.float32


class GreedyRecognizer:
    """A model, ready to decode batch by batch.

    Attributes:
        model: NeMo's.
        device: where it is.
        rate: Hz of the audio it hears.
        whole: why it is decoded by its own ``transcribe()``, or "".
        together: recordings whose labels are computed at once, at most; set by ``warm_up``.
        keeps_scores: whether a CTC model's encoding keeps every label's score, so that the same
            encoding can be decoded with and without phrases.
    """

    def __init__(
        self,
        model: Any,  # noqa: ANN401
        dtype: torch.dtype = torch.float32,
        *,
        fold: bool = True,
    ) -> None:
        """Take a restored model apart.

        Args:
            model: as ``restore`` returns it; its weights are cast to ``dtype``, and on a CPU its
                linear layers may be replaced (``packed``), so that it is the recogniser's from
                here.
            dtype: of encoder and decoder; features are always computed in 32 bits.
            fold: whether to fold the encoder, where that can be done.
        """
        # Not only for the caller's sake: transcribe() leaves parts of a model in training mode, and
        # a graph that is captured with dropout keeps it.
        self.model = model.eval()
        self.dtype = dtype
        self.device: torch.device = next(model.parameters()).device
        self.rate = int(model.cfg.sample_rate)
        self._forward: Any
        self.whole: str
        self._forward, self._decoding, self.whole = decoding_parts.parts_of(model)
        self._packed = 0
        self.together = 1
        self.keeps_scores = False
        self._boosted = ""
        self._ctc_decoder: Any = None
        self._computer: Any = None
        # Before the weights are cast, so that what is folded is rounded once.
        encoder = getattr(model, "encoder", None)
        self.encoder = encoder_runner.EncoderRunner(encoder, dtype, fold=fold and not self.whole)
        for name, part in model.named_children():
            # 16 bits are too few for a waveform and its spectrum.
            if name != "preprocessor":
                part.to(dtype)
        if self.whole:
            return
        self.encoder.check()
        # Other encoders might read a layer's weights instead of calling it.
        calls_layers = isinstance(model.encoder, ConformerEncoder)
        is_plain = self.encoder.folded is None
        if is_plain and calls_layers and dtype == torch.float32 and not self.on_gpu:
            self._packed = use_onednn_linears(model.encoder)
        featurizer = getattr(model.preprocessor, "featurizer", None)
        # As transcribe() sets them: no noise, no padding.
        for name, value in (("dither", 0.0), ("pad_to", 0)):
            if hasattr(featurizer, name):
                setattr(featurizer, name, value)
        self._computer = getattr(self._decoding.decoding, "decoding_computer", None)
        self._speller = TokenDecoder(model, self._decoding, ctc=not self.is_transducer)
        if self.decodes_together:
            enable: Any = getattr(self._computer, "maybe_enable_cuda_graphs", lambda: None)
            enable()

    @property
    def on_gpu(self) -> bool:
        """True if it decodes on a GPU."""
        return self.device.type == "cuda"

    @property
    def is_transducer(self) -> bool:
        """True for an RNN-T or TDT, whose decoder runs label by label."""
        return self._forward is decoding_parts.transducer

    def boost(self, booster: Any, strength: float) -> None:  # noqa: ANN401 - a Booster
        """Prefer phrases from here on.

        Args:
            booster: the phrases, made for this model; None for sound alone.
            strength: what the tree's scores are multiplied by.

        Raises:
            SystemExit: the model is decoded by its own ``transcribe()``.
        """
        if self.whole:
            sys.exit(f"{phrase_boosting.NO_BOOSTING}: {self.whole}")
        self._boosted = "" if booster is None else f", phrases boosted by {strength:g}"
        if self.is_transducer and booster is None:
            phrase_boosting.unboost_transducer(self._computer)
        elif self.is_transducer:
            booster.boost_transducer(self._computer, strength)
        elif booster is None:
            self._ctc_decoder = None
        else:
            self._ctc_decoder = booster.ctc_decoder(self.model, self._decoding, strength)

    @property
    def decodes_together(self) -> bool:
        """True if greedy decoding takes as long for many rows as for few."""
        return self.is_transducer and self.on_gpu

    def describe(self) -> str:
        """Describe the decoding for the log; true once it has decoded something."""
        if self.whole:
            return self.whole
        kind = "transducer" if self.is_transducer else "CTC"
        description: str = (
            f"{kind} in {str(self.dtype).removeprefix('torch.')} on {self.device.type}"
        )
        if self._packed or self.encoder.packed:
            description += ", matrix products by oneDNN"
        description += self.encoder.describe() + self._boosted
        if not self.decodes_together:
            return description
        mode = getattr(self._computer, "cuda_graphs_mode", None)
        why_not = cuda_graphs.why_not(self._computer)
        if why_not:
            graphs = "with partial" if "while" in str(getattr(mode, "value", mode)) else "without"
            return f"{description}, {graphs} CUDA graphs, which is slower: {why_not}"
        if mode is None:
            return f"{description}, without CUDA graphs, which this decoder does not allow"
        if "full" in str(getattr(mode, "value", mode)).lower():
            return f"{description}, its loop in one CUDA graph"
        return (
            f"{description}, its loop in partial CUDA graphs, which is slower: loops inside a "
            "graph need a driver for CUDA 12.6 or newer, and the cuda-python package"
        )

    def load_weights(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Decode by other weights from here on; in place, so that a captured graph reads them too.

        Args:
            weights: of the same model, by the names of its state.
        """
        with torch.no_grad():
            for name, tensor in self.model.state_dict().items():
                tensor.copy_(weights[name])
            for name, layer in self.model.named_modules():
                if isinstance(layer, OneDnnLinear):
                    layer.load(weights[f"{name}.weight"], weights.get(f"{name}.bias"))
        prefix = "encoder."
        self.encoder.load(
            {
                name.removeprefix(prefix): tensor
                for name, tensor in weights.items()
                if name.startswith(prefix)
            }
        )

    def features(self, signal: torch.Tensor, lengths: torch.Tensor) -> tuple[Any, Any]:
        """Compute features, (recordings, bands, frames), and the frames of each recording."""
        signal = signal.to(self.device, non_blocking=True)
        if signal.dtype == torch.int16:
            signal = signal.float().mul_(1 / FULL_SCALE)
        lengths = lengths.to(self.device, non_blocking=True)
        features, counts = self.model.preprocessor(input_signal=signal, length=lengths)
        return features, counts

    def encode(self, signal: torch.Tensor, lengths: torch.Tensor) -> Encoded:
        """Compute features and encoder; on a GPU return before the encoder is computed."""
        return self.encode_features(*self.features(signal, lengths))

    def encode_features(self, features: torch.Tensor, counts: torch.Tensor) -> Encoded:
        """Compute the encoder; on a GPU return before it is computed."""
        output, counts = self.encoder(features, counts)
        output = self._forward(self.model, output)
        if not (self.is_transducer or self.keeps_scores or self._ctc_decoder is not None):
            output = output.argmax(dim=-1)
        return Encoded(output, counts)

    def decode(self, encoded: Sequence[Encoded]) -> Labels:
        """Decode several batches at once into greedy labels; wait until they are on the host."""
        return self.start_decoding(encoded).wait()

    def start_decoding(self, encoded: Sequence[Encoded]) -> PendingLabels:
        """Decode several batches at once into greedy labels; on a GPU return before they are."""
        if not self.is_transducer:
            merged = merge([self._best_labels(batch) for batch in encoded])
            return PendingLabels(merged.output, merged.lengths)
        merged = merge(encoded)
        # An older release answers (hypotheses, alignments, state).
        result, *_ = self._computer(x=merged.output.transpose(1, 2), out_len=merged.lengths)
        rows = merged.lengths.shape[0]
        # Half of the bytes; a label is far below that.
        ids = result.transcript[:rows].to(torch.int32)
        return PendingLabels(ids, result.current_lengths[:rows])

    def _best_labels(self, batch: Encoded) -> Encoded:
        """Return a CTC model's batch with the best label of every frame."""
        if self._ctc_decoder is not None:
            labels = phrase_boosting.decode_ctc(self._ctc_decoder, batch.output, batch.lengths)
            return Encoded(labels, batch.lengths)
        if batch.output.ndim == 2:  # noqa: PLR2004 - recordings and frames: labels already
            return batch
        return Encoded(batch.output.argmax(dim=-1), batch.lengths)

    def spell(self, labels: Labels) -> list[str]:
        """Return the text of each recording."""
        counts = labels.lengths.tolist()
        rows = [row[:count] for row, count in zip(labels.ids.tolist(), counts, strict=True)]
        texts: list[str] = self._speller(rows)
        return texts

    def budget(self, longest: int, frames: int | None = None) -> Budget:
        """Return the budget of a batch here.

        On a GPU two trial batches tell what a frame costs in memory, and warm everything up.

        Args:
            longest: frames of the longest recording.
            frames: of a batch, instead of the measured default.
        """
        if not self.on_gpu:
            return Budget(frames or CPU_FRAMES, CPU_ROWS if frames is None else 1 << 20)
        free, _ = torch.cuda.mem_get_info(self.device)
        reserved = torch.cuda.memory_reserved(self.device)
        free += reserved - torch.cuda.memory_allocated(self.device)
        short = max(longest // 4, 100)
        costs = [self._frame_bytes(length) for length in (short, max(longest, short + 1))]
        frame_bytes_each = max(0.0, (costs[1] - costs[0]) / max(1, longest - short))
        return Budget(
            frames or GPU_FRAMES,
            GPU_ROWS,
            max(costs[0] - frame_bytes_each * short, 1.0),
            frame_bytes_each,
            int(free * _MEMORY_SHARE),
        )

    def _frame_bytes(self, frames: int) -> float:
        """Return the bytes that a frame of a batch takes at the worst moment, by a trial batch."""
        rows = max(1, _PROBE_FRAMES // frames)
        samples = frames * self.rate // 100
        allocated = torch.cuda.memory_allocated(self.device)
        torch.cuda.reset_peak_memory_stats(self.device)
        self.encode(torch.zeros(rows, samples), torch.full((rows,), samples))
        torch.cuda.synchronize(self.device)
        return (torch.cuda.max_memory_allocated(self.device) - allocated) / (rows * frames)

    def warm_up(self, longest: int, together: int | None = None) -> None:
        """Run once through everything, with the longest recording's number of frames.

        A transducer's graph is captured for the largest group that will come, so that it need not
        be captured anew. A CPU has no graph to capture and no memory to measure, and two minutes of
        sound take it long. There the encoder only gets its table of positions for as many frames:
        it would be replaced while another thread reads it.

        Args:
            longest: frames.
            together: recordings of the largest group, where that is less than usual.
        """
        if not self.on_gpu and isinstance(self.model.encoder, ConformerEncoder):
            # Of silence of so many frames the features have one more.
            self.model.encoder.update_max_seq_length(longest + 1, self.device)
            longest = min(longest, CPU_WARM_UP)
        samples = longest * self.rate // 100
        encoded = self.encode(torch.zeros(1, samples), torch.tensor([samples]))
        self.together = self._fitting(encoded.output) if self.decodes_together else 1
        rows = min(together or self.together, self.together)
        output = encoded.output.expand(rows, *encoded.output.shape[1:])
        self.spell(self.decode([Encoded(output, encoded.lengths.expand(rows))]))

    def _fitting(self, output: torch.Tensor) -> int:
        """Return how many recordings as long as this one's encoding are decoded at once."""
        # Each batch's, all batches' in one, and what the loop projects and keeps of them.
        row_bytes = 4 * output[0].numel() * output.element_size()
        memory = torch.cuda.get_device_properties(self.device).total_memory
        fitting = int(memory * _TOGETHER_SHARE / row_bytes)
        return max(_LEAST_TOGETHER, min(fitting, GPU_DECODED_TOGETHER))

    def release(self) -> None:
        """Give back what memory can be given back, and decode half as many at once from here on."""
        self.together = max(1, self.together // 2)
        if self.on_gpu:
            if hasattr(self._computer, "reset_cuda_graphs_state"):
                self._computer.reset_cuda_graphs_state()
            torch.cuda.empty_cache()
