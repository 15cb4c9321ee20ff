"""A Riva speech endpoint: where it is, whether audio leaves the machine, one recognise call.

Self-hosted: host:port, without TLS. Hosted (NVCF): TLS, a function id and an API key. The key comes
from the environment or from a Prefect Secret block, is sent over TLS only, and is never part of a
message, a record or a repr.
"""

from __future__ import annotations

import copy
import os
import re
import time
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tenacity
from pydantic import Field

from tasks.common.errors import FlywheelError, InputError
from tasks.common.installation import install_fix
from tasks.common.loopback import is_loopback
from tasks.common.parameter_model import ParameterModel
from tasks.common.parameter_names import name_of, with_names

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping

    from tasks.serving.word_boosting import WordBoost

HOSTED = "grpc.nvcf.nvidia.com:443"
ENDPOINT_VARIABLE = "ASR_ENDPOINT"
FUNCTION_VARIABLE = "ASR_NVCF_FUNCTION_ID"
NAME_VARIABLE = "ASR_MODEL_NAME"
KEY_VARIABLE = "NVIDIA_API_KEY"

_ADDRESS = re.compile(r"(?:\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}")
# A row is at most half a minute of audio; a NIM that builds its engines may take this long once.
_DEADLINE_S = 120.0
# What a busy or restarting service answers, or what a cut connection looks like.
# A server that stops cancels what is under way; this client cancels nothing.
_TRANSIENT = ("RESOURCE_EXHAUSTED", "UNAVAILABLE", "DEADLINE_EXCEEDED", "ABORTED", "CANCELLED")
_CUT = re.compile(r"RST_STREAM|connection reset|broken pipe|socket closed|GOAWAY", re.IGNORECASE)


class ServingError(FlywheelError):
    """The endpoint did not answer a row; what was answered before is kept."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Patience with a busy endpoint: exponential back-off with full jitter.

    Attributes:
        attempts: calls of one row, the first included.
        first_s: upper bound of the first pause, which then doubles.
        longest_s: upper bound of any pause.
    """

    attempts: int = 8
    first_s: float = 1.0
    longest_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The address, key and settings of a recognition service.

    Attributes:
        address: host:port.
        tls: whether the connection is encrypted.
        function_id: of a hosted function, or "".
        model_name: how reports name what is served.
        language_code: of the request.
        punctuation: whether the service's own punctuation is asked for.
        verbatim: whether spoken numbers stay words (no inverse text normalisation).
        tls_root: certificates to trust, if not the system's.
        api_key: for a hosted function.
    """

    address: str
    tls: bool = False
    function_id: str = ""
    model_name: str = ""
    language_code: str = "en-US"
    punctuation: bool = False
    verbatim: bool = True
    tls_root: Path | None = None
    api_key: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if _ADDRESS.fullmatch(self.address) is None:
            raise InputError(
                f"endpoint {self.address!r}: must be host:port, without http://. "
                "Fix: such as localhost:50051."
            )
        if self.function_id and not self.api_key:
            raise InputError(
                f"endpoint {self.address}: a hosted function needs a key. Fix: export "
                f"{KEY_VARIABLE}, or name a Prefect Secret block; it is never an argument."
            )
        if self.tls_root is not None and not self.tls:
            raise InputError(
                f"{name_of('endpoint.tls_root')} {self.tls_root}: has no effect without "
                f"{name_of('endpoint.tls')}, and recordings would cross the network readable. "
                f"Fix: add {name_of('endpoint.tls')}, or leave it out."
            )
        if self.api_key and not self.tls:
            raise InputError(
                f"endpoint {self.address}: a key is sent over TLS only. Fix: switch TLS on, or "
                "leave the function id out for a server of your own."
            )

    @property
    def host(self) -> str:
        """The host of the address."""
        return self.address.rpartition(":")[0].strip("[]")

    @property
    def is_local(self) -> bool:
        """True if it is this machine, so that no audio leaves it."""
        return is_loopback(self.host)

    @property
    def name(self) -> str:
        """The name in reports."""
        return self.model_name or self.function_id or self.address

    def as_dict(self) -> dict[str, Any]:
        """Return all that a record may know of it: everything but the key."""
        return {
            "address": self.address,
            "tls": self.tls,
            "function_id": self.function_id,
            "model_name": self.model_name,
            "language_code": self.language_code,
            "punctuation": self.punctuation,
            "verbatim": self.verbatim,
        }


class EndpointSettings(ParameterModel):
    """An endpoint as a form asks for it; what is empty comes from the environment."""

    address: str = Field(
        "",
        title="Address",
        description="host:port of a server of your own. Empty: ASR_ENDPOINT, else NVIDIA's hosted "
        "service if a function is named.",
    )
    tls: bool = Field(
        False,
        title="TLS",
        description="Encrypt the connection; always on for NVIDIA's hosted service.",
    )
    tls_root: Path | None = Field(
        None, title="Certificates", description="PEM file to trust, if not the system's."
    )
    function_id: str = Field(
        "",
        title="Function id",
        description="Of a hosted function. Empty: ASR_NVCF_FUNCTION_ID, if no address is named.",
    )
    model_name: str = Field(
        "", title="Model name", description="For reports. Empty: ASR_MODEL_NAME."
    )
    language_code: str = Field("en-US", title="Language", description="Of the request.")
    punctuation: bool = Field(
        False,
        title="Automatic punctuation",
        description="Ask for the service's own; the offline evaluation has the model's alone.",
    )
    verbatim: bool = Field(
        True,
        title="Verbatim",
        description="Spoken numbers stay words, as the offline evaluation has them.",
    )

    def endpoint(self, find_key: Callable[[], str]) -> Endpoint:
        """Return the endpoint; call ``find_key`` only if a key is needed.

        Raises:
            InputError: neither an address nor a function is named, or a key is missing.
        """
        address = self.address or os.environ.get(ENDPOINT_VARIABLE, "")
        function = self.function_id
        if not address:
            function = function or os.environ.get(FUNCTION_VARIABLE, "")
            address = HOSTED if function else ""
        if not address:
            raise InputError(
                f"no endpoint. Fix: {name_of('endpoint.address')} HOST:PORT or {ENDPOINT_VARIABLE} "
                f"for a server of your own; {FUNCTION_VARIABLE} with {KEY_VARIABLE} for NVIDIA's "
                "hosted one."
            )
        return Endpoint(
            address=address,
            tls=self.tls or address == HOSTED,
            function_id=function,
            model_name=self.model_name or os.environ.get(NAME_VARIABLE, ""),
            language_code=self.language_code,
            punctuation=self.punctuation,
            verbatim=self.verbatim,
            tls_root=self.tls_root,
            api_key=find_key() if function else "",
        )


@dataclass(frozen=True, slots=True)
class RivaResult:
    """The endpoint's result for one recording.

    Attributes:
        text: the results' best transcripts, joined.
        results: how many results it came in.
        audio_seconds: how much audio the service says that it processed; 0 if it does not say.
    """

    text: str
    results: int
    audio_seconds: float


class Client:
    """A connection that may be used by several threads at once."""

    def __init__(self, endpoint: Endpoint, retry: Retry = Retry()) -> None:
        try:
            import grpc  # noqa: PLC0415 - an extra that only serving needs
            import riva.client  # noqa: PLC0415 - likewise
        except ImportError as missing:
            raise InputError(
                f"the Riva client is not installed. Fix: {install_fix('riva')}."
            ) from missing
        self._grpc, self._riva = grpc, riva.client
        self.endpoint = endpoint
        self.boost: WordBoost | None = None
        self._retry = retry
        hosted = [
            ["function-id", endpoint.function_id],
            ["authorization", f"Bearer {endpoint.api_key}"],
        ]
        self._auth = riva.client.Auth(
            uri=endpoint.address,
            use_ssl=endpoint.tls,
            ssl_root_cert=endpoint.tls_root,
            metadata_args=hosted if endpoint.api_key else None,
            # After a cut connection gRPC would wait for up to two minutes by itself.
            options=[
                ("grpc.initial_reconnect_backoff_ms", 200),
                ("grpc.max_reconnect_backoff_ms", 5000),
            ],
        )
        self._service = riva.client.ASRService(self._auth)

    def close(self) -> None:
        """Close the connection."""
        self._auth.channel.close()

    def with_boost(self, boost: WordBoost) -> Client:
        """Return a client of the same connection that sends phrases with each recording."""
        other = copy.copy(self)
        other.boost = boost
        return other

    def served(self) -> list[dict[str, Any]]:
        """List the models that the endpoint says it serves, with parameters; [] if it is silent.

        Raises:
            ServingError: it cannot be reached.
        """
        request = self._riva.proto.riva_asr_pb2.RivaSpeechRecognitionConfigRequest()
        call = self._service.stub.GetRivaSpeechRecognitionConfig
        try:
            answer = self._call_with_retries(
                lambda: self._call(call, request), None, lambda _: None
            )
        except self._grpc.RpcError as wrong:
            if wrong.code().name == "UNIMPLEMENTED":
                return []
            raise self._error("the list of its models", wrong) from wrong
        return [
            {"model": model.model_name, "parameters": dict(sorted(model.parameters.items()))}
            for model in answer.model_config
        ]

    def recognise(
        self,
        audio: bytes,
        sample_rate: int,
        label: str,
        stopping: threading.Event | None = None,
        report: Callable[[str], None] = lambda _: None,
    ) -> RivaResult:
        """Recognise one recording in one offline call.

        Args:
            audio: 16-bit mono PCM.
            sample_rate: Hz, as the request declares it.
            label: how messages name the recording.
            stopping: ends the waiting for a busy endpoint when it is set.
            report: is told of each further attempt.

        Raises:
            ServingError: the endpoint refuses the row, or stayed busy or out of reach.
            CancelledError: the event was set between two attempts.
        """
        config = self._riva.RecognitionConfig(
            encoding=self._riva.AudioEncoding.LINEAR_PCM,
            sample_rate_hertz=sample_rate,
            language_code=self.endpoint.language_code,
            max_alternatives=1,
            audio_channel_count=1,
            enable_automatic_punctuation=self.endpoint.punctuation,
            verbatim_transcripts=self.endpoint.verbatim,
        )
        if self.boost is not None:
            config.speech_contexts.add(phrases=self.boost.phrases, boost=self.boost.score)
        request = self._riva.proto.riva_asr_pb2.RecognizeRequest(config=config, audio=audio)
        call = self._service.stub.Recognize
        try:
            answer = self._call_with_retries(lambda: self._call(call, request), stopping, report)
        except self._grpc.RpcError as wrong:
            raise self._error(label, wrong) from wrong
        texts = [
            result.alternatives[0].transcript for result in answer.results if result.alternatives
        ]
        return RivaResult(
            " ".join(text.strip() for text in texts if text.strip()),
            len(answer.results),
            round(sum(result.audio_processed for result in answer.results), 3),
        )

    def _call(self, call: Any, request: object) -> Any:  # noqa: ANN401 - gRPC ships no types
        return call(request, metadata=self._auth.get_auth_metadata(), timeout=_DEADLINE_S)

    def _call_with_retries(
        self,
        call: Callable[[], Any],
        stopping: threading.Event | None,
        report: Callable[[str], None],
    ) -> Any:  # noqa: ANN401 - a message of the protocol
        def report_retry(state: tenacity.RetryCallState) -> None:
            wrong = state.outcome.exception() if state.outcome else None
            code = wrong.code().name if isinstance(wrong, self._grpc.RpcError) else "?"
            pause = state.next_action.sleep if state.next_action else 0.0
            report(f"{code}: attempt {state.attempt_number + 1} in {pause:.1f} s")

        def sleep(seconds: float) -> None:
            # Woken by the event, tenacity's own sleep would let one more call through.
            if stopping is None:
                time.sleep(seconds)
            elif stopping.wait(seconds):
                raise CancelledError

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(self._is_transient),
            wait=tenacity.wait_random_exponential(self._retry.first_s, self._retry.longest_s),
            stop=tenacity.stop_after_attempt(self._retry.attempts),
            sleep=sleep,
            before_sleep=report_retry,
            reraise=True,
        )
        return retrying(call)

    def _is_transient(self, wrong: BaseException) -> bool:
        if not isinstance(wrong, self._grpc.RpcError):
            return False
        return wrong.code().name in _TRANSIENT or bool(_CUT.search(wrong.details() or ""))

    def _error(self, label: str, wrong: Any) -> ServingError:  # noqa: ANN401 - gRPC ships no types
        code = wrong.code().name
        fix = with_names(_FIXES.get(code, "read the server's log"))
        if code in _TRANSIENT:
            fix += f"; it was tried {self._retry.attempts} times. Started again, it goes on there"
        details = _redact(wrong.details() or "", self.endpoint.api_key)
        return ServingError(f"{self.endpoint.address}: {label}: {code} ({details}). Fix: {fix}.")


_FIXES: Mapping[str, str] = {
    "UNAVAILABLE": "see that the server runs and answers on this port",
    "DEADLINE_EXCEEDED": "see whether the server is still loading its model",
    "RESOURCE_EXHAUSTED": "the service limits the rate: lower <concurrency>, or wait",
    "UNAUTHENTICATED": f"the key is not accepted: export a valid {KEY_VARIABLE}",
    "PERMISSION_DENIED": f"the key has no right to this function: check {FUNCTION_VARIABLE}",
    "NOT_FOUND": f"there is no such function or model: check {FUNCTION_VARIABLE}",
    "INVALID_ARGUMENT": "the server cannot take this request: check language and model; "
    "'CUDA illegal memory access' is a fault of the service itself",
    "UNIMPLEMENTED": "there is no offline recognition on this port: is it a streaming-only model?",
}


def _redact(text: str, secret: str) -> str:
    """Remove a secret from a text, since a server may quote what it was sent."""
    return text.replace(secret, "(key)") if secret else text
