"""A run that is killed while a remedy trains, and the same command once more."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from tasks.common import atomic_files
from tests.support import factories, prefect_site, stub_programs


def _processes_of(home: Path) -> list[str]:
    """Return the processes that have a Prefect home."""
    wanted, found = f"PREFECT_HOME={home}\0".encode(), []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has just ended, or is another user's
            if wanted in process.joinpath("environ").read_bytes():
                found.append(process.name)
    return found


def test_a_run_that_is_killed_in_a_remedy_goes_on_in_it(fresh_cycle: Path, tmp_path: Path) -> None:
    """The first training is found, the remedy ends, and the model is shipped."""
    general = factories.make_general(fresh_cycle.parent.parent / "general", 100)
    (general.parent / stub_programs.FORGOTTEN).touch()
    command = ["run", str(fresh_cycle), "--base", "embedded", "--epochs", "2"]
    command += ["--selection-share", "0.6", "--general", str(general)]

    def run(*more: str) -> None:
        done = stub_programs.run_command(tmp_path, *command, *more)
        assert done.returncode == 0, done.stdout + done.stderr

    run("--remedies", "0")
    (first,) = fresh_cycle.glob("models/*/adapted_model.nemo")
    with stub_programs.held(fresh_cycle), (tmp_path / "log").open("wb") as log:
        killed = subprocess.Popen(
            [sys.executable, "-m", "asr_flywheel", *command],
            env={
                **os.environ,
                **stub_programs.ENVIRONMENT,
                "PREFECT_HOME": str(tmp_path / "prefect"),
            },
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        prefect_site.wait_for(
            lambda: killed.poll() is not None or prefect_site.trained_batches(fresh_cycle)
        )
        assert killed.poll() is None, (tmp_path / "log").read_text()
        killed.kill()
        killed.wait()
        # Its own server too ends with it.
        prefect_site.wait_for(lambda: not _processes_of(tmp_path / "prefect"))
    made = first.parent.joinpath("training_run_info.json")
    started = atomic_files.read_json(made)["starts"]
    run()
    assert atomic_files.read_json(made)["starts"] == started
    decision = atomic_files.read_json(fresh_cycle.parent / "cycle2" / "decision.json")
    alone, remedy = decision["shipping"]["attempts"]
    assert (alone["remedy"], alone["held"]) == (None, False)
    assert (remedy["remedy"], remedy["held"]) == ("replay", True)
    assert first.parent.name == alone["training"]
    assert {path.name for path in fresh_cycle.glob("models/*")} == {
        alone["training"],
        remedy["training"],
    }
