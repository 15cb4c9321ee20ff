"""A site that rents, and a host of a test's own behind a real sshd."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.deployment_names import PROJECT
from tests.support import loopback_ssh, remote_flows
from tests.support.loopback_ssh import Loopback, program
from tests.support.rentals import SECRET

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from asr_flywheel.site.local_site import Site


@pytest.fixture(scope="session")
def rental_site(site: Site) -> Site:
    """The site, with the runs that stand in for a cycle's."""
    program()
    remote_flows.deploy(site)
    return site


@pytest.fixture
def own_host(tmp_path: Path) -> Iterator[Loopback]:
    """A host of the test's own: some of them lose it."""
    folder = tmp_path / "host"
    folder.mkdir()
    with loopback_ssh.running(folder) as found:
        yield found


@pytest.fixture
def at_rental_site(
    rental_site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """This process talks to the site; the host's worker finds the tests' runs."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    monkeypatch.setenv("PLANTED", SECRET)
    with temporary_settings({PREFECT_API_URL: f"{rental_site.url}/api"}):
        yield
