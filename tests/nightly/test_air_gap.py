"""A bundle with everything: installed without a route, with the demo run there to its decision.

Its base is the embedded one. The image is the stand-in for NVIDIA's, in a bundle of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import docker_daemon, needs
from tests.support.image_bundles import bundle_image, check, install

ROOT = Path(__file__).parents[2]
EMBEDDED = ROOT / "asr_flywheel" / "embedded" / "embedded_ctc.nemo"


@pytest.mark.needs("netns")
def test_the_demo_reaches_its_decision_where_there_is_no_route(tmp_path: Path) -> None:
    """Wheels of an index, this project's own, a base under a name of its own; nothing of ours."""
    bundle, target, demo = tmp_path / "bundle", tmp_path / "opt", tmp_path / "demo"
    ward = tmp_path / "ward.nemo"
    shutil.copyfile(EMBEDDED, ward)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    line = [sys.executable, "-m", "asr_flywheel", "bundle", "make", "--out", str(bundle)]
    line += ["--python", version, "--part-mib", "150", "--base", str(ward)]
    subprocess.run(line, check=True, cwd=ROOT)
    parts = sorted(map(str, bundle.glob("part-*")))
    assert len(parts) > 2

    interpreter = os.path.realpath(sys.executable)
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path / "home"), "PYTHON": interpreter}
    isolated = [str(needs.find("unshare")), "-n", "sh", "-c"]
    # A server of the run's own answers on loopback; there is no other way out.
    alone = f'{needs.find("ip")} link set lo up; test -z "$({needs.find("ip")} route)" && exec "$@"'

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [*isolated, alone, "sh", *arguments],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    program = run("sh", f"{parts[0]}/install.sh", str(target), *parts).strip()
    assert program == str(target / "current/venv/bin/asr-flywheel")
    run(program, "demo", "--dir", str(demo))
    decision = json.loads((demo / "cycle2" / "decision.json").read_text())
    assert decision["decision"] in {"keep", "grow", "discard", "inconclusive"}
    state = json.loads(run(program, "bundle", "check", "--json"))
    assert state["ok"]
    run(program, "rehearse", "--only", "doctor", "--out", str(tmp_path / "rehearsal"))
    rehearsed = json.loads((tmp_path / "rehearsal" / "rehearsal.json").read_text())
    assert rehearsed["versions"]["offline-bundle"] == state["bundle"][:12]
    assert rehearsed["steps"][0]["figures"]["checks"]["bundle"] == "ok"
    (target / "current/bases/ward.nemo").unlink()
    found = subprocess.run(
        [program, "doctor", "--base", "embedded", "--no-decode", "--json"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 1
    (about,) = [one for one in json.loads(found.stdout)["findings"] if one["check"] == "bundle"]
    assert about["state"] == "missing"
    assert "ward.nemo is missing" in about["says"]


@pytest.mark.needs("dockerd")
def test_the_stand_in_image_travels_in_pieces_and_decodes(tmp_path: Path) -> None:
    """Gigabytes in parts of 500 MiB; what was loaded decodes speech in a container."""
    engine = docker_daemon.with_standin()
    image = "asr-flywheel/carried:test"
    name, _, tag = image.partition(":")
    number = engine.images.get(docker_daemon.STANDIN).id
    engine.images.get(docker_daemon.STANDIN).tag(name, tag)
    parts = bundle_image(image, tmp_path, 500 << 20)
    engine.images.remove(image)
    assert len(parts) > 2
    program = Path(str(needs.find("docker"))).parent
    assert "loaded as" in install(tmp_path / "opt", parts, f"{program}:/usr/bin:/bin")
    assert engine.images.get(image).id == number
    assert check(tmp_path / "opt")["absent_images"] == []
    line = [sys.executable, "-m", "asr_flywheel", "doctor", "--runtime", "container", "--json"]
    line += ["--image", image, "--base", "embedded", "--dir", str(tmp_path)]
    found = subprocess.run(line, capture_output=True, text=True, check=False)
    engine.images.remove(image)
    assert json.loads(found.stdout)["decoded"]["decoded"], found.stdout
