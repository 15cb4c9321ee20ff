"""Transcription by several workers: shards of a cycle as runs of a deployment of their own.

Prefect distributes them: every worker of the GPU pool takes shards as it gets free. The run that
asks for them holds no GPU meanwhile. Each worker keeps what it decodes piece by piece in the
cycle's folder, which all of them must see under one path; afterwards the cycle reads it from there
as if it had decoded it itself. A shard whose worker is lost is asked for again by the next run,
less the pieces that were kept.
"""

from __future__ import annotations

import asyncio
import shutil
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from prefect import flow
from prefect.client.orchestration import get_client
from prefect.deployments import arun_deployment
from prefect.exceptions import ObjectNotFound
from prefect.runtime import flow_run
from pydantic import BaseModel, ConfigDict, Field

from blocks.parameter_types import paths_from_here
from flows import console, gpu_slots, prefect_helpers, resolve_parameters
from flows.config import CycleConfig
from tasks.common.counted import agreed, counted
from tasks.common.errors import InputError, TranscriptionError
from tasks.common.parameter_names import name_of
from tasks.data.cycle_folder import open_cycle
from tasks.data.cycle_lock import lock_cycle
from tasks.data.early_checks import check_before_base
from tasks.stages import evaluate
from tasks.transcription import offline, shard_files

if TYPE_CHECKING:
    from collections.abc import Sequence

    from prefect.client.schemas.objects import FlowRun

    from tasks.transcription.audio_sets import AudioSet, Piece
    from tasks.transcription.hypothesis_cache import TranscriptStore

DEPLOYMENT = "transcribe-shard/transcribe-shard"
_LISTS = ".shards"
_LOOK_EVERY_S = 2.0


class ShardConfig(BaseModel):
    """One shard of a cycle's transcription."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    turn: CycleConfig = Field(
        title="Cycle", description="The run that the shard is part of: its cycle and its runtime."
    )
    listing: Path = Field(
        title="List", description="The shard's list of recordings, written by that run."
    )


@flow(name="transcribe-shard")
def transcribe_shard(config: ShardConfig) -> int:
    """Decode one shard; the number of recordings that were decoded now."""
    cycle = open_cycle(config.turn.cycle)
    runtime = resolve_parameters.make_runtime(config.turn, config.turn.stock_script)
    runtime.check(lambda line: console.print_stage("runtime", line))
    kept = evaluate.open_hypothesis_cache(cycle, runtime)
    todo = shard_files.read(config.listing)
    with gpu_slots.gpu_slot(runtime.hardware.gpus):
        took = offline.decode(todo, runtime, kept, lambda line: console.print_stage("", line))
    rows = sum(audio.decodes for _, audio in todo)
    seconds = sum(audio.decoded_seconds for _, audio in todo)
    console.print_stage(
        "shard", f"{counted(rows, 'row')}, {seconds / max(sum(took), 1e-9):.0f} x real time"
    )
    return rows


def check(config: CycleConfig) -> None:
    """Make sure, before anything is spent, that there is somebody to share with.

    Raises:
        InputError: shards are asked for, but no server is named or it lacks the deployment.
    """
    if config.shards is None:
        return
    if not prefect_helpers.is_named():
        raise InputError(
            f"{name_of('shards')}: decoding in shards needs a Prefect server whose workers take "
            "them. Fix: set PREFECT_API_URL, or leave shards out."
        )
    with get_client(sync_client=True) as client:
        try:
            client.read_deployment_by_name(DEPLOYMENT)
        except ObjectNotFound as unknown:
            raise InputError(
                f"{name_of('shards')}: the server has no deployment {DEPLOYMENT}. Fix: make it "
                "with python -m asr_flywheel.site.register."
            ) from unknown


@flow(name="transcribe-cycle")
def transcribe_in_shards(config: CycleConfig, out: Path | None = None) -> list[Path]:
    """Decode a cycle by one model, its base, in shards; the files that were written."""
    cycle = open_cycle(config.cycle)
    check_before_base(config.base, [cycle.manifest], config.audio_roots)
    check(config)
    with lock_cycle(cycle):
        return evaluate.transcribe_baseline(
            cycle,
            config.base,
            out,
            config.audio_roots,
            lambda line: console.print_stage("transcribe", line),
            partial(share, config),
            runtime=resolve_parameters.make_runtime(config, config.stock_script),
            trust=config.trust,
        )


def share(
    config: CycleConfig,
    models: Sequence[Path],
    audio: AudioSet,
    kept: TranscriptStore,
    plainly: Sequence[Path] = (),
) -> None:
    """Have workers decode what the models have not decoded yet; waits for all of them.

    To be called in a flow, whose children the shards become. With ``config.shards`` None, or with
    nothing left to decode, nothing happens.

    Raises:
        TranscriptionError: a shard did not finish; says how much is kept.
    """
    if config.shards is None:
        return
    todo = offline.missing(models, audio, kept, plainly)
    if not todo:
        return
    shards = shard_files.cut(todo, config.shards)
    console.print_stage(
        "shards", f"{counted(_rows(todo), 'row')} in {counted(len(shards), 'shard')}"
    )
    folder = kept.folder / _LISTS
    lists = [shard_files.write(folder, shard) for shard in shards]
    runs = asyncio.run(_ask(config, lists))
    shutil.rmtree(folder, ignore_errors=True)
    failed = [run for run in runs if run.state is None or not run.state.is_completed()]
    if failed:
        left = offline.missing(models, audio, kept, plainly)
        named = ", ".join(f"{run.name} ({run.state_name})" for run in failed)
        raise TranscriptionError(
            f"{len(failed)} of {len(shards)} shards did not finish: {named}. "
            f"{_rows(todo) - _rows(left)} of {counted(_rows(todo), 'row')} "
            f"{agreed(_rows(todo) - _rows(left), 'is', 'are')} decoded and kept. "
            "Fix: see the log of these runs, then start again; only the rest is decoded."
        )


async def _ask(config: CycleConfig, lists: Sequence[Path]) -> list[FlowRun]:
    """One run of the deployment a list, all at once."""
    turn = paths_from_here(config)
    asking = f"{flow_run.get_id()}-{flow_run.get_run_count()}"
    return await asyncio.gather(
        *(
            arun_deployment(
                DEPLOYMENT,
                parameters={
                    "config": {"turn": turn.model_dump(mode="json"), "listing": str(listing)}
                },
                # A request that is sent again, as when the server was busy, is the same one.
                idempotency_key=f"{asking}-{listing.stem}",
                poll_interval=_LOOK_EVERY_S,
                as_subflow=True,
            )
            for listing in lists
        )
    )


def _rows(pieces: Sequence[Piece]) -> int:
    return sum(audio.decodes for _, audio in pieces)
