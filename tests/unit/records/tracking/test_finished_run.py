"""What a run is to MLflow: its key, its parameters and its headline figures."""

from __future__ import annotations

from pathlib import Path

from flows.config import CycleConfig
from tasks.data.cycle_folder import Cycle
from tasks.records.tracking import finished_run
from tasks.records.tracking.headline_figures import headline_figures

CYCLE = Cycle(Path("/srv/ward/cycle1"), 1)


def config(**more: object) -> dict[str, object]:
    """Parameters of a run, as run.json has them."""
    given = {"cycle": "/srv/ward/cycle1", "base": "/models/own.nemo", **more}
    return CycleConfig.model_validate(given).model_dump(mode="json")


def test_the_same_command_on_the_same_content_is_the_same_run() -> None:
    """Wherever it is sent to and however it waits; another seed or manifest is another run."""
    key = finished_run.run_key(CYCLE, config(), "m", "b")
    server = "http://127.0.0.1:5000"
    for same in ({"track": server}, {"when_busy": "wait"}, {"no_texts": True}):
        assert finished_run.run_key(CYCLE, config(**same), "m", "b") == key
    elsewhere = Cycle(Path("/home/other/ward/cycle1"), 1)
    assert finished_run.run_key(elsewhere, config(cycle="/home/other/ward/cycle1"), "m", "b") == key
    others = [
        finished_run.run_key(CYCLE, config(seed=43), "m", "b"),
        finished_run.run_key(CYCLE, config(), "other", "b"),
        finished_run.run_key(CYCLE, config(), "m", "other"),
        finished_run.run_key(CYCLE.next, config(), "m", "b"),
        finished_run.run_key(Cycle(Path("/srv/clinic/cycle1"), 1), config(), "m", "b"),
    ]
    assert len({key, *others}) == len(others) + 1


def test_parameters_hold_no_folder() -> None:
    """Of a path the last name; what is not set is left out, and so is where the run is sent to."""
    found = finished_run.parameters(
        config(general="/home/anna/english.jsonl", track="http://10.0.0.7:5000", folds=2)
    )
    assert found["general"] == "english.jsonl"
    assert found["base"] == "own.nemo"
    assert found["folds"] == "2"
    assert found["priority"] == "drug"
    assert found["container.shm_gib"] == "8"
    assert not {"cycle", "track", "epochs"} & set(found)
    assert not [value for value in found.values() if "/home" in value or "10.0.0.7" in value]


def test_folds_and_remedies_have_names_of_their_own() -> None:
    """So that no epoch is another training's."""
    first = finished_run.FIRST_TRAINING
    assert finished_run.remedy_name(first, 2) == "remedy_2"
    assert finished_run.remedy_name("fold_3", 1) == "fold_3_remedy_1"


def test_headline_figures_keep_their_names_over_cycles() -> None:
    """Whatever the base is called; each interval has both ends, and no figure is made up."""
    row = {"rows": "held-out", "n": 20, "WER": 0.1, "WER ci": [0.05, 0.2], "KER": None}
    change = {"n": 20, "ker_a": 0.8, "ker_b": 0.5, "relative": -0.375, "p": 0.01, "ci": [-0.5, 0.0]}
    found = headline_figures(
        {"config": {"base": "/models/own.nemo"}, "seconds": {"run": 7.5}},
        {
            "by": {"(all)": change, "drug": {**change, "ci": None}},
            "guardrail": {"canonical_wer_a": 0.04, "rise": 0.002, "ci": [0.0, 0.004]},
        },
        {
            "sections": {
                "headline": [{**row, "model": "own.nemo"}, {**row, "model": "own.nemo tuned"}],
                "entity_category": [
                    {"entity_category": "drug", "model": "own.nemo tuned", "rows": "held-out"}
                    | {"KER": 0.5, "KER ci": [0.3, 0.7]}
                ],
            }
        },
        {"wall_seconds": 3.0},
    )
    told = {name: value for name, value in found.items() if value is not None}
    for model in ("base", "shipped"):
        place = f"held-out/{model}/WER"
        assert (told[place], told[f"{place}_low"], told[f"{place}_high"]) == (0.1, 0.05, 0.2)
        assert f"held-out/{model}/KER" not in told
    assert told["held-out/shipped/KER.drug_high"] == 0.7
    assert told["verdict/all/KER_change"] == 0.5 - 0.8
    assert (told["verdict/all/KER_change_low"], told["verdict/all/KER_change_high"]) == (-0.5, 0.0)
    assert "verdict/drug/KER_change_low" not in told
    assert (told["general/rise"], told["general/rise_high"]) == (0.002, 0.004)
    assert (told["seconds/run"], told["seconds/training"]) == (7.5, 3.0)
