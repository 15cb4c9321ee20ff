"""A thousand requests to the ward server: none lost, each its own text, memory flat, no file.

    python -m benchmarks.ward_server BUNDLE [--requests 1000] [--at-once 4] [--json FILE]

The server is a process on loopback, asked by OpenAI's own client. Its texts are compared with those
of the same bundle in this process. Memory is that of the server's process. Where strace is there,
--strace counts the files that are opened to be written while it serves.
"""

from __future__ import annotations

import argparse
import io
import re
import shutil
import subprocess
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import quantiles
from typing import TYPE_CHECKING

import numpy as np
import openai
import soundfile

from asr_flywheel import embedded
from tasks.common import atomic_files
from tasks.common.telemetry import forbid_telemetry
from tasks.serving.edge import recognizers
from tasks.serving.edge.bundle import open_bundle
from tests.support import ward_processes

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from tests.support.ward_processes import WardProcess

RATE = 16000
_SOUNDS = 100
"""Different recordings; each is sent several times."""
_WARM = 50
"""Requests after which memory is read first: every thread and length has been there."""
_OPENED_TO_WRITE = re.compile(r"openat\(.*\bO_(?:WRONLY|RDWR|CREAT|TMPFILE)")


@dataclass(frozen=True, slots=True)
class WardMeasurement:
    """What so many requests came to.

    Attributes:
        requests: how many were sent.
        lost: without an answer.
        different: whose text is not the one of this process.
        seconds: from first to last.
        audio_seconds: of all recordings together.
        median_ms: of a request, from the client.
        slowest_ms: at the 99th percentile.
        memory_mib: resident, after the first requests and after each tenth of the others.
        files: that were open to write at any time, or opened so by strace.
    """

    requests: int
    lost: int
    different: int
    seconds: float
    audio_seconds: float
    median_ms: float
    slowest_ms: float
    memory_mib: tuple[float, ...]
    files: tuple[str, ...]


def make_sounds(number: int = _SOUNDS) -> list[npt.NDArray[np.float32]]:
    """Make recordings of 1.5 to 8 s: the shipped speech, once or several times, with noise."""
    speech, _ = soundfile.read(Path(embedded.__file__).with_name("speech.wav"), dtype="float32")
    noise = np.random.default_rng(22)
    sounds = []
    for place in range(number):
        sound = np.tile(speech, 1 + place % 5)
        sound = np.concatenate([np.zeros(160 * place, np.float32), sound])
        sounds.append(sound + noise.normal(size=len(sound)).astype(np.float32) * 0.002)
    return sounds


def _encode(sound: npt.NDArray[np.float32]) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, sound, RATE, format="WAV", subtype="PCM_16")
    return file.getvalue()


def measure(
    bundle: Path, requests: int = 1000, at_once: int = 4, *, trace: bool = False
) -> WardMeasurement:
    """Send requests to a server of a bundle's own."""
    sounds = [_encode(sound) for sound in make_sounds()]
    model = recognizers.load(open_bundle(bundle))
    expected = [
        model.recognise(soundfile.read(io.BytesIO(sound), dtype="float32")[0], RATE)
        for sound in sounds
    ]
    with (
        tempfile.TemporaryDirectory(prefix="asr-flywheel-ward-") as folder,
        ward_processes.running(bundle, Path(folder)) as ward,
    ):
        asking = openai.OpenAI(
            base_url=f"{ward.address}/v1", api_key=ward_processes.TOKEN, max_retries=0
        )
        name = asking.models.list().data[0].id
        milliseconds: list[float] = []
        memory: list[float] = []
        files: set[str] = set()

        def ask(place: int) -> str | None:
            began = time.perf_counter()
            try:
                answer = asking.audio.transcriptions.create(
                    model=name, file=("row.wav", sounds[place % len(sounds)])
                )
            except openai.OpenAIError:
                return None
            milliseconds.append((time.perf_counter() - began) * 1000)
            if len(milliseconds) % (requests // 10) == 0:
                memory.append(ward.memory_mib)
            return answer.text

        with ThreadPoolExecutor(at_once) as pool:
            list(pool.map(ask, range(_WARM)))
            memory[:] = [ward.memory_mib]
            milliseconds.clear()
            with _watching(ward, files), _tracing(ward, files) if trace else nullcontext():
                began = time.perf_counter()
                texts = list(pool.map(ask, range(requests)))
                seconds = time.perf_counter() - began
        files.update(str(path) for path in Path(folder).rglob("*"))
    shares = quantiles(milliseconds, n=100)
    return WardMeasurement(
        requests=requests,
        lost=texts.count(None),
        different=sum(
            text is not None and text != expected[place % len(sounds)]
            for place, text in enumerate(texts)
        ),
        seconds=round(seconds, 1),
        audio_seconds=round(
            sum((len(sounds[place % len(sounds)]) - 44) / 2 / RATE for place in range(requests)), 1
        ),
        median_ms=round(shares[49], 1),
        slowest_ms=round(shares[98], 1),
        memory_mib=tuple(round(figure, 1) for figure in memory),
        files=tuple(sorted(files)),
    )


@contextmanager
def _watching(ward: WardProcess, files: set[str]) -> Iterator[None]:
    """Look at the server's open files all the time."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.01):
            files.update(ward.files_open_to_write())

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield
    finally:
        ended.set()
        watching.join()


@contextmanager
def _tracing(ward: WardProcess, files: set[str]) -> Iterator[None]:
    """Have strace note what the server opens."""
    program = shutil.which("strace")
    if program is None:
        raise SystemExit("--strace: strace is not installed. Fix: apt-get install strace")
    with tempfile.NamedTemporaryFile("r", suffix=".strace") as log:
        line = [program, "-f", "-qq", "-e", "trace=openat,creat,memfd_create", "-o", log.name]
        with subprocess.Popen([*line, "-p", str(ward.process.pid)]) as tracing:
            time.sleep(1)
            if tracing.poll() is not None:
                raise SystemExit("--strace: the kernel does not let strace attach here")
            try:
                yield
            finally:
                tracing.terminate()
                tracing.wait()
        for call in log:
            if _OPENED_TO_WRITE.search(call) or "creat(" in call or "memfd_create(" in call:
                files.add(call.strip())


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--at-once", type=int, default=4)
    parser.add_argument("--strace", action="store_true")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    forbid_telemetry()
    measured = asdict(measure(given.bundle, given.requests, given.at_once, trace=given.strace))
    for name, value in measured.items():
        print(f"{name:<18} {value}")
    if given.json:
        atomic_files.write_json(given.json, measured)


if __name__ == "__main__":
    main()
