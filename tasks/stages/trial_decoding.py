"""A trial of decoding: the bundled second of speech, where and on what a run would decode it."""

from __future__ import annotations

import importlib.util
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.common import hashing
from tasks.common.errors import FlywheelError
from tasks.models import catalog
from tasks.runtimes.container import ContainerRuntime
from tasks.runtimes.container_settings import ContainerSettings
from tasks.runtimes.failures import Fault
from tasks.runtimes.local import LocalRuntime
from tasks.stages.check_result import CheckResult, CheckStatus
from tasks.stages.container_checks import image
from tasks.transcription import offline
from tasks.transcription.audio_sets import AudioSet
from tasks.transcription.hypothesis_cache import TranscriptStore

if TYPE_CHECKING:
    from tasks.runtimes.base import Runtime
    from tasks.stages.check_result import CheckContext

_DECODE_FIX = "`asr-flywheel rehearse --only doctor` keeps the whole log; see docs/rehearsal.md"
_BUSY_WAIT_S = 10.0


@dataclass(frozen=True, slots=True)
class Decoded:
    """The outcome of decoding a second of speech where a run would.

    Attributes:
        finding: for people.
        figures: for a record: no text.
    """

    finding: CheckResult
    figures: dict[str, Any]


def decode(context: CheckContext) -> Decoded:
    """Decode the bundled speech by the embedded base, where and on what a run would."""
    check = "decoding"
    runtime = _make_runtime(context)
    if isinstance(runtime, CheckResult):
        return Decoded(runtime, {})
    speech, base_file = catalog.embedded_speech(), catalog.embedded_path()
    seconds = _seconds(speech)
    audio = AudioSet((speech,), (seconds,), (hashing.sha256_file(speech),), (speech.parent,))
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        store = TranscriptStore(Path(folder), "doctor")
        try:
            (transcript,) = offline.transcribe([base_file], audio, runtime, store)
        except FlywheelError as wrong:
            first, *rest = str(wrong).splitlines()
            raised = [line.strip() for line in rest if line.strip()][-1:]
            says = "; ".join([first, *raised])
            if first.startswith(Fault.GPU_BUSY.value):
                return Decoded(CheckResult(check, CheckStatus.NOTE, f"not tried: {first}"), {})
            return Decoded(
                CheckResult(check, CheckStatus.MISSING, says, _DECODE_FIX), {"decoded": False}
            )
    took = time.monotonic() - started
    (text,) = transcript.hypotheses
    right = text.strip() == catalog.EMBEDDED_SPEECH_SAYS
    summary = (
        f"{text.strip()!r} from {seconds:.1f} s of speech in {transcript.seconds:.2f} s, "
        f"{took:.0f} s with start-up; {transcript.how}"
    )
    figures = {
        "decoded": right,
        "decode_seconds": round(transcript.seconds, 3),
        "decode_wall_seconds": round(took, 1),
        "decode_rtfx": round(transcript.rtfx, 1),
        "decode_how": transcript.how,
    }
    if right:
        return Decoded(CheckResult(check, CheckStatus.OK, summary), figures)
    says = f"{summary}; {catalog.EMBEDDED_SPEECH_SAYS!r} was said"
    return Decoded(CheckResult(check, CheckStatus.MISSING, says, _DECODE_FIX), figures)


def _make_runtime(context: CheckContext) -> Runtime | CheckResult:
    """Return the runtime to decode in, or why that cannot be tried."""
    if context.runtime == "slurm":
        return CheckResult(
            "decoding", CheckStatus.NOTE, "not tried: a run asks the node when it begins"
        )
    if not context.contained:
        if any(importlib.util.find_spec(name) is None for name in ("nemo", "torch")):
            return CheckResult(
                "decoding", CheckStatus.NOTE, "not tried: NeMo is not installed here"
            )
        return LocalRuntime(context.host, locks_wait_s=_BUSY_WAIT_S)
    if image(context).state is not CheckStatus.OK:
        return CheckResult(
            "decoding", CheckStatus.NOTE, "not tried: no engine, or the image is not here"
        )
    settings = ContainerSettings.model_validate({"image": context.image})
    return ContainerRuntime(settings, context.host, locks_wait_s=_BUSY_WAIT_S)


def _seconds(path: Path) -> float:
    import soundfile  # noqa: PLC0415 - reads a shared library

    return float(soundfile.info(path).duration)
