"""Hand-off: the decoder is the model's own, wrong claims are refused, and so are unfit models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tasks.models.catalog import embedded_path
from tests.support import factories, finished_runs
from tests.support.handoff_cases import TABLE, shown

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("embedded", TABLE["ctc"]),
        ("parakeet-tdt-0.6b-v2", TABLE["tdt"]),
        ("nvidia/parakeet-rnnt-1.1b", TABLE["rnnt"]),
        ("parakeet-tdt_ctc-110m", TABLE["tdt"]),
    ],
)
def test_a_known_base_is_named_without_a_file(
    ask_handoff: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    name: str,
    row: dict[str, str],
) -> None:
    """The table answers for what is not downloaded; a wrong claim is refused as of a file."""
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    code, answer = ask_handoff("--model", name)
    assert (code, shown(answer)) == (0, row)
    assert answer["evidence"]
    assert ask_handoff("--model", name, "--decoder", "streaming")[0] == 3


def test_the_broken_base_is_refused_by_its_name(ask_handoff: Callable[..., Any]) -> None:
    """And a name that nobody knows is bad input."""
    code, answer = ask_handoff("--model", "nemotron-speech-streaming-en-0.6b")
    assert code == 3
    assert "UNK" in answer["reason"]
    assert ask_handoff("--model", "embeded")[0] == 2


def test_a_tdt_that_is_no_v3_is_told_what_is_unknown(
    ask_handoff: Callable[..., Any], tmp_path: Path
) -> None:
    """NVIDIA's one TDT container is the multilingual one."""
    path = factories.write_nemo(tmp_path / "m.nemo", factories.TDT_CONFIG)
    assert "parakeet-0.6b-tdt" in ask_handoff("--model", path)[1]["warnings"][0]
    many = [str(number) for number in range(8192)]
    config = {**factories.TDT_CONFIG, "joint": {"vocabulary": many}}
    path = factories.write_nemo(tmp_path / "v3.nemo", config)
    assert ask_handoff("--model", path)[1]["warnings"] == []


@pytest.mark.parametrize(
    ("claim", "kind"),
    [
        ("CTC", "ctc"),
        ("Conformer-CTC", "ctc"),
        ("parakeet_ctc", "ctc"),
        ("greedy_ctc", "ctc"),
        ("rnnt", "rnnt"),
        ("RNN-T", "rnnt"),
        ("rnn_t", "rnnt"),
        (" Rnn T ", "rnnt"),
        ("FastConformer-RNNT", "rnnt"),
        ("transducer", "rnnt"),
        ("TDT", "tdt"),
        ("Conformer-TDT", "tdt"),
        ("token-and-duration transducer", "tdt"),
    ],
)
def test_usual_spellings_of_a_decoder_are_understood(
    tmp_path: Path, ask_handoff: Callable[..., Any], claim: str, kind: str
) -> None:
    """Case, dashes and the encoder's name do not matter."""
    config = {
        "ctc": factories.CTC_CONFIG,
        "rnnt": factories.RNNT_CONFIG,
        "tdt": factories.TDT_CONFIG,
    }
    path = factories.write_nemo(tmp_path / "m.nemo", config[kind])
    assert ask_handoff("--model", path, "--decoder", claim)[0] == 0


@pytest.mark.parametrize(
    ("config", "decoder"),
    [
        ({"decoder": {"_target_": "nemo.collections.asr.modules.ConvASRDecoder"}}, "ctc"),
        ({"decoder": {"_target_": "nemo.collections.asr.modules.RNNTDecoder"}}, "rnnt"),
        ({"joint": {"num_classes": 5}, "loss": {"loss_name": "warprnnt_numba"}}, "rnnt"),
        ({"joint": {"num_classes": 5}, "loss": {"loss_name": "tdt_pytorch"}}, "tdt"),
        ({"joint": {"num_classes": 5}, "decoding": {"model_type": "tdt"}}, "tdt"),
        ({"joint": {"num_classes": 5}, "decoding": {"durations": [0, 1, 2]}}, "tdt"),
    ],
)
def test_any_one_field_can_tell_the_decoder(
    tmp_path: Path, ask_handoff: Callable[..., Any], config: dict[str, Any], decoder: str
) -> None:
    """Old and shortened configurations lack some; a gzipped archive is as good as a plain one."""
    path = factories.write_nemo(tmp_path / "m.nemo", config, mode="w:gz")
    assert ask_handoff("--model", path)[1]["decoder"] == decoder


def test_a_model_of_another_kind_is_refused_not_guessed(
    tmp_path: Path, ask_handoff: Callable[..., Any]
) -> None:
    """An attention decoder is none of the table's."""
    target = "nemo.collections.asr.models.aed_multitask_models.EncDecMultiTaskModel"
    path = factories.write_nemo(tmp_path / "canary.nemo", {"target": target})
    code, answer = ask_handoff("--model", path, "--decoder", "ctc")
    assert (code, answer["decoder"]) == (3, "unknown")
    assert target in answer["reason"]


def test_an_archive_without_weights_tells_its_decoder_and_warns(
    tmp_path: Path, ask_handoff: Callable[..., Any]
) -> None:
    """The question is answered from the configuration; nothing is handed on."""
    path = factories.write_tar(
        tmp_path / "m.nemo", {"model_config.yaml": b"target: EncDecCTCModel"}
    )
    code, answer = ask_handoff("--model", path, "--decoder", "ctc")
    assert (code, answer["decoder"]) == (0, "ctc")
    assert "no weights" in answer["warnings"][0]


def test_what_is_no_model_is_bad_input(tmp_path: Path, ask_handoff: Callable[..., Any]) -> None:
    """Exit code 2 and the file's name; so is naming nothing, or two things."""
    path = tmp_path / "m.nemo"
    path.write_text("not a model")
    for arguments in (["--model", path], [], ["--model", path, "--verify", tmp_path]):
        assert ask_handoff(*arguments)[0] == 2


def test_a_model_that_was_not_kept_is_refused(cycle: Path, ask_handoff: Callable[..., Any]) -> None:
    """Unless it is asked for by name; then its card says so first."""
    evaluated = finished_runs.finish(cycle, embedded_path(), after=10)
    code, answer = ask_handoff(cycle)
    assert code == 3
    assert "not 'keep'" in answer["reason"]
    assert not (evaluated.path / "handoff").exists()
    assert ask_handoff(cycle, "--even-if-not-kept")[0] == 0
    card = (evaluated.path / "handoff" / "MODEL_CARD.md").read_text()
    assert "Handed on although the decision was 'inconclusive'" in card[:300]


def test_a_base_whose_tuning_is_broken_is_refused(
    cycle: Path, ask_handoff: Callable[..., Any]
) -> None:
    """By its name, even where the file's configuration does not tell."""
    finished_runs.finish(cycle, embedded_path(), base="nvidia/nemotron-speech-streaming-en-0.6b")
    code, answer = ask_handoff(cycle, "--even-if-not-kept")
    assert code == 3
    assert "UNK" in answer["reason"]
