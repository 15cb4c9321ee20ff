"""The flow: a cycle's recordings decoded and scored by one model, without training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from pydantic import Field, model_validator

from blocks.parameter_types import AbsolutePath
from flows import artifacts, audit, console, gpu_slots, resolve_parameters, transcribe_shards
from flows.config import CycleConfig, audio_roots
from flows.config_fields import (
    AudioRootsField,
    ContainerBlockField,
    ContainerField,
    CycleField,
    NoTextsField,
    RuntimeField,
    RuntimeName,
    ShardsField,
    SlurmBlockField,
    SlurmField,
    TrustField,
    WhenBusy,
    WhenBusyField,
)
from flows.parameters_without_effect import RUNTIME_RULES, effectless_where_it_runs
from tasks.common import privacy_settings
from tasks.common.counted import counted
from tasks.common.effect_rules import refuse_effectless
from tasks.common.parameter_model import ParameterModel
from tasks.data.cycle_folder import Cycle, open_cycle
from tasks.data.cycle_lock import lock_cycle
from tasks.data.early_checks import check_before_base
from tasks.data.preflight import PreflightResult
from tasks.evaluation.leaderboard import Leaderboard
from tasks.models import catalog
from tasks.models.catalog import RECOMMENDED
from tasks.records.audit_log import AuditedAct
from tasks.runtimes.base import Runtime
from tasks.runtimes.container_settings import ContainerSettings
from tasks.runtimes.slurm.settings import SlurmSettings
from tasks.stages import evaluate as evaluation_stage
from tasks.transcription import offline
from tasks.transcription.audio_sets import AudioSet, Transcript
from tasks.transcription.hypothesis_cache import TranscriptStore
from tasks.transcription.rows import audio_set


class EvaluationConfig(ParameterModel):
    """One evaluation: a cycle's recordings, decoded and scored by one model."""

    cycle: CycleField
    model: str = Field(
        RECOMMENDED,
        title="Model",
        description="A known name, the path of a .nemo file, or `embedded`, `embedded-tdt` or "
        "`embedded-rnnt` for this project's own.",
    )
    trust: TrustField = False
    out: AbsolutePath | None = Field(
        None,
        title="Result",
        description="A JSONL file for the hypotheses, by its absolute path. Empty: they become the "
        "cycle's own evaluation (offline_hyps.jsonl, with its leaderboard), from which a later run "
        "starts. Beside the evaluation of a run on the cycle before it is own_baseline.jsonl.",
    )
    runtime: RuntimeField = RuntimeName.LOCAL
    container: ContainerField = ContainerSettings()
    container_block: ContainerBlockField = None
    slurm: SlurmField = SlurmSettings()
    slurm_block: SlurmBlockField = None
    audio_roots: AudioRootsField = ()
    shards: ShardsField = None
    when_busy: WhenBusyField = WhenBusy.REFUSE
    no_texts: NoTextsField = False

    @model_validator(mode="after")
    def _takes_effect(self) -> Self:
        refuse_effectless(self, RUNTIME_RULES)
        return self

    @property
    def for_shards(self) -> CycleConfig:
        """The parameters that shards get: they decode for this cycle, in this runtime."""
        names = {
            "cycle",
            "runtime",
            "container",
            "container_block",
            "slurm",
            "slurm_block",
            "audio_roots",
            "shards",
            "trust",
            "no_texts",
        }
        return CycleConfig(base=self.model, **{name: getattr(self, name) for name in names})

    def roots(self, cycle: Path) -> tuple[Path, ...]:
        """The folders under which all audio of the cycle lies, links followed."""
        return audio_roots(cycle, self.audio_roots)


@dataclass(frozen=True)
class Evaluated:
    """What an evaluation ended in."""

    hypotheses: Path
    leaderboard: Leaderboard


@flow(name="evaluate-cycle")
def evaluate_cycle(config: EvaluationConfig) -> Evaluated:
    """Decode a cycle by one model, score it and write its leaderboard."""
    artifacts.without_effect(effectless_where_it_runs(config))
    cycle = open_cycle(config.cycle)
    wait = config.when_busy is WhenBusy.WAIT
    with (
        privacy_settings.applied(no_texts=config.no_texts),
        lock_cycle(cycle, (lambda: artifacts.waiting(cycle)) if wait else None, can_wait=True),
    ):
        audit.record(cycle, AuditedAct.TRANSCRIBE, model=config.model)
        target = evaluation_stage.evaluation_target(cycle, config.out)
        check_before_base(config.model, [cycle.manifest], config.audio_roots)
        transcribe_shards.check(config.for_shards)
        model = catalog.resolve(config.model, trust=config.trust)
        runtime = resolve_parameters.make_runtime(config)
        checked = check_manifest(config, cycle, model)
        runtime.check(lambda line: console.print_stage("runtime", line))
        audio = audio_set(checked.rows, config.roots(cycle.path))
        kept = evaluation_stage.open_hypothesis_cache(cycle, runtime)
        # Shards are runs of their own, which a task cannot have.
        transcribe_shards.share(config.for_shards, (model,), audio, kept)
        transcript = transcribe_cycle(config, model, audio, runtime, kept)
        return Evaluated(target, evaluate(config, cycle, target, model, checked, transcript))


@task(name="preflight", cache_policy=NO_CACHE)
def check_manifest(config: EvaluationConfig, cycle: Cycle, model: Path) -> PreflightResult:
    """Check every row and its audio before anything is decoded."""
    checked = evaluation_stage.check_audio(cycle, model, config.audio_roots)
    artifacts.warnings([str(finding) for finding in checked.warnings])
    return checked


@task(name="offline-transcribe", cache_policy=NO_CACHE)
def transcribe_cycle(
    config: EvaluationConfig, model: Path, audio: AudioSet, runtime: Runtime, kept: TranscriptStore
) -> Transcript:
    """Decode the cycle; rows that the model has decoded before are not decoded again."""
    console.print_stage("transcribe", f"{counted(len(audio.audio), 'row')} by {config.model}")
    slot = gpu_slots.gpu_slot(runtime.hardware.gpus)
    (transcript,) = offline.transcribe((model,), audio, runtime, kept, holding=slot)
    artifacts.speed({config.model: transcript})
    return transcript


@task(name="leaderboard", cache_policy=NO_CACHE)
def evaluate(
    config: EvaluationConfig,
    cycle: Cycle,
    target: Path,
    model: Path,
    checked: PreflightResult,
    transcript: Transcript,
) -> Leaderboard:
    """Score the hypotheses, write them and their leaderboard."""
    board = evaluation_stage.write_evaluation(
        cycle, target, config.model, model, checked, transcript
    )
    artifacts.leaderboard(cycle, board, target)
    return board
