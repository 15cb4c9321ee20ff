"""A speech endpoint for tests: Riva's published protocol over real gRPC, decoding by a real model.

Not NVIDIA's server: behind the protocol a .nemo is decoded by NeMo. What it does wrong, it does on
purpose: each fault is a way in which a served model has been seen to differ from an offline one.
"""

from __future__ import annotations

import threading
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
import soundfile
import soxr
from riva.client.proto import riva_asr_pb2, riva_asr_pb2_grpc

from benchmarks.nemo_boosting import boost_by_nemo
from tasks.models.catalog import embedded_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

RATE = 16000


def resample(samples: Any, rate: int, to: int) -> Any:
    """16-bit samples at another rate, by a library that the product's probes do not use."""
    return soxr.resample(samples, rate, to)


@cache
def load(path: Path, noise: float = 0.0) -> Any:
    """A model for inference; with noise on its weights it is another model."""
    import torch  # noqa: PLC0415 - ten seconds that only the tests of serving pay
    from nemo.collections.asr.models import ASRModel  # noqa: PLC0415
    from nemo.utils import logging  # noqa: PLC0415

    logging.setLevel(logging.ERROR)
    # Threads that wait for each other on a busy machine cost more than they bring.
    torch.set_num_threads(1)
    model = ASRModel.restore_from(str(path), map_location="cpu").eval()
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for weights in model.parameters():
            if noise and weights.dim() > 1:
                drawn = torch.randn(weights.shape, generator=generator)
                weights.add_(noise * weights.std() * drawn)
    return model


@cache
def load_boosted(path: Path, phrases: tuple[str, ...], strength: float) -> Any:
    """A CTC model that heeds phrases by NeMo's own greedy decoding."""
    model = load.__wrapped__(path)  # not the one that others decode with
    boost_by_nemo(model, phrases, strength)
    return model


_decoding = threading.Lock()
_decoded: dict[tuple[object, ...], str] = {}


def decode(
    path: Path,
    noise: float,
    samples: Any,
    folder: Path,
    *,
    raw: bool = False,
    boost: tuple[tuple[str, ...], float] | None = None,
) -> str:
    """What a model hears.

    Args:
        path: of the .nemo.
        noise: on its weights.
        samples: of the recording.
        folder: for the recording.
        raw: leaves a CTC model's frames as they are, one piece each.
        boost: phrases that are heeded, and NeMo's strength.
    """
    import torch  # noqa: PLC0415 - as above

    key = (path, noise, samples.tobytes(), raw, boost)
    with _decoding:
        if key not in _decoded:
            model = load(path, noise) if boost is None else load_boosted(path, *boost)
            wav = folder / "request.wav"
            soundfile.write(wav, samples, RATE, subtype="PCM_16")
            with torch.inference_mode():
                if raw:
                    model.eval()  # transcribe() leaves the encoder in training mode
                    audio = torch.from_numpy(samples.astype(np.float32) / 32768)[None]
                    length = torch.tensor([audio.shape[1]])
                    best = model(input_signal=audio, input_signal_length=length)[2][0].tolist()
                    pieces = [one for one in best if one < model.tokenizer.vocab_size]
                    _decoded[key] = model.tokenizer.ids_to_text(pieces)
                else:
                    (found,) = model.transcribe([str(wav)], batch_size=1, verbose=False)
                    _decoded[key] = found.text
        return _decoded[key]


@dataclass
class Faults:
    """What the server does wrong, and how often.

    Attributes:
        audio: changes the samples before they are decoded.
        text: changes the text before it is answered.
        cut_s: seconds after which the audio is not looked at; 0 for all of it.
        noise: on the weights, in standard deviations: another model.
        raw_frames: the decoder's frames are not collapsed.
        busy: every call but each n-th is refused as too many; 0 for none.
        drops: after so many answers the connection is cut, once.
        refuses: a status code for every call.
        gone_after: so many answers, and then it is out of reach; 0 for never.
        on_call: is called at the start of every call.
        parameters: what it says of its model.
        key: what it asks for as an API key; "" for none.
        strength_of: NeMo's strength for Riva's score of boosted phrases; None: they go unheeded.
    """

    audio: Callable[[Any], Any] | None = None
    text: Callable[[str], str] | None = None
    cut_s: float = 0.0
    noise: float = 0.0
    raw_frames: bool = False
    busy: int = 0
    drops: int = 0
    refuses: grpc.StatusCode | None = None
    gone_after: int = 0
    on_call: Callable[[], object] | None = None
    parameters: dict[str, str] = field(default_factory=dict)
    key: str = ""
    strength_of: Callable[[float], float] | None = None


class Servicer(riva_asr_pb2_grpc.RivaSpeechRecognitionServicer):  # type: ignore[misc]  # no types
    """Recognise and the list of models; streaming is not there, as in an offline deployment."""

    def __init__(self, model: Path, faults: Faults, folder: Path) -> None:
        self.model = model
        self.faults = faults
        self.folder = folder
        self.calls = 0
        self.answered = 0
        self.metadata: list[dict[str, str]] = []
        self.configs: list[Any] = []
        self.cut = threading.Event()
        self._lock = threading.Lock()

    def Recognize(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        """One offline call."""
        with self._lock:
            self.calls += 1
            call = self.calls
        self._admit(request, context, call)
        faults = self.faults
        samples = np.frombuffer(request.audio, dtype=np.int16)
        rate = request.config.sample_rate_hertz
        if rate != RATE:
            samples = resample(samples, rate, RATE)
        heard = len(samples)
        if faults.cut_s:
            samples = samples[: round(faults.cut_s * RATE)]
        if faults.audio is not None:
            samples = faults.audio(samples)
        boost = None
        if faults.strength_of is not None:
            for boosted in request.config.speech_contexts:
                boost = tuple(boosted.phrases), faults.strength_of(boosted.boost)
        text = decode(
            self.model, faults.noise, samples, self.folder, raw=faults.raw_frames, boost=boost
        )
        if faults.text is not None:
            text = faults.text(text)
        answer = riva_asr_pb2.RecognizeResponse()
        if text:
            result = answer.results.add()
            result.audio_processed = min(len(samples), heard) / RATE if faults.cut_s else 0.0
            result.alternatives.add().transcript = f"{text} "
        with self._lock:
            self.answered += 1
            if faults.drops and self.answered == faults.drops:
                self.cut.set()
        return answer

    def _admit(self, request: Any, context: Any, call: int) -> None:
        """Let a call in, or refuse it."""
        told = dict(context.invocation_metadata())
        self.metadata.append(told)
        self.configs.append(request.config)
        if self.faults.key and told.get("authorization") != f"Bearer {self.faults.key}":
            context.abort(
                grpc.StatusCode.UNAUTHENTICATED, f"bad key {told.get('authorization', '')}"
            )
        if self.faults.refuses is not None:
            context.abort(self.faults.refuses, f"refused {told.get('authorization', '')}")
        if self.faults.on_call is not None:
            self.faults.on_call()
        if self.faults.gone_after and self.answered >= self.faults.gone_after:
            context.abort(grpc.StatusCode.UNAVAILABLE, "gone")
        if self.faults.busy and call % self.faults.busy:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many requests")

    def GetRivaSpeechRecognitionConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        """The models that it says it serves."""
        answer = riva_asr_pb2.RivaSpeechRecognitionConfigResponse()
        one = answer.model_config.add()
        one.model_name = "embedded-asr-offline"
        one.parameters.update({"type": "offline", **self.faults.parameters})
        return answer


@dataclass
class Running:
    """A server that runs: its address and what it was asked."""

    address: str
    servicer: Servicer


@contextmanager
def running(
    folder: Path,
    faults: Faults | None = None,
    *,
    model: Path | None = None,
    certificate: tuple[bytes, bytes] | None = None,
) -> Iterator[Running]:
    """Serve on loopback until the block ends.

    Args:
        folder: for the requests' audio.
        faults: what it does wrong; nothing by default.
        model: the .nemo that it serves; the embedded base by default.
        certificate: private key and certificate chain in PEM, for TLS.
    """
    servicer = Servicer(model or embedded_path(), faults or Faults(), folder)
    ending = threading.Event()
    state: dict[str, grpc.Server] = {}

    def start(address: str) -> int:
        server = grpc.server(futures.ThreadPoolExecutor(8))
        riva_asr_pb2_grpc.add_RivaSpeechRecognitionServicer_to_server(servicer, server)
        if certificate is None:
            port = server.add_insecure_port(address)
        else:
            port = server.add_secure_port(address, grpc.ssl_server_credentials([certificate]))
        server.start()
        state["server"] = server
        return int(port)

    port = start("127.0.0.1:0")

    def drop() -> None:
        # Cuts every connection at once, with calls under way, and comes back after a while.
        servicer.cut.wait()
        if not ending.is_set():
            state["server"].stop(grace=0).wait()
            ending.wait(0.5)
            start(f"127.0.0.1:{port}")

    dropper = threading.Thread(target=drop, daemon=True)
    dropper.start()
    try:
        yield Running(f"127.0.0.1:{port}", servicer)
    finally:
        ending.set()
        servicer.cut.set()
        dropper.join()
        state["server"].stop(grace=0).wait()
