"""Hand-off: the decoder is the model's own, wrong claims are refused, the folder is whole."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from asr_flywheel.cli import main
from tasks.common import hashing
from tasks.common.errors import InputError
from tasks.data.cycle_folder import open_cycle
from tasks.models import decoder_targets
from tasks.models.catalog import embedded_path
from tasks.models.nemo_archive import Decoder, open_archive
from tasks.serving import handoff, handoff_package, riva_build
from tasks.training import run as training_run
from tests import nemo_models, runs, samples

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tasks.training.run import SftResult

FIELDS = ("decoder", "riva_decoder_flag", "nim_family")
TABLE = {
    "ctc": dict(zip(FIELDS, ("ctc", "decoder=greedy_ctc", "parakeet-*-ctc-*"), strict=True)),
    "rnnt": dict(zip(FIELDS, ("rnnt", "decoder=nemo", "parakeet-rnnt-*"), strict=True)),
    "tdt": dict(zip(FIELDS, ("tdt", "decoder=nemo", "parakeet-tdt-*"), strict=True)),
}
"""The specification's table 4f."""


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

    def call(*arguments: object) -> tuple[int, dict[str, Any]]:
        monkeypatch.setattr("sys.argv", ["asr-flywheel", "handoff", *map(str, arguments), "--json"])
        code: Any = 0
        try:
            main()
        except SystemExit as ended:
            code = ended.code or 0
        printed = capsys.readouterr()
        return code, json.loads(printed.out) if printed.out else {"error": printed.err}

    return call


def shown(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The three fields of the table."""
    return {name: answer[name] for name in FIELDS}


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
    path = samples.write_nemo(tmp_path / "m.nemo", samples.TDT_CONFIG)
    assert "parakeet-0.6b-tdt" in ask("--model", path)[1]["warnings"][0]
    many = [str(number) for number in range(8192)]
    config = {**samples.TDT_CONFIG, "joint": {"vocabulary": many}}
    path = samples.write_nemo(tmp_path / "v3.nemo", config)
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
    config = {"ctc": samples.CTC_CONFIG, "rnnt": samples.RNNT_CONFIG, "tdt": samples.TDT_CONFIG}
    path = samples.write_nemo(tmp_path / "m.nemo", config[kind])
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
    path = samples.write_nemo(tmp_path / "m.nemo", config, mode="w:gz")
    assert ask("--model", path)[1]["decoder"] == decoder


def test_a_model_of_another_kind_is_refused_not_guessed(
    tmp_path: Path, ask: Callable[..., Any]
) -> None:
    """An attention decoder is none of the table's."""
    target = "nemo.collections.asr.models.aed_multitask_models.EncDecMultiTaskModel"
    path = samples.write_nemo(tmp_path / "canary.nemo", {"target": target})
    code, answer = ask("--model", path, "--decoder", "ctc")
    assert (code, answer["decoder"]) == (3, "unknown")
    assert target in answer["reason"]


def test_an_archive_without_weights_tells_its_decoder_and_warns(
    tmp_path: Path, ask: Callable[..., Any]
) -> None:
    """The question is answered from the configuration; nothing is handed on."""
    path = samples.write_tar(tmp_path / "m.nemo", {"model_config.yaml": b"target: EncDecCTCModel"})
    code, answer = ask("--model", path, "--decoder", "ctc")
    assert (code, answer["decoder"]) == (0, "ctc")
    assert "no weights" in answer["warnings"][0]


def test_what_is_no_model_is_bad_input(tmp_path: Path, ask: Callable[..., Any]) -> None:
    """Exit code 2 and the file's name; so is naming nothing, or two things."""
    path = tmp_path / "m.nemo"
    path.write_text("not a model")
    for arguments in (["--model", path], [], ["--model", path, "--verify", tmp_path]):
        assert ask(*arguments)[0] == 2


@pytest.mark.parametrize("kind", TABLE)
def test_a_runs_model_is_handed_on_whole(
    made: dict[str, Path], cycle: Path, ask: Callable[..., Any], kind: str
) -> None:
    """Model, card, script and record; opening it as the next stage would finds nothing wrong."""
    evaluated = runs.finish(cycle, made[kind], base=f"/models/my-{kind}.nemo")
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
    evaluated = runs.finish(cycle, made["hybrid"], base="/models/my-hybrid.nemo")
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
    evaluated = runs.finish(cycle, model, base="my-rnnt")
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


def test_the_card_says_what_was_measured(cycle: Path, ask: Callable[..., Any]) -> None:
    """Held-out figures first, then those on trained rows; data, recipe, licence and limits."""
    evaluated = runs.finish(cycle, embedded_path())
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


def test_a_model_that_was_not_kept_is_refused(cycle: Path, ask: Callable[..., Any]) -> None:
    """Unless it is asked for by name; then its card says so first."""
    evaluated = runs.finish(cycle, embedded_path(), after=10)
    code, answer = ask(cycle)
    assert code == 3
    assert "not 'keep'" in answer["reason"]
    assert not (evaluated.path / "handoff").exists()
    assert ask(cycle, "--even-if-not-kept")[0] == 0
    card = (evaluated.path / "handoff" / "MODEL_CARD.md").read_text()
    assert "Handed on although the decision was 'inconclusive'" in card[:300]


def test_a_base_whose_tuning_is_broken_is_refused(cycle: Path, ask: Callable[..., Any]) -> None:
    """By its name, even where the file's configuration does not tell."""
    runs.finish(cycle, embedded_path(), base="nvidia/nemotron-speech-streaming-en-0.6b")
    code, answer = ask(cycle, "--even-if-not-kept")
    assert code == 3
    assert "UNK" in answer["reason"]


def test_a_cycle_without_a_finished_run_is_bad_input(cycle: Path) -> None:
    """The message says how to make one."""
    with pytest.raises(InputError, match="asr-flywheel run cycle1"):
        handoff_package.find_tuned(open_cycle(cycle))


def test_only_the_model_that_was_measured_is_handed_on(cycle: Path) -> None:
    """Another file at its place is noticed by its hash; moved cycles find it beside them."""
    runs.finish(cycle, embedded_path())
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


def handed_on(cycle: Path) -> Path:
    """A hand-off of the embedded base."""
    runs.finish(cycle, embedded_path())
    tuned = handoff_package.find_tuned(open_cycle(cycle))
    accepted = handoff_package.judge_tuned(tuned, None)
    assert isinstance(accepted, handoff.Accepted)
    return handoff_package.write(tuned, accepted, cycle.parent / "handed").parent


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
    before = samples.snapshot(cycle)
    with pytest.raises(InputError, match="no hand-off"):
        handoff_package.write(tuned, accepted, other)
    assert samples.snapshot(cycle) == before


DOCKER = """#!/bin/bash
# Runs what the container would run, with the mounts' paths as they are here; notes the rest.
printf '%s\\n' "docker" "$@" >> "$TOLD"
[[ "$*" == *--entrypoint* ]] || exit 0
inside="$(cat "${@: -1}" 2>/dev/null || cat "$PWD/$(basename "${@: -1}")")"
inside="${inside//\\/riva_build_deploy/$PWD}"
inside="${inside//\\/model_tar/$NIM_EXPORT_PATH}"
bash -c "${inside//\\/data\\/models/$NIM_EXPORT_PATH\\/models}"
"""
NOTE = """#!/bin/bash
printf '%s\\n' "$(basename "$0")" "$@" >> "$TOLD"
for one in "$@"; do case "$one" in
  output_path=*) touch "${one#output_path=}" ;;
  *.rmir) touch "$one" ;;
  /*models) mkdir -p "$one" && touch "$one/model" ;;
esac; done
"""
# A riva-build of either form, which knows the greedy decoder by $GREEDY.
CONFIGS = """#!/bin/bash
if [[ "$*" == *" -h" ]]; then
  [[ "$*" == --config-path* ]] || exit 2
  echo "source_path: ??? decoder: flashlight, $GREEDY or nemo"; exit
fi
"""
POSITIONAL = """#!/bin/bash
case "$*" in
  -h) echo "usage: riva-build [-h] {speech_recognition,speech_synthesis} ..."; exit ;;
  "speech_recognition -h") echo "--decoder_type {flashlight,$GREEDY,nemo}"; exit ;;
  --config-path*) echo "invalid choice" >&2; exit 2 ;;
esac
"""
NEITHER = """#!/bin/bash
[[ "$*" == *-h ]] && { echo "usage: riva-build {speech_synthesis}"; exit; }
"""


@dataclass(frozen=True)
class Host:
    """A GPU host of stand-ins that note what they get."""

    folder: Path
    programs: Path
    told: Path
    export: Path

    def install(self, name: str, text: str) -> None:
        """Put a program first on the PATH."""
        (self.programs / name).write_text(text)
        (self.programs / name).chmod(0o755)

    def deploy(self, **more: str) -> tuple[int, str, list[str]]:
        """Run deploy.sh: its exit code, what it says of errors, and the words that were noted."""
        environment = {
            **os.environ,
            "PATH": f"{self.programs}:{os.environ['PATH']}",
            "TOLD": str(self.told),
            "GREEDY": "greedy",
            "NIM_EXPORT_PATH": str(self.export),
            "NIM_IMAGE": "nvcr.io/nim/nvidia/parakeet-ctc:1",
            "NGC_API_KEY": "planted-key",
            **more,
        }
        self.told.write_text("")
        script = [self.folder / "deploy.sh"]
        done = subprocess.run(script, env=environment, capture_output=True, text=True, check=False)
        return done.returncode, done.stderr, self.told.read_text().split("\n")


@pytest.fixture
def host(cycle: Path, tmp_path: Path) -> Host:
    """With a hand-off of the embedded base, and a GPU of class 8.9."""
    found = Host(handed_on(cycle), tmp_path / "bin", tmp_path / "told", tmp_path / "export")
    found.programs.mkdir()
    note = NOTE.partition("\n")[2]
    for name, text in {
        "docker": DOCKER,
        "riva-build": CONFIGS + note,
        "riva-deploy": NOTE,
        "chown": NOTE,
        "nvidia-smi": '#!/bin/bash\necho "NVIDIA L40S, ${CAPABILITY:-8.9}"\n',
    }.items():
        found.install(name, text)
    return found


def test_the_script_runs_the_commands_as_they_stand(host: Host) -> None:
    """riva-build gets its words whole; no key is among them."""
    code, told, words = host.deploy(GREEDY="greedy_ctc")
    assert code == 0, told
    model = host.folder / training_run.MODEL_NAME
    block = "{format: onnx, onnx_opset: 19, max_dim: 1000}"
    assert f"source_path=[{{path: {model}, nemo2riva: {block}}}]" in words
    assert "decoder=greedy_ctc" in words
    assert words.index("riva-build") < words.index("riva-deploy")
    assert "NIM_DISABLE_MODEL_DOWNLOAD=true" in words
    assert (host.export / "custom_model.tar.gz").is_file()
    assert "planted-key" not in words
    code, told, _ = host.deploy(NIM_IMAGE="")
    assert code != 0
    assert "parakeet-*-ctc-*" in told


@pytest.mark.parametrize("greedy", ["greedy", "greedy_ctc"])
@pytest.mark.parametrize("form", [CONFIGS, POSITIONAL], ids=["configs", "positional"])
def test_the_script_asks_riva_build_what_it_knows(host: Host, form: str, greedy: str) -> None:
    """Form of the command and name of the greedy decoder are the image's own."""
    host.install("riva-build", form + NOTE.partition("\n")[2])
    host.install("nemo2riva", NOTE)
    code, told, words = host.deploy(GREEDY=greedy)
    assert code == 0, told
    if form is CONFIGS:
        assert "--config-name=offline" in words
        assert f"decoder={greedy}" in words
        assert "nemo2riva" not in words
    else:
        place = words.index("speech_recognition")
        rmir, riva = words[place + 1 : place + 3]
        assert (rmir, riva) == (
            str(host.folder / "adapted_model.rmir"),
            str(host.folder / "adapted_model.riva"),
        )
        assert {"--offline", f"--decoder_type={greedy}"} < set(words)
        assert words.index("nemo2riva") < place


def test_the_script_says_what_an_image_lacks(host: Host) -> None:
    """An older riva-build without nemo2riva, and one that knows no speech recognition."""
    note = NOTE.partition("\n")[2]
    host.install("riva-build", POSITIONAL + note)
    code, told, words = host.deploy()
    assert code == 1
    assert "nemo2riva --out adapted_model.riva adapted_model.nemo" in told
    host.install("riva-build", NEITHER + note)
    code, told, words = host.deploy()
    assert code == 1
    assert "NIM_IMAGE must be" in told
    assert "riva-deploy" not in words


def test_the_script_checks_owner_and_gpu_first(host: Host) -> None:
    """Both folders are given to the container's user; too old a GPU ends it before any build."""
    code, told, words = host.deploy()
    assert code == 0, told
    owned = {str(host.folder.resolve()), str(host.export)}
    given = {words[place + 2] for place, word in enumerate(words) if word == "chown"}
    mine = os.getuid() == riva_build.CONTAINER_USER
    assert given == (set() if mine else owned)
    code, told, words = host.deploy(CAPABILITY="7.5")
    assert code == 1
    assert "compute capability 8.0" in told
    assert "docker" not in words
    if not mine:
        host.install("chown", "#!/bin/bash\nexit 1\n")
        code, told, words = host.deploy()
        assert code == 1
        assert "sudo chown 1000:1000" in told
        assert "docker" not in words


@pytest.mark.parametrize("kind", list(Decoder))
def test_the_scripts_are_good_shell(kind: Decoder) -> None:
    """Bash reads them for every decoder."""
    assert shutil.which("bash")
    for cache_aware in (False, True):
        found = decoder_targets.target(kind, cache_aware=cache_aware)
        lines = riva_build.commands(found, "m.nemo", "name")
        for text in (
            riva_build.script(found, lines),
            riva_build.build_script(found, "m.nemo", lines),
        ):
            subprocess.run(["bash", "-n"], input=text.encode(), check=True)
