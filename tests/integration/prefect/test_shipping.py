"""Three runs on the same held-out rows: what each says of the model that it ships."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tasks.common import atomic_files, hashing
from tests.support import factories, prefect_site, stub_programs

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from asr_flywheel.site.local_site import Site


def ship(site: Site, cycle: Path, **more: Any) -> dict[str, Any]:
    """Run the cycle; what its decision says."""
    run = prefect_site.run_here(site, cycle, **more)
    decision: dict[str, Any] = atomic_files.read_json(cycle.parent / "cycle2" / "decision.json")
    shown = prefect_site.artifact(site, run, "clinic-decision")["data"]
    assert f"Shipped: value {decision['shipping']['value']:g}." in shown
    assert decision["shipping"]["reason"] in shown
    return decision


def test_each_decision_names_its_model_and_counts_the_verdicts(
    site: Site, fresh_cycle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The third says that it is the third, and what had no effect; the models are the folder's."""
    first, second = (ship(site, fresh_cycle, interpolate=value) for value in (0.25, 0.75))
    assert [one["shipping"]["value"] for one in (first, second)] == [0.25, 0.75]
    assert not first["shipping"]["candidates"]
    assert "has no effect" not in capsys.readouterr().out
    third = ship(site, fresh_cycle, selection_share=0.6, remedies=2)
    assert [one["verdicts"] for one in (first, second, third)] == [1, 2, 3]
    shipping = third["shipping"]
    assert shipping["chosen"]
    assert {0.2, 0.4, 0.6, 0.8, 1.0} <= {one["value"] for one in shipping["candidates"]}
    record = atomic_files.read_json(fresh_cycle.parent / "cycle2" / "run.json")
    (folder,) = fresh_cycle.glob(f"models/{_name(record)}")
    info = atomic_files.read_json(folder / "training_run_info.json")
    assert shipping["shipped_sha256"] == hashing.sha256_file(folder / "adapted_model.nemo")
    assert shipping["tuned_sha256"] == info["shipping"]["tuned_sha256"]
    assert shipping["base_sha256"] == info["base"]["sha256"]
    assert shipping["candidates"] == info["shipping"]["candidates"]
    page = (fresh_cycle.parent / "cycle2" / "report_cycle2.html").read_text(encoding="utf-8")
    assert "have given 3 verdicts" in page
    assert page.index("What is shipped") < page.index("KER on the selection rows")
    assert "figures/mixture.png" in record["files"]
    (told,) = record["without_effect"]
    assert (told["parameter"], told["value"]) == ("remedies", "2")
    assert f"warning: {told['message']}" in capsys.readouterr().out
    assert "general none checks none" in page


def test_where_no_mixture_holds_another_training_follows(site: Site, fresh_cycle: Path) -> None:
    """Replay, decided on the rows that choose; what was trained is found again."""
    general = factories.make_general(fresh_cycle.parent.parent / "general", 100)
    (general.parent / stub_programs.FORGOTTEN).touch()
    asked: dict[str, Any] = {"selection_share": 0.6, "general": str(general), "epochs": 2}
    before = ship(site, fresh_cycle, **asked, remedies=0)
    alone = before["shipping"]
    assert (alone["held"], alone["attempts"]) == (False, [])
    assert alone["unmixed_guardrail"]["n"] == before["guardrail"]["n"]
    trained = set(fresh_cycle.glob("models/*"))
    assert len(trained) == 1
    decision = ship(site, fresh_cycle, **asked)
    first, second = decision["shipping"]["attempts"]
    assert (first["remedy"], first["held"], first["replayed"]) == (None, False, 0)
    assert (second["remedy"], second["held"]) == ("replay", True)
    assert first["training"] in {path.name for path in trained}
    assert second["rows"] == first["rows"] + second["replayed"]
    assert 0 < second["replayed"] <= 0.25 * first["rows"] + 1
    # The shipped model is the plain tuned one here; before it was a mixture.
    assert decision["shipping"]["unmixed_guardrail"] is None
    # What was replayed guards no more, and nothing that guards was trained on.
    assert decision["guardrail"]["n"] == before["guardrail"]["n"] - second["replayed"]
    record = atomic_files.read_json(fresh_cycle.parent / "cycle2" / "run.json")
    assert _name(record) == second["training"]
    info = atomic_files.read_json(
        fresh_cycle / "models" / second["training"] / "training_run_info.json"
    )
    assert info["shipping"]["attempts"] == [first, second]
    page = (fresh_cycle.parent / "cycle2" / "report_cycle2.html").read_text(encoding="utf-8")
    assert "Training 2 (replay, 2 epochs" in page
    # Again: no training, and the same model.
    times = {path: path.stat().st_mtime_ns for path in fresh_cycle.glob("models/*/*.nemo")}
    again = ship(site, fresh_cycle, **asked)
    assert again["shipping"]["shipped_sha256"] == decision["shipping"]["shipped_sha256"]
    assert times == {path: path.stat().st_mtime_ns for path in fresh_cycle.glob("models/*/*.nemo")}


def test_what_is_distilled_neither_chooses_nor_judges(site: Site, fresh_cycle: Path) -> None:
    """Half of the set is trained on without its texts; a later run without it leaves no file."""
    general = factories.make_general(fresh_cycle.parent.parent / "general", 100)
    asked: dict[str, Any] = {"general": str(general), "epochs": 1}
    decision = ship(site, fresh_cycle, **asked, recipe="distilled")
    rows = list(atomic_files.read_jsonl(fresh_cycle / "distillation.jsonl"))
    assert len(rows) == decision["guardrail"]["n"] == 50
    record = atomic_files.read_json(fresh_cycle.parent / "cycle2" / "run.json")
    folder = fresh_cycle / "models" / _name(record)
    trained = [
        one["audio_sha256"]
        for one in atomic_files.read_jsonl(folder / "recording_roles.jsonl")
        if one["role"] == "trained"
    ]
    info = atomic_files.read_json(folder / "training_run_info.json")
    assert info["dataset"]["distilled_rows"] == 50
    assert len(trained) == info["dataset"]["train_rows"] + 50
    assert ship(site, fresh_cycle, **asked)["guardrail"]["n"] == 100
    assert not (fresh_cycle / "distillation.jsonl").exists()


def _name(record: dict[str, Any]) -> str:
    return str(record["sft"]["model"]).rsplit("/", 2)[1]
