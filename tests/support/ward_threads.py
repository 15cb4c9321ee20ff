"""The ward server's own application in a thread of the tests, over a real socket.

A process of its own takes seconds to start; here faults are planted where a server could have them.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import uvicorn

from asr_flywheel.ward_server.application import ServedModel, create_application
from asr_flywheel.ward_server.service_limits import ServiceLimits
from tasks.serving.edge import recognizers
from tasks.serving.edge.bundle import open_bundle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tasks.serving.edge.recognizers import EdgeRecognizer, Samples

_PATIENCE_S = 60


@dataclass(frozen=True, slots=True)
class ChangedRecognizer:
    """A bundle's engine that gets other samples than the server has decoded."""

    recognizer: EdgeRecognizer
    change: Callable[[Samples], Samples]

    def recognise(self, samples: Samples, rate: int) -> str:
        """Return the text of the changed samples."""
        changed = np.asarray(self.change(samples), dtype=np.float32)
        return self.recognizer.recognise(changed, rate)


@contextmanager
def serving(
    folder: Path,
    change: Callable[[Samples], Samples] = lambda samples: samples,
    token: str | None = None,
) -> Iterator[str]:
    """Serve a bundle and yield the address.

    Args:
        folder: of the bundle.
        change: what is done to decoded samples before the engine gets them.
        token: that requests must bear.
    """
    bundle = open_bundle(folder)
    served = ServedModel(
        ChangedRecognizer(recognizers.load(bundle), change),
        bundle.model_name,
        bundle.sample_rate,
        facts={"fingerprint": bundle.fingerprint},
    )
    app = create_application(served, ServiceLimits(), token)
    config = uvicorn.Config(app, port=0, log_config=None, http="h11", ws="none", loop="asyncio")
    server = uvicorn.Server(config)
    running = threading.Thread(target=server.run, daemon=True)
    running.start()
    try:
        yield f"http://127.0.0.1:{_port(server)}"
    finally:
        server.should_exit = True
        running.join(_PATIENCE_S)


def _port(server: uvicorn.Server) -> int:
    end = time.monotonic() + _PATIENCE_S
    while time.monotonic() < end:
        if server.started:
            return int(server.servers[0].sockets[0].getsockname()[1])
        time.sleep(0.02)
    raise AssertionError("the server did not start")
