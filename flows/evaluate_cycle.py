"""The flow: a cycle's recordings decoded and scored by one model, without training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from pydantic import BaseModel, ConfigDict, Field

from blocks.places import AbsolutePath
from flows import publish, slots, transcribe_shards
from flows.config import (
    AudioRootsField,
    ContainerBlockField,
    ContainerField,
    CycleConfig,
    CycleField,
    RuntimeField,
    RuntimeName,
    ShardsField,
    TrustField,
    WhenBusy,
    WhenBusyField,
    audio_roots,
    container_runtime,
)
from tasks import bases, hardware, stages, transcribe
from tasks.bases import RECOMMENDED
from tasks.claims import claim
from tasks.container import ContainerSettings
from tasks.cycle import Cycle, open_cycle
from tasks.evaluation import audio_set
from tasks.leaderboard import Leaderboard
from tasks.preflight import PreflightResult
from tasks.runtime import LocalRuntime, Runtime
from tasks.transcribe import AudioSet, Transcript
from tasks.transcripts import TranscriptStore


class EvaluationConfig(BaseModel):
    """One evaluation: a cycle's recordings, decoded and scored by one model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

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
        "starts.",
    )
    runtime: RuntimeField = RuntimeName.LOCAL
    container: ContainerField = ContainerSettings()
    container_block: ContainerBlockField = None
    audio_roots: AudioRootsField = ()
    shards: ShardsField = None
    when_busy: WhenBusyField = WhenBusy.REFUSE

    @property
    def turn(self) -> CycleConfig:
        """What shards are told: they decode for this cycle, in this runtime."""
        told = {
            "cycle",
            "runtime",
            "container",
            "container_block",
            "audio_roots",
            "shards",
            "trust",
        }
        return CycleConfig(base=self.model, **{name: getattr(self, name) for name in told})

    def roots(self, cycle: Path) -> tuple[Path, ...]:
        """The folders under which all audio of the cycle lies, links followed."""
        return audio_roots(cycle, self.audio_roots)

    def make_runtime(self) -> Runtime:
        """Where transcription runs."""
        if self.runtime is RuntimeName.LOCAL:
            return LocalRuntime(hardware.detect(), trust=self.trust)
        return container_runtime(self.container, self.container_block, trust=self.trust)


@dataclass(frozen=True)
class Evaluated:
    """What an evaluation ended in."""

    hypotheses: Path
    leaderboard: Leaderboard


@flow(name="evaluate-cycle")
def evaluate_cycle(config: EvaluationConfig) -> Evaluated:
    """Decode a cycle by one model, score it and write its leaderboard."""
    cycle = open_cycle(config.cycle)
    wait = config.when_busy is WhenBusy.WAIT
    with claim(cycle, (lambda: publish.waiting(cycle)) if wait else None):
        target = stages.evaluation_target(cycle, config.out)
        transcribe_shards.check(config.turn)
        model = bases.resolve(config.model, trust=config.trust)
        runtime = config.make_runtime()
        runtime.check(lambda line: publish.stage("runtime", line))
        checked = check_manifest(config, cycle, model)
        audio = audio_set(checked.rows, config.roots(cycle.path))
        kept = stages.kept_transcripts(cycle, runtime)
        # Shards are runs of their own, which a task cannot have.
        transcribe_shards.share(config.turn, (model,), audio, kept)
        transcript = transcribe_cycle(config, model, audio, runtime, kept)
        return Evaluated(target, evaluate(config, cycle, target, checked, transcript))


@task(name="preflight", cache_policy=NO_CACHE)
def check_manifest(config: EvaluationConfig, cycle: Cycle, model: Path) -> PreflightResult:
    """Check every row and its audio before anything is decoded."""
    checked = stages.check_audio(cycle, model, config.audio_roots)
    publish.warnings([str(finding) for finding in checked.warnings])
    return checked


@task(name="offline-transcribe", cache_policy=NO_CACHE)
def transcribe_cycle(
    config: EvaluationConfig, model: Path, audio: AudioSet, runtime: Runtime, kept: TranscriptStore
) -> Transcript:
    """Decode the cycle; rows that the model has decoded before are not decoded again."""
    publish.stage("transcribe", f"{len(audio.audio)} rows by {config.model}")
    slot = slots.gpu_slot(runtime.hardware.gpus)
    (transcript,) = transcribe.transcribe((model,), audio, runtime, kept, holding=slot)
    publish.speed({config.model: transcript})
    return transcript


@task(name="leaderboard", cache_policy=NO_CACHE)
def evaluate(
    config: EvaluationConfig,
    cycle: Cycle,
    target: Path,
    checked: PreflightResult,
    transcript: Transcript,
) -> Leaderboard:
    """Score the hypotheses, write them and their leaderboard."""
    board = stages.write_evaluation(cycle, target, config.model, checked, transcript)
    publish.leaderboard(cycle, board, target)
    return board
