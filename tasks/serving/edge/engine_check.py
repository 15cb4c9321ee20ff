"""Check a bundle by its engine: that it loads, and that it writes what NeMo wrote of some rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tasks.common.counted import agreed, counted
from tasks.common.errors import FlywheelError
from tasks.evaluation.hypotheses import Partition
from tasks.evaluation.result_reading import read_hypotheses
from tasks.evaluation.scoring import score
from tasks.serving import parity
from tasks.serving.edge import recognizers
from tasks.serving.edge.bundle import BUNDLE_NAME, EdgeBundle, EdgeEngine, open_bundle

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tasks.evaluation.hypotheses import Hypothesis
    from tasks.serving.edge.edge_source import EdgeSource

MOST_CHECKED = 100
"""Rows that a bundle is checked on before it gets its name."""
_WRONG = 0.5
"""Share of the words from which a bundle is broken, not merely another arithmetic."""


@dataclass(frozen=True, slots=True)
class BundleCheck:
    """What an engine wrote of some rows with a bundle, before the bundle got its name.

    Attributes:
        engine: name and version.
        offline: the rows as NeMo wrote them.
        served: the same rows as the engine wrote them.
        label: which rows these are.
    """

    engine: str
    offline: tuple[Hypothesis, ...]
    served: tuple[Hypothesis, ...]
    label: str

    @property
    def equal(self) -> int:
        """Rows whose text is the same to the letter."""
        return sum(a.hyp == b.hyp for a, b in zip(self.offline, self.served, strict=True))

    @property
    def word_difference(self) -> float:
        """Words to change over words of NeMo's text."""
        return parity.compare(self.offline, self.served).word_difference if self.offline else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return the check as bundle.json holds it."""
        figures = {}
        for name, rows in (("nemo", self.offline), ("served", self.served)):
            scores = score(rows)
            figures[name] = {"ker": scores.ker, "wer": scores.wer, "with_term": scores.keyword.n}
        return {
            "engine": self.engine,
            "rows": len(self.offline),
            "which": self.label,
            "equal": self.equal,
            "word_difference": self.word_difference,
            "figures": figures,
        }


def check_bundle(source: EdgeSource, bundle: EdgeBundle, engine: str) -> BundleCheck:
    """Decode rows of the evaluation in a bundle's engine, held-out ones where these are marked.

    Raises:
        FlywheelError: it writes half of the words otherwise, or more: the bundle is broken.
    """
    rows = read_hypotheses(source.evaluation)
    held_out = [row for row in rows if row.part is Partition.HELD_OUT]
    chosen = _at_hand(source, held_out or rows)[:MOST_CHECKED]
    recognizer = recognizers.load(bundle)
    served = []
    for row, path in chosen:
        samples, rate = recognizers.read_samples(path)
        served.append(replace(row, hyp=recognizer.recognise(samples, rate)))
    label = "held-out" if held_out else "all"
    check = BundleCheck(engine, tuple(row for row, _ in chosen), tuple(served), label)
    if check.word_difference > _WRONG:
        example = next(
            (a, b) for a, b in zip(check.offline, check.served, strict=True) if a.hyp != b.hyp
        )
        raise FlywheelError(
            f"{bundle.engine.value} loads the export but writes {check.word_difference:.0%} of the "
            f"words otherwise than NeMo: {example[1].hyp[:80]!r} for {example[0].hyp[:80]!r} "
            f"({example[0].audio_filepath}). No bundle was written. Fix: try another --format, and "
            "compare the versions of NeMo, torch and the engine with docs/edge.md."
        )
    return check


def _at_hand(source: EdgeSource, rows: Sequence[Hypothesis]) -> list[tuple[Hypothesis, Path]]:
    """Return the rows whose recordings lie where the evaluation says, seen from its cycles."""
    folders = [one.path for one in (source.evaluated.previous, source.evaluated) if one is not None]
    found = []
    for row in rows:
        for folder in folders:
            if (path := folder / row.audio_filepath).is_file():
                found.append((row, path))
                break
    return found


def verify(folder: Path) -> list[str]:
    """Open a bundle as the next stage would, and load it in its engine.

    Returns:
        What was checked, a line each.

    Raises:
        InputError: a file is missing or was changed.
    """
    bundle = open_bundle(folder)
    count = len(bundle.files)
    lines = [f"{counted(count, 'file')} {agreed(count, 'has', 'have')} the hashes of {BUNDLE_NAME}"]
    if bundle.engine is not EdgeEngine.ONNX:
        recognizers.load(bundle)
        version = recognizers.engine_version(bundle.engine)
        lines.append(f"{bundle.engine.value} {version} loads it ({bundle.precision.value})")
    return lines
