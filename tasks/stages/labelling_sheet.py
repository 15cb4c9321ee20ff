"""Make a labelling sheet of recordings without a transcript: decode, rank, write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.common import hashing
from tasks.common.errors import InputError
from tasks.data import audio_checks, audio_probe, findings
from tasks.data.audio_checks import AudioLimits
from tasks.data.audio_probe import AudioFacts
from tasks.data.importers.beside_audio import ENDINGS
from tasks.data.labelling import sheet_files
from tasks.data.labelling.near_terms import NearTermFinder
from tasks.data.labelling.sheet_ranking import DecodedRecording, SheetRow, rank
from tasks.data.manifest import Utterance
from tasks.models import catalog
from tasks.models.nemo_archive import open_archive
from tasks.runtimes import hardware
from tasks.runtimes.base import ENTRY
from tasks.runtimes.local import LocalRuntime
from tasks.transcription import offline
from tasks.transcription.audio_sets import AudioSet
from tasks.transcription.confidence import measure_confidence
from tasks.transcription.hypothesis_cache import TranscriptStore
from tasks.transcription.variants import shifts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tasks.data.labelling.formulary import Formulary
    from tasks.runtimes.base import Runtime

LONGEST_S = 40.0
"""Seconds of a recording that is decoded in one piece and written down by a person at once."""
_UNSPOKEN = "text"


@dataclass(frozen=True, slots=True)
class SheetSettings:
    """How a sheet is made.

    Attributes:
        model: a .nemo file or a known name.
        variants: decodes of each recording, the plain one included.
        seed: of the shifts.
        url: what Label Studio serves the recordings by.
        trust: whether the model may run code of its own.
    """

    model: str
    variants: int
    seed: int
    url: str = sheet_files.LOCAL_FILES
    trust: bool = False


@dataclass(frozen=True, slots=True)
class LabellingSheet:
    """What was written.

    Attributes:
        rows: ranked.
        left_out: a sentence for each recording that is not on it.
    """

    rows: tuple[SheetRow, ...]
    left_out: tuple[str, ...]


def make_sheet(
    recordings: Path,
    out: Path,
    formulary: Formulary | None,
    settings: SheetSettings,
    report: Callable[[str], None],
    runtime: Runtime | None = None,
) -> LabellingSheet:
    """Decode the recordings of a folder, rank them, and write the sheet.

    Args:
        recordings: a folder, searched with all below it; never written to.
        out: the folder of the sheet; hypotheses are kept in it, so that a second call decodes
            nothing twice.
        formulary: whose near misses count; None for none.
        settings: how.
        report: takes a line of progress.
        runtime: where to decode; by default this environment.

    Raises:
        InputError: there is no recording, or a sheet is there already, which a person may have
            filled in.
    """
    recordings, out = recordings.expanduser().absolute(), out.expanduser().absolute()
    if (out / sheet_files.SHEET).exists():
        raise InputError(
            f"{out / sheet_files.SHEET}: is there already, and somebody may have filled it in. "
            "Fix: name another folder."
        )
    paths = _find_recordings(recordings)
    model = catalog.resolve(settings.model, trust=settings.trust)
    runtime = runtime or LocalRuntime(hardware.detect(), trust=settings.trust)
    facts, left_out = _check(recordings, paths, open_archive(model).sample_rate)
    if not facts:
        shown = "\n".join(f"  {line}" for line in left_out[:20])
        raise InputError(f"{recordings}: no recording can be decoded\n{shown}")
    runtime.check(report)
    out.mkdir(parents=True, exist_ok=True)
    several = shifts(settings.variants, settings.seed)
    audio = AudioSet(
        tuple(facts),
        tuple(fact.duration for fact in facts.values()),
        tuple(fact.sha256 for fact in facts.values()),
        (recordings,),
        shifts=(several,) * len(facts) if len(several) > 1 else (),
    )
    programs = [hashing.sha256_file(ENTRY / name) for name in offline.DECODER]
    store = TranscriptStore(
        out / ".transcripts", hashing.fingerprint([*programs, runtime.identity])
    )
    (transcript,) = offline.transcribe((model,), audio, runtime, store, report)
    words = measure_confidence(model, audio, runtime, store.folder, report)
    decoded = [
        DecodedRecording(
            path,
            fact.duration,
            transcript.hypotheses[place],
            transcript.variants[place] if transcript.variants else (),
            words[place] if words else (),
        )
        for place, (path, fact) in enumerate(facts.items())
    ]
    finder = None if formulary is None else NearTermFinder(formulary.terms)
    rows = rank(decoded, finder)
    sheet_files.write_sheet(out, rows, settings.model, recordings, settings.url)
    return LabellingSheet(tuple(rows), tuple(left_out))


def _find_recordings(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder. Fix: name a folder of recordings.")
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in ENDINGS and path.is_file() and not _is_hidden(path, folder)
    )
    if not found:
        raise InputError(
            f"{folder}: has no recording ({', '.join(ENDINGS[:6])}, …). "
            "Fix: name the folder of the recordings."
        )
    return found


def _is_hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def _check(
    folder: Path, paths: Sequence[Path], rate: int
) -> tuple[dict[Path, AudioFacts], list[str]]:
    """Return the recordings that can be decoded, each sound once, and why others cannot."""
    limits = AudioLimits(rate, max_duration=LONGEST_S)
    usable: dict[Path, AudioFacts] = {}
    sounds: dict[str, Path] = {}
    left_out: list[str] = []
    for path, fact in zip(paths, audio_probe.probe_all(paths), strict=True):
        name = str(path.relative_to(folder))
        problem = _find_problem(name, fact, limits)
        if problem is None and isinstance(fact, AudioFacts):
            first = sounds.setdefault(fact.sha256, path)
            if first == path:
                usable[path] = fact
                continue
            problem = f"the same recording as {first.relative_to(folder)}"
        left_out.append(f"{name}: {problem}")
    return usable, left_out


def _find_problem(
    name: str, fact: AudioFacts | audio_probe.Unreadable, limits: AudioLimits
) -> str | None:
    """Return what keeps a recording from being decoded and labelled; None for a sound one."""
    if isinstance(fact, AudioFacts) and fact.duration > LONGEST_S:
        return f"{fact.duration:.0f} s long, over {LONGEST_S:.0f}. Fix: cut it at silences first."
    unspoken = Utterance(1, name, _UNSPOKEN)
    for finding in audio_checks.check(unspoken, fact, limits):
        if finding.severity is findings.Severity.ERROR:
            return f"{finding.problem}. Fix: {finding.fix}"
    return None
