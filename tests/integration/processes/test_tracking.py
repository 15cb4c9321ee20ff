"""Three cycles of a clinic, tracked by a real MLflow server that is killed in between.

The stub programs train and decode. Cycle 1 is kept, with the server up. Cycle 2 is discarded: the
server is down for the whole run. Cycle 3 is kept: the server is killed while it trains, and comes
back before its end.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from dataclasses import dataclass, field
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
from prefect.testing.utilities import prefect_test_harness

from flows.config import CycleConfig
from flows.finetune_cycle import finetune_cycle
from tasks.common import atomic_files
from tasks.records.tracking.outbox import outboxes
from tests.support import factories, prefect_site, secret_search, stub_programs
from tests.support.mlflow_server import MlflowServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.needs("mlflow-server"), pytest.mark.by_night]

# A verdict rests on terms as well: with six of them none could be kept.
DRUGS = (
    *("metoprolol", "aspirin", "warfarin", "apixaban", "metformin", "heparin", "lisinopril"),
    *("atorvastatin", "amoxicillin", "insulin", "digoxin", "furosemide", "naproxen", "codeine"),
    *("morphine", "fentanyl", "ketamine", "diazepam", "sertraline", "omeprazole"),
)
CREDENTIALS = {"MLFLOW_TRACKING_USERNAME": "ward", "MLFLOW_TRACKING_PASSWORD": "planted-0815"}
TREES = ("ash", "birch", "cedar", "elm", "fir", "hazel", "larch", "maple", "oak", "pine", "rowan")


@dataclass
class TrackedClinic:
    """The clinic, its server, and what was seen of both after each cycle."""

    folder: Path
    server: MlflowServer
    said: list[str] = field(default_factory=list)
    seen: list[dict[str, Any]] = field(default_factory=list)

    def look(self) -> None:
        """Note aliases and history."""
        models = self.server.client.search_registered_models()
        aliases = {name: str(one) for m in models for name, one in m.aliases.items()}
        history = program(self.folder, "history", ".", "--json")
        self.seen.append({"aliases": aliases, "history": json.loads(history)})

    def metrics(self, number: int) -> dict[str, list[tuple[int, float]]]:
        """Every figure of a cycle's run, with its steps."""
        run = self.server.runs("ward")[number - 1]
        return {
            name: [
                (one.step, one.value)
                for one in self.server.client.get_metric_history(run.info.run_id, name)
            ]
            for name in run.data.metrics
        }


def program(folder: Path, *arguments: str) -> str:
    """What the program prints."""
    done = subprocess.run(
        [sys.executable, "-m", "asr_flywheel", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def make_cycle(clinic: Path, number: int) -> Path:
    """120 rows with a drug each, and a baseline that misses all of them."""
    cycle = clinic / f"cycle{number}"
    (cycle / "audio").mkdir(parents=True)
    draw = random.Random(number)  # noqa: S311 - repeatable, not secret
    rows = []
    for place in range(120):
        drug = draw.choice(DRUGS)
        name = f"audio/{number}-{place}.wav"
        factories.write_wav(cycle / name, 1.0, seed=1000 * number + place)
        text = f"please give {drug} to mulberry {TREES[place // 11]} {TREES[place % 11]}"
        rows.append(
            {"audio_filepath": name, "text": text, "term": drug, "entity_category": "drug"}
            | {"duration": 1.0}
        )
    factories.write_rows(cycle / "manifest.jsonl", rows)
    heard = [
        {**row, "ref": row["text"], "hyp": str(row["text"]).replace(str(row["term"]), "it")}
        for row in rows
    ]
    factories.write_rows(cycle / "per_sample.json", heard)
    return cycle


def run(clinic: TrackedClinic, cycle: Path, general: Path, **more: Any) -> str:
    """Run a cycle; return its verdict."""
    config = CycleConfig(
        cycle=cycle, base="embedded", epochs=3, interpolate="off", general=general, variants=1,
        remedies=0, track=clinic.server.uri, **more,
    )  # fmt: skip
    outcome = finetune_cycle(config)
    assert outcome.decision is not None
    return outcome.decision.verdict.value


def break_and_mend(server: MlflowServer, cycle: Path) -> None:
    """Kill the server once a run trains and has sent its beginning; start it before it decodes."""
    prefect_site.wait_for(lambda: prefect_site.trained_batches(cycle) > 0)
    prefect_site.wait_for(lambda: len(server.runs("ward")) > 2)
    server.off()
    (cycle / stub_programs.HOLD_TRAINING).unlink()
    prefect_site.wait_for(lambda: any(cycle.glob("models/*/training_run_info.json")))
    server.on()
    (cycle / stub_programs.HOLD_DECODING).unlink()


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrackedClinic]:
    """The clinic after its three cycles."""
    folder = tmp_path_factory.mktemp("tracked") / "ward"
    server_folder = tmp_path_factory.mktemp("mlflow")
    general = factories.make_general(folder.parent / "general", 150)
    tracked = TrackedClinic(folder, MlflowServer(server_folder))
    with pytest.MonkeyPatch.context() as patch, prefect_test_harness(server_startup_timeout=120):
        for name, value in stub_programs.ENVIRONMENT.items():
            patch.setenv(name, value)
        patch.setattr(
            "flows.tracking.console.print_stage", lambda _, text: tracked.said.append(text)
        )
        tracked.server.on()
        try:
            assert run(tracked, make_cycle(folder, 1), general) == "keep"
            tracked.look()
            tracked.server.off()
            (general.parent / stub_programs.FORGOTTEN).touch()
            assert run(tracked, make_cycle(folder, 2), general) == "discard"
            tracked.server.on()
            tracked.said.append(program(folder, "track", "cycle2", "--to", tracked.server.uri))
            tracked.look()
            (general.parent / stub_programs.FORGOTTEN).unlink()
            third = make_cycle(folder, 3)
            for hold in (stub_programs.HOLD_TRAINING, stub_programs.HOLD_DECODING):
                (third / hold).touch()
            breaking = Thread(target=break_and_mend, args=(tracked.server, third))
            breaking.start()
            assert run(tracked, third, general, no_texts=True) == "keep"
            breaking.join()
            tracked.look()
            yield tracked
        finally:
            tracked.server.off()


def test_a_server_that_is_killed_loses_no_run_and_no_line(clinic: TrackedClinic) -> None:
    """Each cycle is one run, finished, with its number and the hashes of its rows."""
    runs = clinic.server.runs("ward")
    assert [one.data.tags["cycle"] for one in runs] == ["1", "2", "3"]
    assert {one.info.status for one in runs} == {"FINISHED"}
    for number, one in enumerate(runs, start=1):
        record = atomic_files.read_json(clinic.folder / f"cycle{number + 1}/run.json")
        assert one.data.tags["row_set_sha256"] == record["split"]["content_sha256"]
        assert one.data.tags["decision"] == record["decision"]["decision"]
        assert one.data.params["epochs"] == "3"
        (outbox,) = outboxes(clinic.folder / f"cycle{number}")
        (state,) = outbox.sent_states()
        assert (state.sent, state.refused, state.problem) == (outbox.last, [], None)
        lines = [line for line in outbox.lines() if line["kind"] == "metric"]
        wanted = {name: [] for name in {line["name"] for line in lines}}  # type: ignore[var-annotated]
        for line in lines:
            wanted[line["name"]].append((line["step"], line["value"]))
        found = clinic.metrics(number)
        assert {name: sorted(values) for name, values in found.items()} == {
            name: sorted(values) for name, values in wanted.items()
        }
        assert [step for step, _ in found["train/val_wer"]] == [1, 2, 3]
        datasets = {one.dataset.name: one for one in one.inputs.dataset_inputs}
        assert set(datasets) == {"manifest", "train", "selection", "validation"}


def test_a_server_that_is_down_is_told_and_holds_nothing_up(clinic: TrackedClinic) -> None:
    """The second run says what is not sent and with which command it is; that command sends it."""
    (told,) = [text for text in clinic.said if "are kept" in text]
    assert "does not answer" in told
    assert f"track {clinic.folder / 'cycle2'} --to {clinic.server.uri}" in told
    assert any(f"{clinic.server.uri}/#/experiments/" in text for text in clinic.said)


def test_nothing_is_sent_twice(clinic: TrackedClinic) -> None:
    """Sent again from the beginning, as after a lost answer, no run, figure or version is added."""
    before = [(one.data.metrics, one.data.params) for one in clinic.server.runs("ward")]
    figures = [clinic.metrics(number) for number in (1, 2, 3)]
    (outbox,) = outboxes(clinic.folder / "cycle1")
    outbox.sent_path(clinic.server.uri).unlink()
    program(clinic.folder, "track", "cycle1", "--to", clinic.server.uri)
    assert [(one.data.metrics, one.data.params) for one in clinic.server.runs("ward")] == before
    assert [clinic.metrics(number) for number in (1, 2, 3)] == figures
    assert len(clinic.server.client.search_model_versions("name='ward'")) == 2


def test_champion_and_candidate_follow_keep_discard_keep(clinic: TrackedClinic) -> None:
    """Only a keep moves them, and history, registry and run.json name the same model."""
    first, second, third = (one["aliases"] for one in clinic.seen)
    assert first == second == {"champion": "1", "candidate": "1"}
    assert third["candidate"] == "2"
    for seen in clinic.seen:
        cycle = seen["history"]["champion"]["cycle"]
        record = atomic_files.read_json(clinic.folder / f"cycle{cycle}/run.json")
        version = clinic.server.client.get_model_version("ward", seen["aliases"]["champion"])
        assert version.tags["model_sha256"] == record["sft"]["model_sha256"]
        assert version.tags["cycle"] == str(cycle - 1)


def test_texts_leave_only_where_they_may(clinic: TrackedClinic) -> None:
    """A run without texts uploads none; the others have report, decision and hypotheses."""
    first, _, third = (clinic.server.files(one) for one in clinic.server.runs("ward"))
    assert {"report_cycle2.html", "decision.json", "hypotheses/offline_hyps.jsonl"} <= first
    assert any(name.startswith("model-") for name in first)
    assert "leaderboard_cycle4.md" in third
    assert not [name for name in third if name.endswith((".html", ".json", ".jsonl"))]
    run_id = clinic.server.runs("ward")[2].info.run_id
    for path in (clinic.server.folder / "artifacts").rglob("*"):
        if run_id in path.parts and path.is_file():
            assert b"mulberry" not in path.read_bytes()
    outbox = next((clinic.folder / "cycle3/.tracking").glob("*/outbox.jsonl"))
    assert b"mulberry" not in outbox.read_bytes()


def test_credentials_are_nowhere(clinic: TrackedClinic) -> None:
    """Neither in the clinic's folder, nor on the server, nor in what was said."""
    secret = CREDENTIALS["MLFLOW_TRACKING_PASSWORD"]
    for folder in (clinic.folder, clinic.server.folder):
        assert secret_search.files_with(secret, folder) == []
    assert not [text for text in clinic.said if secret in text]


def test_a_purge_names_what_the_server_still_shows(clinic: TrackedClinic) -> None:
    """The run whose files hold the row's text, and how it is deleted there."""
    told = program(
        clinic.folder, "purge", "cycle1", "--recording", "audio/1-0.wav", "--json", "--no-server"
    )
    first = clinic.server.runs("ward")[0].info.run_id
    found = {sent["run"]: sent for sent in json.loads(told)["tracking"]}
    assert "hypotheses/offline_hyps.jsonl" in found[first]["files"]
    assert found[first]["uri"] == clinic.server.uri
