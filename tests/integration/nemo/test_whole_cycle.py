"""A whole cycle, for real: speech is made, the embedded base tuned, transcribed, scored, judged."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from prefect.client.orchestration import get_client
from prefect.testing.utilities import prefect_test_harness

from asr_flywheel.demo import dataset
from asr_flywheel.demo.dataset import plan_cycle
from flows.config import CycleConfig
from flows.evaluate_cycle import EvaluationConfig, evaluate_cycle
from flows.finetune_cycle import CycleOutcome, finetune_cycle
from tasks.common import hashing, neighbour_stages
from tasks.common.errors import InputError
from tasks.data.cycle_folder import open_cycle
from tasks.data.cycle_lock import LOCK_NAME
from tasks.records import audit_log
from tasks.serving import handoff, handoff_package
from tasks.stages import evaluate
from tasks.training import recording_roles

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def few(seed: int) -> Sequence[dataset.ClinicalRow]:
    """The demo's drug rows and every third of the others."""
    rows = plan_cycle(seed)
    drugs = [row for row in rows if row.term.category == "drug"]
    return (*drugs, *[row for row in rows if row.term.category != "drug"][::3])


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder that holds the cycles, with a Prefect server of its own for the module.

    All of its drugs, so that twenty rows of them choose and twenty judge, and a third of the rest.
    """
    folder = tmp_path_factory.mktemp("clinic")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dataset, "plan_cycle", few)
        dataset.synthesise_cycle(folder / "cycle1")
    with prefect_test_harness(server_startup_timeout=120):
        yield folder


@pytest.fixture(scope="module")
def config(clinic: Path) -> CycleConfig:
    """One epoch, so that the test takes a minute; the demo takes its recipe's eight.

    Rows enough choose the mixture. The demo has general English.
    """
    return CycleConfig(
        cycle=clinic / "cycle1",
        base="embedded",
        epochs=1,
        selection_share=0.2,
        general=Path("none"),
    )


@pytest.fixture(scope="module")
def manifest_before(clinic: Path) -> bytes:
    """The user's manifest as it was."""
    return (clinic / "cycle1" / "manifest.jsonl").read_bytes()


@pytest.fixture(scope="module")
def outcome(clinic: Path, config: CycleConfig, manifest_before: bytes) -> CycleOutcome:
    """What the flow ended in, after a real baseline."""
    assert manifest_before
    evaluate.transcribe_baseline(open_cycle(clinic / "cycle1"), "embedded", None, (), print)
    return finetune_cycle(config)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSONL file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def to_be_grown(outcome: CycleOutcome) -> bool:
    """Whether the decision sends the user to the build stage."""
    assert outcome.decision is not None
    return outcome.decision.route == neighbour_stages.BUILD


def test_every_file_is_there_and_the_record_knows_them(outcome: CycleOutcome, clinic: Path) -> None:
    """All artifacts of the specification exist; run.json holds the hash of each."""
    first, second = clinic / "cycle1", clinic / "cycle2"
    assert outcome.next_cycle == second
    parts = [first / f"{name}.jsonl" for name in ("train", "selection", "validation", "verdicts")]
    for path in (*parts, second / "decision.json"):
        assert path.stat().st_size
    record = json.loads((second / "run.json").read_text())
    assert set(record["files"]) == {
        "baseline_hyps.jsonl",
        "offline_hyps.jsonl",
        "nonspeech_hyps.jsonl",
        "baseline_variant_hyps.jsonl",
        "variant_hyps.jsonl",
        "leaderboard_cycle2.md",
        "leaderboard_cycle2.json",
        "decision.json",
        "report_cycle2.html",
        "figures/ker_by_category.png",
        "figures/ker_by_ipa_source.png",
        "figures/ker_by_noise.png",
        "figures/mixture.png",
        "figures/training.png",
        *(("grow_plan.csv", "grow_plan.md") if to_be_grown(outcome) else ()),
    }
    for name, sha256 in record["files"].items():
        assert hashing.sha256_file(second / name) == sha256
    (run,) = (first / "models").iterdir()
    info = json.loads((run / "training_run_info.json").read_text())
    assert info["model_sha256"] == hashing.sha256_file(run / "adapted_model.nemo")
    assert info["epochs"][0]["val_wer"] is not None
    assert info["dataset"]["rows_loaded"] == info["dataset"]["train_rows"] == 93


def test_the_users_manifest_is_untouched(
    outcome: CycleOutcome, clinic: Path, manifest_before: bytes
) -> None:
    """Not a byte of the manifest changed, and no work folder is left."""
    assert outcome.gate.passed
    assert (clinic / "cycle1" / "manifest.jsonl").read_bytes() == manifest_before
    assert [path.name for path in (clinic / "cycle1" / "models").iterdir()] == [
        path.name
        for path in (clinic / "cycle1" / "models").iterdir()
        if not path.name.startswith(".")
    ]


def test_the_decision_rests_on_rows_that_were_not_trained_on(
    outcome: CycleOutcome, clinic: Path
) -> None:
    """Counting missed terms by hand on validation.jsonl's rows gives the decision's figures."""
    held_out = {
        Path(row["audio_filepath"]).name for row in read_rows(clinic / "cycle1/validation.jsonl")
    }
    missed = {}
    names = ("baseline_hyps.jsonl", "offline_hyps.jsonl")
    variants = ("baseline_variant_hyps.jsonl", "variant_hyps.jsonl")
    for name in (*names, *variants):
        rows = [
            row
            for row in read_rows(clinic / "cycle2" / name)
            if Path(row["audio_filepath"]).name in held_out and row["entity_category"] == "drug"
        ]
        # The benchmark's terms and texts are plain lower-case words: the normaliser is not needed.
        missed[name] = sum(f" {row['term']} " not in f" {row['hyp']} " for row in rows)
        assert len(rows) == 20 * (1 if name in names else 7)
        assert all(row["part"] == "held-out" for row in rows)
    decided = json.loads((clinic / "cycle2/decision.json").read_text())
    plain, figures = (decided[name]["drug"] for name in ("plain", "by"))
    assert figures["n"] == plain["n"] == 20
    for ker, name, varied in zip(("ker_a", "ker_b"), names, variants, strict=True):
        assert plain[ker] == missed[name] / 20
        # Eight decodes a row: as it is, and under seven shifts that nobody hears.
        assert figures[ker] == (missed[name] + missed[varied]) / 160
    assert outcome.decision is not None
    assert outcome.decision.basis == "held-out"


def test_tuning_really_changes_what_is_recognised(outcome: CycleOutcome, clinic: Path) -> None:
    """After an epoch the drug names of the trained rows are missed less often than before."""
    assert outcome.decision is not None
    everything = json.loads((clinic / "cycle2/decision.json").read_text())["by_all_rows"]["drug"]
    assert everything["ker_b"] < everything["ker_a"]


def test_rows_that_do_not_judge_chose_what_is_shipped(outcome: CycleOutcome, clinic: Path) -> None:
    """Every candidate is told, the model is one of them, and held-out rows chose nothing."""
    assert outcome.gate.passed
    first = clinic / "cycle1"
    (folder,) = (first / "models").iterdir()
    shipping = json.loads((clinic / "cycle2/decision.json").read_text())["shipping"]
    assert shipping["chosen"]
    values = {one["value"] for one in shipping["candidates"]}
    assert values >= {0.2, 0.4, 0.6, 0.8, 1.0}
    assert shipping["value"] in values
    assert shipping["shipped_sha256"] == hashing.sha256_file(folder / "adapted_model.nemo")
    chose = {Path(row["audio_filepath"]).name for row in read_rows(first / "selection.jsonl")}
    parts = {
        Path(row["audio_filepath"]).name: row["part"]
        for row in read_rows(clinic / "cycle2" / "offline_hyps.jsonl")
    }
    assert {name for name, part in parts.items() if part == "chose"} == chose
    assert len(chose) == 27
    roles = recording_roles.read(folder)
    assert (len(roles.trained), len(roles.chose), len(roles.verdicts)) == (93, 27, 27)


def test_prefect_shows_the_artifacts(outcome: CycleOutcome) -> None:
    """Leaderboard, diff, decision and training curve are artifacts with stable keys."""
    assert outcome.gate.passed
    with get_client(sync_client=True) as client:
        found = client.read_artifacts()
    keys = {artifact.key for artifact in found if artifact.key}
    prefixes = {key.rsplit("-", 1)[0] for key in keys}
    assert len(prefixes) == 1
    assert {key.rsplit("-", 1)[1] for key in keys} == {
        "gate",
        "choice",
        "leaderboard",
        "diff",
        "decision",
        "training",
        "report",
        *(("growth",) if to_be_grown(outcome) else ()),
        "cost",
        "seconds",
    }


def test_every_second_is_accounted_for(outcome: CycleOutcome, clinic: Path) -> None:
    """Each job's phases add up to it, the jobs fit into the run, and models computed in part."""
    assert outcome.next_cycle is not None
    seconds = json.loads((clinic / "cycle2" / "run.json").read_text())["seconds"]
    jobs = {job["job"]: job for job in seconds["jobs"]}
    assert list(jobs) == ["training", "interpolation", "transcription"]
    for job in jobs.values():
        assert sum(job["phases"].values()) == pytest.approx(job["seconds"], abs=0.1)
    assert {"import", "load", "train", "validate", "save"} <= set(jobs["training"]["phases"])
    assert {"load", "mix", "decode", "choose", "save"} <= set(jobs["interpolation"]["phases"])
    assert {"load", "prepare", "decode"} <= set(jobs["transcription"]["phases"])
    assert 0 < seconds["computing"] < sum(job["seconds"] for job in jobs.values()) < seconds["run"]


def test_the_training_curve_travels_inside_its_artifact(outcome: CycleOutcome) -> None:
    """A picture of this run, with a line for each epoch, and the cost of it."""
    assert outcome.gate.passed
    with get_client(sync_client=True) as client:
        told = {artifact.key: str(artifact.data) for artifact in client.read_artifacts()}
    (training,) = [text for key, text in told.items() if key and key.endswith("-training")]
    (cost,) = [text for key, text in told.items() if key and key.endswith("-cost")]
    assert "](data:image/png;base64,iVBOR" in training
    assert "| 1 | 24 |" in training
    assert " s on CPU |" in cost


def test_a_model_can_be_evaluated_alone(
    outcome: CycleOutcome, clinic: Path, tmp_path: Path
) -> None:
    """The tuned model over the cycle, again: not decoded twice, and with the run's hypotheses."""
    assert outcome.gate.passed
    (model,) = (clinic / "cycle1").glob("models/*/adapted_model.nemo")
    out = tmp_path / "again.jsonl"
    found = evaluate_cycle(EvaluationConfig(cycle=clinic / "cycle1", model=str(model), out=out))
    assert found.hypotheses == out
    again, before = (
        [row["hyp"] for row in read_rows(path)]
        for path in (out, clinic / "cycle2" / "offline_hyps.jsonl")
    )
    assert again == before
    with pytest.raises(InputError, match="holds the evaluation of the model that cycle 1 tuned"):
        evaluate_cycle(EvaluationConfig(cycle=clinic / "cycle2", model="embedded"))


def test_a_second_run_does_not_train_again_and_decides_the_same(
    outcome: CycleOutcome, clinic: Path, config: CycleConfig
) -> None:
    """With nothing changed it takes seconds: the trained model as it is, and the same scores."""
    before = (clinic / "cycle2/decision.json").read_bytes()
    hyps = (clinic / "cycle2/offline_hyps.jsonl").read_bytes()
    started = time.monotonic()
    again = finetune_cycle(config)
    # Generous, for a machine that is busy: it was 2 s here.
    assert time.monotonic() - started < 60
    assert again.decision == outcome.decision
    record = json.loads((clinic / "cycle2/run.json").read_text())
    assert record["sft"]["reused"] is True
    assert {one["rows_decoded"] for one in record["transcription"]} == {0}
    assert (clinic / "cycle2/decision.json").read_bytes() == before
    assert (clinic / "cycle2/offline_hyps.jsonl").read_bytes() == hyps


def test_the_tuned_model_is_handed_on_whole(
    outcome: CycleOutcome, clinic: Path, tmp_path: Path
) -> None:
    """Its decoder is its own, a wrong claim is refused, its card has the run's own figures."""
    assert outcome.decision is not None
    tuned = handoff_package.find_tuned(open_cycle(clinic / "cycle1"))
    wrong = handoff_package.judge_tuned(tuned, "tdt", even_if_not_kept=True)
    assert isinstance(wrong, handoff.Refusal)
    accepted = handoff_package.judge_tuned(tuned, "ctc", even_if_not_kept=True)
    assert isinstance(accepted, handoff.Accepted)
    folder = handoff_package.write(tuned, accepted, tmp_path / "handed").parent
    assert len(handoff_package.verify(folder)) == 3
    card = (folder / "MODEL_CARD.md").read_text()
    drug = json.loads((clinic / "cycle2/decision.json").read_text())["by"]["drug"]
    assert f"| {drug['ker_a']:.3f} | {drug['ker_b']:.3f} |" in card
    assert f"Decision: **{outcome.decision.verdict.value}**" in card


def test_a_refused_cycle_spends_nothing(clinic: Path, tmp_path: Path) -> None:
    """Without a baseline the flow ends at the gate, and the cycle's folder stays as it was."""
    folder = tmp_path / "cycle1"
    folder.mkdir()
    (folder / "manifest.jsonl").write_bytes((clinic / "cycle1/manifest.jsonl").read_bytes())
    refused = finetune_cycle(CycleConfig(cycle=folder, base="embedded"))
    assert refused.decision is None
    assert refused.gate.route == "/digital-health-clinical-asr-eval"
    told = {LOCK_NAME, audit_log.NAME, audit_log.HEAD_NAME}
    left = {path.name for path in tmp_path.rglob("*")} - told
    assert left == {"cycle1", "manifest.jsonl"}
