"""The versions of NeMo that this project was run with, named only here.

`make matrix` runs a whole cycle and the decoding tests with each of them and writes a record;
tests/unit/benchmarks/test_matrix.py compares this table with that record.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tried:
    """A version of nemo_toolkit, and the tests that were run on it.

    Attributes:
        nemo: the version of nemo_toolkit.
        pythons: minor versions of Python on which the matrix ran it.
        on: date of that run.
        image: NVIDIA's image that holds this version, or "".
    """

    nemo: str
    pythons: tuple[str, ...]
    on: str
    image: str = ""


RECORD = "benchmarks/results/2026-11-28-matrix.json"
"""The matrix's last complete run."""
TRIED = (
    Tried("2.5.0", ("3.11",), "2026-11-28", "nvcr.io/nvidia/nemo:25.09"),
    Tried("2.5.3", ("3.11",), "2026-11-28"),
    Tried("2.6.0", ("3.11", "3.12"), "2026-11-28", "nvcr.io/nvidia/nemo:25.11.01"),
    Tried("2.6.2", ("3.11",), "2026-11-28"),
    Tried("2.7.0", ("3.11",), "2026-11-28", "nvcr.io/nvidia/nemo:26.02"),
    Tried("2.7.3", ("3.11",), "2026-11-28"),
    Tried("3.0.0", ("3.11", "3.12", "3.13"), "2026-11-28", "nvcr.io/nvidia/nemo-speech:26.07.00"),
)
"""Oldest first."""


def tried(nemo: str) -> Tried | None:
    """Return the record of a version that was run, or None."""
    return next((version for version in TRIED if version.nemo == nemo), None)


def within(nemo: str) -> bool:
    """Return whether a version lies between the oldest and the newest that were run."""
    return _key(TRIED[0].nemo) <= _key(nemo) <= _key(TRIED[-1].nemo)


def _key(version: str) -> tuple[int, ...]:
    """Return major, minor and patch of a version, without its suffix (rc0, +abc)."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])
