"""A finished run's folders without a training: for the tests of report and history."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.data.cycle_folder import open_cycle
from tasks.decision.mixture_choice import Candidate, Choice, choose
from tasks.evaluation.hypotheses import Hypothesis, Partition, write_hypotheses
from tasks.records import run_record
from tasks.reporting.html.page import render
from tasks.reporting.html.report_data import gather
from tests.support import factories

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tasks.decision.guardrail import Guardrail

NASTY = '<script>alert("1")</script>'
RTL = "אספירין"
SHIPPED_SHA256, TUNED_SHA256 = "e" * 64, "f" * 64
EMOJI = "💊 “pill” & co"
TERMS = ("aspirin", "metformin", "warfarin", NASTY, RTL, EMOJI)


@dataclass(frozen=True)
class Turn:
    """One turn: how many drug rows of each part base and tuned model miss.

    Attributes:
        held_out: (rows, missed by the base, missed by the tuned model).
        trained: the same.
        decision: of decision.json.
        seconds: of training.
        val_wer: by epoch.
        train_loss: by epoch.
        base: as the user named it.
        guardrail: of decision.json.
        shipped: the choice of a mixture; None for a run of a version that chose none.
        verdicts: of decision.json.
    """

    held_out: tuple[int, int, int] = (12, 9, 4)
    trained: tuple[int, int, int] = (18, 14, 2)
    decision: str = "keep"
    seconds: float = 69.0
    val_wer: Sequence[float] = (0.2, 0.15, 0.17)
    train_loss: Sequence[float] = (40.0, 20.0, 9.0)
    base: str = "embedded"
    guardrail: Guardrail | None = None
    shipped: Choice | None = None
    verdicts: int | None = None


def rows(turn: Turn, which: int, terms: Sequence[str] = TERMS) -> list[Hypothesis]:
    """The evaluation by base (1) or tuned model (2)."""
    found = []
    for part, counts in ((Partition.HELD_OUT, turn.held_out), (Partition.TRAINED, turn.trained)):
        for place in range(counts[0]):
            number = place + (turn.held_out[0] if part is Partition.TRAINED else 0)
            term = terms[number % len(terms)]
            heard = "as prin" if place < counts[which] else term
            found.append(
                Hypothesis(
                    f"audio/{number}.wav",
                    f"please give {term} today number {number}",
                    f"please give uh {heard} today {number}",
                    term,
                    "drug" if number % 3 else "lab",
                    ("override", "magpie_g2p")[number % 2],
                    f"voice{number % 2}",
                    ("clean", "snr_5db")[number % 2],
                    "dictation",
                    part,
                )
            )
    return found


def finish_turn(parent: Path, number: int, turn: Turn, terms: Sequence[str] = TERMS) -> Path:
    """Cycle N with audio and a training's record; cycle N+1 as a finished run leaves it."""
    cycle, following = parent / f"cycle{number}", parent / f"cycle{number + 1}"
    (cycle / "audio").mkdir(parents=True, exist_ok=True)
    following.mkdir(exist_ok=True)
    total = turn.held_out[0] + turn.trained[0]
    for place in range(total):
        factories.write_wav(cycle / "audio" / f"{place}.wav", 0.2, seed=place)
    tuned = rows(turn, 2, terms)
    factories.write_rows(
        cycle / "manifest.jsonl",
        [
            {
                "audio_filepath": row.audio_filepath,
                "text": row.ref,
                "term": row.term,
                "entity_category": row.entity_category,
            }
            for row in tuned
        ],
    )
    write_hypotheses(following / "baseline_hyps.jsonl", rows(turn, 1, terms))
    write_hypotheses(following / "offline_hyps.jsonl", tuned)
    info = cycle / "models" / "run" / "training_run_info.json"
    info.parent.mkdir(parents=True, exist_ok=True)
    info.write_text(json.dumps(_training(turn)))
    reading = {"decision": "keep", "basis": "all, trained on included"}
    decision = {
        "decision": turn.decision,
        "bare_decision": "keep",
        "reasons": [f"A reason with {NASTY} in it."],
        "rows_needed": 60 if turn.decision == "inconclusive" else None,
        "route": "/riva-asr-custom"
        if turn.decision == "keep"
        else "/digital-health-clinical-asr-build",
        "basis": "held-out",
        "guardrail": None if turn.guardrail is None else turn.guardrail.as_dict(),
        "all_rows": reading,
        "by": {},
        "by_all_rows": {},
    }
    if turn.shipped is not None:
        decision["shipping"] = shipping(turn.shipped)
    if turn.verdicts is not None:
        decision["verdicts"] = turn.verdicts
    (following / "decision.json").write_text(json.dumps(decision))
    (following / "run.json").write_text(json.dumps(_record(cycle, turn, info, decision)))
    return following


def render_report(parent: Path, turn: Turn) -> str:
    """The page that a turn's report is."""
    cycle = open_cycle(finish_turn(parent, 1, turn))
    return render(gather(cycle, run_record.read(cycle)))


def shipping(choice: Choice) -> dict[str, Any]:
    """The block of decision.json on what is shipped."""
    mixed = choice.value < 1
    return {
        "mixed": mixed,
        "base_sha256": "b" * 64,
        "tuned_sha256": TUNED_SHA256 if mixed else SHIPPED_SHA256,
        **choice.as_dict(),
        "shipped_sha256": SHIPPED_SHA256,
    }


def mixture() -> Choice:
    """A choice of 0.4 among base, 0.4 and the tuned model, on 20 rows and 100 sentences."""
    terms = tuple(f"term {number}" for number in range(20))
    figures = ((0.0, 18, 30), (0.4, 10, 32), (1.0, 8, 45))
    candidates = [
        Candidate(
            value,
            tuple(float(place < missed) for place in range(20)),
            terms,
            (edits - 20, *(1,) * 20, *(0,) * 79),
            (10,) * 100,
        )
        for value, missed, edits in figures
    ]
    return choose(candidates, 0.005)


def doubtful_mixture() -> Choice:
    """A choice of 0.4 that holds by the curve; one sentence puts its own rise over the limit."""
    terms = tuple(f"term {number}" for number in range(20))
    figures = ((0.0, 18, 0), (0.4, 10, 9), (1.0, 12, 0))
    candidates = [
        Candidate(
            value,
            tuple(float(place < missed) for place in range(20)),
            terms,
            (edits, *(0,) * 99),
            (10,) * 100,
        )
        for value, missed, edits in figures
    ]
    return choose(candidates, 0.005)


def _training(turn: Turn) -> dict[str, Any]:
    return {
        "base": {"name": turn.base, "sha256": "b" * 64, "parameters": 6_600_000},
        "recipe": {
            "name": "verified",
            "lr": 3e-4,
            "warmup_steps": 5,
            "epochs": len(turn.val_wer),
            "effective_batch": 4,
            "seed": 42,
        },
        "runtime": {"image": None, "gpus": [], "cores": 2, "precision": "32-true"},
        "epochs": [
            {
                "epoch": place,
                "step": 10 * place + 10,
                "train_loss": loss,
                "val_loss": None,
                "val_wer": wer,
                "seconds": turn.seconds / len(turn.val_wer),
                "gpu_memory_mib": 0,
            }
            for place, (wer, loss) in enumerate(zip(turn.val_wer, turn.train_loss, strict=True))
        ],
        "wall_seconds": turn.seconds,
        **({} if turn.shipped is None else {"checkpoint": "the best, chosen on selection rows"}),
    }


def _record(cycle: Path, turn: Turn, info: Path, decision: dict[str, Any]) -> dict[str, Any]:
    """What run.json holds, as far as anything reads it."""
    return {
        "started": "2026-11-24T21:53:00Z",
        "finished": "2026-11-24T21:58:00Z",
        "config": {
            "cycle": str(cycle),
            "base": turn.base,
            "priority": ["drug"],
            "recipe": "verified",
            "seed": 42,
            "compare_with": "offline",
            "baseline": None,
        },
        "gate": {"reasons": ["Tune: drug KER is 0.750."], "warnings": []},
        "preflight": {"rows": turn.held_out[0] + turn.trained[0], "manifest_sha256": "c" * 64},
        "split": {
            "train": turn.trained[0],
            **({} if turn.shipped is None else {"selection": 6}),
            "validation": turn.held_out[0],
            "warnings": [],
            "content_sha256": "d" * 64,
        },
        "sft": {
            "model": str(info.with_name("adapted_model.nemo")),
            "model_sha256": SHIPPED_SHA256,
            **(
                {}
                if turn.shipped is None
                else {
                    "value": turn.shipped.value,
                    "tuned_sha256": shipping(turn.shipped)["tuned_sha256"],
                }
            ),
            "training_run_info": str(info),
            "reused": False,
        },
        "decision": decision,
        "versions": {"python": "3.11", "nemo_toolkit": "3.0.0"},
        "files": {},
    }
