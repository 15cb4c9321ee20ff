"""Fixtures: models and cycles, made once where they are not changed."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

from tasks.models.catalog import embedded_path
from tasks.training.recipes import Recipe
from tests import needs, samples, sites, sshd, trainings
from tests.support import stub_programs

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from asr_flywheel.site.local_site import Site
    from tasks.training.run import SftResult
    from tests.sshd import Loopback

# The same examples on every machine: a failure in one place can be repeated in another.
settings.register_profile("repeatable", deadline=None, derandomize=True, max_examples=150)
settings.load_profile("repeatable")


# What takes minutes together: it starts a site, or a process that imports NeMo to train or decode.
# `make test-fast` leaves it out, and ends a test that takes two minutes: that one belongs here, or
# has the mark itself.
WHOLE_FIXTURES = {"site", "spoken"}
WHOLE_MODULES = {
    "test_container_faults",
    "test_container_training",
    "test_cross_fitting",
    "test_decoding",
    "test_demo_benchmark",
    "test_doctored_models",
    "test_parity",
    "test_postgres",
    "test_secrets",
    "test_several_ranks",
    "test_site_shards",
    "test_validate_serving",
    "test_whole_cycle",
}


def pytest_configure(config: pytest.Config) -> None:
    """Hide the programs that a test has to ask for."""
    hiding = ExitStack()
    hiding.enter_context(needs.PATH.used())
    config.add_cleanup(hiding.close)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what takes minutes."""
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if item.path.stem in WHOLE_MODULES or fixtures & WHOLE_FIXTURES:
            item.add_marker("whole")


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
    return samples.tokenizer(samples.LOWER_SENTENCES)


@pytest.fixture(scope="session")
def cased_spelling() -> bytes:
    """A tokenizer that knows capitals, full stop, comma and question mark."""
    return samples.tokenizer(samples.CASED_SENTENCES)


@pytest.fixture(scope="session")
def lower_nemo(tmp_path_factory: pytest.TempPathFactory, lower_spelling: bytes) -> Path:
    """A CTC model that writes small letters only."""
    return samples.write_nemo(
        tmp_path_factory.mktemp("lower") / "lower.nemo", spelling=lower_spelling
    )


@pytest.fixture(scope="session")
def cased_nemo(tmp_path_factory: pytest.TempPathFactory, cased_spelling: bytes) -> Path:
    """A CTC model that writes capitals and punctuation."""
    return samples.write_nemo(
        tmp_path_factory.mktemp("cased") / "cased.nemo", spelling=cased_spelling
    )


@pytest.fixture
def cycle(tmp_path: Path) -> Path:
    """A cycle folder with ten rows and their recordings."""
    return samples.make_cycle(tmp_path / "clinic")


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One site for all tests: server, pool, deployments and a worker; its runs run the stub."""
    # As often as Prefect allows, so that a lost run is found soon.
    settings = {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30", **stub_programs.ENVIRONMENT}
    with sites.running(tmp_path_factory.mktemp("site"), settings) as found:
        yield found


@pytest.fixture(scope="session")
def made_cycle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half of the embedded benchmark, with a baseline, for the stub programs; for copies."""
    return sites.make_cycle(tmp_path_factory.mktemp("made") / "cycle1")


@pytest.fixture(scope="session")
def trained(made_cycle: Path, site: Site, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same after a run, for copies: a run of them trains and decodes nothing, in seconds."""
    copy = shutil.copytree(made_cycle, tmp_path_factory.mktemp("trained") / "clinic" / "cycle1")
    sites.ends(site, sites.launch(site, sites.quick(Path(copy))), "Completed")
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
    cycle = trainings.make_cycle(tmp_path_factory.mktemp("rnnt") / "clinic")
    return cycle, trainings.tune(
        cycle, embedded_path().with_name("embedded_rnnt.nemo"), Recipe(epochs=1)
    )


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loopback]:
    """A real sshd on loopback, for a module's tests."""
    with sshd.running(tmp_path_factory.mktemp("host")) as found:
        yield found
