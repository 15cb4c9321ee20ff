"""The guardrail's tasks of the flow: general English, checked before and decoded after."""

from __future__ import annotations

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows import artifacts
from flows.config import CycleConfig
from tasks.data.cycle_folder import Cycle
from tasks.data.general_english import GeneralSet
from tasks.data.preflight import PreflightResult
from tasks.decision.guardrail import Guardrail, check_guardrail
from tasks.evaluation.hypotheses import write_hypotheses
from tasks.evaluation.scoring import score
from tasks.records import run_record
from tasks.stages import prepare
from tasks.transcription.offline import Transcript
from tasks.transcription.rows import hypotheses

Pair = tuple[Transcript, Transcript]
"""What base and tuned model made of one set."""


@task(name="general-english", cache_policy=NO_CACHE)
def general_english(config: CycleConfig, base: Path, checked: PreflightResult) -> GeneralSet | None:
    """Check the guardrail's sentences, and choose those that are replayed in training."""
    if config.general is None:
        return None
    found = prepare.general_set(
        config.general,
        base,
        config.full_recipe(),
        checked,
        audio_roots=config.audio_roots,
        replay=config.replayed(len(checked.rows)),
        keep_style=config.keep_style,
    )
    artifacts.general(found)
    return found


@task(name="guardrail", cache_policy=NO_CACHE)
def guardrail(
    config: CycleConfig, cycle: Cycle, general: GeneralSet | None, spoken: Pair
) -> Guardrail | None:
    """Hold the loss of general English against the limit; both models' rows are kept."""
    if general is None:
        return None
    before, after = (hypotheses(general.guardrail, one) for one in spoken)
    for name, rows in zip(run_record.GENERAL_NAMES, (before, after), strict=True):
        write_hypotheses(cycle.next.path / name, rows)
    return check_guardrail(score(before), score(after), config.guardrail())
