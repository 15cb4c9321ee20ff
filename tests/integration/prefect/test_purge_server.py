"""What Prefect's server shows of a purged recording is listed by its id, and artifacts deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prefect import flow, get_run_logger
from prefect.artifacts import Artifact, create_markdown_artifact

from flows import purge_server
from tasks.data.cycle_folder import open_cycle
from tasks.privacy import purge
from tests.support import prefect_site, purge_cases

if TYPE_CHECKING:
    from pathlib import Path

    from asr_flywheel.site.local_site import Site


@flow(name="shows-a-row")
def show_row() -> None:
    """Log a row's text, and publish it."""
    get_run_logger().info("such as %r", purge_cases.GOES)
    create_markdown_artifact(key="purged-ward-parity", markdown=f"| {purge_cases.GOES} |")
    create_markdown_artifact(key="purged-ward-gate", markdown="3 rows")


def test_artifacts_and_logs_are_listed_and_artifacts_deleted(site: Site, tmp_path: Path) -> None:
    """Artifacts of the clinic without the row stay, and so does the run, which is named."""
    cycle = purge_cases.make_clinic(tmp_path / "Purged ward")
    asked = purge_cases.request(cycle, recording="audio/0.wav")
    traces = purge.plan_purge(asked, {}, dry=True).selection.traces
    with prefect_site.speaking_to(site):
        show_row()
        # Prefect's client sends a log a moment later.
        prefect_site.wait_for(
            lambda: len(purge_server.find_traces(open_cycle(cycle), traces)) == 2, 60
        )
        artifact, run = purge_server.find_traces(open_cycle(cycle), traces)
        assert (artifact.kind, artifact.name) == ("artifact", "purged-ward-parity")
        assert (run.kind, run.name, run.deletable) == ("flow run", "its log", False)
        assert purge_server.delete_artifacts([artifact]) == 1
        assert [one.kind for one in purge_server.find_traces(open_cycle(cycle), traces)] == [
            "flow run"
        ]
        assert Artifact.get("purged-ward-gate") is not None
