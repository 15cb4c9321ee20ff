"""Hand-off: the decoder is the model's own, wrong claims are refused, the folder is whole."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf import json_format  # type: ignore[import-untyped]  # it ships no types
from riva.client.proto import riva_asr_pb2 as asr

from tasks.common import hashing
from tasks.common.errors import InputError
from tasks.data.cycle_folder import open_cycle
from tasks.decision.mixture_choice import fixed_choice
from tasks.models.catalog import embedded_path
from tasks.records import run_record
from tasks.serving import handoff, handoff_package, word_boosting
from tasks.serving.word_boosting import Support
from tasks.training.run import INFO_NAME
from tests.support import factories, finished_runs, nemo_models, prepared_cycles
from tests.support.handoff_cases import TABLE, call_handoff, handed_on, shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from tasks.data.cycle_folder import Cycle
    from tasks.decision.mixture_choice import Choice


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
    ask: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    name: str,
    row: dict[str, str],
) -> None:
    """The table answers for what is not downloaded; a wrong claim is refused as of a file."""
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    code, answer = ask("--model", name)
    assert (code, shown(answer)) == (0, row)
    assert answer["evidence"]
    assert ask("--model", name, "--decoder", "streaming")[0] == 3


def test_the_broken_base_is_refused_by_its_name(ask: Callable[..., Any]) -> None:
    """And a name that nobody knows is bad input."""
    code, answer = ask("--model", "nemotron-speech-streaming-en-0.6b")
    assert code == 3
    assert "UNK" in answer["reason"]
    assert ask("--model", "embeded")[0] == 2


def test_a_tdt_that_is_no_v3_is_told_what_is_unknown(
    ask: Callable[..., Any], tmp_path: Path
) -> None:
    """NVIDIA's one TDT container is the multilingual one."""
    path = factories.write_nemo(tmp_path / "m.nemo", factories.TDT_CONFIG)
    assert "parakeet-0.6b-tdt" in ask("--model", path)[1]["warnings"][0]
    many = [str(number) for number in range(8192)]
    config = {**factories.TDT_CONFIG, "joint": {"vocabulary": many}}
    path = factories.write_nemo(tmp_path / "v3.nemo", config)
    assert ask("--model", path)[1]["warnings"] == []


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
    tmp_path: Path, ask: Callable[..., Any], claim: str, kind: str
) -> None:
    """Case, dashes and the encoder's name do not matter."""
    config = {
        "ctc": factories.CTC_CONFIG,
        "rnnt": factories.RNNT_CONFIG,
        "tdt": factories.TDT_CONFIG,
    }
    path = factories.write_nemo(tmp_path / "m.nemo", config[kind])
    assert ask("--model", path, "--decoder", claim)[0] == 0


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
    tmp_path: Path, ask: Callable[..., Any], config: dict[str, Any], decoder: str
) -> None:
    """Old and shortened configurations lack some; a gzipped archive is as good as a plain one."""
    path = factories.write_nemo(tmp_path / "m.nemo", config, mode="w:gz")
    assert ask("--model", path)[1]["decoder"] == decoder


def test_a_model_of_another_kind_is_refused_not_guessed(
    tmp_path: Path, ask: Callable[..., Any]
) -> None:
    """An attention decoder is none of the table's."""
    target = "nemo.collections.asr.models.aed_multitask_models.EncDecMultiTaskModel"
    path = factories.write_nemo(tmp_path / "canary.nemo", {"target": target})
    code, answer = ask("--model", path, "--decoder", "ctc")
    assert (code, answer["decoder"]) == (3, "unknown")
    assert target in answer["reason"]


def test_an_archive_without_weights_tells_its_decoder_and_warns(
    tmp_path: Path, ask: Callable[..., Any]
) -> None:
    """The question is answered from the configuration; nothing is handed on."""
    path = factories.write_tar(
        tmp_path / "m.nemo", {"model_config.yaml": b"target: EncDecCTCModel"}
    )
    code, answer = ask("--model", path, "--decoder", "ctc")
    assert (code, answer["decoder"]) == (0, "ctc")
    assert "no weights" in answer["warnings"][0]


def test_what_is_no_model_is_bad_input(tmp_path: Path, ask: Callable[..., Any]) -> None:
    """Exit code 2 and the file's name; so is naming nothing, or two things."""
    path = tmp_path / "m.nemo"
    path.write_text("not a model")
    for arguments in (["--model", path], [], ["--model", path, "--verify", tmp_path]):
        assert ask(*arguments)[0] == 2


def test_the_card_says_what_was_measured(cycle: Path, ask: Callable[..., Any]) -> None:
    """Held-out figures first, then those on trained rows; data, recipe, licence and limits."""
    evaluated = finished_runs.finish(cycle, embedded_path())
    ask(cycle)
    card = (evaluated.path / "handoff" / "MODEL_CARD.md").read_text()
    assert 0 < card.index("| held-out |") < card.index("| trained on |")
    for part in (
        "Apache-2.0",
        "| Languages | en |",
        "0.100 (0.028 to 0.301)",
        "Decision: **keep**",
        "| Trained on | 100 |",
        "| Peak learning rate | 0.0003 |",
        "Only 20 rows were held out",
        "not for any clinical use",
        "decoder=greedy_ctc",
    ):
        assert part in card, part


def record_shipping(evaluated: Cycle, choice: Choice, **dataset: int) -> None:
    """Take a choice into the training's record, as a run does."""
    path = Path(run_record.read(evaluated)["sft"]["model"]).with_name(INFO_NAME)
    info = json.loads(path.read_text())
    shipping = {"mixed": choice.value < 1, "base_sha256": "b" * 64, "tuned_sha256": "f" * 64}
    info["shipping"] = {**shipping, **choice.as_dict()}
    info["checkpoint"] = "the best by validation WER, chosen on selection rows"
    info["dataset"] |= dataset
    path.write_text(json.dumps(info))


def test_the_card_says_what_was_mixed(cycle: Path, ask: Callable[..., Any]) -> None:
    """Value, both hashes, the rule, and which rows chose; an older run's card has none of it."""
    evaluated = finished_runs.finish(cycle, embedded_path())
    ask(cycle)
    card = evaluated.path / "handoff" / "MODEL_CARD.md"
    assert "What is shipped" not in card.read_text()
    record_shipping(evaluated, prepared_cycles.mixture(), selection_rows=30)
    ask(cycle)
    text = card.read_text()
    for part in (
        "plus 0.4 of the way to the tuned model's",
        "| Value | 0.4 (0 is the base, 1 the tuned model) |",
        f"| SHA-256 of the base | `{'b' * 64}` |",
        f"| SHA-256 of the tuned model | `{'f' * 64}` |",
        f"| Why | {prepared_cycles.mixture().reason} |",
        "of these the lowest KER, and of equal ones the smallest value",
        "| Selection rows | 30 |",
        "| Selection rows, to choose by | 30 |",
        "The held-out rows chose neither the mixture nor the checkpoint.",
    ):
        assert part in text, part


def test_the_card_says_that_nothing_was_mixed(cycle: Path, ask: Callable[..., Any]) -> None:
    """Where the tuned model is shipped; and that judging rows chose, where they did."""
    evaluated = finished_runs.finish(cycle, embedded_path())
    record_shipping(evaluated, fixed_choice(1.0), selection_rows=0)
    path = evaluated.path / run_record.RECORD_NAME
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "config": {"two_part": True}}))
    ask(cycle)
    text = (evaluated.path / "handoff" / "MODEL_CARD.md").read_text()
    assert "nothing was mixed. The held-out rows chose the checkpoint as well" in text
    assert "| Value |" not in text
    assert "| Rule |" not in text


def test_a_model_that_was_not_kept_is_refused(cycle: Path, ask: Callable[..., Any]) -> None:
    """Unless it is asked for by name; then its card says so first."""
    evaluated = finished_runs.finish(cycle, embedded_path(), after=10)
    code, answer = ask(cycle)
    assert code == 3
    assert "not 'keep'" in answer["reason"]
    assert not (evaluated.path / "handoff").exists()
    assert ask(cycle, "--even-if-not-kept")[0] == 0
    card = (evaluated.path / "handoff" / "MODEL_CARD.md").read_text()
    assert "Handed on although the decision was 'inconclusive'" in card[:300]


def test_a_base_whose_tuning_is_broken_is_refused(cycle: Path, ask: Callable[..., Any]) -> None:
    """By its name, even where the file's configuration does not tell."""
    finished_runs.finish(cycle, embedded_path(), base="nvidia/nemotron-speech-streaming-en-0.6b")
    code, answer = ask(cycle, "--even-if-not-kept")
    assert code == 3
    assert "UNK" in answer["reason"]


def test_a_cycle_without_a_finished_run_is_bad_input(cycle: Path) -> None:
    """The message says how to make one."""
    with pytest.raises(InputError, match="asr-flywheel run cycle1"):
        handoff_package.find_tuned(open_cycle(cycle))


def test_only_the_model_that_was_measured_is_handed_on(cycle: Path) -> None:
    """Another file at its place is noticed by its hash; moved cycles find it beside them."""
    finished_runs.finish(cycle, embedded_path())
    moved = cycle.parent.with_name("elsewhere")
    cycle.parent.rename(moved)
    tuned = handoff_package.find_tuned(open_cycle(moved / cycle.name))
    assert tuned.model.is_relative_to(moved)
    tuned.model.write_bytes(tuned.model.read_bytes()[:-1] + b"!")
    with pytest.raises(InputError, match="the run that was measured made"):
        handoff_package.find_tuned(open_cycle(moved / cycle.name))
    tuned.model.unlink()
    with pytest.raises(InputError, match="asr-flywheel fetch"):
        handoff_package.find_tuned(open_cycle(moved / cycle.name))


def rewrite(name: str, old: str, new: str) -> Callable[[Path], None]:
    """Change a file and write its new hash into the record, as a careless editor might."""

    def change(folder: Path) -> None:
        path = folder / name
        path.write_text(path.read_text().replace(old, new))
        record = json.loads((folder / "handoff.json").read_text())
        if name in record["files"]:
            record["files"][name] = hashing.sha256_file(path)
            (folder / "handoff.json").write_text(json.dumps(record))

    return change


def as_before_build_scripts(folder: Path) -> None:
    """A hand-off of an earlier version: it has no build.sh, and its record knows of none."""
    (folder / "build.sh").unlink()
    record = json.loads((folder / "handoff.json").read_text())
    del record["files"]["build.sh"]
    (folder / "handoff.json").write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda folder: (folder / "handoff.json").unlink(), "no whole hand-off"),
        (as_before_build_scripts, "build.sh: is missing"),
        (lambda folder: (folder / "adapted_model.nemo").unlink(), "is missing"),
        (lambda folder: (folder / "MODEL_CARD.md").write_text("kept"), "SHA-256"),
        (rewrite("handoff.json", '"decoder": "ctc"', '"decoder": "tdt"'), "own configuration"),
        (rewrite("handoff.json", "decoder=greedy_ctc", "decoder=nemo"), "riva_decoder_flag"),
        (rewrite("handoff.json", "parakeet-*-ctc-*", "parakeet-tdt-*"), "nim_family"),
        (rewrite("handoff.json", "deploy/adapted_model.nemo", "deploy/m.nemo"), "not there"),
        (rewrite("build.sh", "decoder=greedy_ctc", "decoder=nemo"), "another riva-build"),
    ],
)
def test_verifying_finds_what_is_wrong_with_a_hand_off(
    cycle: Path, change: Callable[[Path], object], told: str
) -> None:
    """Missing, changed, or at odds with the model's own decoder."""
    folder = handed_on(cycle)
    assert len(handoff_package.verify(folder)) == 3
    change(folder)
    with pytest.raises(InputError, match=told):
        handoff_package.verify(folder)


def test_a_hand_off_replaces_an_earlier_one_and_nothing_else(cycle: Path) -> None:
    """A folder that is something else stays as it is."""
    folder = handed_on(cycle)
    tuned = handoff_package.find_tuned(open_cycle(cycle))
    accepted = handoff_package.judge_tuned(tuned, "ctc")
    assert isinstance(accepted, handoff.Accepted)
    (folder / "MODEL_CARD.md").write_text("old")
    handoff_package.write(tuned, accepted, folder)
    assert (folder / "MODEL_CARD.md").read_text() != "old"
    other = cycle / "audio"
    before = factories.snapshot(cycle)
    with pytest.raises(InputError, match="no hand-off"):
        handoff_package.write(tuned, accepted, other)
    assert factories.snapshot(cycle) == before


def boosted_run(cycle: Path) -> Cycle:
    """A finished run that boosted phrases."""
    evaluated = finished_runs.finish(cycle, embedded_path())
    path = evaluated.path / run_record.DECISION_NAME
    decision = json.loads(path.read_text())
    path.write_text(json.dumps({**decision, "boosting": boosting_of_four(false_rows=(0, 1))}))
    (evaluated.path / "phrases.txt").write_text("aspirin\nmetoprolol tartrate\n")
    return evaluated


def boosting_of_four(false_rows: tuple[int, int]) -> dict[str, Any]:
    """What decision.json holds of four models, of which the boosted ones write false terms."""

    def share(hits: int, n: int = 20) -> dict[str, Any]:
        return {"rate": hits / n, "ci": [0.0, 1.0], "hits": hits, "n": n}

    models = {
        name: {
            "ker": {"drug": share(missed)},
            "fkr": share(false),
            "wer": share(2),
            "general_wer": share(1),
            "general_fkr": share(2 * false, 400),
        }
        for name, missed, false in (
            ("base", 17, 0),
            ("base boosted", 16, 1),
            ("tuned", 15, false_rows[0]),
            ("tuned boosted", 10, false_rows[1]),
        )
    }
    return {
        "list": "the cycle's terms and 1200 distractors",
        "strength": {"base boosted": 0.44, "tuned boosted": 0.38},
        "findings": ["Of four models tuned boosted is chosen."],
        "models": models,
    }


def test_phrases_are_handed_on_in_rivas_form(cycle: Path, ask: Callable[..., Any]) -> None:
    """As a part of Riva's own request; the record says whether the decoder heeds it."""
    folder = boosted_run(cycle).path / "handoff"
    assert ask(cycle)[0] == 0
    content = json.loads((folder / "riva_word_boosting.json").read_text())
    (context,) = json_format.ParseDict(content, asr.RecognitionConfig()).speech_contexts
    assert list(context.phrases) == ["aspirin", "metoprolol tartrate"]
    assert context.boost == 20
    record = json.loads((folder / "handoff.json").read_text())
    assert record["boosting"]["decoder_heeds"] == "not heeded"
    assert record["boosting"]["scores_to_try"] == [20, 60, 100]
    assert {"phrases.txt", "riva_word_boosting.json"} <= set(record["files"])
    (folder / "phrases.txt").write_text("heparin\n")
    with pytest.raises(InputError, match=r"phrases\.txt: its SHA-256"):
        handoff_package.verify(folder)


def test_the_card_says_what_boosting_adds_and_costs(cycle: Path, ask: Callable[..., Any]) -> None:
    """Four models with intervals, false keywords counted out, and that no score is known."""
    evaluated = boosted_run(cycle)
    ask(cycle)
    card = (evaluated.path / "handoff" / "MODEL_CARD.md").read_text()
    for part in (
        "| tuned boosted | 0.500 (0.000 to 1.000) | 0.050",
        "The strength of the tuned model is 0.38.",
        "Boosting the tuned model changes KER: drug 0.750 → 0.500.",
        "a term that nobody said in 1 of 20 held-out rows; without phrases the model does in 0.",
        "in 2 of 400 general sentences; without phrases the model does in 0.",
        "Served: not heeded: by NVIDIA's tutorial",
        "no known counterpart among Riva's scores",
        "measures 20, 60, 100 on the server",
    ):
        assert part in card, part


def test_a_run_that_boosted_nothing_hands_no_phrases_on(
    cycle: Path, ask: Callable[..., Any]
) -> None:
    """Though a list lies there, from `asr-flywheel boost`; the card is silent."""
    evaluated = finished_runs.finish(cycle, embedded_path())
    (evaluated.path / "phrases.txt").write_text("aspirin\n")
    ask(cycle)
    folder = evaluated.path / "handoff"
    assert not (folder / "phrases.txt").exists()
    assert json.loads((folder / "handoff.json").read_text())["boosting"] is None
    assert "Phrase boosting" not in (folder / "MODEL_CARD.md").read_text()


@pytest.mark.parametrize(
    ("flag", "support", "scores"),
    [
        ("decoder=greedy_ctc", Support.NOT_HEEDED, (20, 60, 100)),
        ("decoder=nemo", Support.DOCUMENTED, (0.5, 1, 2)),
        ("decoder=os2s", Support.UNKNOWN, (1, 20, 60)),
        ("", Support.UNKNOWN, (1, 20, 60)),
    ],
)
def test_a_decoders_boosting_is_told_or_called_unknown(
    flag: str, support: Support, scores: tuple[float, ...]
) -> None:
    """By NVIDIA's documentation, with its range of scores."""
    assert word_boosting.support_of(flag) is support
    assert word_boosting.describe_support(flag).startswith(f"{support.value}: ")
    assert word_boosting.scores_for(flag) == scores
