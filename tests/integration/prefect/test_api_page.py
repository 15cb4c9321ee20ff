"""docs/api.md does what it says, against a real site; and a schedule fires by itself."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import uuid
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from tests.support import doc_pages, prefect_site

if TYPE_CHECKING:
    from pathlib import Path

    from asr_flywheel.site.local_site import Site


def run(site: Site, cycle: Path, line: list[str]) -> str:
    """Run a script as a reader would; its output."""
    more = {
        "PREFECT_API_URL": f"{site.url}/api",
        "CYCLE": str(cycle),
        "KEY": str(uuid.uuid4()),
    }
    done = subprocess.run(
        line,
        env={**os.environ, **more},
        capture_output=True,
        text=True,
        check=False,
        # Prefect gives up after five minutes on a cancellation that met a worker which was just
        # taking the run, and marks the run as cancelled then.
        timeout=700,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_block_of_the_page_is_run() -> None:
    """By one of the two tests below: no block has another language, or none."""
    assert set(doc_pages.languages("api.md")) == {"bash", "python"}


@pytest.mark.needs("curl")
def test_the_pages_curl_lines_work(site: Site, trained_cycle: Path) -> None:
    """Launch, follow, decision, cancel, refusal with the field's name, retry, schedule."""
    script = "set -euo pipefail\n" + doc_pages.script("api.md", "bash")
    told = run(site, trained_cycle, ["bash", "-c", script])
    first, cancelled, late, again = re.findall(r"run ([0-9a-f-]{36}): (\w+)", told)
    assert [first[1], cancelled[1], late[1], again[1]] == [
        "Completed", "Cancelled", "Failed", "Completed",
    ]  # fmt: skip
    assert late[0] == again[0]
    assert "# Cycle 2: " in told
    _, _, refused = told.partition(f"run {cancelled[0]}")
    assert "409" in refused
    assert "config.epochs" in refused
    (schedules,) = re.findall(r"^\[.*timezone.*\]$", told, re.MULTILINE)
    switched_on = [one["parameters"]["config"] for one in json.loads(schedules) if one["active"]]
    assert switched_on == [{"cycle": str(trained_cycle), "base": "embedded"}]


class _BusyOnce(BaseHTTPRequestHandler):
    """Answers 503 once, as a busy server does, and then the state of a run."""

    answers: ClassVar[list[tuple[int, str]]] = []

    def do_GET(self) -> None:
        """Answer with the next of the answers."""
        code, body = self.answers.pop(0)
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Print nothing."""


@pytest.mark.needs("curl")
def test_a_busy_servers_refusal_is_no_part_of_the_answer() -> None:
    """The request is repeated, and what the page's lines read is the second answer alone."""
    _BusyOnce.answers = [(503, '{"detail": "busy"}'), (200, '{"state": {"name": "Running"}}')]
    server = HTTPServer(("127.0.0.1", 0), _BusyOnce)
    Thread(target=server.serve_forever, daemon=True).start()
    functions, *_ = doc_pages.script("api.md", "bash").partition("deployment=")
    done = subprocess.run(
        [
            "bash",
            "-c",
            "set -euo pipefail\n" + functions + "api GET x | field \"['state']['name']\"",
        ],
        env={**os.environ, "PREFECT_API_URL": f"http://127.0.0.1:{server.server_port}"},
        capture_output=True,
        text=True,
        check=False,
    )
    server.shutdown()
    assert (done.returncode, done.stdout) == (0, "Running\n"), done.stderr


def test_the_pages_python_works(site: Site, trained_cycle: Path) -> None:
    """Launch, follow, decision, cancel."""
    told = run(site, trained_cycle, [sys.executable, "-c", doc_pages.script("api.md", "python")])
    assert " Completed" in told
    assert "# Cycle 2: " in told
    assert " Cancelled" in told


@pytest.mark.by_night
def test_a_schedule_fires_within_a_minute(site: Site, trained_cycle: Path) -> None:
    """Set over the API with the cycle's parameters; its run ends well, with nobody looking."""
    deployment = prefect_site.call(site, "GET", f"deployments/name/{prefect_site.DEPLOYMENT}")["id"]
    soon = datetime.now(UTC) + timedelta(seconds=40)
    schedule = {
        "active": True,
        "schedule": {"interval": 86400, "anchor_date": soon.isoformat()},
        "parameters": {"config": prefect_site.quick(trained_cycle)},
    }
    made = prefect_site.call(
        site, "POST", f"deployments/{deployment}/schedules", content=[schedule]
    )
    try:
        prefect_site.wait_for(lambda: begun(site, trained_cycle), 120)
        (found,) = begun(site, trained_cycle)
        assert found["auto_scheduled"]
        planned, started = (
            datetime.fromisoformat(found[name]) for name in ("expected_start_time", "start_time")
        )
        assert abs(planned - soon) < timedelta(seconds=1)
        assert timedelta(seconds=-1) < started - soon < timedelta(minutes=1)
        prefect_site.ends(site, found["id"], "Completed")
    finally:
        prefect_site.call(site, "DELETE", f"deployments/{deployment}/schedules/{made[0]['id']}")


def begun(site: Site, cycle: Path) -> list[dict[str, Any]]:
    """The cycle's runs that have started."""
    found = prefect_site.call(
        site, "POST", "flow_runs/filter", flow_runs={"start_time": {"is_null_": False}}
    )
    return [one for one in found if one["parameters"].get("config", {}).get("cycle") == str(cycle)]
