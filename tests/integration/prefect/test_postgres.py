"""A site as a team runs it: Postgres below, credentials in front, backup, restore, retention.

The server has the settings of deployments/compose.yaml, and its secrets come through
with-secrets.sh; only the containers are missing.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from flows import gpu_slots
from tests.support import (
    compose_file,
    doc_pages,
    postgres_server,
    prefect_site,
    prefect_ui,
    stub_programs,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asr_flywheel.site.local_site import Site
    from tests.support.postgres_server import Postgres

CREDENTIALS = "flywheel:planted-site-4711"


@pytest.fixture(scope="module")
def database() -> Iterator[Postgres]:
    """The database."""
    with postgres_server.running() as found:
        yield found


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the secrets' files."""
    folder = tmp_path_factory.mktemp("secrets")
    (folder / "database_password").write_text(f"{postgres_server.PASSWORD}\n")
    (folder / "site_credentials").write_text(f"{CREDENTIALS}\n")
    return folder


@pytest.fixture(scope="module")
def site(
    database: Postgres, secrets: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """A site with the compose file's settings; nothing but host and port is another."""
    settings = compose_file.settings("server") | compose_file.settings("register")
    folder = tmp_path_factory.mktemp("team")
    settings |= {
        "PREFECT_HOME": str(folder / "home"),
        "PREFECT_SERVER_DATABASE_HOST": "127.0.0.1",
        "PREFECT_SERVER_DATABASE_PORT": str(database.port),
        # Looks at once for what is too old, not every hour.
        "PREFECT_SERVER_SERVICES_DB_VACUUM_LOOP_SECONDS": "5",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ORPHAN_CLEANUP_LOOP_SECONDS": "5",
        **compose_file.with_secrets(secrets),
        **stub_programs.ENVIRONMENT,
    }
    del settings["PREFECT_API_URL"]
    with prefect_site.running(folder, settings) as found:
        yield found


@pytest.fixture(scope="module")
def finished(site: Site, made_cycle: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run in whose middle the server was restarted."""
    folder = tmp_path_factory.mktemp("postgres-run") / "clinic" / "cycle1"
    cycle = Path(shutil.copytree(made_cycle, folder))
    with stub_programs.held(cycle):
        run = prefect_site.launch(site, prefect_site.quick(cycle))
        prefect_site.trains(site, run, cycle)
        site.stop("server")
        site.start_server()
        # Its lease outlived the server, and so the slot is taken.
        assert prefect_site.slots_taken(site) == {gpu_slots.host_slot(): 1}
    prefect_site.ends(site, run, "Completed")
    return run


def record(site: Site, run: str) -> dict[str, Any]:
    """What the server knows of a run: states, tasks, artifacts, log."""
    flow_runs = {"flow_run_id": {"any_": [run]}}
    return {
        "state": prefect_site.state(site, run),
        "tasks": prefect_site.task_runs(site, run),
        "artifacts": sorted(
            one["key"] or ""
            for one in prefect_site.call(site, "POST", "artifacts/filter", artifacts=flow_runs)
        ),
        "log": prefect_site.log(site, run),
    }


def test_nobody_gets_in_without_credentials(site: Site) -> None:
    """Reading and writing are refused; only the health check is open."""
    assert httpx.get(f"{site.url}/api/health").status_code == 200
    for wrong in (None, ("flywheel", "guess")):
        answer = httpx.post(f"{site.url}/api/flow_runs/filter", json={}, auth=wrong)
        assert answer.status_code == 401
    assert prefect_site.call(site, "POST", "flow_runs/filter") is not None


def test_the_ui_asks_whom_the_browser_has_it_from(site: Site) -> None:
    """Under another name than the server's own, as behind a proxy: log in, and see the pool."""
    asked = set()
    origin = f"http://localhost:{site.port}"
    with prefect_ui.opened() as page:
        page.on("request", lambda request: asked.add(request.url))
        page.goto(f"{origin}/work-pools")
        page.locator("input").first.fill(CREDENTIALS)
        page.keyboard.press("Enter")
        page.get_by_role("link", name="gpu", exact=True).first.wait_for()
    assert {url.partition("/api/")[0] for url in asked if "/api/" in url} == {origin}


def test_a_restart_in_mid_run_loses_nothing_on_postgres(site: Site, finished: str) -> None:
    """Every stage with its end, every artifact, the log from first to last line."""
    prefect_site.says(site, finished, "Finished in state Completed")
    found = record(site, finished)
    assert set(found["tasks"].values()) == {"Completed"}
    assert set(found["tasks"]) >= {"gate-check", "sft", "offline-transcribe", "decide"}
    kinds = {key.rpartition("-")[2] for key in found["artifacts"]}
    assert {"gate", "training", "leaderboard", "diff", "decision", "cost"} <= kinds
    assert any("gate: passed" in line for line in found["log"])


@pytest.mark.needs("ps")
def test_secrets_are_in_no_log_and_on_no_command_line(site: Site, finished: str) -> None:
    """Neither the site's password nor the database's."""
    told = "".join(path.read_text() for path in site.folder.glob("*.log"))
    told += "\n".join(prefect_site.log(site, finished))
    lines = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    for secret in (CREDENTIALS.partition(":")[2], postgres_server.PASSWORD):
        assert secret not in told
        assert secret not in lines


def test_the_database_comes_back_from_its_backup(
    site: Site, database: Postgres, finished: str, tmp_path: Path
) -> None:
    """Dumped and restored by the very lines of docs/operations.md: nothing differs.

    While it was dumped a run held the host's slot, which nobody does any more: the slot is free.
    """
    # The last lines of the log arrive a while after the run's end.
    prefect_site.says(site, finished, "Finished in state Completed")
    seen = [record(site, finished)]

    def settled() -> bool:
        time.sleep(5)
        seen.append(record(site, finished))
        return seen[-1] == seen[-2]

    prefect_site.wait_for(settled)
    before = seen[-1]
    backup, restore = doc_pages.blocks("operations.md", "bash", "Postgres")
    environment = compose_file.standing_in(tmp_path, site, {"database": database.inside})

    def run(script: str) -> None:
        line = ["bash", "-euo", "pipefail", "-c", script]
        done = subprocess.run(
            line, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    with prefect_site.holding_slot(site):
        run(backup)
    # What happens after the backup is not in it.
    later = prefect_site.launch(site, prefect_site.quick(tmp_path / "cycle1"))
    run(restore)
    assert record(site, finished) == before
    with pytest.raises(httpx.HTTPStatusError):
        prefect_site.state(site, later)
    assert prefect_site.slots_taken(site) == {gpu_slots.host_slot(): 0}
    with prefect_site.holding_slot(site):
        assert prefect_site.slots_taken(site) == {gpu_slots.host_slot(): 1}


def test_what_is_too_old_goes_with_all_that_belongs_to_it(
    site: Site, database: Postgres, finished: str
) -> None:
    """After a year, as the compose file says: the run, its log and its artifacts."""
    flow_runs = {"flow_run_id": {"any_": [finished]}}
    old = "UPDATE flow_run SET end_time = now() - interval '366 days', updated = end_time"
    line = ["psql", "--quiet", "--command", f"{old} WHERE id = '{finished}'"]
    subprocess.run(line, env=database.environment, check=True, capture_output=True)

    def left() -> bool:
        return bool(
            prefect_site.call(
                site, "POST", "flow_runs/filter", flow_runs={"id": {"any_": [finished]}}
            )
            or prefect_site.call(site, "POST", "logs/filter", logs=flow_runs)
            or prefect_site.call(site, "POST", "artifacts/filter", artifacts=flow_runs)
        )

    assert left()
    prefect_site.wait_for(lambda: not left(), 60)
