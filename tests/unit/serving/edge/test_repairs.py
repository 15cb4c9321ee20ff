"""Each differing row is attributed to the repair that brought its text back."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.evaluation.hypotheses import Hypothesis
from tasks.models.nemo_archive import Decoder
from tasks.serving.causes import CauseName
from tasks.serving.edge import repairs
from tasks.serving.edge.bundle import EdgeBundle, EdgeEngine, EdgePrecision, Framing
from tasks.serving.edge.nemo_export import NemoExport
from tasks.serving.edge.repairs import RepairResult
from tasks.serving.parity import MismatchKind, ParityRow


def row(name: str) -> ParityRow:
    """A row whose words differ."""
    return ParityRow(name, Hypothesis(name, "a", "a"), "b", MismatchKind.WORDS, 1, 1)


def test_causes_are_those_that_repaired_something_the_largest_first() -> None:
    """What repaired nothing is no cause; evidence counts rows."""
    a, b, c, d = map(row, "abcd")
    results = (
        RepairResult(CauseName.UNSTEADY, "decoded twice", (a, b, c, d), ()),
        RepairResult(CauseName.FRAME_PHASE, "80 samples", (a, b, c, d), (b,)),
        RepairResult(CauseName.FEATURES, "NeMo's features", (a, c, d), (a, c)),
        RepairResult(CauseName.PRECISION, "no repair", (d,), (d,)),
    )
    window = RepairResult(CauseName.WINDOW, f"{repairs.SUBSTITUTED}: povey", (b, c), (c,))
    (evidence,) = repairs.attribute((window,), 20)[0].evidence
    assert evidence.startswith("substituted: povey: the exported graph writes the engine's text of")
    assert "of 1 of 2 rows whose text differed with it, and the offline text without" in evidence
    causes = repairs.attribute(results, 20)
    assert [(one.name, one.rows) for one in causes] == [
        (CauseName.FEATURES, 2),
        (CauseName.FRAME_PHASE, 1),
        (CauseName.PRECISION, 1),
    ]
    assert causes[0].evidence == (
        "NeMo's features: 2 of 3 rows whose text differed have the offline text with it",
    )
    assert causes[2].evidence == ("no repair: 1 of 20 rows",)


@pytest.mark.parametrize(
    ("framing", "cause", "says"),
    [
        (Framing(), CauseName.FRAME_PHASE, "the first frame was 5 ms off"),
        (Framing(0, 40, snipped=True), CauseName.FRAME_PHASE, "the first frame was 12.5 ms off"),
        (Framing(80), CauseName.END_FRAMES, "200 samples of silence before each recording and 40"),
        (Framing(200, 40, snipped=True), None, ""),
    ],
)
def test_frames_that_lie_wrong_and_ends_alone_are_two_causes(
    framing: Framing, cause: CauseName | None, says: str
) -> None:
    """A bundle of an earlier version has the right first frame, and one frame too many."""
    bundle = EdgeBundle(
        Path("b"),
        EdgeEngine.SHERPA_ONNX,
        Decoder.CTC,
        EdgePrecision.FP32,
        sample_rate=16000,
        model_name="clinic",
        source_sha256="0" * 64,
        framing=framing,
        features={},
        files={},
        record={},
    )
    found = list(repairs._phase(bundle, NemoExport(Path("e"), {})))
    assert [name for name, _, _ in found] == ([] if cause is None else [cause])
    for _, told, repaired in found:
        assert says in told
        assert repaired.framing == Framing(200, 40, snipped=True)
