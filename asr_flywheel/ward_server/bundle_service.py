"""From a bundle to a running server."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from asr_flywheel.ward_server import server_process
from asr_flywheel.ward_server.application import ServedModel, create_application
from tasks.serving.edge import recognizers
from tasks.serving.edge.bundle import EdgeEngine, open_bundle

if TYPE_CHECKING:
    from pathlib import Path

    from asr_flywheel.ward_server.server_process import ListenAddress
    from asr_flywheel.ward_server.service_limits import ServiceLimits
    from tasks.serving.edge.bundle import EdgeBundle

_WARM_UP_S = 2
_BOOSTING = {
    EdgeEngine.ONNX_ASR: "none: onnx-asr has no boosting of phrases",
    EdgeEngine.SHERPA_ONNX: "none: sherpa-onnx boosts phrases in a beam search of transducers only",
}


@dataclass(frozen=True, slots=True)
class ServiceRequest:
    """What is to be served, where and how.

    Attributes:
        folder: of the bundle.
        address: to listen on.
        limits: of a request.
        name: that clients ask for; None for the bundle's.
        threads: of the processor for one recording; None for all that it has.
    """

    folder: Path
    address: ListenAddress
    limits: ServiceLimits
    name: str | None = None
    threads: int | None = None


def serve_bundle(request: ServiceRequest) -> None:
    """Load a bundle and answer requests until a signal.

    Raises:
        InputError: bundle, address or token cannot be used.
    """
    token = server_process.read_token(request.address)
    bundle = open_bundle(request.folder)
    model = recognizers.load(bundle, threads=request.threads or len(os.sched_getaffinity(0)))
    # What cannot transcribe is found now, not by the first client.
    model.recognise(np.zeros(_WARM_UP_S * bundle.sample_rate, np.float32), bundle.sample_rate)
    served = ServedModel(
        model,
        request.name or bundle.model_name,
        bundle.sample_rate,
        tuple(bundle.record.get("languages", ())),
        _facts(bundle),
    )
    title = f"{served.name} ({bundle.decoder.value}, {bundle.precision.value})"
    guard = create_application(served, request.limits, token)
    server_process.serve(guard, request.address, request.limits, title)


def _facts(bundle: EdgeBundle) -> dict[str, Any]:
    """Return what ``/v1/models`` says beside OpenAI's fields."""
    return {
        "bundle": bundle.model_name,
        "fingerprint": bundle.fingerprint,
        "source_sha256": bundle.source_sha256,
        "decoder": bundle.decoder.value,
        "precision": bundle.precision.value,
        "sample_rate": bundle.sample_rate,
        "engine": f"{bundle.engine.value} {recognizers.engine_version(bundle.engine)}",
        "boosting": _BOOSTING[bundle.engine],
    }
