"""Open a recording of a source for reading, whatever its format is."""

from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
import tarfile
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import soundfile

from tasks.common import hashing
from tasks.data.audio_headers import misread_wave64, mpeg_facts, wav_facts
from tasks.data.importers.source_rows import SKIP_FIX

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tasks.data.importers.source_rows import Recording

EXACT_16 = frozenset(("PCM_16", "PCM_S8", "PCM_U8", "ULAW", "ALAW", "ALAC_16"))
"""Kinds of samples that libsndfile decodes to 16-bit integers without rounding."""
BLOCK_FRAMES = 1 << 18
"""So many samples of each channel are read at a time."""
_WIDE = frozenset(("PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ALAC_20", "ALAC_24", "ALAC_32"))
_FFMPEG_WRITES = "FLOAT"
_LENGTH_UNKNOWN = 1 << 62


class ConversionError(Exception):
    """A recording, or a part of it, that cannot be converted.

    Attributes:
        problem: what is wrong.
        fix: what the user does about it.
    """

    def __init__(self, problem: str, fix: str) -> None:
        super().__init__(problem)
        self.problem, self.fix = problem, fix


@dataclass(slots=True)
class OpenRecording:
    """A recording that is open for reading.

    Attributes:
        audio: the decoder.
        sha256: hash of the recording's bytes.
        lossy: it was decoded from a format that has no bit depth.
        source_format: container and samples as they were found.
    """

    audio: soundfile.SoundFile
    sha256: str
    lossy: bool
    source_format: str


@dataclass(frozen=True, slots=True)
class StatedLength:
    """A recording's length by its header.

    Attributes:
        frames: samples of each channel.
        rate: Hz.
        is_exact: whether decoding gives just as many; lossy formats may differ a little.
    """

    frames: int
    rate: int
    is_exact: bool


def measure(recording: Recording) -> StatedLength | None:
    """Return a recording's length by its header; None where decoding alone tells it.

    Raises:
        ConversionError: it cannot be read, or its header promises or hides samples.
    """
    data = None if recording.read is None else _read(recording)[0]
    try:
        with soundfile.SoundFile(
            str(recording.path) if data is None else io.BytesIO(data)
        ) as audio:
            _require_true_format(recording, data, audio)
            if audio.subtype.startswith("MPEG_LAYER"):
                return None  # the check of its header would read the whole file
            if data is None:
                _check_header(recording.path, audio)
            if audio.frames >= _LENGTH_UNKNOWN:
                return None
            is_exact = audio.subtype in EXACT_16 or audio.subtype in _WIDE
            return StatedLength(int(audio.frames), int(audio.samplerate), is_exact)
    except soundfile.SoundFileError:
        return None  # ffmpeg may know it


@contextmanager
def open_recording(
    recording: Recording, scratch: Path, *, has_spans: bool
) -> Iterator[OpenRecording]:
    """Open a recording, by ffmpeg where libsndfile cannot read it.

    Args:
        recording: which one.
        scratch: a folder for what has to be decoded into a file.
        has_spans: parts of it will be read; a lossy format is then decoded as a whole, since a seek
            in it is not exact.

    Raises:
        ConversionError: it cannot be read, or its header hides samples.
    """
    data, digest = _read(recording)
    temporary: list[Path] = []
    try:
        try:
            audio = soundfile.SoundFile(str(recording.path) if data is None else io.BytesIO(data))
            source_format = f"{audio.format} {audio.subtype}"
            _require_true_format(recording, data, audio)
            if data is None:
                _check_header(recording.path, audio)
            lossy = audio.subtype not in EXACT_16 and audio.subtype not in _WIDE
            if lossy and has_spans:
                temporary.append(_decode(audio, scratch / f"{digest[:32]}.w64"))
                audio.close()
                audio = soundfile.SoundFile(str(temporary[-1]))
        except soundfile.SoundFileError as wrong:
            temporary.append(scratch / f"{digest[:32]}.wav")
            _run_ffmpeg(recording, data, temporary[-1], str(wrong))
            audio, lossy = soundfile.SoundFile(str(temporary[-1])), True
            if audio.subtype != _FFMPEG_WRITES:
                told = f"ffmpeg's {_FFMPEG_WRITES} is read as {audio.subtype}"
                raise AssertionError(told) from wrong
            source_format = f"{recording.name.rpartition('.')[2].upper()} by ffmpeg"
        with audio:
            yield OpenRecording(audio, digest, lossy, source_format)
    finally:
        for path in temporary:
            path.unlink(missing_ok=True)


def _read(recording: Recording) -> tuple[bytes | None, str]:
    """Return a member's bytes, None for a file of its own, and the hash of the recording."""
    try:
        if recording.read is None:
            return None, hashing.sha256_file(recording.path)
        data = recording.read()
    except (OSError, tarfile.TarError) as wrong:
        cause = getattr(wrong, "strerror", None) or wrong
        raise ConversionError(
            f"{recording.name} cannot be read ({cause})", f"put the recording there, {SKIP_FIX}"
        ) from wrong
    return data, hashlib.sha256(data).hexdigest()


def _require_true_format(
    recording: Recording, data: bytes | None, audio: soundfile.SoundFile
) -> None:
    """Leave to ffmpeg what libsndfile would distort.

    Raises:
        soundfile.SoundFileError: it would.
    """
    if audio.format != "W64":
        return
    with recording.path.open("rb") if data is None else io.BytesIO(data) as stream:
        if reason := misread_wave64(stream):
            raise soundfile.SoundFileError(reason)


def _check_header(path: Path, audio: soundfile.SoundFile) -> None:
    """Refuse a recording whose header promises or hides samples."""
    if audio.frames >= _LENGTH_UNKNOWN:
        raise ConversionError(
            f"{path} does not state its length, as where it was written into a pipe",
            "write it again into a file, for example with `flac -d` and `flac`",
        )
    is_mpeg = audio.subtype.startswith("MPEG_LAYER")
    facts = mpeg_facts(path, audio.frames) if is_mpeg else wav_facts(path)
    promised = None if facts is None else facts.promised_frames
    if facts is not None and facts.unread_frames:
        raise ConversionError(
            f"about {facts.unread_frames / audio.samplerate:.2f} s of {path} are never read: "
            f"{facts.reason}",
            "write it again with a true header, for example with ffmpeg -i IN OUT.flac",
        )
    if promised is not None and audio.frames < promised:
        raise ConversionError(
            f"{path} is cut off: its header promises {promised} samples, it holds {audio.frames}",
            f"copy it again, {SKIP_FIX}",
        )


def _decode(audio: soundfile.SoundFile, target: Path) -> Path:
    with soundfile.SoundFile(
        str(target), "w", audio.samplerate, audio.channels, "FLOAT", format="W64"
    ) as out:
        while len(block := audio.read(BLOCK_FRAMES, dtype="float32")):
            out.write(block)
    return target


def _run_ffmpeg(recording: Recording, data: bytes | None, target: Path, reason: str) -> None:
    """Decode what libsndfile does not read; channels and rate stay as they are."""
    program = shutil.which("ffmpeg")
    if program is None:
        raise ConversionError(
            f"{recording.name}: libsndfile cannot read it ({reason}), and there is no ffmpeg",
            f"install ffmpeg (Debian: apt-get install ffmpeg) and import again, {SKIP_FIX}",
        )
    source = str(recording.path.absolute()) if data is None else "pipe:0"
    finished = subprocess.run(
        [
            *(program, "-nostdin", "-v", "error", "-y"),
            *("-protocol_whitelist", "file,pipe", "-i", source),
            # RF64 beyond four gigabytes; its Wave64 is misread (audio_headers.py).
            *("-map", "0:a:0", "-c:a", "pcm_f32le", "-f", "wav", "-rf64", "auto", str(target)),
        ],
        input=data,
        stdin=subprocess.DEVNULL if data is None else None,
        capture_output=True,
        check=False,
    )
    if finished.returncode or not target.is_file() or target.stat().st_size == 0:
        told = finished.stderr.decode(errors="replace").strip().splitlines()
        raise ConversionError(
            f"{recording.name}: neither libsndfile ({reason}) nor ffmpeg can read it"
            + (f" ({told[-1]})" if told else ""),
            f"copy or record it again, {SKIP_FIX}",
        )
