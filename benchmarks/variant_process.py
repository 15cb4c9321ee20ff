"""The process of one variant of benchmarks.compiled_steps, which takes its parts in turn."""

from __future__ import annotations

import json
import queue
import re
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

from tasks.common import atomic_files

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

DONE = "-- done --"
"""What it prints when it has loaded, and behind each part."""
_REASONS = re.compile(
    r"[^\n]*(?:skipping cudagraph|Re-recording|[Rr]ecompil|fast path of CUDAGraph|"
    r"re-record|Unable to hit)[^\n]*"
)


class VariantProcess:
    """The process of a variant, which takes one part after the other."""

    def __init__(
        self, variant: str, folder: Path, args: argparse.Namespace, environment: dict[str, str]
    ) -> None:
        """Start it; it begins to load."""
        self.variant = variant
        self._trouble = ""
        self._out = folder / "figures.json"
        self._log = args.out.with_name(f"{args.out.stem}-{folder.name}.log")
        folder.mkdir()
        line = [sys.executable, "-m", "benchmarks.compiled_steps", *sys.argv[1:]]
        with self._log.open("w", encoding="utf-8") as errors:
            self._process = subprocess.Popen(
                [*line, "--worker", variant, "--worker-out", str(self._out)],
                env={
                    **environment,
                    # None finds what another one has compiled.
                    "TORCHINDUCTOR_CACHE_DIR": str(folder / "inductor"),
                    "TRITON_CACHE_DIR": str(folder / "triton"),
                    "TORCH_LOGS": "recompiles,cudagraphs,perf_hints",
                },
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self._answers: queue.Queue[bool] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - a pipe
        for line in self._process.stdout:
            if line.strip() == DONE:
                self._answers.put(True)
            else:
                print(line, end="", flush=True)
        self._answers.put(False)

    def wait(self, limit_s: float, what: str) -> None:
        """Wait until it has done what it was told; end it where it takes longer."""
        if self._trouble:
            return
        try:
            if not self._answers.get(timeout=max(0.0, limit_s)):
                self._trouble = f"{what}: the process ended"
        except queue.Empty:
            self._trouble = f"{what}: ended after {limit_s:.0f} s"
            self.end()
        if self._trouble:
            print(json.dumps({self.variant: self._trouble}), flush=True)

    def take(self, part: str, limit_s: float) -> None:
        """Let it measure a part."""
        if self._trouble:
            return
        assert self._process.stdin is not None  # noqa: S101 - a pipe
        self._process.stdin.write(f"{part}\n")
        self._process.stdin.flush()
        self.wait(limit_s, part)

    def figures(self) -> dict[str, Any]:
        """Return what it has measured, and why there is no more."""
        found: dict[str, Any] = atomic_files.read_json(self._out) if self._out.is_file() else {}
        return {**found, "ended": self._trouble} if self._trouble else found

    def reasons(self) -> list[str]:
        """Return what the compiler said of graphs that it does not replay, each once."""
        text = self._log.read_text(encoding="utf-8", errors="replace")
        lines = (line[-300:] for line in _REASONS.findall(text))
        return list(dict.fromkeys(lines))[:20]

    def end(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
