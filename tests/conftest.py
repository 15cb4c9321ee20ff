"""Fixtures: models and cycles, made once where they are not changed."""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from prefect.settings import (
    PREFECT_HOME,
    PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS,
    temporary_settings,
)
from xdist.scheduler import LoadScopeScheduling

from tasks.common.telemetry import forbid_telemetry
from tasks.models.catalog import embedded_path
from tasks.training.recipes import Recipe
from tests.support import factories, loopback_ssh, needs, prefect_site, stub_programs, tiny_training

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from asr_flywheel.site.local_site import Site
    from tasks.training.run import SftResult
    from tests.support.loopback_ssh import Loopback

# The same examples on every machine: a failure in one place can be repeated in another.
settings.register_profile("default", deadline=None, derandomize=True, max_examples=50)
settings.register_profile("nightly", deadline=None, derandomize=True, max_examples=500)
settings.load_profile("default")  # --hypothesis-profile=nightly comes after it

# The tests' own process imports onnxruntime too.
forbid_telemetry()
TESTS = Path(__file__).parent
# What the session makes once is shared by the tests of one process. The site has the longest chain
# of tests; so two processes have one.
_TOGETHER = {
    "browser/test_ui.py": "second site",
    "ssh/test_rent.py": "second site",
    "ssh/test_rental_failures.py": "second site",
    "nemo/test_handoff.py": "tuned RNN-T",
    "nemo/test_interpolation.py": "tuned RNN-T",
    "nemo/test_transducer_bases.py": "tuned RNN-T",
    "nemo/test_boost_sweep.py": "decoded demo",
    "nemo/test_edge.py": "decoded demo",
    "nemo/test_serving_privacy.py": "decoded demo",
    "nemo/test_validate_serving.py": "decoded demo",
    # Of their folder, what has servers of its own.
    "prefect/test_postgres.py": "postgres",
    "prefect/test_secrets.py": "secrets",
    "prefect/test_server.py": "server",
}
# What takes longest begins first, so that no process waits for the last file of another.
_LONGEST_FIRST = ("prefect", "docker", "nemo", "ssh", "processes", "browser", "formats")
# Of its folder, what mostly waits.
_FIRST_OF_THEIR_FOLDER = ("test_slurm.py",)


def pytest_configure(config: pytest.Config) -> None:
    """Hide the programs that a test has to ask for.

    Of several test processes each has a Prefect database of its own: SQLite has one writer. The
    process that starts them hides nothing: they would inherit it, and find nothing to show.
    """
    worker = "PYTEST_XDIST_WORKER" in os.environ
    if config.getoption("dist", "no") != "no" and not worker:
        return
    ending = ExitStack()
    ending.enter_context(needs.PATH.used())
    if worker:
        home = ending.enter_context(TemporaryDirectory(prefix="asr-flywheel-prefect-"))
        os.environ["PREFECT_HOME"] = home
        # A server that starts beside three processes is late, and ends with this one.
        updates = {PREFECT_HOME: home, PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS: 120}
        ending.enter_context(temporary_settings(updates))
    config.add_cleanup(ending.close)


class _ByFixture(LoadScopeScheduling):  # type: ignore[misc]  # untyped
    """Gives a free process the next file, and to one process what shares a costly fixture.

    These are a site, the RNN-T base that was tuned, and the cycle that NeMo has decoded. Container
    tests stay together too: some look at all containers of the engine.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.removeprefix("tests/integration/").partition("::")[0]
        kind = file.partition("/")[0]
        return _TOGETHER.get(file, kind if kind in {"prefect", "docker"} else file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling | None:
    """Divide the integration tier; pytest-xdist 3.8 does not see its own marks with pytest 9.2."""
    if config.getoption("dist") != "loadgroup":
        return None
    config.option.loadscopereorder = False
    return _ByFixture(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark each test by its folder: unit, nightly, or integration and its kind.

    Cases of the integration tier that are marked ``by_night`` run where FLYWHEEL_BY_NIGHT is set.
    """
    for item in items:
        tier, kind, *_ = item.path.relative_to(TESTS).parts
        item.add_marker(tier)
        if tier == "integration":
            item.add_marker(kind)
    if not os.environ.get("FLYWHEEL_BY_NIGHT"):
        later = [item for item in items if item.get_closest_marker("by_night")]
        config.hook.pytest_deselected(items=later)
        items[:] = [item for item in items if not item.get_closest_marker("by_night")]
    items.sort(key=_rank)


def _rank(item: pytest.Item) -> tuple[int, bool]:
    """Return the place of a test's folder in the integration tier, and its file's in the folder."""
    tier, kind, *_ = item.path.relative_to(TESTS).parts
    place = _LONGEST_FIRST.index(kind) if tier == "integration" else -1
    return place, item.path.name not in _FIRST_OF_THEIR_FOLDER


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, Any, Any]:
    """What a test asks for is there until its end."""
    with needs.PATH.asking() as asked:
        try:
            return (yield)
        finally:
            needs.PATH.hide(asked)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any]) -> Generator[None, Any, Any]:
    """What a fixture asks for is there until the fixture's own end."""
    with needs.PATH.asking() as asked:
        # The first to be added is the last to be called.
        fixturedef.addfinalizer(lambda: needs.PATH.hide(asked))
        return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test that lacks what its marks name, before its fixtures are made."""
    for mark in item.iter_markers("needs"):
        needs.require(*mark.args)


@pytest.fixture(scope="session")
def lower_spelling() -> bytes:
    """A tokenizer that knows small letters and nothing else."""
    return factories.tokenizer(factories.LOWER_SENTENCES)


@pytest.fixture(scope="session")
def cased_spelling() -> bytes:
    """A tokenizer that knows capitals, full stop, comma and question mark."""
    return factories.tokenizer(factories.CASED_SENTENCES)


@pytest.fixture(scope="session")
def lower_nemo(tmp_path_factory: pytest.TempPathFactory, lower_spelling: bytes) -> Path:
    """A CTC model that writes small letters only."""
    return factories.write_nemo(
        tmp_path_factory.mktemp("lower") / "lower.nemo", spelling=lower_spelling
    )


@pytest.fixture(scope="session")
def cased_nemo(tmp_path_factory: pytest.TempPathFactory, cased_spelling: bytes) -> Path:
    """A CTC model that writes capitals and punctuation."""
    return factories.write_nemo(
        tmp_path_factory.mktemp("cased") / "cased.nemo", spelling=cased_spelling
    )


@pytest.fixture
def cycle(tmp_path: Path) -> Path:
    """A cycle folder with ten rows and their recordings."""
    return factories.make_cycle(tmp_path / "clinic")


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One site for all tests: server, pool, deployments and a worker; its runs run the stub."""
    # As often as Prefect allows, so that a lost run is found soon.
    settings = {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30", **stub_programs.ENVIRONMENT}
    with prefect_site.running(tmp_path_factory.mktemp("site"), settings) as found:
        yield found


@pytest.fixture(scope="session")
def made_cycle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half of the embedded benchmark, with a baseline, for the stub programs; for copies."""
    return prefect_site.make_cycle(tmp_path_factory.mktemp("made") / "cycle1")


@pytest.fixture(scope="session")
def trained(made_cycle: Path, site: Site, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same after a run, for copies: a run of them trains and decodes nothing, in seconds."""
    copy = shutil.copytree(made_cycle, tmp_path_factory.mktemp("trained") / "clinic" / "cycle1")
    prefect_site.run_here(site, Path(copy))
    return Path(copy)


@pytest.fixture
def fresh_cycle(made_cycle: Path, tmp_path: Path) -> Path:
    """A cycle to be trained, of the test's own."""
    return Path(shutil.copytree(made_cycle, tmp_path / "clinic" / "cycle1"))


@pytest.fixture
def trained_cycle(trained: Path, tmp_path: Path) -> Path:
    """A cycle that was trained before, of the test's own; its results are not there."""
    return Path(shutil.copytree(trained, tmp_path / "clinic" / "cycle1"))


@pytest.fixture(scope="session")
def tuned_rnnt(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SftResult]:
    """A cycle, for copies, and the embedded RNN-T base that NeMo has really tuned on it."""
    cycle = tiny_training.make_cycle(tmp_path_factory.mktemp("rnnt") / "clinic")
    return cycle, tiny_training.tune(
        cycle, embedded_path().with_name("embedded_rnnt.nemo"), Recipe(epochs=1)
    )


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loopback]:
    """A real sshd on loopback, for a module's tests."""
    with loopback_ssh.running(tmp_path_factory.mktemp("host")) as found:
        yield found
