"""Bring a corpus into a cycle, and write a cycle for other tools."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asr_flywheel.chosen_runtime import choose_runtime
from asr_flywheel.options import (
    DEFAULTS,
    CycleArgument,
    ImageOption,
    JsonOption,
    MaxDurationOption,
    RuntimeOption,
    SpeechOption,
    TrustOption,
    check_options,
    print_json,
    refuse_without,
)
from tasks.common.counted import counted
from tasks.common.errors import InputError
from tasks.common.parameter_names import renamed
from tasks.data.importers.import_settings import ChannelRule
from tasks.data.importers.source_rows import ReadOptions
from tasks.models.catalog import EMBEDDED

if TYPE_CHECKING:
    from collections.abc import Callable

    from tasks.data.importers.import_summary import ImportSummary
    from tasks.runtimes.base import Runtime
    from tasks.stages.long_recordings import LongRowCutter

app = typer.Typer()

_REFUSE, _LEAVE_OUT = "refuse", "leave-out"
_TIER, _FILE = "tier", "file"
_CHOICE = "none of its values. Fix: write"


@app.command(name="import")
def import_command(
    source: Annotated[
        Path, typer.Argument(help="A corpus: a file or folder. It is never changed.")
    ],
    cycle: Annotated[Path, typer.Argument(help="The folder to write, cycle<N>.")],
    format_name: Annotated[
        str,
        typer.Option(
            "--format",
            help="auto, nemo, table, kaldi, lhotse, hf-disk, hf-audiofolder, common-voice, "
            "textgrid, eaf, stm, ctm, subtitles, sheet, label-studio or text.",
        ),
    ] = "auto",
    column: Annotated[
        list[str] | None,
        typer.Option(help="A field's column, FIELD=COLUMN; instead of the guess. Repeatable."),
    ] = None,
    *,
    channel: Annotated[
        list[str] | None,
        typer.Option(
            help="Of a recording with several: a number from 1, louder, or VOICE=NUMBER. "
            "Repeatable. Channels are never mixed."
        ),
    ] = None,
    part: Annotated[
        str | None, typer.Option(help="The sheet, the split, or Common Voice's table.")
    ] = None,
    tier: Annotated[
        list[str] | None, typer.Option(help="Only this tier of annotations. Repeatable.")
    ] = None,
    voice_id: Annotated[
        str,
        typer.Option(
            "--voice-id",
            help="Of TextGrids: tier, or file where tiers are roles such as Doctor and Patient.",
        ),
    ] = _TIER,
    pause: Annotated[
        float, typer.Option(min=0.05, help="Seconds of silence that end a row of a CTM.")
    ] = 0.5,
    faulty: Annotated[
        str,
        typer.Option(help="refuse: a faulty row stops the import; leave-out: it is listed apart."),
    ] = _REFUSE,
    cut: Annotated[
        bool,
        typer.Option(
            "--cut",
            help="Cut recordings that are longer than a row may be, at pauses, by aligning their "
            "transcripts.",
        ),
    ] = False,
    cut_base: Annotated[
        str, typer.Option("--cut-base", help="The base that aligns: one with a CTC decoder.")
    ] = EMBEDDED,
    max_duration: MaxDurationOption = None,
    terms: Annotated[
        Path | None,
        typer.Option("--terms", help="A table of terms: no cut is made within one of them."),
    ] = None,
    least_score: Annotated[
        float | None,
        typer.Option(
            "--least-score", min=0, max=1, help="Cut rows with a lower score are set apart."
        ),
    ] = None,
    runtime: RuntimeOption = DEFAULTS.runtime,
    image: ImageOption = DEFAULTS.container.image,
    trust: TrustOption = False,
    check: Annotated[
        bool, typer.Option(help="Check level, silence and speech of each row, as preflight does.")
    ] = True,
    speech: SpeechOption = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask about guessed columns.")] = False,
    seed: Annotated[int, typer.Option(help="Of the dither.")] = 42,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Threads that convert; all cores by default.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a corpus as a cycle: its manifest, 16 kHz mono FLAC, and where each row is from."""
    from dataclasses import asdict

    from tasks.data.importers.import_settings import ImportSettings
    from tasks.data.importers.importing import choose_source, import_source
    from tasks.data.speech_check import SileroDetector
    from tasks.privacy.returned_recordings import describe_returned, find_returned
    from tasks.records import audit_log
    from tasks.records.audit_log import AuditedAct
    from tasks.training.recipes import recipe

    if faulty not in {_REFUSE, _LEAVE_OUT}:
        raise InputError(f"--faulty {faulty!r} is {_CHOICE} {_REFUSE} or {_LEAVE_OUT}.")
    if voice_id not in {_TIER, _FILE}:
        raise InputError(f"--voice-id {voice_id!r} is {_CHOICE} {_TIER} or {_FILE}.")
    if speech and not check:
        raise InputError("--speech: has no effect with --no-check. Fix: leave one of the two out.")
    detector = SileroDetector() if speech else None
    notes: list[str] = []

    def note(line: str) -> None:
        if line in notes:
            return  # the source is read twice
        notes.append(line)
        typer.echo(line, err=True)
        asks = not yes and sys.stdin.isatty() and line.startswith("columns: ")
        if asks and not typer.confirm("Are these the columns?", default=True, err=True):
            raise InputError("the columns are others. Fix: name them with --column FIELD=COLUMN.")

    say = partial(typer.echo, err=True)
    if not cut:
        refuse_without(
            "--cut",
            {
                "--cut-base": cut_base != EMBEDDED,
                "--max-duration": max_duration is not None,
                "--terms": terms is not None,
                "--least-score": least_score is not None,
                "--runtime": runtime is not DEFAULTS.runtime,
                "--image": image != DEFAULTS.container.image,
            },
        )
    chosen_format = None if format_name == "auto" else format_name
    choose_source(source, cycle, chosen_format)
    trained = recipe(DEFAULTS.recipe)
    cutter = None
    if cut:
        check_options(cycle, max_duration=max_duration)
        place = choose_runtime(runtime, image, trust=trust)
        longest = max_duration or trained.max_duration
        cutter = _cutter(cut_base, longest, terms, least_score, place, trust=trust, say=say)
    settings = ImportSettings(
        format=chosen_format,
        reading=ReadOptions(
            columns=_pairs("--column", column or []),
            part=part,
            tiers=tuple(tier or ()),
            pause=pause,
            voice_of_file=voice_id == _FILE,
            note=note,
        ),
        channels=_channel_rule(channel or []),
        seed=seed,
        leave_out=faulty == _LEAVE_OUT,
        check=check,
        detector=detector,
        workers=workers or os.cpu_count() or 1,
        cutter=cutter,
        shortest=trained.min_duration,
        longest=max_duration or trained.max_duration,
    )
    summary = import_source(
        source,
        cycle,
        settings,
        command=sys.argv,
        report=say,
        find_returned=partial(find_returned, cycle.absolute().parent),
    )
    returned = describe_returned(cycle.absolute(), summary.returned)
    audit_log.record(
        cycle.absolute().parent,
        AuditedAct.IMPORT,
        cycle.name,
        format=summary.format,
        rows=summary.rows,
    )
    if as_json:
        print_json({**asdict(summary), "notes": returned})
        return
    _print_summary(cycle, summary, returned)


def _cutter(
    base: str,
    max_duration: float,
    terms: Path | None,
    least_score: float | None,
    runtime: Runtime,
    *,
    trust: bool,
    say: Callable[[str], None],
) -> LongRowCutter:
    """Return what cuts long recordings, once the base and the runtime are known to do."""
    from tasks.data.labelling.formulary import read_terms_table
    from tasks.data.labelling.term_matcher import TermMatcher
    from tasks.models import catalog
    from tasks.stages.long_recordings import LEAST_SCORE, CutSettings, LongRowCutter

    matcher = None if terms is None else TermMatcher(read_terms_table(terms).terms)
    with renamed({"base": "--cut-base"}):
        file = catalog.resolve(base, trust=trust)
    settings = CutSettings(
        file,
        max_duration,
        LEAST_SCORE if least_score is None else least_score,
        matcher,
    )
    runtime.check(say)
    return LongRowCutter(settings, runtime)


def _print_summary(cycle: Path, summary: ImportSummary, returned: list[str]) -> None:
    changes = ", ".join(f"{name}: {count}" for name, count in sorted(summary.changes.items()))
    typer.echo(
        f"{cycle}: {counted(summary.rows, 'row')}, {summary.seconds / 60:.1f} minutes; changed by "
        f"conversion: {changes}"
    )
    if summary.resumed:
        typer.echo(f"{counted(summary.resumed, 'row')} from an import that had been stopped")
    if summary.left_out:
        typer.echo(f"left out: {counted(summary.left_out, 'faulty row')} (import_left_out.jsonl)")
    if summary.cut:
        typer.echo(
            f"{counted(summary.cut, 'long recording')} cut into rows, of which {summary.set_apart} "
            f"set apart, since their text may not be what was said. Hear them: "
            f"{cycle / 'import_set_apart.csv'}"
            if summary.set_apart
            else f"{counted(summary.cut, 'long recording')} cut into rows"
        )
    if summary.without_transcript_s:
        typer.echo(
            f"{summary.without_transcript_s:.0f} s of speech have no transcript and are in no row: "
            "import_cuts.json says where"
        )
    if summary.narrow:
        typer.echo(
            f"{counted(summary.narrow, 'row')} of a telephone's bandwidth (bandwidth: narrow): a "
            "model tuned on them is for such calls, and its figures are for such calls"
        )
    if summary.clipped:
        typer.echo(
            f"{counted(summary.clipped, 'row')} with samples beyond full scale, limited there"
        )
    for line in (*summary.warnings, *returned):
        typer.echo(line)


def _pairs(option: str, values: list[str]) -> dict[str, str]:
    """Return options written NAME=VALUE by their names."""
    pairs: dict[str, str] = {}
    for value in values:
        name, separator, other = value.partition("=")
        if not separator or not name or not other:
            raise InputError(f"{option} {value}: is no pair. Fix: write it as {option} NAME=VALUE.")
        pairs[name] = other
    return pairs


def _channel_rule(values: list[str]) -> ChannelRule:
    """Return the rule that ``--channel`` options make."""
    number: int | None = None
    louder = False
    by_voice: dict[str, int] = {}
    for value in values:
        name, separator, other = value.rpartition("=")
        if value == "louder":
            louder = True
        elif other.isdigit() and int(other) > 0:
            if separator:
                by_voice[name] = int(other) - 1
            else:
                number = int(other) - 1
        else:
            raise InputError(
                f"--channel {value}: is no channel. Fix: a number from 1, louder, or VOICE=NUMBER."
            )
    if louder and number is not None:
        raise InputError("--channel louder and a number exclude each other. Fix: keep one.")
    return ChannelRule(number, louder, by_voice)


@app.command()
def export(
    cycle: CycleArgument,
    out: Annotated[Path, typer.Argument(help="The folder to write; it must not be there yet.")],
    format_name: Annotated[
        str, typer.Option("--format", help="kaldi, hf (audio folder), lhotse (cuts) or csv.")
    ],
) -> None:
    """Write a cycle's rows and recordings in another tool's format."""
    from tasks.data.cycle_folder import open_cycle
    from tasks.data.exporters.exporting import export_cycle
    from tasks.records import audit_log
    from tasks.records.audit_log import AuditedAct

    folder = open_cycle(cycle)
    rows = export_cycle(folder, format_name, out)
    audit_log.record(
        folder.path.parent, AuditedAct.EXPORT, folder.path.name, format=format_name, rows=rows
    )
    typer.echo(f"{out}: {counted(rows, 'row')}")
