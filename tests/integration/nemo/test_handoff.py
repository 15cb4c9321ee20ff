"""The hand-off of models that NeMo made or tuned."""

from __future__ import annotations

import json
import shlex
import shutil
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tasks.common import hashing
from tasks.models import decoder_targets
from tasks.models.catalog import embedded_path
from tasks.models.nemo_archive import Decoder, open_archive
from tasks.serving import riva_build
from tests.support import finished_runs, nemo_models
from tests.support.handoff_cases import TABLE, call_handoff, shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from tasks.training.run import SftResult


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A real model of each kind, made and saved by NeMo."""
    folder = tmp_path_factory.mktemp("made")
    kinds = ("ctc", "rnnt", "tdt", "hybrid", "streaming")
    return {kind: nemo_models.make(folder / f"{kind}.nemo", kind) for kind in kinds}


@pytest.fixture
def ask(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, dict[str, Any]]]:
    """Call ``asr-flywheel handoff … --json``; the function returns exit code and answer."""
    return partial(call_handoff, monkeypatch, capsys)


@pytest.mark.parametrize("kind", TABLE)
def test_each_decoder_that_nemo_makes_gets_its_row_of_the_table(
    made: dict[str, Path], ask: Callable[..., Any], kind: str
) -> None:
    """With the right claim, and without any."""
    for claim in ([], ["--decoder", kind]):
        code, answer = ask("--model", made[kind], *claim)
        assert code == 0
        assert shown(answer) == TABLE[kind]
        assert answer["evidence"]


WRONG = {
    **{kind: {*TABLE, "hybrid", "streaming"} - {kind} for kind in TABLE},
    "hybrid": {"tdt", "streaming"},
    "streaming": {*TABLE, "hybrid"},
}


@pytest.mark.parametrize(
    ("kind", "claim"),
    [(kind, claim) for kind, wrong in WRONG.items() for claim in sorted(wrong | {"whisper", ""})],
)
def test_a_wrong_claim_is_refused(
    made: dict[str, Path], ask: Callable[..., Any], kind: str, claim: str
) -> None:
    """With exit code 3 and a reason that names what the model says of itself."""
    code, answer = ask("--model", made[kind], "--decoder", claim)
    assert code == 3
    assert answer["refused"] is True
    assert answer["reason"]
    assert answer["decoder"] == {"streaming": "cache-aware-rnnt"}.get(kind, kind)
    assert "riva_decoder_flag" not in answer


def test_a_hybrid_is_handed_on_by_the_head_that_is_named(
    made: dict[str, Path], ask: Callable[..., Any]
) -> None:
    """By its transducer if none is, since that is measured; a warning says what stays behind."""
    for claim, kind in (
        ((), "rnnt"),
        (("hybrid",), "rnnt"),
        (("rnnt",), "rnnt"),
        (("ctc",), "ctc"),
    ):
        arguments = ["--decoder", *claim] if claim else []
        code, answer = ask("--model", made["hybrid"], *arguments)
        assert (code, shown(answer)) == (0, TABLE[kind])
        (warning,) = answer["warnings"]
        assert ("transducer, which is what is measured, stays behind" in warning) is (kind == "ctc")


def test_a_streaming_model_of_ones_own_is_served_as_streams(
    made: dict[str, Path], ask: Callable[..., Any]
) -> None:
    """With a warning that such a base has collapsed before."""
    for claim in ([], ["--decoder", "streaming"]):
        code, answer = ask("--model", made["streaming"], *claim)
        assert (code, answer["riva_decoder_flag"]) == (0, "decoder=nemo")
        assert answer["nim_family"] == "nemotron-streaming-*"
        assert "collapsed before" in answer["warnings"][0]
    target = decoder_targets.target(Decoder.RNNT, cache_aware=True)
    assert "--config-name=streaming" in riva_build.commands(target, "m.nemo", "m")["riva_build"]


@pytest.mark.parametrize("kind", TABLE)
def test_a_runs_model_is_handed_on_whole(
    made: dict[str, Path], cycle: Path, ask: Callable[..., Any], kind: str
) -> None:
    """Model, card, script and record; opening it as the next stage would finds nothing wrong."""
    evaluated = finished_runs.finish(cycle, made[kind], base=f"/models/my-{kind}.nemo")
    code, answer = ask(cycle, "--decoder", kind)
    assert code == 0
    assert shown(answer) == TABLE[kind]
    folder = evaluated.path / "handoff"
    assert {path.name for path in folder.iterdir()} == {
        "adapted_model.nemo",
        "MODEL_CARD.md",
        "build.sh",
        "deploy.sh",
        "handoff.json",
    }
    assert (folder / "adapted_model.nemo").read_bytes() == made[kind].read_bytes()
    line = json.loads((folder / "handoff.json").read_text())["commands"]["riva_build"]
    assert TABLE[kind]["riva_decoder_flag"] in shlex.split(line)
    assert ask("--verify", folder)[0] == 0
    assert ask(evaluated.path)[0] == 0, "the evaluated cycle names the same run"


def test_a_run_of_a_hybrid_is_handed_on_by_its_transducer(
    made: dict[str, Path], cycle: Path, ask: Callable[..., Any]
) -> None:
    """The folder's model has one head; the record tells the measured file's hash."""
    evaluated = finished_runs.finish(cycle, made["hybrid"], base="/models/my-hybrid.nemo")
    code, answer = ask(cycle)
    assert code == 0, answer
    assert shown(answer) == TABLE["rnnt"]
    folder = evaluated.path / "handoff"
    assert open_archive(folder / "adapted_model.nemo").decoder is Decoder.RNNT
    record = json.loads((folder / "handoff.json").read_text())
    assert record["measured_model_sha256"] == hashing.sha256_file(made["hybrid"])
    assert "stays behind" in record["warnings"][0]
    assert ask("--verify", folder)[0] == 0


def test_an_rnnt_that_was_really_tuned_is_handed_on(
    tuned_rnnt: tuple[Path, SftResult], tmp_path: Path, ask: Callable[..., Any]
) -> None:
    """NeMo trains and saves it; decoder, command and card are read from what that has left.

    A tuned CTC is handed on in test_whole_cycle.py; a TDT is not trained on a CPU.
    """
    trained_on, result = tuned_rnnt
    cycle = Path(shutil.copytree(trained_on, tmp_path / "clinic" / "cycle1"))
    model = cycle / result.model.relative_to(trained_on)
    evaluated = finished_runs.finish(cycle, model, base="my-rnnt")
    code, answer = ask(cycle, "--decoder", "rnnt")
    assert code == 0
    assert shown(answer) == TABLE["rnnt"]
    for wrong in ("ctc", "tdt"):
        assert ask(cycle, "--decoder", wrong)[0] == 3
    folder = evaluated.path / "handoff"
    handed = folder / "adapted_model.nemo"
    base = embedded_path().with_name("embedded_rnnt.nemo")
    assert hashing.sha256_file(handed) == result.model_sha256 != hashing.sha256_file(base)
    line = json.loads((folder / "handoff.json").read_text())["commands"]["riva_build"]
    assert "decoder=nemo" in shlex.split(line)
    card = (folder / "MODEL_CARD.md").read_text()
    for part in ("| Trained on | 8 |", "| Epochs, at most | 1 |", "Peak learning rate | 0.0003 |"):
        assert part in card, card
    assert ask("--verify", folder)[0] == 0
