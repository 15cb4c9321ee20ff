"""A run's files by the command line, out of a store that another process filled."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from asr_flywheel import cli
from tasks.records import audit_log
from tasks.records.store import LocalStore
from tests.support import s3_server
from tests.support.archive_cases import finished_cycle, tree

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tasks.data.cycle_folder import Cycle


@pytest.fixture
def cycle(tmp_path: Path) -> Cycle:
    """A cycle whose run is finished: audio, a model, and the next cycle's folder."""
    return finished_cycle(tmp_path)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """A folder."""
    return LocalStore(tmp_path / "store")


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """An S3 API over HTTP."""
    with s3_server.serving() as found:
        s3_server.client(found).create_bucket(Bucket="clinic")
        yield found


KEEP = """
import sys
from pathlib import Path
from blocks.stores import open_store
from tasks.records import archive
from tasks.data.cycle_folder import open_cycle
cycle = open_cycle(Path(sys.argv[1]))
model = cycle.path / "models" / "run" / "adapted_model.nemo"
print(archive.keep(open_store("s3://clinic/asr"), cycle, "run-1", model, "keep").url)
"""


def test_another_process_keeps_and_the_command_line_fetches(
    cycle: Cycle, endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the S3 API, with the credentials of AWS's own variables."""
    for name, value in {**s3_server.ENVIRONMENT, "AWS_ENDPOINT_URL": endpoint}.items():
        monkeypatch.setenv(name, value)
    kept = subprocess.run(
        [sys.executable, "-c", KEEP, str(cycle.path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
    )
    assert kept.stdout == "s3://clinic/asr/my-clinic/cycle1/run-1/MANIFEST.json\n"
    listed = CliRunner().invoke(cli.app, ["runs", "s3://clinic/asr", "my-clinic", "--json"])
    (run,) = json.loads(listed.stdout)
    assert (run["run"], run["verdict"]) == ("run-1", "keep")
    back = tmp_path / "back"
    fetched = CliRunner().invoke(
        cli.app, ["fetch", "s3://clinic/asr", "my-clinic/cycle1", "--dir", str(back)]
    )
    assert fetched.exit_code == 0, fetched.output
    log = {audit_log.NAME, audit_log.HEAD_NAME}
    assert tree(back).keys() - log == {
        name
        for name in tree(cycle.path.parent)
        if "/." not in name and "older" not in name and "notes" not in name
    }
