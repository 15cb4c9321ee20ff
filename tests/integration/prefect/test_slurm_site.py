"""A run that a site sends to a Slurm cluster, and its cancellation in the UI's way."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tasks.runtimes.slurm.allocation import FOLDER
from tasks.training import run as training_run
from tests.support import prefect_site, slurm_cluster, stub_programs

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.by_night
@pytest.mark.needs("slurm")
def test_cancelling_a_run_cancels_its_job(
    fresh_cycle: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The form's fields reach sbatch; no job and no folder of one is left, nor a model."""
    with slurm_cluster.running() as cluster:
        # The worker of the session's site has none of Slurm's programs.
        settings = {
            **stub_programs.ENVIRONMENT,
            "SLURM_CONF": str(cluster.config),
            "PATH": os.environ["PATH"],
        }
        with prefect_site.running(tmp_path_factory.mktemp("site"), settings) as site:
            slurm = {"partition": "main", "time_limit": "30:00", "cpus": 1}
            with stub_programs.held(fresh_cycle):
                run = prefect_site.launch(
                    site, prefect_site.quick(fresh_cycle, runtime="slurm", slurm=slurm)
                )
                prefect_site.trains(site, run, fresh_cycle)
                (job,) = cluster.jobs()
                assert "TimeLimit=00:30:00" in cluster.ask("scontrol", "show", "job", job)
                prefect_site.call(
                    site,
                    "POST",
                    f"flow_runs/{run}/set_state",
                    state={"type": "CANCELLING", "name": "Cancelling"},
                )
                prefect_site.wait_for(lambda: not cluster.jobs(), 60)
                prefect_site.ends(site, run, "Cancelled")
        assert "JobState=CANCELLED" in cluster.ask("scontrol", "show", "job", job)
        assert not (fresh_cycle.parent / FOLDER).exists()
        assert not list(fresh_cycle.glob(f"models/*/{training_run.MODEL_NAME}"))
