"""A bundle loaded in its engine, and recordings decoded there one by one."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import soundfile

from tasks.common.errors import InputError
from tasks.common.installation import install_fix
from tasks.models.nemo_archive import Decoder
from tasks.serving.edge.bundle import EdgeEngine, graph_names

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

    from tasks.serving.edge.bundle import EdgeBundle, Framing

    Samples = npt.NDArray[np.float32]

PACKAGES = {
    EdgeEngine.ONNX_ASR: "onnx-asr",
    EdgeEngine.SHERPA_ONNX: "sherpa-onnx",
    EdgeEngine.ONNX: "onnxruntime",
}
SHERPA_HIGH_FREQ = 0.0
"""Upper edge of the mel bands: half the rate, as NeMo's. Of transducers sherpa-onnx takes 400 Hz
less by default."""
_RATE = 16000
"""Hz of the silences of a framing."""
_HOP = 160
"""Samples from frame to frame at that rate."""


class EdgeRecognizer(Protocol):
    """A model in an engine."""

    def recognise(self, samples: Samples, rate: int) -> str:
        """Return the text of one recording.

        Args:
            samples: from -1 to 1, one channel.
            rate: in Hz.
        """

    def recognise_together(self, several: Sequence[Samples], rate: int) -> list[str]:
        """Return the texts of recordings of one rate, decoded as one batch."""


def engine_version(engine: EdgeEngine) -> str:
    """Return the installed version of an engine.

    Raises:
        InputError: it is not installed.
    """
    package = PACKAGES[engine]
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError as error:
        raise InputError(
            f"{package} is not installed in this environment. Fix: {install_fix('edge')}."
        ) from error


def load(bundle: EdgeBundle, *, threads: int = 1) -> EdgeRecognizer:
    """Load a bundle in its engine.

    Args:
        bundle: for onnx-asr or sherpa-onnx.
        threads: of one operation.

    Raises:
        InputError: the engine is not installed, or the bundle is for none.
    """
    engine_version(bundle.engine)
    if bundle.engine is EdgeEngine.ONNX_ASR:
        return _OnnxAsr(_load_onnx_asr(bundle, threads), bundle.framing)
    if bundle.engine is EdgeEngine.SHERPA_ONNX:
        # The ward server's image has no onnx, which reads the metadata.
        from tasks.serving.edge import engine_files  # noqa: PLC0415

        engine_files.require_loadable(bundle)
        return _SherpaOnnx(_load_sherpa(bundle, threads), bundle.framing)
    raise InputError(
        f"{bundle.folder}: is for programs of your own (engine {bundle.engine.value}); no engine "
        "here loads it. Fix: `asr-flywheel handoff CYCLE --format onnx-asr`."
    )


def read_samples(path: Path) -> tuple[Samples, int]:
    """Read a recording as one channel of float32, with its rate in Hz.

    Raises:
        soundfile.SoundFileError: it cannot be read.
    """
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return samples.mean(axis=1, dtype=np.float32), int(rate)


def framed(samples: Samples, framing: Framing, rate: int) -> Samples:
    """Return a recording with the silence around it that its engine needs.

    Args:
        samples: of the recording.
        framing: of the bundle.
        rate: in Hz.
    """
    lead, trail = (silence * rate // _RATE for silence in (framing.lead, framing.trail))
    if framing.snipped:
        # Without one whole frame sherpa-onnx has no features, and its graphs fail.
        trail += max(0, _HOP * rate // _RATE - len(samples))
    if not lead and not trail:
        return samples
    return np.pad(samples, (lead, trail))


@dataclass(frozen=True, slots=True)
class _OnnxAsr:
    model: Any
    framing: Framing

    def recognise(self, samples: Samples, rate: int) -> str:
        whole = framed(samples, self.framing, rate)
        return str(self.model.recognize(whole, sample_rate=rate))

    def recognise_together(self, several: Sequence[Samples], rate: int) -> list[str]:
        batch = [framed(samples, self.framing, rate) for samples in several]
        return [str(text) for text in self.model.recognize(batch, sample_rate=rate)]


def _load_onnx_asr(bundle: EdgeBundle, threads: int) -> Any:  # noqa: ANN401 - onnx-asr's own
    import onnx_asr  # noqa: PLC0415 - of the extra
    import onnxruntime  # noqa: PLC0415 - likewise

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Threads that wait by turning take the processor from whatever else this machine does: with
    # two of them a second of audio cost 11 ms of the processor, without turning 6.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    providers = ["CPUExecutionProvider"]
    return onnx_asr.load_model(
        bundle.model_type,
        bundle.folder,
        quantization=bundle.quantization,
        sess_options=options,
        providers=providers,
        # On a CPU its default is numpy, whose own threads cost as much as the model. The graph of
        # the same features gives the same texts (docs/log/2026-11-29-edge.md).
        preprocessor_config={
            "use_numpy_preprocessors": False,
            "sess_options": options,
            "providers": providers,
        },
    )


@dataclass(frozen=True, slots=True)
class _SherpaOnnx:
    recognizer: Any
    framing: Framing

    def recognise(self, samples: Samples, rate: int) -> str:
        return self.recognise_together([samples], rate)[0]

    def recognise_together(self, several: Sequence[Samples], rate: int) -> list[str]:
        streams = [self.recognizer.create_stream() for _ in several]
        for stream, samples in zip(streams, several, strict=True):
            stream.accept_waveform(rate, framed(samples, self.framing, rate))
        self.recognizer.decode_streams(streams)
        return [str(stream.result.text) for stream in streams]


def _load_sherpa(bundle: EdgeBundle, threads: int) -> Any:  # noqa: ANN401 - sherpa-onnx's own
    import sherpa_onnx  # noqa: PLC0415 - of the extra
    from sherpa_onnx.lib._sherpa_onnx import OfflineRecognizer  # noqa: PLC0415 - likewise

    graphs = [
        str(bundle.folder / name)
        for name in graph_names(bundle.engine, bundle.decoder, bundle.precision)
    ]
    common = {"tokens": str(bundle.folder / "tokens.txt"), "num_threads": threads}
    if bundle.decoder is Decoder.CTC:
        model = sherpa_onnx.OfflineModelConfig(
            nemo_ctc=sherpa_onnx.OfflineNemoEncDecCtcModelConfig(model=graphs[0]),
            model_type="nemo_ctc",
            **common,
        )
    else:
        encoder, decoder, joiner = graphs
        model = sherpa_onnx.OfflineModelConfig(
            transducer=sherpa_onnx.OfflineTransducerModelConfig(
                encoder_filename=encoder, decoder_filename=decoder, joiner_filename=joiner
            ),
            model_type="nemo_transducer",
            **common,
        )
    features = sherpa_onnx.FeatureExtractorConfig(
        sampling_rate=bundle.sample_rate,
        feature_dim=int(bundle.features["nfilt"]),
        high_freq=float(bundle.record.get("high_freq", SHERPA_HIGH_FREQ)),
        dither=float(bundle.record.get("dither", 0.0)),
        snip_edges=bundle.framing.snipped,
    )
    config = sherpa_onnx.OfflineRecognizerConfig(feat_config=features, model_config=model)
    # The package's own methods, one for each kind of model, take no edge of the mel bands.
    return OfflineRecognizer(config)
