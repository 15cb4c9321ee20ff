"""Checks of this machine for a run, each with the command that mends a lack.

Each check is a small function that looks at one thing and returns what it found; none of them
changes anything, downloads anything, or prints a secret. Those of packages, GPU and container are
in modules beside this one; those of Prefect's server in asr_flywheel/site/checks.py.
"""

from __future__ import annotations

import shutil
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.common.counted import counted
from tasks.common.errors import FlywheelError, InputError
from tasks.common.shell_words import in_shell
from tasks.models import catalog, hub_cache
from tasks.models.catalog import Status
from tasks.models.nemo_archive import check_safe, open_archive
from tasks.records import rehearsal
from tasks.runtimes import hardware
from tasks.runtimes.container_settings import IMAGE
from tasks.runtimes.slurm import commands as slurm_commands
from tasks.stages.check_result import CheckContext, CheckResult, CheckStatus, split_fix
from tasks.stages.container_checks import docker_engine, image, nvidia_runtime
from tasks.stages.gpu_checks import bf16, driver, gpu
from tasks.stages.package_checks import audio_decoder, bytecode, nemo, python, riva, torch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tasks.records.rehearsal import Record

BYTES_PER_PARAMETER = 40
"""On disk: two checkpoints of weights and Adam's two moments, and two .nemo files, fp32."""
IMAGE_BYTES = 12_000_000_000
"""Download of the specification's image."""
LEAST_SHM_BYTES = 1 << 30
_REHEARSE = "asr-flywheel rehearse"


def disk(context: CheckContext) -> CheckResult:
    """Check the disk's room for checkpoints, models, and an image that is still to be pulled."""
    place = context.folder
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    needed = _count_parameters(context.base) * BYTES_PER_PARAMETER
    if context.contained and image(context).state is not CheckStatus.OK:
        needed += IMAGE_BYTES
    says = f"{free / 1e9:.0f} GB free at {place}, {needed / 1e9:.1f} GB wanted"
    if free >= needed:
        return CheckResult("disk", CheckStatus.OK, says)
    return CheckResult(
        "disk", CheckStatus.MISSING, says, "free space there, or put the cycles elsewhere"
    )


def _count_parameters(name: str) -> int:
    listed = catalog.in_catalogue(name)
    if listed is not None:
        return (listed.millions or 0) * 1_000_000
    try:
        # fp32 weights; a .nemo in 16 bits has twice as many.
        # Nothing of it is loaded here.
        return catalog.resolve(name, trust=True).stat().st_size // 2
    except (InputError, OSError):
        return 0


def shared_memory(context: CheckContext) -> CheckResult:
    """Check the memory through which data-loader workers hand over batches."""
    if context.contained:
        return CheckResult("shared memory", CheckStatus.OK, "the container has its own (--shm-gib)")
    shm = Path("/dev/shm")  # noqa: S108 - it is what is asked about
    size = shutil.disk_usage(shm).total if shm.is_dir() else 0
    says = f"{size / (1 << 30):.1f} GiB at {shm}"
    if size >= LEAST_SHM_BYTES:
        return CheckResult("shared memory", CheckStatus.OK, says)
    fix = "sudo mount -o remount,size=8G /dev/shm; inside a container: --shm-size=8g"
    return CheckResult("shared memory", CheckStatus.NOTE, says, fix)


def base(context: CheckContext) -> CheckResult:
    """Check that the base may be tuned, can be tuned here, and is at hand."""
    try:
        entry = catalog.describe(context.base)
    except InputError as unknown:
        return CheckResult("base", CheckStatus.MISSING, split_fix(unknown)[0], "asr-flywheel bases")
    if entry.status is Status.BROKEN:
        fix = f"--base {catalog.RECOMMENDED} or {catalog.LEGACY_FALLBACK}"
        return CheckResult("base", CheckStatus.MISSING, f"{entry.name}: {entry.note}", fix)
    if entry.decoder.is_tdt and not context.host.has_gpu:
        says = f"{entry.name}: its TDT loss needs CUDA, and there is no GPU"
        fix = "a host with a GPU, or a CTC or RNN-T base such as --base embedded"
        return CheckResult("base", CheckStatus.MISSING, says, fix)
    return _check_base_file(context.base, entry.name)


def _check_base_file(name: str, label: str) -> CheckResult:
    """Check that a base's file is here and holds no more than weights."""
    listed = catalog.in_catalogue(name)
    if listed is None or Path(name).expanduser().is_file():
        path = catalog.resolve_pinned(name).path
        decoder = open_archive(path).decoder.value
        try:
            check_safe(path)
        except InputError as unsafe:
            says, fix = split_fix(unsafe)
            return CheckResult("base", CheckStatus.NOTE, says, fix)
        return CheckResult("base", CheckStatus.OK, f"{label} ({decoder})")
    if hub_cache.find_cached(listed.name, listed.revision) is not None:
        return CheckResult("base", CheckStatus.OK, f"{listed.name} is in the cache")
    says = f"{listed.name} is not in the Hugging Face cache: the run downloads it first"
    return CheckResult(
        "base", CheckStatus.NOTE, says, f"asr-flywheel bases {in_shell(listed.name)}"
    )


def store(context: CheckContext, check: Callable[[str], None]) -> CheckResult:
    """Check that the store, if one is named, can be written, read and listed.

    Args:
        context: the run.
        check: opens a store by its name and tries it.
    """
    if context.store is None:
        return CheckResult("store", CheckStatus.OK, "none is asked for")
    try:
        check(context.store)
    except FlywheelError as wrong:
        says, fix = split_fix(wrong)
        return CheckResult(
            "store", CheckStatus.MISSING, says, fix or "mend its block or credentials"
        )
    return CheckResult("store", CheckStatus.OK, context.store)


def slurm_check(_: CheckContext) -> CheckResult:
    """Check that jobs can be submitted from here."""
    try:
        slurm_commands.require_programs()
        found = slurm_commands.partitions()
    except FlywheelError as wrong:
        first = str(wrong).splitlines()[0]
        return CheckResult(
            "slurm", CheckStatus.MISSING, first, "run on a login node; see docs/slurm.md"
        )
    says = ", ".join(
        f"{name} ({', '.join(sorted(one.gres)) or 'no GPUs'}{'' if one.up else ', down'})"
        for name, one in sorted(found.items())
    )
    return CheckResult("slurm", CheckStatus.OK, f"partitions: {says}")


CHECKS = (
    python, torch, nemo, bytecode, audio_decoder, gpu, driver, bf16, docker_engine, nvidia_runtime,
    image, disk, shared_memory, base, riva,
)  # fmt: skip


def examine(context: CheckContext) -> tuple[CheckResult, ...]:
    """Run every check of this machine."""
    more = (slurm_check,) if context.runtime == "slurm" else ()
    return tuple(check(context) for check in (*CHECKS, *more))


def make_context(
    runtime: str, base_name: str, image_name: str | None, store_name: str | None, folder: Path
) -> CheckContext:
    """Make the context of a run on this machine."""
    return CheckContext(
        runtime, base_name, image_name or IMAGE, store_name, folder, hardware.detect()
    )


def can_go(findings: Sequence[CheckResult]) -> bool:
    """Return whether nothing is missing for the run that was asked about."""
    return not any(finding.state is CheckStatus.MISSING for finding in findings)


def rehearsed(context: CheckContext, records: Sequence[Record]) -> CheckResult:
    """Report the newest rehearsal on a machine like this one.

    Args:
        context: the run.
        records: newest first.
    """
    try:
        version = metadata.version("nemo_toolkit")
    except metadata.PackageNotFoundError:
        version = ""
    host, runtime = context.host, context.runtime
    for record in records:
        if not rehearsal.matches(record, host, runtime, version):
            continue
        failed = [step.name for step in record.steps if step.state is rehearsal.StepStatus.FAILED]
        passed = sum(step.state is rehearsal.StepStatus.PASSED for step in record.steps)
        of = "a CPU" if not record.machine["gpus"] else record.machine["gpus"][0]["name"]
        by = record.versions.get("nemo_toolkit", "its image's")
        says = f"{record.started[:10]} on {of}, NeMo {by}: {counted(passed, 'step')} passed"
        if failed:
            return CheckResult(
                "rehearsal", CheckStatus.NOTE, f"{says}, {', '.join(failed)} failed", _REHEARSE
            )
        return CheckResult("rehearsal", CheckStatus.OK, says)
    return CheckResult("rehearsal", CheckStatus.NOTE, "no record matches this machine", _REHEARSE)
