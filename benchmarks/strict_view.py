"""False alarms and misses of the strict view on pairs of texts.

    python -m benchmarks.strict_view [FILE …]

A file has a pair a line: reference, hypothesis, kind, dangerous, source. A dangerous pair says two
things, a harmless one says one thing in two spellings. A miss is a dangerous pair that the view
calls equal, a false alarm a harmless one that it calls different. Each is printed.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.evaluation.clinical_values import critical
from tasks.evaluation.strict_view import compare

if TYPE_CHECKING:
    from collections.abc import Iterable

DATA = Path(__file__).parent / "data"


@dataclass(frozen=True, slots=True)
class StrictPair:
    """A pair of texts and whether they say the same."""

    reference: str
    hypothesis: str
    kind: str
    dangerous: bool
    source: str

    @property
    def called_different(self) -> bool:
        """Whether the strict view calls the texts different."""
        return bool(compare(self.reference, self.hypothesis).wrong)


@dataclass(frozen=True, slots=True)
class PairResult:
    """The strict view's answers on a set of pairs.

    Attributes:
        dangerous: how many dangerous pairs there are.
        harmless: how many harmless pairs.
        misses: the dangerous pairs that were called equal.
        false_alarms: the harmless pairs that were called different.
    """

    dangerous: int
    harmless: int
    misses: tuple[StrictPair, ...]
    false_alarms: tuple[StrictPair, ...]


def read_pairs(path: Path) -> list[StrictPair]:
    """Read a file of pairs."""
    return [StrictPair(**json.loads(line)) for line in path.read_text("utf-8").splitlines()]


def judge(pairs: Iterable[StrictPair]) -> PairResult:
    """Ask the strict view about each pair."""
    by_danger = Counter[bool]()
    misses: list[StrictPair] = []
    false_alarms: list[StrictPair] = []
    for pair in pairs:
        by_danger[pair.dangerous] += 1
        if pair.called_different != pair.dangerous:
            (misses if pair.dangerous else false_alarms).append(pair)
    return PairResult(by_danger[True], by_danger[False], tuple(misses), tuple(false_alarms))


def main() -> None:
    """Print the misses and false alarms of each file."""
    parser = argparse.ArgumentParser(description="Misses and false alarms of the strict view.")
    parser.add_argument("files", type=Path, nargs="*")
    files = parser.parse_args().files or sorted(DATA.glob("strict_pairs_*.jsonl"))
    for path in files:
        result = judge(read_pairs(path))
        print(
            f"{path.name}: {len(result.misses)} of {result.dangerous} dangerous pairs called "
            f"equal, {len(result.false_alarms)} of {result.harmless} harmless pairs called "
            "different"
        )
        for title, pairs in (("miss", result.misses), ("false alarm", result.false_alarms)):
            for pair in pairs:
                read = [
                    [item.text for item in critical(text)]
                    for text in (pair.reference, pair.hypothesis)
                ]
                print(f"  {title}, {pair.kind}: {pair.reference!r} / {pair.hypothesis!r}: {read}")


if __name__ == "__main__":
    main()
