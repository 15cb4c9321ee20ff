"""The bundle for GPU hosts, as a host installs it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from tests.support.gpu_bundle_cases import bundle

if TYPE_CHECKING:
    from pathlib import Path


def test_parts_install_without_a_network_beside_each_other(tmp_path: Path) -> None:
    """Two parts that share a namespace, one after the other; a damaged wheel is refused."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    for name in ("one", "two"):
        bundle.stub(wheels, name, "1.0")
    out = tmp_path / "out"
    size = max(path.stat().st_size for path in wheels.iterdir())
    bundle.write_parts(wheels, out, size, {})
    script, target = out / "part-1" / "install.sh", tmp_path / "target"
    for part in ("part-1", "part-2"):
        line = ["sh", str(script), str(target), str(out / part)]
        done = subprocess.run(
            line,
            env={"PATH": "/usr/bin:/bin", "PYTHON": sys.executable, "PIP_NO_INDEX": "1"},
            capture_output=True,
            text=True,
            check=True,
        )
    places = done.stdout.strip().removeprefix("PYTHONPATH=")
    assert set(places.split(":")) == {str(target / "part-1"), str(target / "part-2")}
    found = subprocess.run(
        [
            sys.executable,
            "-c",
            "import importlib.metadata as m; m.version('one'); m.version('two')",
        ],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": places},
        check=False,
    )
    assert found.returncode == 0
    (wheel,) = (out / "part-2").glob("*.whl")
    wheel.write_bytes(wheel.read_bytes() + b"x")
    refused = subprocess.run(line, capture_output=True, check=False)
    assert refused.returncode != 0
