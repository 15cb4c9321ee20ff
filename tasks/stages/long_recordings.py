"""Cut the long recordings of an import: hear them with a CTC model, align, choose the cuts.

Each recording is one file of cuts in the import's working folder, so that an import that was
stopped does not hear it again.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile

from tasks.common import atomic_files, hashing
from tasks.common.counted import agreed, counted
from tasks.common.errors import InputError
from tasks.data.cutting.aligned_words import locate_words
from tasks.data.cutting.ctc_alignment import align
from tasks.data.cutting.pauses import find_quiet, read_levels
from tasks.data.cutting.row_cuts import choose_cuts
from tasks.data.cutting.transcript_words import protect, read_words
from tasks.data.importers.audio_conversion import RATE, Span, choose_channel, convert
from tasks.data.importers.import_settings import SCORE
from tasks.data.importers.recording_reader import ConversionError, open_recording
from tasks.data.importers.row_checks import make_record
from tasks.data.importers.row_conversion import row_key
from tasks.data.importers.source_rows import SKIP_FIX, RowFault, SourceRow
from tasks.data.manifest import CONVERSATION
from tasks.data.row_terms import TERMS, written_terms
from tasks.data.text_normalizer import contains_words, normalise
from tasks.models.nemo_archive import open_archive
from tasks.models.text_style import style_of
from tasks.runtimes.base import ENTRY, Job
from tasks.transcription.decoding_job import run_job
from tasks.transcription.offline import DECODER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from tasks.data.cutting.transcript_words import TranscriptWord
    from tasks.data.importers.import_settings import ImportSettings
    from tasks.data.importers.source_rows import Found
    from tasks.data.importers.staging import Staging
    from tasks.data.labelling.term_matcher import TermMatcher
    from tasks.runtimes.base import Runtime

PROGRAM = "emit_ctc.py"
WINDOW_S = 20.0
"""Seconds that the model hears at once; the embedded bases were trained on less."""
MARGIN_S = 2.0
LEAST_SCORE = 0.4
_PROGRAMS = (PROGRAM, "emission_windows.py", *DECODER)
_FOLDER = "cuts"
_VERSION = 1
"""Of the rules by which cuts are chosen: another one chooses anew."""


@dataclass(frozen=True, slots=True)
class CutSettings:
    """How recordings are cut.

    Attributes:
        model: a .nemo with a CTC decoder.
        longest: seconds of a row.
        least_score: rows with a lower one are set apart.
        matcher: finds terms that must stay whole; None for those of the source's rows alone.
    """

    model: Path
    longest: float
    least_score: float = LEAST_SCORE
    matcher: TermMatcher | None = None


@dataclass(frozen=True, slots=True)
class _LongRow:
    """A row to cut: its number among the long ones from 1, its key, and its words."""

    number: int
    key: str
    row: SourceRow
    words: list[TranscriptWord]


@dataclass
class LongRowCutter:
    """Cuts rows that are longer than a row may be.

    Attributes:
        settings: how.
        runtime: where the model runs.
    """

    settings: CutSettings
    runtime: Runtime
    _cuts: dict[str, dict[str, Any]] = field(default_factory=dict)
    _keys: dict[tuple[str, str], tuple[int, str]] = field(default_factory=dict)

    @property
    def least_score(self) -> float:
        """Rows with a lower score are set apart."""
        return self.settings.least_score

    def cut(
        self,
        rows: Iterable[Found],
        settings: ImportSettings,
        place: Staging,
        report: Callable[[str], None],
    ) -> None:
        """Find the cuts of all long rows; what is wrong with one is told where it is divided.

        Raises:
            InputError: the model has no CTC decoder.
            TranscriptionError: the model cannot be loaded or run.
        """
        folder = place.folder / _FOLDER
        folder.mkdir(exist_ok=True)
        archive = open_archive(self.settings.model)
        if not archive.decoder.has_ctc or archive.sample_rate != RATE:
            raise InputError(
                f"{self.settings.model}: has a {archive.decoder} decoder and hears "
                f"{archive.sample_rate} Hz; recordings are cut by a CTC model of {RATE} Hz. "
                "Fix: --cut-base embedded, or another CTC base; any base may be tuned afterwards."
            )
        style = style_of(archive)
        waiting: list[_LongRow] = []
        programs = [hashing.sha256_file(ENTRY / name) for name in _PROGRAMS]
        how = [_VERSION, hashing.sha256_file(self.settings.model), self.settings.longest, programs]
        for row in rows:
            if not isinstance(row, SourceRow) or _seconds(row) <= self.settings.longest:
                continue
            terms = self._terms(row)
            key = hashing.fingerprint([row_key(row, settings), how, terms])[:32]
            number = len(self._keys) + 1
            self._keys[_name(row)] = (number, key)
            kept = folder / f"{key}.json"
            if kept.is_file():
                self._cuts[key] = atomic_files.read_json(kept)
                continue
            waiting.append(_LongRow(number, key, row, read_words(row.text, style)))
        done = len(self._keys) - len(waiting)
        are = agreed(len(self._keys), "is", "are")
        report(
            f"{counted(len(self._keys), 'recording')} {are} longer than "
            f"{self.settings.longest:g} s and {are} cut"
            + (f"; {done} were cut before" if done else "")
        )
        if waiting:
            self._hear(waiting, settings, place, report)

    def _terms(self, row: SourceRow) -> list[str]:
        """Return the terms of a row, and of the formulary in it, as its text has them."""
        terms = list(written_terms(make_record(row)))
        if self.settings.matcher is not None:
            terms += [match.spelling for match in self.settings.matcher.find(row.text).matches]
        return sorted(set(terms))

    def _hear(
        self,
        waiting: list[_LongRow],
        settings: ImportSettings,
        place: Staging,
        report: Callable[[str], None],
    ) -> None:
        work = place.folder / _FOLDER / "work"
        work.mkdir(exist_ok=True)
        sounds = {one.key: work / f"{one.key}.flac" for one in waiting}
        for one in waiting:
            try:
                _convert(one.row, settings, sounds[one.key], place)
            except ConversionError as wrong:
                self._cuts[one.key] = {"fault": wrong.problem, "fix": wrong.fix}
        waiting = [one for one in waiting if one.key not in self._cuts]
        if not waiting:
            return
        reads = (self.settings.model,)
        inside = self.runtime.path_mapper(work, reads)
        outs = {one.key: work / f"{one.key}.npz" for one in waiting}
        job = Job(
            name="alignment",
            program=PROGRAM,
            request={
                "model": inside(self.settings.model),
                "window_s": WINDOW_S,
                "margin_s": MARGIN_S,
                "recordings": [
                    {
                        "audio": inside(sounds[one.key]),
                        "words": [word.spoken for word in one.words],
                        "out": inside(outs[one.key]),
                    }
                    for one in waiting
                ],
            },
            work=work,
            reads=reads,
            labels={"run": "alignment"},
        )
        left = list(waiting)
        facts: dict[str, Any] = {}

        def handle_event(event: Mapping[str, Any]) -> None:
            if event["event"] == "model":
                facts.update(event)
                report(event["how"])
            elif event["event"] == "progress":
                report(f"heard {event['done']} of {event['of']} s")
            elif event["event"] == "recording":
                one = left.pop(0)
                self._keep(one, outs[one.key], sounds[one.key], facts, place)

        run_job(job, self.runtime, handle_event, "alignment")

    def _keep(
        self,
        one: _LongRow,
        emissions: Path,
        sound: Path,
        facts: Mapping[str, Any],
        place: Staging,
    ) -> None:
        """Align one recording, keep its cuts, and remove what they were made of."""
        cuts = self._align(one, emissions, sound, facts)
        if "fault" not in cuts:
            atomic_files.write_json(place.folder / _FOLDER / f"{one.key}.json", cuts)
        self._cuts[one.key] = cuts
        emissions.unlink()
        sound.unlink()

    def _align(
        self, one: _LongRow, emissions: Path, sound: Path, facts: Mapping[str, Any]
    ) -> dict[str, Any]:
        with np.load(emissions) as stored:
            log_probs, labels, counts = (stored[name] for name in ("log_probs", "labels", "counts"))
        sizes = counts.tolist()
        try:
            path = align(log_probs, labels, sizes, facts["blank"])
        except ValueError as wrong:
            return {
                "fault": f"the transcript does not fit into the recording ({wrong})",
                "fix": f"put the transcript beside its own recording, {SKIP_FIX}",
            }
        transcript = locate_words(
            one.words,
            path,
            log_probs,
            labels,
            sizes,
            blank=facts["blank"],
            stride_s=facts["stride_s"],
            quiet=find_quiet(read_levels(sound)),
        )
        if not transcript.heard:
            return {
                "fault": f"no word of the transcript was heard in {one.row.recording.name}",
                "fix": "put the transcript beside its own recording, name a base of the language "
                f"that is spoken with --cut-base, {SKIP_FIX}",
            }
        gaps = transcript.gaps(protect(one.words, self._terms(one.row)))
        start, end = transcript.bounds()
        rows = choose_cuts(gaps, start, end, self.settings.longest)
        passed = set(transcript.passed)
        written = [word.written for word in one.words]
        return {
            "rows": [
                {
                    "start": round(row.start, 3),
                    "end": round(row.end, 3),
                    "text": " ".join(written[row.first : row.last]),
                    "score": transcript.score(row),
                    "not_heard": sum(place in passed for place in range(row.first, row.last)),
                }
                for row in rows
            ],
            "words": len(written),
            "seconds": round(transcript.seconds, 3),
            "without_transcript": [list(span) for span in transcript.stretches(gaps)],
        }

    def divide(self, rows: Iterable[Found]) -> Iterator[Found]:
        """Yield the rows, and in the place of a long one those that it was cut into."""
        for row in rows:
            if not isinstance(row, SourceRow) or _name(row) not in self._keys:
                yield row
                continue
            number, key = self._keys[_name(row)]
            if "fault" in self._cuts[key]:
                yield RowFault(row.place, self._cuts[key]["fault"], self._cuts[key]["fix"])
                continue
            cuts = self._cuts[key]["rows"]
            for place, cut in enumerate(cuts, start=1):
                yield replace(
                    row,
                    place=f"{row.place}, cut {place} of {len(cuts)}",
                    text=cut["text"],
                    start=round(row.start + cut["start"], 3),
                    end=round(row.start + cut["end"], 3),
                    duration=None,
                    fields={
                        CONVERSATION: f"recording {number}",
                        **_own_fields(row, cut["text"]),
                        SCORE: cut["score"],
                    },
                )

    def describe(self) -> dict[str, Any]:
        """Return how the rows were cut, and what was heard without a transcript."""
        recordings = []
        for (_, recording), (_, key) in self._keys.items():
            cuts = self._cuts[key]
            if "fault" in cuts:
                continue
            recordings.append(
                {
                    "recording": recording,
                    "seconds": cuts["seconds"],
                    "words": cuts["words"],
                    "rows": len(cuts["rows"]),
                    "words_not_heard": sum(row["not_heard"] for row in cuts["rows"]),
                    "without_transcript": cuts["without_transcript"],
                }
            )
        return {
            "model": str(self.settings.model),
            "longest_s": self.settings.longest,
            "least_score": self.settings.least_score,
            "recordings": recordings,
        }


def _name(row: SourceRow) -> tuple[str, str]:
    return row.place, row.recording.name


def _seconds(row: SourceRow) -> float:
    """Return the length of a row in seconds, from the recording's header where it is whole."""
    if row.end is not None:
        return row.end - row.start
    if row.duration is not None:
        return row.duration
    if row.recording.read is not None:
        return 0.0  # a member of a set of short recordings
    try:
        whole: float = soundfile.info(row.recording.path).duration
    except (soundfile.SoundFileError, OSError):
        return float("inf")  # read by ffmpeg; it is cut into one row where it is short
    return whole - row.start


def _own_fields(row: SourceRow, text: str) -> dict[str, Any]:
    """Return the fields of a part of a row: of its terms those that the part has."""
    record = make_record(row)
    plain = normalise(text)
    fields = dict(row.fields)
    if isinstance(listed := record.get(TERMS), list):
        fields[TERMS] = [
            term for term in listed if contains_words(plain, normalise(str(term.get("term", ""))))
        ]
        if not fields[TERMS]:
            del fields[TERMS]
    if (term := fields.get("term")) and not contains_words(plain, normalise(str(term))):
        fields.pop("term")
        fields.pop("entity_category", None)
    return fields


def _convert(row: SourceRow, settings: ImportSettings, target: Path, place: Staging) -> None:
    """Write a long row as the model hears it: 16 kHz, one channel.

    Raises:
        ConversionError: it cannot be read.
    """
    if target.is_file():
        return
    span = Span(row.start, row.end)
    with open_recording(row.recording, place.scratch, has_spans=row.is_span) as opened:
        channel = choose_channel(
            opened, span, row.channel, row.fields.get("voice_id"), settings.channels
        )
        with atomic_files.atomic_path(target) as temporary:
            convert(opened, span, channel, settings.seed, temporary)
