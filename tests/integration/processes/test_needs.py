"""What a fixture asks for is there in the test, on this machine."""

from __future__ import annotations

import shutil

import pytest

from tests.support import needs
from tests.support.needs import NEEDS


@pytest.fixture(params=[name for name, need in NEEDS.items() if need.programs])
def asked(request: pytest.FixtureRequest) -> str:
    """A need with programs, asked for by a fixture."""
    needs.require(request.param)
    return str(request.param)


def test_what_a_fixture_asks_for_is_there_in_the_test(asked: str) -> None:
    """Its programs are found; those of the system's folders have their paths from ``find``."""
    for program in NEEDS[asked].programs:
        assert shutil.which(program) or needs.find(program)
    assert not [name for name in needs.HIDDEN - {*NEEDS[asked].programs} if shutil.which(name)]
