"""An offline bundle of a rental: what its costs say, and which host can take it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flows.config import CycleConfig
from flows.rental import host_bundle
from flows.rental.config import RentConfig
from flows.rental.host_bundle import BundlePlan
from tasks.airgap import sendable_bundle
from tasks.airgap.bundle_manifest import BundleLayout
from tasks.airgap.bundle_parts import verify_parts
from tasks.airgap.sendable_bundle import SendableBundle
from tasks.common.errors import InputError
from tasks.gpu_hosts import gpu_prices, remote_scripts
from tasks.gpu_hosts.host_settings import BrevSettings, SshHostSettings
from tasks.gpu_hosts.remote_scripts import HostPlatform
from tasks.gpu_hosts.ssh import HostError, SshSettings
from tests.support import offline_bundles

MB = 1_000_000
BREV = BrevSettings()
OWN = SshHostSettings(ssh=SshSettings(destination="me@gpu-box"))


@pytest.fixture
def asked() -> dict[str, Any]:
    """What the bundle was checked for."""
    return {}


@pytest.fixture
def content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any]
) -> SendableBundle:
    """A bundle with a base, whose code nobody compares: other tests do."""
    files = tmp_path / "files"
    files.mkdir()
    offline_bundles.write_wheel(files, "one")
    (files / "parakeet-ctc-0.6b.nemo").write_bytes(b"0" * MB)
    offline_bundles.write_bundle(files, tmp_path / "out", MB, BundleLayout.WHOLE, "3.12")
    parts = verify_parts(offline_bundles.list_parts(tmp_path / "out"))
    found = SendableBundle(parts, glibc=28, installed_bytes=2 * MB)

    def check(_named: Any, _code: Path, **host: Any) -> SendableBundle:
        asked.update(host)
        return found

    monkeypatch.setattr(sendable_bundle, "check_for_host", check)
    return found


def planned(provider: Any = BREV, run: dict[str, Any] | None = None, **fields: Any) -> BundlePlan:
    """The bundle of a rental."""
    given: dict[str, Any] = {"cycle": Path("cycle1"), **(run or {})}
    config = RentConfig(run=CycleConfig(**given), bundle=(Path("bundle"),), **fields)
    plan = host_bundle.plan_bundle(config, provider)
    assert plan is not None
    return plan


def test_the_costs_have_the_time_that_sending_takes(content: SendableBundle) -> None:
    """Where the line's speed is known; where it is not, the lines say that it is left out."""
    size = content.bytes
    assert MB < size < 1.2 * MB
    plan = planned(upload_mbit=0.1)
    assert plan.send_minutes == pytest.approx(size * 8 / 0.1e6 / 60, rel=0.12)
    assert "included above" in plan.lines()[0]
    unknown = planned()
    assert unknown.send_minutes is None
    assert "without that" in unknown.lines()[0]
    assert "Python 3.12" in unknown.lines()[1]
    assert "glibc 2.28" in unknown.lines()[1]
    assert unknown.need_gib == pytest.approx((size + 2 * MB) / 2**30)


def test_a_bundle_that_outlasts_the_host_is_refused(content: SendableBundle) -> None:
    """The host ends itself in mid-transfer: it would be paid for nothing."""
    del content
    with pytest.raises(InputError, match=r"about 17 minutes .* ends itself after 15\. Fix: "):
        planned(upload_mbit=0.01, limit_minutes=15)


def test_a_run_that_the_host_would_not_outlive_is_warned_of(content: SendableBundle) -> None:
    """Sending and run together; the host costs from its creation on."""
    work = gpu_prices.work([3.0] * 100, 0.2, 3, 4, gpu_prices.REFERENCE_PARAMETERS)
    cost = gpu_prices.cost_shape(gpu_prices.sku("l40s"), work, 200)
    bundle = BundlePlan(content, 30.0, ())
    longer = host_bundle.add_sending(cost, bundle, 240)
    assert longer.usd_run == pytest.approx(cost.usd_run + 0.5 * cost.usd_per_hour)
    assert longer.warnings == cost.warnings
    warned = host_bundle.add_sending(cost, bundle, 40)
    assert "ends itself after 40 minutes" in warned.lines()[-1]
    assert host_bundle.add_sending(cost, BundlePlan(content, None, ()), 240) == cost


def test_what_the_host_still_fetches_is_told(content: SendableBundle) -> None:
    """A base and an image that the bundle lacks, and nothing that it has."""
    del content
    named = planned(run={"base": "nvidia/parakeet-ctc-0.6b", "runtime": "local"})
    assert named.fetched == ()
    other = planned(run={"base": "parakeet-tdt-0.6b-v2", "runtime": "container"})
    image, base = other.fetched
    assert image.startswith("image nvcr.io/nvidia/nemo")
    assert base.startswith("base nvidia/parakeet-tdt-0.6b-v2")
    assert planned(run={"base": "embedded", "runtime": "local"}).fetched == ()


def test_only_the_host_knows_the_processor_of_ones_own_host(
    content: SendableBundle, asked: dict[str, Any]
) -> None:
    """What Brev rents out is x86-64; a run in an image trains in no bundle."""
    del content
    planned(run={"runtime": "local"})
    assert asked == {"machine": "x86_64", "trains": True, "gpu": True}
    planned(OWN, {"runtime": "container"}, gpu_required=False)
    assert asked == {"machine": None, "trains": False, "gpu": False}


def test_the_interpreter_is_the_one_that_the_wheels_are_for(content: SendableBundle) -> None:
    """Not the first that the host has."""
    plan = BundlePlan(content, None, ())
    machine = content.about.machine
    told = f"machine={machine}\nglibc=2.35\npython=/usr/bin/python3=3.10\npython=/opt/a=b=3.12\n"
    found = remote_scripts.parse_platform(told)
    assert found.pythons == (("/usr/bin/python3", "3.10"), ("/opt/a=b", "3.12"))
    assert host_bundle.choose_interpreter("me@gpu-box", found, plan) == "/opt/a=b"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"machine": "riscv64"}, "is riscv64, and the bundle is for .* --machine riscv64"),
        ({"glibc": "2.27"}, r"has glibc 2\.27, and the bundle's wheels need 2\.28.*--glibc 2\.27"),
        ({"pythons": (("/a", "3.10"),)}, r"has no Python 3\.12 .*/a is 3\.10.*Fix: "),
        ({"pythons": ()}, r"no Python was found"),
    ],
)
def test_a_host_that_cannot_take_it_is_refused_before_it_is_sent(
    content: SendableBundle, change: dict[str, Any], says: str
) -> None:
    """With what is there, what is needed and a fix."""
    fitting: dict[str, Any] = {
        "machine": content.about.machine,
        "glibc": "2.28",
        "pythons": (("/a", "3.12"),),
    }
    plan = BundlePlan(content, None, ())
    assert host_bundle.choose_interpreter("host", HostPlatform(**fitting), plan) == "/a"
    with pytest.raises(HostError, match=says):
        host_bundle.choose_interpreter("host", HostPlatform(**{**fitting, **change}), plan)


def test_another_c_library_is_left_to_pip(content: SendableBundle) -> None:
    """Nobody can tell its version; pip refuses the wheels there if they do not fit."""
    found = HostPlatform(content.about.machine, "", (("/a", "3.12"),))
    assert host_bundle.choose_interpreter("host", found, BundlePlan(content, None, ())) == "/a"
