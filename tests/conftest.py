"""Fixtures: models and cycles, made once where they are not changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests import samples

if TYPE_CHECKING:
    from pathlib import Path

# The same examples on every machine: a failure in one place can be repeated in another.
settings.register_profile("repeatable", deadline=None, derandomize=True, max_examples=150)
settings.load_profile("repeatable")


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
