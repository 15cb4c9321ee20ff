"""Decode a cycle offline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asr_flywheel.options import (
    DEFAULTS,
    AccountOption,
    AudioRootOption,
    CpusOption,
    CycleArgument,
    GresOption,
    ImageOption,
    NoTextsOption,
    PartitionOption,
    RuntimeOption,
    ShardsOption,
    TimeLimitOption,
    TrustOption,
    check_options,
    slurm_settings,
)
from flows.config_fields import RuntimeName
from tasks.common.parameter_names import renamed

app = typer.Typer()


@app.command()
@renamed({"base": "--model"})
def transcribe(
    cycle: CycleArgument,
    model: Annotated[str, typer.Option("--model", help="A .nemo file, a known base, embedded.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Instead of the cycle's offline_hyps.jsonl, or own_baseline.jsonl beside a run's.",
        ),
    ] = None,
    audio_root: AudioRootOption = None,
    shards: ShardsOption = None,
    runtime: RuntimeOption = DEFAULTS.runtime,
    image: ImageOption = DEFAULTS.container.image,
    *,
    partition: PartitionOption = None,
    account: AccountOption = None,
    time_limit: TimeLimitOption = None,
    gres: GresOption = None,
    cpus: CpusOption = None,
    trust: TrustOption = False,
    no_texts: NoTextsOption = False,
) -> None:
    """Decode a cycle offline; without --out the result becomes the cycle's baseline."""
    from tasks.common import privacy_settings
    from tasks.data.cycle_folder import open_cycle
    from tasks.data.early_checks import check_before_base
    from tasks.records import audit_log
    from tasks.records.audit_log import AuditedAct
    from tasks.stages.evaluate import evaluation_target

    config = check_options(
        cycle,
        base=model,
        audio_roots=tuple(audio_root or []),
        shards=shards,
        runtime=runtime,
        container={"image": image},
        slurm=slurm_settings(partition, account, time_limit, gres, cpus),
        trust=trust,
        no_texts=no_texts,
    )
    folder = open_cycle(cycle)
    evaluation_target(folder, out)  # that the folder may be written to is known before all else
    check_before_base(model, [folder.manifest], audio_root or ())
    audit_log.record(folder.path.parent, AuditedAct.TRANSCRIBE, folder.path.name, model=model)

    def say(line: str) -> None:
        typer.echo(line, err=True)

    with privacy_settings.applied(no_texts=no_texts):
        if shards is not None:
            from flows.transcribe_shards import transcribe_in_shards

            written = transcribe_in_shards(config, out)
        else:
            from tasks.stages import evaluate

            elsewhere = None
            if runtime is not RuntimeName.LOCAL:
                from flows import resolve_parameters

                elsewhere = resolve_parameters.make_runtime(config, report=say)
            written = evaluate.transcribe_baseline(
                folder,
                model,
                out,
                audio_root or [],
                say,
                runtime=elsewhere,
                trust=trust,
            )
    for path in written:
        typer.echo(str(path))
