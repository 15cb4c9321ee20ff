"""The guardrail's tasks of the flow: general English, checked before and decoded after."""

from __future__ import annotations

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows import publish
from flows.config import CycleConfig
from tasks import run_record, stages
from tasks.cycle import Cycle
from tasks.evaluation import hypotheses
from tasks.general import GeneralSet
from tasks.guardrail import Guardrail, check_guardrail
from tasks.hypotheses import write_hypotheses
from tasks.preflight import PreflightResult
from tasks.scoring import score
from tasks.transcribe import Transcript

Pair = tuple[Transcript, Transcript]
"""What base and tuned model made of one set."""


@task(name="general-english", cache_policy=NO_CACHE)
def general_english(config: CycleConfig, base: Path, checked: PreflightResult) -> GeneralSet | None:
    """Check the guardrail's sentences, and choose those that are replayed in training."""
    if config.general is None:
        return None
    found = stages.general_set(
        config.general,
        base,
        config.full_recipe(),
        checked,
        audio_roots=config.audio_roots,
        replay=config.replayed(len(checked.rows)),
        keep_style=config.keep_style,
    )
    publish.general(found)
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
