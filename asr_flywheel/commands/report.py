"""What cycles left: a run's report, and the history of all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asr_flywheel.options import CYCLE, JsonOption, print_json, refuse_with

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from tasks.evaluation.error_counts import Proportion
    from tasks.reporting.history import History

app = typer.Typer()


@app.command()
def report(
    cycle: Annotated[Path, typer.Argument(help="The folder cycle<N+1> that a run has finished.")],
    *,
    review: Annotated[
        bool,
        typer.Option(
            "--review",
            help="Also write a page on which you hear the worst rows and mark them; it holds their "
            "recordings, unless --no-audio is given.",
        ),
    ] = False,
    audio: Annotated[bool, CYCLE.declare("audio")] = False,
    no_audio: Annotated[bool, CYCLE.declare("no_audio")] = False,
) -> None:
    """Make a finished run's report and figures again, in its folder."""
    from tasks.common import privacy_settings
    from tasks.data.cycle_folder import open_cycle
    from tasks.records import run_record
    from tasks.reporting.html import write_report, write_review

    folder = open_cycle(cycle)
    if no_audio:
        refuse_with("--no-audio", {"--audio": audio})
    record = run_record.read(folder)
    # As the run was asked, where nothing else is.
    asked = audio or bool(record["config"].get("audio"))
    with privacy_settings.applied(no_audio=no_audio, audio=asked):
        written = write_report(folder, record)
        run_record.add_files(folder, written)
    if review:
        # Not in the record: its marks change, and the run did not make it.
        with privacy_settings.applied(no_audio=no_audio, audio=True):
            written.append(write_review(folder, record))
    for path in written:
        typer.echo(str(path))


@app.command()
def history(
    root: Annotated[Path, typer.Argument(help="The folder that holds cycle1, cycle2, …")] = Path(),
    *,
    as_json: JsonOption = False,
) -> None:
    """Print the result of each cycle, the trend of KER, and the champion model."""
    from rich.console import Console

    from tasks.common.shell_words import in_shell
    from tasks.data.cycle_folder import LABELLED_NAME
    from tasks.records.run_record import RECORD_NAME
    from tasks.reporting.history import read_history

    found = read_history(root)
    if as_json:
        print_json(found.as_dict())
        return
    console = Console(highlight=False, soft_wrap=True)
    if found.is_empty:
        labelled = root.absolute() / LABELLED_NAME
        elsewhere = any(labelled.glob(f"cycle*/{RECORD_NAME}"))
        console.print(
            f"{root.absolute()}: no run has finished here yet. "
            + (
                f"Those on labelled cycles are in {labelled}: `asr-flywheel history "
                f"{in_shell(labelled)}`."
                if elsewhere
                else "`asr-flywheel run CYCLE` makes the first."
            ),
            markup=False,
        )
        _print_problems(console, found)
        return
    console.print(_turns(found), soft_wrap=False)
    console.print(_trend(found), soft_wrap=False)
    for line in (*found.comparisons, *found.advice):
        console.print(f"- {line}", markup=False)
    for turn in found.turns:
        if turn.purged is not None:
            console.print(f"- Cycle {turn.cycle}: {turn.purged}", markup=False)
        for line in () if turn.served is None else turn.served.sentences:
            console.print(f"- Cycle {turn.cycle}, served: {line}", markup=False)
    for turn in found.preserved:
        console.print(
            f"- Cycle {turn.cycle}: an earlier run kept a model, which lies with its "
            f"evaluation in {turn.preserved}",
            markup=False,
        )
    _print_champion(console, found)
    console.print(found.rule, style="dim", markup=False)
    if any(turn.value is not None for turn in found.turns):
        console.print(
            "Value: how far the shipped model goes from the base (0) to the tuned model (1).",
            style="dim",
            markup=False,
        )
    _print_problems(console, found)


def _print_champion(console: Console, found: History) -> None:
    best = found.champion
    name = "none was kept" if best is None else f"cycle {best.cycle}'s model, {best.model}"
    console.print(f"Champion: {name}", markup=False)
    if best is not None and best.preserved is None:
        console.print(
            f"It was tuned on cycle {best.cycle - 1}'s rows, where its file is; its evaluation, "
            f"decision and hand-off are in cycle {best.cycle}.",
            markup=False,
        )
    for line in found.champion_notes:
        console.print(f"- {line}", markup=False)


def _print_problems(console: Console, found: History) -> None:
    for line in found.problems:
        console.print(f"Problem: {line}", style="red", markup=False)


def _turns(found: History) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    table = Table(
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        title="Turns, rows not trained on",
        title_justify="left",
    )
    for name in ("cycle", "base", "recipe", "decision"):
        table.add_column(name, no_wrap=name != "base")
    for name in ("value", "rows", "held out", "WER", "cost", "training"):
        table.add_column(name, no_wrap=True, justify="right")
    for turn in found.turns:
        wer = turn.unseen.wer
        table.add_row(
            f"{turn.cycle}{' ★' if turn is found.champion else ''}",
            escape(Path(turn.base).name),
            escape(turn.recipe),
            escape(turn.decision),
            "–" if turn.value is None else f"{turn.value:g}",
            str(turn.after.n),
            str(turn.unseen.n),
            "–" if wer is None else f"{wer:.3f}",
            "–" if turn.usd is None else f"${turn.usd:.2f}",
            "–" if turn.seconds is None else f"{turn.seconds:.0f} s",
        )
    return table


def _trend(found: History) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    title = "KER, rows not trained on (95 % interval, n)"
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), title=title, title_justify="left")
    table.add_column("category")
    for turn in found.turns:
        table.add_column(f"cycle {turn.cycle}", no_wrap=True)
    for category, by_cycle in found.trend().items():
        figures = (by_cycle.get(turn.cycle) for turn in found.turns)
        table.add_row(escape(category), *(escape(_ker(share)) for share in figures))
    return table


def _ker(share: Proportion | None) -> str:
    interval = None if share is None else share.interval
    if share is None or interval is None:
        return "–"
    return f"{share.rate:.3f} ({interval.low:.2f} to {interval.high:.2f}, {share.bracket})"
