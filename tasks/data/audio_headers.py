"""What the header of a recording promises, where the header may lie.

libsndfile, and NeMo with it, believes a header: bytes beyond the length that it states are never
read. These functions tell what a file holds besides, from its bytes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from pathlib import Path

# Format tags whose samples have a fixed size: PCM, float, and either in an extensible header.
_FIXED_SIZE_FORMATS = (1, 3, 0xFFFE)
# A writer into a pipe cannot know the size. What sox, arecord, ffmpeg and others leave in its place
# lies between 2 GiB less a page or so and 4 GiB; no row is that long.
_LEAST_UNKNOWN_SIZE = 0x7FFF0000
_CHUNK_HEADER_BYTES = 8
# A writer that closes badly may leave a few bytes after the samples.
_STRAY_BYTES = 64

# Wave64's format chunk: its identity, its size in 8 bytes, then a format tag. 24 bytes behind that
# the identity of an extended format begins, with the tag that it stands for.
_W64_FORMAT = bytes.fromhex("666d7420f3acd3118cd100c04f8edb8a")
_EXTENSIBLE, _IEEE_FLOAT = b"\xfe\xff", b"\x03\x00"
_W64_HEAD_BYTES = 4096

_MPEG_KBITS = {
    1: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_MPEG_RATES = (44100, 48000, 32000)


@dataclass(frozen=True, slots=True)
class HeaderFacts:
    """What a file's bytes say about its length.

    Attributes:
        promised_frames: samples per channel that the header promises; None where it promises
            nothing that can be held against the file.
        unread_frames: about how many samples per channel lie where no decoder looks, since the
            header states a shorter length.
        reason: what is wrong with the header, where samples are not read.
    """

    promised_frames: int | None = None
    unread_frames: int = 0
    reason: str = ""


def wav_facts(path: Path) -> HeaderFacts | None:
    """Return what a WAV's header says; None for another format.

    libsndfile corrects its own figure by the size of the file, so that it never tells that a WAV
    was cut short.
    """
    with path.open("rb") as stream:
        return wav_stream_facts(stream, path.stat().st_size)


def wav_stream_facts(stream: BinaryIO, size: int) -> HeaderFacts | None:
    """Return what a WAV's header says; None for another format.

    Args:
        stream: the WAV's bytes, from its first on.
        size: number of bytes.
    """
    if struct.unpack("<4s4x4s", stream.read(12).ljust(12, b"\0")) != (b"RIFF", b"WAVE"):
        return None
    frame_bytes = 0
    while len(header := stream.read(_CHUNK_HEADER_BYTES)) == _CHUNK_HEADER_BYTES:
        name, chunk_bytes = struct.unpack("<4sI", header)
        if name == b"data":
            return _data_facts(stream, size, chunk_bytes, frame_bytes)
        body = stream.read(chunk_bytes + chunk_bytes % 2)
        if name == b"fmt " and len(body) >= 14:  # noqa: PLR2004 - up to the frame's size
            tag, frame_bytes = struct.unpack_from("<H10xH", body)
            if tag not in _FIXED_SIZE_FORMATS:
                return HeaderFacts()
    return HeaderFacts()


def misread_wave64(stream: BinaryIO) -> str | None:
    """Return why libsndfile 1.2.2 misreads a Wave64 file; None if it does not.

    It takes floats for whole numbers where the sample format stands in the extension of the format
    chunk, as ffmpeg 5 writes it. The sound is then distorted, without an error.

    Args:
        stream: the file's bytes, from its first on.
    """
    head = stream.read(_W64_HEAD_BYTES)
    chunk = head.find(_W64_FORMAT)
    if chunk < 0 or head[chunk + 24 : chunk + 26] != _EXTENSIBLE:
        return None
    if head[chunk + 48 : chunk + 50] != _IEEE_FLOAT:
        return None
    return "libsndfile reads the floats of this Wave64 as integers"


def _data_facts(stream: BinaryIO, size: int, stated: int, frame_bytes: int) -> HeaderFacts:
    """Compare the stated size of the samples with the bytes that follow."""
    start = stream.tell()
    there = size - start
    if not frame_bytes:
        return HeaderFacts()
    if stated > there:
        # One sample too many is padding; a size up to the whole file's counts the header in.
        is_unknown = stated >= _LEAST_UNKNOWN_SIZE
        is_rounded = stated - there <= max(frame_bytes, start)
        return HeaderFacts(None if is_unknown or is_rounded else stated // frame_bytes)
    end = start + stated + stated % 2
    left = size - end
    if left > _STRAY_BYTES and not _is_chunk(stream, end, size):
        cause = "is 0" if stated == 0 else "is that of a part"
        return HeaderFacts(
            unread_frames=left // frame_bytes,
            reason=f"the size of the samples in the WAV's header {cause}, as a program leaves it "
            "that writes into a pipe or was stopped",
        )
    return HeaderFacts(stated // frame_bytes)


def _is_chunk(stream: BinaryIO, place: int, size: int) -> bool:
    """Return whether a chunk with a name and a size that fits begins at a place."""
    stream.seek(place)
    header = stream.read(_CHUNK_HEADER_BYTES)
    if len(header) < _CHUNK_HEADER_BYTES:
        return False
    name, chunk_bytes = struct.unpack("<4sI", header)
    is_named = all(32 <= byte < 127 for byte in name)  # noqa: PLR2004 - printable ASCII
    return is_named and place + _CHUNK_HEADER_BYTES + chunk_bytes <= size + 1


def find_misstated_chunk(path: Path) -> str | None:
    """Describe the chunk before a WAV's samples whose size is wrong; None where there is none.

    Every reader steps from chunk to chunk by the sizes that they state, and misses the samples.
    """
    with path.open("rb") as stream:
        data = stream.read(1 << 20)
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        return None
    place, last = 12, None
    while place + _CHUNK_HEADER_BYTES <= len(data):
        name, chunk_bytes = struct.unpack_from("<4sI", data, place)
        if name == b"data":
            return None
        following = data.find(b"data", place + 1)
        step = _CHUNK_HEADER_BYTES + chunk_bytes + chunk_bytes % 2
        if last is not None and not name.isascii():
            break
        if following >= 0 and place + step > following + chunk_bytes % 2:
            return f"its chunk {_shown(name)} states {chunk_bytes} bytes, more than it has"
        last, place = name, place + step
    return None if last is None else f"what follows its chunk {_shown(last)} is no chunk"


def _shown(name: bytes) -> str:
    return repr(name.decode("latin-1"))


def mpeg_facts(path: Path, decoded_frames: int) -> HeaderFacts:
    """Return what an MP3 holds beyond the samples that were decoded of it.

    With a variable bit rate and no frame count (Xing, Info or VBRI), libsndfile guesses the length
    from the first frame's bit rate and reads no further.
    """
    data = path.read_bytes()
    if any(mark in data[:8192] for mark in (b"Xing", b"Info", b"VBRI")):
        return HeaderFacts()
    held = _mpeg_samples(data)
    # The decoder's delay and padding come to less than three frames.
    if held - decoded_frames <= 3 * 1152:
        return HeaderFacts()
    return HeaderFacts(
        unread_frames=held - decoded_frames,
        reason="the MP3 has a variable bit rate and no frame count, and libsndfile guesses its "
        "length too short",
    )


def _mpeg_samples(data: bytes) -> int:
    """Count the samples per channel of all Layer III frames."""
    place = samples = 0
    if data[:3] == b"ID3" and len(data) > 10:  # noqa: PLR2004 - the tag's header
        tag_bytes = 0
        for byte in data[6:10]:
            tag_bytes = tag_bytes << 7 | byte & 0x7F
        place = 10 + tag_bytes
    while place + 4 <= len(data):
        frame = _mpeg_frame(data[place : place + 4])
        if frame is None:
            place = data.find(b"\xff", place + 1)
            if place < 0:
                break
            continue
        frame_bytes, frame_samples = frame
        samples += frame_samples
        place += frame_bytes
    return samples


def _mpeg_frame(header: bytes) -> tuple[int, int] | None:
    """Return the bytes and the samples of a Layer III frame, by its header; None for no frame."""
    bits = int.from_bytes(header, "big")
    version, layer = bits >> 19 & 3, bits >> 17 & 3
    kbits_place, rate_place, padding = bits >> 12 & 15, bits >> 10 & 3, bits >> 9 & 1
    is_frame = bits >> 21 == 0x7FF and version != 1 and layer == 1  # noqa: PLR2004 - the sync word
    if not is_frame or kbits_place in {0, 15} or rate_place == 3:  # noqa: PLR2004 - reserved
        return None
    is_first = version == 3  # noqa: PLR2004 - MPEG-1; 2 is MPEG-2, 0 is MPEG-2.5
    rate = _MPEG_RATES[rate_place] >> {3: 0, 2: 1, 0: 2}[version]
    kbits = _MPEG_KBITS[1 if is_first else 2][kbits_place]
    samples = 1152 if is_first else 576
    return samples // 8 * kbits * 1000 // rate + padding, samples
