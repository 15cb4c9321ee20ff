"""An engine that gives recorded answers over a real socket, to the real docker SDK.

For what an engine without registry, NVIDIA's runtime or a defect cannot be brought to say. The
words are those that engines and NVIDIA's hook gave to their users.
"""

from __future__ import annotations

import json
import socketserver
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

ID = "0123abcd"
IMAGE = {"Id": "sha256:feed", "RepoDigests": ["nvcr.io/nvidia/nemo@sha256:feed"]}
PRESENT: dict[str, tuple[int, Any]] = {
    "GET /_ping": (200, "OK"),
    "GET /version": (200, {"ApiVersion": "1.41"}),
    "GET /info": (200, {"SecurityOptions": ["name=seccomp,profile=default"]}),
    "GET /containers/json": (200, []),
    "GET /images/": (200, IMAGE),
    "POST /containers/create": (201, {"Id": ID, "Warnings": []}),
    f"GET /containers/{ID}/json": (200, {"Id": ID, "State": {"Status": "running"}}),
    f"POST /containers/{ID}/start": (204, ""),
    f"POST /containers/{ID}/stop": (304, ""),
    f"DELETE /containers/{ID}": (204, ""),
}
"""An engine in which all goes well, by the start of "METHOD /path"."""
VANISHES = (0, "")
"""An answer: none; the connection is closed."""


@dataclass
class Recorded:
    """What was asked for, in order: "METHOD /path" without the API's version and parameters."""

    asked: list[str] = field(default_factory=list)

    @property
    def containers_left(self) -> bool:
        """Whether a container was made and not removed."""
        made = self.asked.count("POST /containers/create")
        return made > self.asked.count(f"DELETE /containers/{ID}")


@contextmanager
def answering(
    socket: Path, answers: Mapping[str, tuple[int, Any] | list[tuple[int, Any]]]
) -> Iterator[Recorded]:
    """Serve these answers, and those of PRESENT where there is none, on a Unix socket.

    Of a list each answer is given once, and the last one from then on.
    """
    recorded = Recorded()
    known: dict[str, Any] = {**PRESENT, **answers}

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            path = self.path.partition("?")[0]
            if path.startswith("/v1."):
                path = path[path.index("/", 1) :]
            asked = f"{self.command} {path}"
            recorded.asked.append(asked)
            matching = [known[start] for start in known if asked.startswith(start)]
            found = matching[0] if matching else (404, {})
            if isinstance(found, list):
                found = found.pop(0) if len(found) > 1 else found[0]
            status, body = found
            if not status:
                self.close_connection = True
                return
            lines = body if isinstance(body, str) else json.dumps(body)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(lines.encode())))
            self.end_headers()
            self.wfile.write(lines.encode())

        do_GET = do_POST = do_DELETE = answer  # noqa: N815 - http.server's names

        def address_string(self) -> str:
            return "unix"

        def log_message(self, *_: object) -> None:
            pass

    class Server(socketserver.ThreadingUnixStreamServer):
        daemon_threads = True

    with Server(str(socket), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield recorded
        finally:
            server.shutdown()
