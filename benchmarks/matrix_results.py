"""Results of the matrix of NeMo's versions: compared with a reference, as table and record."""

from __future__ import annotations

import hashlib
import platform
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.training.run_info import versions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


@dataclass(frozen=True, slots=True)
class VersionResult:
    """The figures and texts of one cycle with one version.

    Attributes:
        figures: losses, validation WER, hash of the weights, drug KER, verdict; by name.
        texts: what base and tuned model heard; by model and recording.
        seconds: of the whole cycle.
    """

    figures: Mapping[str, str | float | None]
    texts: Mapping[str, str]
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Return the figures as a record holds them, the texts by their hash."""
        lines = "\n".join(f"{row}\t{text}" for row, text in sorted(self.texts.items()))
        digest = hashlib.sha256(lines.encode()).hexdigest()
        return {
            **self.figures,
            "texts": len(self.texts),
            "texts_sha256": digest,
            "seconds": round(self.seconds, 1),
        }


@dataclass(frozen=True, slots=True)
class Result:
    """One version on one Python.

    Attributes:
        nemo: version of nemo_toolkit.
        python: minor version.
        packages: versions of what else the figures could depend on.
        courses: by the cycle's name.
        tests: how many of the decoding and reader tests passed.
        tests_s: seconds that they took.
        install_s: seconds that the environment took; 0 where it was there.
        product: fingerprint of the code that was run.
    """

    nemo: str
    python: str
    packages: Mapping[str, str]
    courses: Mapping[str, VersionResult]
    tests: int
    tests_s: float
    install_s: float
    product: str

    @property
    def name(self) -> str:
        """The name in messages."""
        return f"NeMo {self.nemo} on Python {self.python}"

    def as_dict(self) -> dict[str, Any]:
        """Return the result as the record holds it."""
        return {
            "nemo": self.nemo,
            "python": self.python,
            "packages": dict(self.packages),
            "cycles": {name: course.as_dict() for name, course in self.courses.items()},
            "tests_passed": self.tests,
            "tests_s": round(self.tests_s, 1),
            "install_s": round(self.install_s, 1),
        }


def differences(reference: Result, other: Result) -> list[str]:
    """List each figure and text in which a version differs from the reference, in words."""
    differing = []
    for cycle in sorted({*reference.courses, *other.courses}):
        ours, theirs = reference.courses.get(cycle), other.courses.get(cycle)
        if ours is None or theirs is None:
            holder = reference if theirs is None else other
            differing.append(f"{other.name}: cycle {cycle}: only {holder.name} has it")
            continue
        pairs: list[tuple[Mapping[str, Any], Mapping[str, Any]]] = [
            (ours.figures, theirs.figures),
            (ours.texts, theirs.texts),
        ]
        differing += [
            f"{other.name}: cycle {cycle}: {name}: {theirs_values.get(name)!r}, "
            f"with {reference.name} {ours_values.get(name)!r}"
            for ours_values, theirs_values in pairs
            for name in sorted({*ours_values, *theirs_values})
            if ours_values.get(name) != theirs_values.get(name)
        ]
    if reference.tests != other.tests:
        differing.append(
            f"{other.name}: {other.tests} tests passed, with {reference.name} {reference.tests}"
        )
    return differing


def reference_of(results: Sequence[Result]) -> Result:
    """Return the newest version, on the oldest Python that ran it."""

    def place(result: Result) -> tuple[int, ...]:
        nemo, python = (
            [int(part) for part in text.split(".")] for text in (result.nemo, result.python)
        )
        return (*nemo, *(-part for part in python))

    return max(results, key=place)


def table(results: Iterable[Result]) -> str:
    """Format the results as a table."""
    head = f"{'NeMo':<7} {'Python':<7} {'cycle':<8} {'train loss':>10} {'val. WER':>9} "
    lines = [head + f"{'KER base':>9} {'tuned':>6} {'texts':>6} {'tests':>6} {'seconds':>8}"]
    for result in results:
        for name, course in result.courses.items():
            figures = course.figures
            lines.append(
                f"{result.nemo:<7} {result.python:<7} {name:<8} "
                f"{figures['epoch 0 train_loss']:>10.4f} {figures['epoch 0 val_wer']:>9.4f} "
                f"{figures['all drug KER base']:>9.3f} {figures['all drug KER tuned']:>6.3f} "
                f"{len(course.texts):>6} {result.tests:>6} {course.seconds:>8.0f}"
            )
    return "\n".join(lines)


def record(results: Sequence[Result], wrong: Sequence[str]) -> dict[str, Any]:
    """Return the content of the JSON file."""
    return {
        "what": "whole cycles and decoding tests with every version of NeMo, on a CPU",
        "when": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": {"processor": platform.processor() or platform.machine(), "threads": 1},
        "project": versions(),
        "rows": sum(1 for text in next(iter(results[0].courses.values())).texts) // 2,
        "reference": reference_of(results).name,
        "product": reference_of(results).product,
        "results": [result.as_dict() for result in results],
        "differences": list(wrong),
    }
