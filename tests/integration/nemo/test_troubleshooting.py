"""Each row of the specification's troubleshooting table is found by something, with its remedy.

The mapping is the point: a row without a finder would have no entry, and an entry whose finder
does not say the remedy fails.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tasks.common.errors import InputError
from tasks.data.audio_checks import AudioLimits
from tasks.data.preflight import preflight
from tasks.decision import evidence
from tasks.decision.gate import GateInputs, check_gate
from tasks.decision.gate_policy import GatePolicy
from tasks.decision.verdict import decide
from tasks.evaluation.diff import pair
from tasks.evaluation.hypotheses import Hypothesis, Partition
from tasks.models import catalog
from tasks.models.catalog import Method
from tasks.runtimes import failures
from tasks.runtimes.base import place_in
from tasks.serving import attribution, parity
from tasks.stages import check_result, host_checks
from tasks.training.progress import UnkCollapseDetector
from tasks.training.recipes import Recipe
from tests.support import factories, nemo_models, tiny_training

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

STREAMING = "nvidia/nemotron-speech-streaming-en-0.6b"


def gate(base: str, method: Method = Method.SFT, rows: int = 120) -> str:
    """What the gate says of a cycle whose drug KER is 0.5."""
    verdict = check_gate(
        GateInputs(
            utterances=[factories.utterance(row, term="aspirin") for row in range(rows)],
            baseline=factories.scored(rows // 2, rows),
            base=catalog.describe(base),
            method=method,
            cycle=1,
            previous_rows=None,
        ),
        GatePolicy(),
    )
    assert not verdict.passed
    return f"{' '.join(reason.message for reason in verdict.reasons)} {verdict.route}"


def log(line: str, fault: failures.Fault) -> str:
    """What a run says whose script printed this line, which only a GPU can provoke."""
    assert failures.from_log(line) is fault
    return str(failures.FaultError(fault))


def unk_collapse(_: Path) -> str:
    """The gate refuses the base; a run that collapses all the same is ended with the route."""
    told = host_checks.base(
        host_checks.make_context("local", STREAMING, None, None, catalog.embedded_path())
    )
    assert told.state is check_result.CheckStatus.MISSING
    watch = UnkCollapseDetector()
    watch.observe("WER predicted: ⁇ ⁇ ⁇")
    watch.observe("WER predicted: ⁇")
    with pytest.raises(failures.FaultError) as ended:
        watch.validated(1)
    assert ended.value.fault is failures.Fault.UNK_COLLAPSE
    return gate(STREAMING) + told.fix + str(ended.value)


def paths_in_the_container(folder: Path) -> str:
    """The preflight finds a path of another host; what a runtime cannot see is refused."""
    cycle = factories.make_cycle(folder)
    row = {**factories.cycle_rows()[0], "audio_filepath": "/home/nobody/here/0.wav"}
    factories.write_rows(cycle / "manifest.jsonl", [row])
    found = preflight(cycle / "manifest.jsonl", AudioLimits(16000), None)
    with pytest.raises(InputError, match="row 1"):
        found.raise_errors()
    with pytest.raises(InputError) as told:
        place_in([(folder, folder)])(folder.parent / "elsewhere.wav")
    return " ".join(map(str, found.findings)) + str(told.value)


def decided(before: int, after: int) -> str:
    """The decision on 60 held-out drug rows."""
    pairing = pair(
        factories.scored(before, 60, part=Partition.HELD_OUT),
        factories.scored(after, 60, part=Partition.HELD_OUT),
    )
    made = decide(evidence.evidence(pairing), ["drug"])
    return f"{made.verdict.value} {' '.join(made.reasons)} {made.route}"


def absurd_learning_rate(folder: Path) -> str:
    """A real training whose loss stops being a number is ended with the way out."""
    base = nemo_models.make(folder / "tiny.nemo", "ctc")
    cycle = tiny_training.make_cycle(folder)
    # More than a recipe may ask for, so that the second step is enough.
    absurd = Recipe(epochs=1, batch_size=2).model_copy(update={"lr": 1e30})
    with pytest.raises(failures.FaultError) as ended:
        tiny_training.tune(cycle, base, absurd)
    assert ended.value.fault is failures.Fault.NAN_LOSS
    assert not list((cycle / "models").glob("*/adapted_model.nemo"))
    return str(ended.value)


def diverging(_: Path) -> str:
    """Served numbers that differ from offline ones are attributed, with the route."""
    offline = [
        Hypothesis(f"{n}.wav", f"give aspirin now {n}", f"give aspirin now {n}") for n in "abcdef"
    ]
    served = [Hypothesis(row.audio_filepath, row.ref, "gift as pirin no") for row in offline]
    causes = attribution.attribute(parity.compare(offline, served), attribution.ServingEvidence())
    return " ".join(f"{one.name.value} {one.remedy} {one.as_dict()['route']}" for one in causes)


TABLE: dict[str, tuple[Callable[[Path], str], tuple[str, ...]]] = {
    "all-UNK after the first step": (
        unk_collapse,
        ("parakeet-tdt-0.6b-v2", "stt_en_conformer_ctc_large", "do not retry"),
    ),
    "manifest paths do not resolve in the container": (
        paths_in_the_container,
        ("/home/nobody/here/0.wav", "audio_roots"),
    ),
    "KER unchanged": (
        lambda _: decided(30, 30),
        ("/digital-health-clinical-asr-build",),
    ),
    "KER got worse": (
        lambda _: decided(10, 30),
        ("discard", "/digital-health-clinical-asr-build", "do not tune harder"),
    ),
    "served numbers diverge from offline ones": (diverging, ("another model", "/riva-asr-custom")),
    "bf16-mixed errors": (
        lambda _: log("RuntimeError: bf16 is not supported on this GPU", failures.Fault.NO_BF16),
        ("fp32", "smaller batch", "NaN"),
    ),
    "fp16 with NaN losses": (
        absurd_learning_rate,
        ("bf16-mixed", "fp32", "FloatingPointError: NaN loss"),
    ),
    "out of memory on 24 GB": (
        lambda _: log("torch.OutOfMemoryError: CUDA out of memory", failures.Fault.GPU_MEMORY),
        ("batch_size to 2", "accumulate_grad_batches"),
    ),
    "adapters on TDT or RNN-T": (
        lambda _: gate(catalog.RECOMMENDED, Method.ADAPTER),
        ("adapter", "NaN"),
    ),
    "tiny manifest": (
        lambda _: gate(catalog.RECOMMENDED, rows=40),
        ("100", "/digital-health-clinical-asr-build"),
    ),
}


@pytest.mark.parametrize(("finder", "remedies"), TABLE.values(), ids=list(TABLE))
def test_each_trouble_is_found_with_its_remedy(
    finder: Callable[[Path], str], remedies: tuple[str, ...], tmp_path: Path
) -> None:
    """What is said names the specification's way out."""
    told = finder(tmp_path)
    for remedy in remedies:
        assert remedy in told, told
