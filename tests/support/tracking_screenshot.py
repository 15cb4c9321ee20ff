"""Makes docs/tracking.png again: a finished cycle, sent to a real MLflow server and looked at.

Usage: python -m tests.support.tracking_screenshot CYCLE [--out docs], with FLYWHEEL_MLFLOW set.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.chromium_browser import chromium
from tests.support.mlflow_server import MlflowServer
from tests.support.screenshots import shoot


def main() -> None:
    """Send the cycle, open its run's page and save what it shows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cycle", type=Path, help="a cycle that was run, in a folder of its own")
    parser.add_argument("--out", type=Path, default=Path("docs"), help="gets the picture")
    arguments = parser.parse_args()
    server = MlflowServer(Path(tempfile.mkdtemp()))
    server.on()
    try:
        line = [sys.executable, "-m", "asr_flywheel", "track", str(arguments.cycle)]
        subprocess.run([*line, "--to", server.uri], check=True)
        experiment = next(
            one for one in server.client.search_experiments() if one.name != "Default"
        )
        run = server.runs(experiment.name)[0]
        with chromium() as browser:
            page = browser.new_page(viewport={"width": 1280, "height": 860})
            page.goto(
                f"{server.uri}/#/experiments/{experiment.experiment_id}/runs/{run.info.run_id}"
            )
            page.get_by_text("Metrics").first.wait_for(timeout=60_000)
            page.wait_for_timeout(3000)
            shoot(page, arguments.out, "tracking")
    finally:
        server.off()


if __name__ == "__main__":
    main()
