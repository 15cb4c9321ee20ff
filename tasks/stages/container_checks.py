"""Checks of the Docker Engine, its NVIDIA runtime and the training image."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.runtimes import docker_engine as engine
from tasks.runtimes import images
from tasks.runtimes.failures import FaultError
from tasks.stages.check_result import CheckResult, CheckStatus

if TYPE_CHECKING:
    from tasks.stages.check_result import CheckContext


def docker_engine(context: CheckContext) -> CheckResult:
    """Check the Docker Engine, and the right to use it."""
    try:
        version = engine.connect().version()["Version"]
    except FaultError as fault:
        return CheckResult("engine", context.needs(local=False), fault.fault.value, _remedy(fault))
    return CheckResult("engine", CheckStatus.OK, f"Docker Engine {version}")


def nvidia_runtime(context: CheckContext) -> CheckResult:
    """Check the NVIDIA Container Toolkit, where there is a GPU to hand on."""
    if not context.host.has_gpu:
        return CheckResult("NVIDIA runtime", CheckStatus.OK, "not needed without a GPU")
    try:
        info = engine.connect().info()
    except FaultError:
        return CheckResult("NVIDIA runtime", context.needs(local=False), "no engine to ask")
    devices = [str(device.get("Source")) for device in info.get("DiscoveredDevices") or []]
    if "nvidia" in (info.get("Runtimes") or {}) or "cdi" in devices:
        return CheckResult("NVIDIA runtime", CheckStatus.OK, "configured")
    fix = (
        "install the NVIDIA Container Toolkit, then `sudo nvidia-ctk runtime configure "
        "--runtime=docker && sudo systemctl restart docker`"
    )
    return CheckResult("NVIDIA runtime", context.needs(local=False), "the engine has none", fix)


def image(context: CheckContext) -> CheckResult:
    """Check the training image; if it is absent, also the login to its registry."""
    try:
        client = engine.connect()
    except FaultError:
        return CheckResult("image", context.needs(local=False), "no engine to ask")
    present = bool(client.images.list(context.image))
    environment = engine.environment(client, context.image) if present else {}
    verdict = images.check_driver(images.need(context.image, environment), context.host.gpus)
    if not verdict.fits:
        says = f"{context.image}: {verdict.says}"
        return CheckResult("image", context.needs(local=False), says, verdict.fix)
    if present and verdict.says:
        return CheckResult(
            "image", CheckStatus.NOTE, f"{context.image}: {verdict.says}", verdict.fix
        )
    if present:
        return CheckResult("image", CheckStatus.OK, context.image)
    fix = f"docker pull {context.image}"
    registry = images.registry_of(context.image)
    if registry and registry not in _read_registries():
        fix = f"docker login {registry} ({images.account_at(registry)}), then {fix}"
    return CheckResult("image", context.needs(local=False), f"{context.image} is not here", fix)


def _read_registries() -> set[str]:
    """Return the registries that Docker's client has credentials for; read only their names."""
    folder = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return set()
    return {*config.get("auths", {}), *config.get("credHelpers", {})}


def _remedy(fault: FaultError) -> str:
    """Return the fault's remedy without its name and the engine's own words."""
    return str(fault).split("\n", maxsplit=1)[0].partition(": ")[2]
