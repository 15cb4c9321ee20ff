"""Findings of a check: the row, the value and the fix."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from tasks.common import privacy_settings
from tasks.common.errors import InputError
from tasks.common.privacy_settings import NO_TEXTS_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

_SHOWN_OF_A_KIND = 5
_LONGEST_VALUE = 120
_SHOWN_RANGES = 40


class Severity(StrEnum):
    """Errors stop the run before anything is spent; warnings are kept in the run record."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class ManifestFinding:
    """One thing wrong with one row (1-based line number) or, with ``row`` None, the whole file."""

    code: str
    severity: Severity
    row: int | None
    value: str
    problem: str
    fix: str

    def __str__(self) -> str:
        where = f"row {self.row}: " if self.row is not None else ""
        if privacy_settings.hides_texts():
            return f"{where}{self.code} (its text is hidden: {NO_TEXTS_VARIABLE})"
        shortened = (
            self.value if len(self.value) <= _LONGEST_VALUE else self.value[:_LONGEST_VALUE] + "…"
        )
        value = f" ({shortened!r})" if shortened else ""
        return f"{where}{self.problem}{value}. Fix: {self.fix}"

    def as_dict(self) -> dict[str, str | int | None]:
        """Return the finding as the run record holds it."""
        return {
            "code": self.code,
            "severity": self.severity.value,
            "row": self.row,
            "value": self.value,
            "problem": self.problem,
            "fix": self.fix,
        }


def error(code: str, row: int | None, value: object, problem: str, fix: str) -> ManifestFinding:
    """Return an error about a row's value."""
    return ManifestFinding(code, Severity.ERROR, row, _text(value), problem, fix)


def warning(code: str, row: int | None, value: object, problem: str, fix: str) -> ManifestFinding:
    """Return a warning about a row's value."""
    return ManifestFinding(code, Severity.WARNING, row, _text(value), problem, fix)


def _text(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def summarise(findings: Sequence[ManifestFinding]) -> str:
    """Summarise findings, a line each; of each kind list the first few and count the rest."""
    counts: Counter[str] = Counter()
    lines: list[str] = []
    for finding in findings:
        counts[finding.code] += 1
        if counts[finding.code] <= _SHOWN_OF_A_KIND:
            lines.append(f"  {finding}")
        elif counts[finding.code] == _SHOWN_OF_A_KIND + 1:
            more = [other for other in findings if other.code == finding.code][_SHOWN_OF_A_KIND:]
            lines.append(f"  … and {len(more)} more of this kind ({finding.code}){_rows_of(more)}")
    return "\n".join(lines)


def _rows_of(findings: Iterable[ManifestFinding]) -> str:
    """Name the rows of findings, neighbours as a range; "" where they concern no row."""
    rows = sorted({finding.row for finding in findings if finding.row is not None})
    ranges: list[list[int]] = []
    for row in rows:
        if ranges and row == ranges[-1][-1] + 1:
            ranges[-1][1:] = [row]
        else:
            ranges.append([row])
    shown = ["-".join(map(str, bounds)) for bounds in ranges[:_SHOWN_RANGES]]
    if len(ranges) > _SHOWN_RANGES:
        shown.append(f"… up to {rows[-1]}")
    return f": rows {', '.join(shown)}" if shown else ""


def raise_errors(path: Path, findings: Iterable[ManifestFinding]) -> None:
    """Raise one InputError with all errors among ``findings``; do nothing if there is none."""
    errors = [finding for finding in findings if finding.severity is Severity.ERROR]
    if errors:
        plural = "error" if len(errors) == 1 else "errors"
        raise InputError(f"{path}: {len(errors)} {plural}\n{summarise(errors)}")
