"""The hand-off's script on a host behind a real sshd."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tasks.models import decoder_targets
from tasks.models.nemo_archive import Decoder
from tasks.serving import riva_build
from tasks.training import run as training_run
from tests.support.handoff_cases import handed_on

if TYPE_CHECKING:
    from pathlib import Path


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
