"""The table of seeds: its figures are those that the run's own files hold."""

from __future__ import annotations

import argparse
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from asr_flywheel.demo.terms import TERMS
from benchmarks import demo_cycles, kept_model, kept_models, other_drugs
from benchmarks.pinned_tasks import PinnedTask, TaskEnd
from tasks.common import atomic_files, hashing
from tasks.common.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path


def finish(work: Path, shipping: dict[str, Any], sections: list[dict[str, Any]]) -> Path:
    """Write what the table reads of a finished cycle."""
    model = work / "cycle1" / "models" / "run"
    (work / "cycle2").mkdir(parents=True)
    model.mkdir(parents=True)
    guard = {"pooled_wer_a": 0.04, "pooled_wer_b": 0.043, "status": "held"}
    atomic_files.write_json(
        work / "cycle2" / "decision.json",
        {
            "decision": "keep",
            "reasons": ["Gain shown."],
            "by": {"drug": {"ker_a": 0.9, "ker_b": 0.5}},
            "guardrail": guard,
            "shipping": shipping,
        },
    )
    board = {"sections": {"entity_category": sections}, "notes": []}
    atomic_files.write_json(work / "cycle2" / "leaderboard_cycle2.json", board)
    info = {
        "shipping": {"value": shipping["value"], "reason": "Stated.", "seconds": 1.5},
        "dataset": {"train_rows": 150},
    }
    atomic_files.write_json(model / "training_run_info.json", info)
    return work


def test_base_plain_tuned_and_shipped_model_stand_side_by_side(tmp_path: Path) -> None:
    """The plain tuned model's general WER is its guardrail's in decision.json."""
    unmixed = {"pooled_wer_a": 0.04, "pooled_wer_b": 0.065}
    row = {"model": "embedded tuned, unmixed", "rows": "held-out", "entity_category": "drug"}
    sections = [{**row, "entity_category": "lab", "KER": 0.1}, {**row, "KER": 0.4}]
    shipping = {"value": 0.5, "unmixed_guardrail": unmixed}
    kept = kept_model.read(finish(tmp_path / "seed", shipping, sections), 7)
    assert (kept.seed, kept.value, kept.verdict) == (7, 0.5, "keep")
    assert kept.drug_ker == (0.9, 0.4, 0.5)
    assert kept.general_wer == (0.04, 0.065, 0.043)
    assert kept.general_rise == pytest.approx((2.5, 0.3))


def test_a_tuned_model_that_is_shipped_as_it_is_stands_in_both_columns(tmp_path: Path) -> None:
    """There is no other model to decode."""
    work = finish(tmp_path / "seed", {"value": 1.0, "unmixed_guardrail": None}, [])
    kept = kept_model.read(work, 7)
    assert kept.drug_ker == (0.9, 0.5, 0.5)
    assert kept.general_wer == (0.04, 0.043, 0.043)


def test_after_a_remedy_the_figures_are_those_of_the_training_that_was_judged(
    tmp_path: Path,
) -> None:
    """Each training has a folder of its own; decision.json has the hash of the shipped model."""
    work = finish(tmp_path / "seed", {"value": 0.5, "unmixed_guardrail": None}, [])
    first, second = work / "cycle1" / "models" / "run", work / "cycle1" / "models" / "remedy"
    second.mkdir()
    for folder, value in ((first, 0.2), (second, 0.5)):
        (folder / "adapted_model.nemo").write_text(folder.name)
        info = {"shipping": {"value": value, "reason": folder.name, "seconds": 1.5}}
        info["dataset"] = {"train_rows": 150}
        atomic_files.write_json(folder / "training_run_info.json", info)
    decision = atomic_files.read_json(work / "cycle2" / "decision.json")
    decision["shipping"]["shipped_sha256"] = hashing.sha256_file(second / "adapted_model.nemo")
    atomic_files.write_json(work / "cycle2" / "decision.json", decision)
    assert kept_model.read(work, 7).choice == "remedy"


def test_a_study_is_named_by_its_parts_and_its_seeds() -> None:
    """Spans and single numbers; the options of all parts are the run's."""
    study = kept_models.read_study("selection-.2+replay-.3:42-44,60")
    assert study.seeds == (42, 43, 44, 60)
    assert study.options == ("--selection-share=0.2", "--replay-share=0.3")
    assert kept_models.read_study("default").seeds == tuple(range(42, 52))
    assert kept_models.read_study("other-drugs:60").source == "voices-43-other-drugs"
    with pytest.raises(InputError, match="'replay' is no study"):
        kept_models.read_study("replay:42")
    with pytest.raises(InputError, match="no seeds"):
        kept_models.read_study("default:a")


def test_a_finished_seed_is_read_from_the_file_or_the_folder(tmp_path: Path) -> None:
    """What is missing is run, and nothing twice."""
    out, study = tmp_path / "out.json", kept_models.read_study("default:7-9")
    row = {"model": "embedded tuned, unmixed", "rows": "held-out", "entity_category": "drug"}
    shipping = {"value": 0.5, "unmixed_guardrail": None}
    for seed in (7, 8):
        work = finish(tmp_path / study.folder(seed), shipping, [{**row, "KER": 0.4}])
        atomic_files.write_json(work / "cycle2" / "run.json", {"seconds": {"run": 90.0}})
    models = kept_models.KeptModels([study], tmp_path, out)
    assert [seed for _, seed in models.missing()] == [9]
    shutil.rmtree(tmp_path / study.folder(7))
    models = kept_models.KeptModels([study], tmp_path, out)
    assert [seed for _, seed in models.missing()] == [9]
    assert models.seeds_of(study)["7"]["seconds"]["run"] == 90.0


def test_a_failed_run_costs_no_other_seed(tmp_path: Path) -> None:
    """The file says why, with the end of the log."""
    out, log = tmp_path / "out.json", tmp_path / "log"
    log.write_text("first\nlast line\n")
    models = kept_models.KeptModels([kept_models.read_study("default:7")], tmp_path, out)
    models.add_failure("default-seed-7", TaskEnd(PinnedTask("x", ("y",), 2, log), 1, 3.0))
    failed = atomic_files.read_json(out)["failed"]["default-seed-7"]
    assert failed == {"why": "exit 1", "seconds": 3.0, "log": ["first", "last line"]}


def test_the_other_drugs_are_not_the_demos() -> None:
    """As many, each with a dose; the terms of the other categories stay."""
    drugs = {term.text for term in other_drugs.OTHER_DRUGS}
    demo = {term.text for term in TERMS if term.category == "drug"}
    assert len(drugs) == len(other_drugs.OTHER_DRUGS) == len(demo)
    assert not drugs & demo
    assert all(term.dose for term in other_drugs.OTHER_DRUGS)
    assert len(other_drugs.other_terms()) == len(TERMS)


def test_runs_wait_for_what_they_share(tmp_path: Path) -> None:
    """Speech, one database and the base's texts are made once; each run has its own options."""
    studies = [kept_models.read_study(text) for text in ("two-part:7", "other-drugs:8")]
    models = kept_models.KeptModels(studies, tmp_path, None)
    asked = argparse.Namespace(device="cpu", cores=2, grid="0.5", option=["--epochs=1"])
    tasks, seeds = kept_models.make_tasks(models, tmp_path, asked)
    assert [task.name for task in tasks] == [
        "voices-42",
        "general",
        "prefect",
        "voices-42-base",
        "voices-43-other-drugs-base",
        "voices-43-other-drugs",
        "two-part-seed-7",
        "other-drugs-seed-8",
    ]
    assert list(seeds) == ["two-part-seed-7", "other-drugs-seed-8"]
    first, second = tasks[-2:]
    assert first.needs == ("voices-42", "general", "prefect")
    assert second.needs == ("voices-43-other-drugs", "general", "prefect")
    assert {"--seed=7", "--option=--two-part", "--option=--epochs=1", "--grid=0.5"} <= {
        *first.command
    }
    assert "--option=--two-part" not in second.command
    assert all(task.environment["CUDA_VISIBLE_DEVICES"] == "" for task in tasks)
    assert [task.cores for task in tasks[-2:]] == [2, 2]


def test_runs_share_recordings_and_what_the_base_wrote(tmp_path: Path) -> None:
    """A copy costs no disk; hypotheses that one run keeps are found by the next."""
    source = tmp_path / "source" / "cycle1"
    (source / "audio").mkdir(parents=True)
    for name in ("audio/a.wav", "manifest.jsonl", "offline_hyps.jsonl"):
        (source / name).write_text(name)
    cycle = demo_cycles.copy_cycle(source, tmp_path / "seed")
    assert (cycle / "audio" / "a.wav").samefile(source / "audio" / "a.wav")
    assert not (cycle / "manifest.jsonl").samefile(source / "manifest.jsonl")
    (cycle / ".transcripts" / "kept").write_text("text")
    assert (source / ".transcripts" / "kept").read_text() == "text"
    (source / "manifest.jsonl").write_text("other")
    assert demo_cycles.copy_cycle(source, tmp_path / "seed") == cycle
    assert (cycle / "manifest.jsonl").read_text() == "manifest.jsonl"
