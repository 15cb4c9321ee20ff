"""A rental whose host gets its environment from a bundle with every wheel, and trains in it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.provision_gpu import rent
from flows.rental.config import RentConfig
from flows.rental.plan import plan
from tasks.common import atomic_files
from tests.support import loopback_ssh, prefect_site
from tests.support.brev_stub import outcomes

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).parents[2]


def test_a_cycle_is_trained_in_the_bundles_environment(
    tmp_path: Path, made_cycle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host has a Python alone; NeMo, Prefect and this project come with the bundle."""
    loopback_ssh.program()
    bundle, folder = tmp_path / "bundle", tmp_path / "host"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    line = [sys.executable, "-m", "asr_flywheel", "bundle", "make", "--out", str(bundle)]
    line += ["--python", version, "--part-mib", "150", "--extra", "nemo"]
    subprocess.run(line, check=True, cwd=ROOT)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    cycle = made_cycle
    folder.mkdir()
    with loopback_ssh.running(folder) as host, prefect_site.running(tmp_path) as site:
        config = RentConfig.model_validate(
            {
                "run": {**prefect_site.quick(cycle), "variants": 1, "interpolate": "off"},
                "host": {**host.settings, "python": str(Path(sys.executable).resolve())},
                "gpu_required": False,
                "need_gib": 1,
                "bundle": [bundle],
            }
        )
        with temporary_settings({PREFECT_API_URL: f"{site.url}/api"}):
            planned = plan(config)
            assert planned.bundle is not None
            ended = rent(config, planned)
        assert list((folder / "disk").iterdir()) == []
    assert ended.outcome.value == "completed"
    assert outcomes(cycle) == ["completed"]
    record = atomic_files.read_json(cycle.parent / "cycle2" / "run.json")
    assert record["rented"]["bundle"] == planned.bundle.content.bundle
    (info,) = cycle.glob("models/*/training_run_info.json")
    trained = atomic_files.read_json(info)
    assert trained["versions"]["nemo_toolkit"] == "3.0.0"
