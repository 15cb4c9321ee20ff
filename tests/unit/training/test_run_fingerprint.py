"""A training that was finished before the programs moved is found again."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tasks.runtimes.hardware import Hardware
from tasks.runtimes.local import LocalRuntime
from tasks.training.recipes import Recipe
from tasks.training.run import run_key

# As 5fbbde1 had them. Who changes one of these files has every finished training done once more.
_SCRIPT = "f61fe12bc692a881bbcbfc207e9bff0f48b61dcc95b51ff7f9a6149204f86a71"
_YAML = "969eced90bcfc5c46bac30d8310d3ce639f5c1d2d4e69f31cb8ab2afb1342376"


def test_the_programs_of_a_training_have_their_content() -> None:
    """The fingerprint holds the content of the script and of its YAML, not their names."""
    script = LocalRuntime(Hardware((), 2)).script
    hashes = [
        hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in (script.path, script.config)
    ]
    assert hashes == [_SCRIPT, _YAML]


def test_a_run_has_the_key_that_it_had() -> None:
    """The key that 5fbbde1 gave to the same base, rows, recipe and programs."""
    identity = LocalRuntime(Hardware((), 2)).identity
    assert run_key("base", "content", Recipe(), identity) == (
        "7642f0e6e0432fc976552af54b50956ad1cfd0f9f7ee74511cf8652a5d7f67f5"
    )
