"""Phrases over real gRPC: what scores do on a server that heeds them, and on one that does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asr_flywheel.demo.terms import TERMS
from tasks.evaluation.result_reading import read_hypotheses
from tasks.serving import boost_sweep, endpoint_transcription, word_boosting
from tasks.serving.riva_client import Client, Endpoint
from tests.support import riva_server
from tests.support.planted_faults import QUICK
from tests.support.riva_server import Faults

if TYPE_CHECKING:
    from pathlib import Path

    from tasks.serving.boost_sweep import BoostSweep
    from tasks.serving.validation import ValidationPlan


def swept(plan: ValidationPlan, faults: Faults, folder: Path) -> tuple[BoostSweep, list[Any]]:
    """The terms of the demo sent at three scores; and what the server was sent."""
    with riva_server.running(folder, faults) as server:
        client = Client(Endpoint(server.address), QUICK)
        target = plan.folder / endpoint_transcription.SERVED_NAME
        endpoint_transcription.transcribe(plan.rows, client, target, 4)
        found = boost_sweep.sweep(
            plan.rows,
            plan.offline,
            client,
            [term.text for term in TERMS],
            word_boosting.scores_for(plan.flag),
            flag=plan.flag,
            concurrency=4,
        )
        client.close()
    return found, server.servicer.configs


def test_three_scores_are_measured_on_a_server_that_heeds_phrases(
    serving_plan: ValidationPlan, tmp_path: Path
) -> None:
    """By real boosted decoding: fewer terms missed, what it costs, and no known strength."""
    found, configs = swept(serving_plan, Faults(strength_of=lambda score: score / 50), tmp_path)
    assert [line.score for line in found.lines] == [0, 20, 60, 100]
    assert (found.basis, found.n, found.phrases) == ("all", 16, 60)
    assert found.heeded
    plain, *boosted = found.lines
    assert min(line.keyword.hits for line in boosted) < plain.keyword.hits
    sent = {tuple(one.boost for one in config.speech_contexts) for config in configs}
    assert sent == {(), (20.0,), (60.0,), (100.0,)}
    assert all(len(c.phrases) == 60 for config in configs for c in config.speech_contexts)
    hyps = read_hypotheses(serving_plan.folder / "served_boosted_60_hyps.jsonl")
    served = read_hypotheses(serving_plan.folder / endpoint_transcription.SERVED_NAME)
    changed = sum(one.hyp != two.hyp for one, two in zip(hyps, served, strict=True))
    assert found.lines[2].changed == changed
    assert found.as_dict()["decoder"] == "decoder=greedy_ctc"


def test_a_server_that_does_not_heed_phrases_is_told(
    serving_plan: ValidationPlan, tmp_path: Path
) -> None:
    """No text changes at any score."""
    found, _ = swept(serving_plan, Faults(), tmp_path)
    assert not found.heeded
    assert "No row changed at score 20, 60, 100" in found.findings()[1]
    assert "not heeded" in found.findings()[0]
