"""The ward server as a process, asked by OpenAI's own client and by sockets that misbehave."""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import numpy as np
import openai
import pytest

from tasks.common.errors import InputError
from tasks.serving.edge import recognizers
from tasks.serving.edge.bundle import open_bundle
from tasks.serving.edge.http_transcription import TranscriptionServer, transcribe_over_http
from tests.support import band_bundles, ward_processes
from tests.support.ward_clients import PATH, RATE, encode_wav
from tests.support.ward_processes import TOKEN

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.ward_processes import WardProcess

pytestmark = pytest.mark.needs("proc", "edge")
AT_ONCE = 4


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that is made in milliseconds."""
    return band_bundles.write_bundle(tmp_path_factory.mktemp("bundles") / "bands")


@pytest.fixture(scope="module")
def ward(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WardProcess]:
    """A server for this module."""
    with ward_processes.running(bundle, tmp_path_factory.mktemp("temporary")) as found:
        yield found


def client(ward: WardProcess, token: str = TOKEN) -> openai.OpenAI:
    """OpenAI's client, which does not try again."""
    return openai.OpenAI(base_url=f"{ward.address}/v1", api_key=token, max_retries=0)


def test_every_recording_gets_its_own_text(ward: WardProcess, bundle: Path) -> None:
    """Of forty at four at once: the text that the model writes in this process; no file is open."""
    noise = np.random.default_rng(3)
    sounds = [
        encode_wav(noise.normal(size=RATE + 800 * place) * 0.1) for place in range(10 * AT_ONCE)
    ]
    model = recognizers.load(open_bundle(bundle))
    asking = client(ward)
    written: set[str] = set()

    def ask(sound: bytes) -> str:
        answer = asking.audio.transcriptions.create(model="bands", file=("row.wav", sound))
        written.update(ward.files_open_to_write())
        return answer.text

    with ThreadPoolExecutor(AT_ONCE) as pool:
        texts = list(pool.map(ask, sounds))
    expected = [model.recognise(_decoded(sound), RATE) for sound in sounds]
    assert texts == expected
    assert len(set(texts)) == len(texts)
    assert not written
    assert ward.limit("Max file size") == "0"
    assert ward.limit("Max core file size") == "0"


def _decoded(sound: bytes) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.frombuffer(sound[44:], "<i2").astype(np.float32) / np.float32(32768)


def test_a_large_upload_needs_no_file(ward: WardProcess) -> None:
    """The kernel lets this process write to none, and its folder for temporary ones stays empty."""
    sound = encode_wav(np.zeros(100 * RATE))
    answer = client(ward).audio.transcriptions.create(model="bands", file=("long.wav", sound))
    assert isinstance(answer.text, str)
    assert not list(ward.temporary.iterdir())


def test_the_client_reads_our_refusals(ward: WardProcess) -> None:
    """Token, size and sound, each as the exception that OpenAI's client has for it."""
    sound = encode_wav(np.zeros(RATE))
    with pytest.raises(openai.AuthenticationError, match="token is missing or wrong"):
        client(ward, "another").audio.transcriptions.create(model="bands", file=("a.wav", sound))
    with pytest.raises(openai.APIStatusError, match="larger than 25 MiB") as large:
        client(ward).audio.transcriptions.create(model="bands", file=("a", bytes(30_000_000)))
    assert large.value.status_code == 413
    with pytest.raises(openai.BadRequestError, match="cut short"):
        client(ward).audio.transcriptions.create(model="bands", file=("a.wav", sound[:9000]))
    with pytest.raises(openai.NotFoundError, match="'bands' is"):
        client(ward).audio.transcriptions.create(model="whisper-1", file=("a.wav", sound))
    assert client(ward).models.list().data[0].id == "bands"


@pytest.fixture(scope="module")
def small(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WardProcess]:
    """A server with the image's packages alone, at which nobody may wait; a test may end it."""
    folder = tmp_path_factory.mktemp("temporary")
    without = ward_processes.modules_beyond_image()
    assert {"prefect", "torch", "pandas"} <= without
    with ward_processes.running(bundle, folder, "--waiting", "0", without=without) as found:
        yield found


def test_an_evaluation_s_recordings_come_back_in_order(
    small: WardProcess, bundle: Path, tmp_path: Path
) -> None:
    """Of twelve at four at once, though all but one at a time are refused as too many."""
    noise = np.random.default_rng(4)
    sounds = [encode_wav(noise.normal(size=RATE + 800 * place) * 0.1) for place in range(12)]
    recordings = [tmp_path / f"{place}.wav" for place in range(len(sounds))]
    for recording, sound in zip(recordings, sounds, strict=True):
        recording.write_bytes(sound)
    server = TranscriptionServer(small.address, "bands", TOKEN)
    model = recognizers.load(open_bundle(bundle))
    expected = [model.recognise(_decoded(sound), RATE) for sound in sounds]
    assert transcribe_over_http(server, recordings, AT_ONCE) == expected
    (tmp_path / "0.wav").write_bytes(sounds[0][:9000])
    with pytest.raises(InputError, match=r"0\.wav: .* cut short"):
        transcribe_over_http(server, recordings[:1])


def test_a_client_that_sends_first_and_reads_then_gets_its_refusal(ward: WardProcess) -> None:
    """The rest of a refused upload is read before the connection is closed, as urllib wants it."""
    with connect(ward) as asking:
        asking.sendall(request_head(30_000_000) + bytes(30_000_000))
        assert asking.recv(4096).startswith(b"HTTP/1.1 413 ")


def test_a_request_that_has_begun_is_answered_after_the_signal(small: WardProcess) -> None:
    """Half of it comes after SIGTERM; then the process ends with 0, and says so."""
    body = (
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
        + encode_wav(np.zeros(RATE))
        + b"\r\n--x--\r\n"
    )
    with connect(small) as asking:
        asking.sendall(request_head(len(body), "Expect: 100-continue"))
        # The server asks for the body: the request has begun.
        assert asking.recv(4096).startswith(b"HTTP/1.1 100 ")
        asking.sendall(body[:1000])
        with ThreadPoolExecutor(1) as pool:
            ending = pool.submit(small.end)
            wait_until_closed(small)
            asking.sendall(body[1000:])
            answer = b""
            while part := asking.recv(65536):
                answer += part
            assert ending.result() == 0
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert small.lines[-1].endswith("every request that had begun was answered")
    assert not any("0.wav" in line or TOKEN in line for line in small.lines)


def connect(ward: WardProcess) -> socket.socket:
    """Connect to a server by hand."""
    place = urlsplit(ward.address)
    return socket.create_connection((str(place.hostname), int(place.port or 0)), 30)


def wait_until_closed(ward: WardProcess) -> None:
    """Wait until a server takes no new connection."""
    for _ in range(600):
        try:
            connect(ward).close()
        except ConnectionRefusedError:
            return
        time.sleep(0.05)
    pytest.fail("it still takes connections")


def request_head(length: int, *more: str) -> bytes:
    """The first lines of a transcription request with a body of so many bytes."""
    lines = [
        f"POST {PATH} HTTP/1.1",
        "Host: localhost",
        f"Authorization: Bearer {TOKEN}",
        "Connection: close",
        "Content-Type: multipart/form-data; boundary=x",
        f"Content-Length: {length}",
        *more,
    ]
    return "\r\n".join([*lines, "", ""]).encode()
