"""Find a formulary's terms in a cycle, and make a labelling sheet of untranscribed recordings."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from asr_flywheel.chosen_runtime import choose_runtime
from asr_flywheel.options import (
    DEFAULTS,
    BaseOption,
    CycleArgument,
    ImageOption,
    JsonOption,
    RuntimeOption,
    SeedOption,
    TrustOption,
    print_json,
)
from tasks.common.counted import counted
from tasks.data.labelling.sheet_files import LOCAL_FILES
from tasks.transcription.variants import DEFAULT_VARIANTS, MOST_VARIANTS

app = typer.Typer()


@app.command()
def label(
    cycle: CycleArgument,
    terms: Annotated[
        Path,
        typer.Option("--terms", help="A table with the columns term and entity_category."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="The new cycle's folder; labelled/cycle<N> beside the cycle by default."),
    ] = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Copy a cycle with the terms of a formulary in its rows; other rows become general speech."""
    from dataclasses import asdict

    from tasks.data.cycle_folder import open_cycle
    from tasks.data.labelling import labelled_cycle
    from tasks.data.labelling.formulary import read_terms_table
    from tasks.records import audit_log
    from tasks.records.audit_log import AuditedAct

    folder = open_cycle(cycle)
    default = folder.path.parent / labelled_cycle.DEFAULT_FOLDER / folder.path.name
    target = default if out is None else out.expanduser().absolute()
    labelled_cycle.check_out(folder, target)
    summary = labelled_cycle.label_cycle(folder, read_terms_table(terms), terms, target, sys.argv)
    audit_log.record(
        folder.path.parent,
        AuditedAct.LABEL,
        folder.path.name,
        rows=summary.rows,
        general=summary.general,
    )
    if as_json:
        print_json({**asdict(summary), "notes": summary.notes})
        return
    counts = ", ".join(f"{name}: {count}" for name, count in summary.categories.items())
    typer.echo(
        f"{target}: {counted(summary.rows, 'row')} with a term, {summary.several} with several"
    )
    typer.echo(f"terms by category: {counts}")
    typer.echo(
        f"{target / labelled_cycle.GENERAL}: {counted(summary.general, 'row')} of general speech"
    )
    typer.echo(
        f"{target / labelled_cycle.MISSING}: {summary.missing} of "
        f"{counted(summary.terms, 'term')}, which no "
        "row has"
    )
    for line in summary.notes:
        typer.echo(line)


@app.command()
def sheet(
    recordings: Annotated[
        Path, typer.Argument(help="A folder of recordings without a transcript; never changed.")
    ],
    out: Annotated[Path, typer.Argument(help="The folder that gets the sheet.")],
    base: BaseOption = DEFAULTS.base,
    terms: Annotated[
        Path | None,
        typer.Option("--terms", help="A table of terms, whose near misses are worth a look."),
    ] = None,
    variants: Annotated[
        int,
        typer.Option(
            min=1, max=MOST_VARIANTS, help="Decodes of each recording, of unheard shifts."
        ),
    ] = DEFAULT_VARIANTS,
    *,
    audio_url: Annotated[
        str, typer.Option(help="What Label Studio serves the recordings by, before their path.")
    ] = LOCAL_FILES,
    runtime: RuntimeOption = DEFAULTS.runtime,
    image: ImageOption = DEFAULTS.container.image,
    seed: SeedOption = DEFAULTS.seed,
    trust: TrustOption = False,
) -> None:
    """Write a labelling sheet: a base's hypotheses, what is most worth a person's time first."""
    from tasks.data.labelling import sheet_files
    from tasks.data.labelling.formulary import read_terms_table
    from tasks.records import audit_log
    from tasks.records.audit_log import AuditedAct
    from tasks.stages.labelling_sheet import SheetSettings, make_sheet

    formulary = None if terms is None else read_terms_table(terms)
    settings = SheetSettings(base, variants, seed, audio_url, trust)
    made = make_sheet(
        recordings,
        out,
        formulary,
        settings,
        lambda line: typer.echo(line, err=True),
        choose_runtime(runtime, image, trust=trust),
    )
    folder = out.expanduser().absolute()
    audit_log.record(
        folder.parent, AuditedAct.SHEET, folder.name, model=base, recordings=len(made.rows)
    )
    for name in (sheet_files.SHEET, sheet_files.TASKS, sheet_files.INTERFACE):
        typer.echo(str(out / name))
    doubtful = sum(bool(row.why) for row in made.rows)
    typer.echo(f"{counted(len(made.rows), 'recording')}, {doubtful} in doubt")
    for line in made.left_out:
        typer.echo(f"left out: {line}")
