"""Checks of this machine for a run, each with the command that mends a lack.

Each check is a small function that looks at one thing and returns what it found; none of them
changes anything, downloads anything, or prints a secret. What concerns Prefect's server stands in
asr_flywheel/site/checks.py.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.common import hashing
from tasks.common.errors import FlywheelError, InputError
from tasks.models import catalog, hub_cache
from tasks.models.catalog import Status
from tasks.models.nemo_archive import check_safe, open_archive
from tasks.records import rehearsal
from tasks.runtimes import docker_engine as engine
from tasks.runtimes import hardware, images, nemo_versions
from tasks.runtimes.base import nemo_python, packages_of
from tasks.runtimes.container import ContainerRuntime
from tasks.runtimes.container_settings import IMAGE, ContainerSettings
from tasks.runtimes.failures import Fault, FaultError
from tasks.runtimes.local import LocalRuntime
from tasks.runtimes.slurm import commands as slurm_commands
from tasks.transcription import offline
from tasks.transcription.hypothesis_cache import TranscriptStore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tasks.records.rehearsal import Record
    from tasks.runtimes.base import Runtime
    from tasks.runtimes.hardware import Hardware

PYTHON = ((3, 11), (3, 13))
TORCH = "2.13."
"""The release that pyproject.toml pins."""
LEAST_GPU_MIB = 15_000
"""A "16 GB" card; the specification asks for 16 GB of VRAM at least (4a)."""
GRAPHS_DRIVER = (560, 28)
"""Linux driver of CUDA 12.6: before it, CUDA-graph decoding falls back quietly."""
LEAST_BF16 = (8, 0)
"""Compute capability from which bf16 is supported (Ampere)."""
BYTES_PER_PARAMETER = 40
"""On disk: two checkpoints of weights and Adam's two moments, and two .nemo files, fp32."""
IMAGE_BYTES = 12_000_000_000
"""Download of the specification's image."""
LEAST_SHM_BYTES = 1 << 30


class CheckStatus(StrEnum):
    """The outcome of a check."""

    OK = "ok"
    NOTE = "note"
    """Nothing is wrong, but a user may want to know."""
    MISSING = "missing"
    """The run that was asked about cannot go without it."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check.

    Attributes:
        check: its name.
        state: whether the run can go.
        says: what was found, in words that end no sentence.
        fix: the command or step that mends it; "" where nothing is wrong.
    """

    check: str
    state: CheckStatus
    says: str
    fix: str = ""

    def as_dict(self) -> dict[str, str]:
        """Return the finding as ``--json`` prints it."""
        return {"check": self.check, "state": self.state, "says": self.says, "fix": self.fix}


@dataclass(frozen=True, slots=True)
class CheckContext:
    """The run that is asked about.

    Attributes:
        runtime: local, container or slurm.
        base: as the user names it.
        image: for the container.
        store: as the user names it, or None.
        folder: where the cycles are, for the disk's room.
        host: what this machine has.
    """

    runtime: str
    base: str
    image: str
    store: str | None
    folder: Path
    host: Hardware

    @property
    def contained(self) -> bool:
        """True if training runs in a container."""
        return self.runtime == "container"

    def needs(self, *, local: bool) -> CheckStatus:
        """Return the status of a lack that matters to one of the runtimes only."""
        return CheckStatus.MISSING if local is not self.contained else CheckStatus.NOTE


def python(_: CheckContext) -> CheckResult:
    """Check the interpreter."""
    version = ".".join(map(str, sys.version_info[:3]))
    if PYTHON[0] <= sys.version_info[:2] < PYTHON[1]:
        return CheckResult("python", CheckStatus.OK, version)
    return CheckResult(
        "python", CheckStatus.MISSING, version, "use Python 3.11 or 3.12: `make setup PYTHON=…`"
    )


def _check_package(question: CheckContext, name: str, check: str) -> CheckResult:
    interpreter = nemo_python()
    if interpreter != sys.executable:
        try:
            return CheckResult(check, CheckStatus.OK, packages_of(interpreter)[name])
        except InputError as wrong:
            says, _, fix = str(wrong).partition(" Fix: ")
            return CheckResult(check, question.needs(local=True), says, fix)
    try:
        return CheckResult(check, CheckStatus.OK, metadata.version(name))
    except metadata.PackageNotFoundError:
        return CheckResult(check, question.needs(local=True), "not installed", _INSTALL)


_INSTALL = "pip install 'clinical-asr-flywheel[nemo]' -c constraints.txt, or --runtime container"


def torch(question: CheckContext) -> CheckResult:
    """Check PyTorch without importing it."""
    package = _check_package(question, "torch", "torch")
    if package.state is CheckStatus.OK and not package.says.startswith(TORCH):
        says = f"{package.says}; the project's own tests run with {TORCH}x"
        return CheckResult(package.check, CheckStatus.NOTE, says, _INSTALL)
    return package


def nemo(question: CheckContext) -> CheckResult:
    """Check NeMo, without importing it, against the versions that the matrix ran."""
    package = _check_package(question, "nemo_toolkit", "NeMo")
    if package.state is not CheckStatus.OK:
        return package
    version = nemo_versions.tried(package.says)
    if version is not None:
        return CheckResult(
            package.check, CheckStatus.OK, f"{package.says}, run in the matrix on {version.on}"
        )
    versions = ", ".join(version.nemo for version in nemo_versions.TRIED)
    position = "between" if nemo_versions.within(package.says) else "outside"
    says = f"{package.says}: not run in the matrix, {position} the versions that were ({versions})"
    return CheckResult(package.check, CheckStatus.NOTE, says, _INSTALL)


def gpu(question: CheckContext) -> CheckResult:
    """Check for a GPU that is large enough; not every base can be tuned on a CPU."""
    host = question.host
    if host.has_gpu:
        names = ", ".join(f"{card.name} ({card.memory_mib} MiB)" for card in host.gpus)
        if host.smallest_gpu_mib and host.smallest_gpu_mib < LEAST_GPU_MIB:
            fix = "take a card of 16 GB or more (24 GB is comfortable), or a smaller base"
            return CheckResult("GPU", CheckStatus.NOTE, f"{names}: small for a base of 0.6 B", fix)
        return CheckResult("GPU", CheckStatus.OK, names)
    if shutil.which("nvidia-smi") is not None:
        fix = "nvidia-smi must list it: reinstall or load the driver (`sudo modprobe nvidia`)"
        return CheckResult(
            "GPU", CheckStatus.MISSING, "nvidia-smi is here but lists no usable GPU", fix
        )
    return CheckResult("GPU", CheckStatus.NOTE, f"none: training runs on {host.cores} CPU cores")


def driver(question: CheckContext) -> CheckResult:
    """Check the driver against CUDA 12.6, for CUDA-graph decoding."""
    versions = sorted({card.driver for card in question.host.gpus if card.driver})
    if not versions:
        return CheckResult("driver", CheckStatus.OK, "not needed without a GPU")
    installed = tuple(int(part) for part in re.findall(r"\d+", versions[0])[:2])
    if installed >= GRAPHS_DRIVER:
        return CheckResult("driver", CheckStatus.OK, ", ".join(versions))
    says = f"{versions[0]}: older than CUDA 12.6's, so that CUDA-graph decoding falls back quietly"
    required = ".".join(map(str, GRAPHS_DRIVER))
    return CheckResult(
        "driver", CheckStatus.NOTE, says, f"install NVIDIA's driver {required} or newer"
    )


def bf16(question: CheckContext) -> CheckResult:
    """Check that the GPU supports the recipe's bf16-mixed."""
    if not question.host.has_gpu:
        return CheckResult(
            "bf16", CheckStatus.OK, "not needed without a GPU: the CPU trains in fp32"
        )
    program = shutil.which("nvidia-smi")
    line = [str(program), "--query-gpu=compute_cap", "--format=csv,noheader"]
    answer = subprocess.run(line, capture_output=True, text=True, timeout=30, check=False)
    capabilities = re.findall(r"(\d+)\.(\d+)", answer.stdout if answer.returncode == 0 else "")
    least = min(((int(major), int(minor)) for major, minor in capabilities), default=None)
    if least is None:
        return CheckResult(
            "bf16", CheckStatus.NOTE, "nvidia-smi does not tell the compute capability"
        )
    capability = f"compute capability {least[0]}.{least[1]}"
    if least >= LEAST_BF16:
        return CheckResult("bf16", CheckStatus.OK, capability)
    fix = "nothing: the run goes on in fp32 with a smaller batch by itself; expect half the speed"
    return CheckResult(
        "bf16", CheckStatus.NOTE, f"{capability}: no bf16 (Turing and Volta have none)", fix
    )


def docker_engine(question: CheckContext) -> CheckResult:
    """Check the Docker Engine, and the right to use it."""
    try:
        version = engine.connect().version()["Version"]
    except FaultError as fault:
        return CheckResult("engine", question.needs(local=False), fault.fault.value, _remedy(fault))
    return CheckResult("engine", CheckStatus.OK, f"Docker Engine {version}")


def nvidia_runtime(question: CheckContext) -> CheckResult:
    """Check the NVIDIA Container Toolkit, where there is a GPU to hand on."""
    if not question.host.has_gpu:
        return CheckResult("NVIDIA runtime", CheckStatus.OK, "not needed without a GPU")
    try:
        info = engine.connect().info()
    except FaultError:
        return CheckResult("NVIDIA runtime", question.needs(local=False), "no engine to ask")
    devices = [str(device.get("Source")) for device in info.get("DiscoveredDevices") or []]
    if "nvidia" in (info.get("Runtimes") or {}) or "cdi" in devices:
        return CheckResult("NVIDIA runtime", CheckStatus.OK, "configured")
    fix = (
        "install the NVIDIA Container Toolkit, then `sudo nvidia-ctk runtime configure "
        "--runtime=docker && sudo systemctl restart docker`"
    )
    return CheckResult("NVIDIA runtime", question.needs(local=False), "the engine has none", fix)


def image(question: CheckContext) -> CheckResult:
    """Check the training image; if it is absent, also the login to its registry."""
    try:
        client = engine.connect()
    except FaultError:
        return CheckResult("image", question.needs(local=False), "no engine to ask")
    present = bool(client.images.list(question.image))
    environment = engine.environment(client, question.image) if present else {}
    verdict = images.check_driver(images.need(question.image, environment), question.host.gpus)
    if not verdict.fits:
        says = f"{question.image}: {verdict.says}"
        return CheckResult("image", question.needs(local=False), says, verdict.fix)
    if present and verdict.says:
        return CheckResult(
            "image", CheckStatus.NOTE, f"{question.image}: {verdict.says}", verdict.fix
        )
    if present:
        return CheckResult("image", CheckStatus.OK, question.image)
    fix = f"docker pull {question.image}"
    registry = question.image.partition("/")[0]
    if "." in registry and registry not in _read_registries():
        fix = f"docker login {registry} (user $oauthtoken, an NGC key as the password), then {fix}"
    return CheckResult("image", question.needs(local=False), f"{question.image} is not here", fix)


def _read_registries() -> set[str]:
    """Return the registries that Docker's client has credentials for; read only their names."""
    folder = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return set()
    return {*config.get("auths", {}), *config.get("credHelpers", {})}


def disk(question: CheckContext) -> CheckResult:
    """Check the disk's room for checkpoints, models, and an image that is still to be pulled."""
    place = question.folder
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    needed = _count_parameters(question.base) * BYTES_PER_PARAMETER
    if question.contained and image(question).state is not CheckStatus.OK:
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


def shared_memory(question: CheckContext) -> CheckResult:
    """Check the memory through which data-loader workers hand over batches."""
    if question.contained:
        return CheckResult("shared memory", CheckStatus.OK, "the container has its own (--shm-gib)")
    shm = Path("/dev/shm")  # noqa: S108 - it is what is asked about
    size = shutil.disk_usage(shm).total if shm.is_dir() else 0
    says = f"{size / (1 << 30):.1f} GiB at {shm}"
    if size >= LEAST_SHM_BYTES:
        return CheckResult("shared memory", CheckStatus.OK, says)
    fix = "sudo mount -o remount,size=8G /dev/shm; inside a container: --shm-size=8g"
    return CheckResult("shared memory", CheckStatus.NOTE, says, fix)


def base(question: CheckContext) -> CheckResult:
    """Check that the base may be tuned, can be tuned here, and is at hand."""
    try:
        entry = catalog.describe(question.base)
    except InputError as unknown:
        return CheckResult(
            "base", CheckStatus.MISSING, str(unknown).partition(" Fix: ")[0], "asr-flywheel bases"
        )
    if entry.status is Status.BROKEN:
        fix = f"--base {catalog.RECOMMENDED} or {catalog.LEGACY_FALLBACK}"
        return CheckResult("base", CheckStatus.MISSING, f"{entry.name}: {entry.note}", fix)
    if entry.decoder.is_tdt and not question.host.has_gpu:
        says = f"{entry.name}: its TDT loss needs CUDA, and there is no GPU"
        fix = "a host with a GPU, or a CTC or RNN-T base such as --base embedded"
        return CheckResult("base", CheckStatus.MISSING, says, fix)
    return _check_base_file(question.base, entry.name)


def _check_base_file(name: str, label: str) -> CheckResult:
    """Check that a base's file is here and holds no more than weights."""
    listed = catalog.in_catalogue(name)
    if listed is None or Path(name).expanduser().is_file():
        path = catalog.resolve_pinned(name).path
        decoder = open_archive(path).decoder.value
        try:
            check_safe(path)
        except InputError as unsafe:
            says, _, fix = str(unsafe).partition(" Fix: ")
            return CheckResult("base", CheckStatus.NOTE, says, fix)
        return CheckResult("base", CheckStatus.OK, f"{label} ({decoder})")
    if hub_cache.find_cached(listed.name, listed.revision) is not None:
        return CheckResult("base", CheckStatus.OK, f"{listed.name} is in the cache")
    says = f"{listed.name} is not in the Hugging Face cache: the run downloads it first"
    return CheckResult("base", CheckStatus.NOTE, says, f"asr-flywheel bases {listed.name}")


def store(question: CheckContext, check: Callable[[str], None]) -> CheckResult:
    """Check that the store, if one is named, can be written, read and listed.

    Args:
        question: the run.
        check: opens a store by its name and tries it.
    """
    if question.store is None:
        return CheckResult("store", CheckStatus.OK, "none is asked for")
    try:
        check(question.store)
    except FlywheelError as wrong:
        says, _, fix = str(wrong).partition(" Fix: ")
        return CheckResult(
            "store", CheckStatus.MISSING, says, fix or "mend its block or credentials"
        )
    return CheckResult("store", CheckStatus.OK, question.store)


def audio_decoder(_: CheckContext) -> CheckResult:
    """Check libsndfile, which reads WAV and FLAC by itself; ffmpeg is not needed."""
    import soundfile  # noqa: PLC0415 - reads a shared library

    return CheckResult(
        "audio", CheckStatus.OK, f"{soundfile.__libsndfile_version__}; ffmpeg is not needed"
    )


def _seconds(path: Path) -> float:
    import soundfile  # noqa: PLC0415 - reads a shared library

    return float(soundfile.info(path).duration)


def riva(_: CheckContext) -> CheckResult:
    """Check the client for validating a served model."""
    try:
        version = metadata.version("nvidia-riva-client")
    except metadata.PackageNotFoundError:
        fix = "pip install 'clinical-asr-flywheel[riva]'"
        return CheckResult("Riva client", CheckStatus.NOTE, "not installed: no serving parity", fix)
    return CheckResult("Riva client", CheckStatus.OK, version)


CHECKS = (
    python, torch, nemo, audio_decoder, gpu, driver, bf16, docker_engine, nvidia_runtime, image,
    disk, shared_memory, base, riva,
)  # fmt: skip


def examine(question: CheckContext) -> tuple[CheckResult, ...]:
    """Run every check of this machine."""
    more = (slurm_check,) if question.runtime == "slurm" else ()
    return tuple(check(question) for check in (*CHECKS, *more))


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


def ask(
    runtime: str, base_name: str, image_name: str | None, store_name: str | None, folder: Path
) -> CheckContext:
    """Make the context of a run on this machine."""
    return CheckContext(
        runtime, base_name, image_name or IMAGE, store_name, folder, hardware.detect()
    )


def can_go(findings: Sequence[CheckResult]) -> bool:
    """Return whether nothing is missing for the run that was asked about."""
    return not any(finding.state is CheckStatus.MISSING for finding in findings)


def _remedy(fault: FaultError) -> str:
    """Return the fault's remedy without its name and the engine's own words."""
    return str(fault).split("\n", maxsplit=1)[0].partition(": ")[2]


@dataclass(frozen=True, slots=True)
class Decoded:
    """The outcome of decoding a second of speech where a run would.

    Attributes:
        finding: for people.
        figures: for a record: no text.
    """

    finding: CheckResult
    figures: dict[str, Any]


def decode(question: CheckContext) -> Decoded:
    """Decode the bundled speech by the embedded base, where and on what a run would."""
    check = "decoding"
    runtime = _make_runtime(question)
    if isinstance(runtime, CheckResult):
        return Decoded(runtime, {})
    speech, base_file = catalog.embedded_speech(), catalog.embedded_path()
    seconds = _seconds(speech)
    audio = offline.AudioSet(
        (speech,), (seconds,), (hashing.sha256_file(speech),), (speech.parent,)
    )
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        store = TranscriptStore(Path(folder), "doctor")
        try:
            (transcript,) = offline.transcribe([base_file], audio, runtime, store)
        except FlywheelError as wrong:
            first, *rest = str(wrong).splitlines()
            raised = [line.strip() for line in rest if line.strip()][-1:]
            says = "; ".join([first, *raised])
            if first.startswith(Fault.GPU_BUSY.value):
                return Decoded(CheckResult(check, CheckStatus.NOTE, f"not tried: {first}"), {})
            return Decoded(
                CheckResult(check, CheckStatus.MISSING, says, _DECODE_FIX), {"decoded": False}
            )
    took = time.monotonic() - started
    (text,) = transcript.hypotheses
    right = text.strip() == catalog.EMBEDDED_SPEECH_SAYS
    summary = (
        f"{text.strip()!r} from {seconds:.1f} s of speech in {transcript.seconds:.2f} s, "
        f"{took:.0f} s with start-up; {transcript.how}"
    )
    figures = {
        "decoded": right,
        "decode_seconds": round(transcript.seconds, 3),
        "decode_wall_seconds": round(took, 1),
        "decode_rtfx": round(transcript.rtfx, 1),
        "decode_how": transcript.how,
    }
    if right:
        return Decoded(CheckResult(check, CheckStatus.OK, summary), figures)
    says = f"{summary}; {catalog.EMBEDDED_SPEECH_SAYS!r} was said"
    return Decoded(CheckResult(check, CheckStatus.MISSING, says, _DECODE_FIX), figures)


_DECODE_FIX = "`asr-flywheel rehearse --only doctor` keeps the whole log; see docs/rehearsal.md"
_BUSY_WAIT_S = 10.0


def _make_runtime(question: CheckContext) -> Runtime | CheckResult:
    """Return the runtime to decode in, or why that cannot be tried."""
    if question.runtime == "slurm":
        return CheckResult(
            "decoding", CheckStatus.NOTE, "not tried: a run asks the node when it begins"
        )
    if not question.contained:
        if any(importlib.util.find_spec(name) is None for name in ("nemo", "torch")):
            return CheckResult(
                "decoding", CheckStatus.NOTE, "not tried: NeMo is not installed here"
            )
        return LocalRuntime(question.host, locks_wait_s=_BUSY_WAIT_S)
    if image(question).state is not CheckStatus.OK:
        return CheckResult(
            "decoding", CheckStatus.NOTE, "not tried: no engine, or the image is not here"
        )
    settings = ContainerSettings.model_validate({"image": question.image})
    return ContainerRuntime(settings, question.host, locks_wait_s=_BUSY_WAIT_S)


def rehearsed(question: CheckContext, records: Sequence[Record]) -> CheckResult:
    """Report the newest rehearsal on a machine like this one.

    Args:
        question: the run.
        records: newest first.
    """
    try:
        version = metadata.version("nemo_toolkit")
    except metadata.PackageNotFoundError:
        version = ""
    host, runtime = question.host, question.runtime
    for record in records:
        if not rehearsal.matches(record, host, runtime, version):
            continue
        failed = [step.name for step in record.steps if step.state is rehearsal.StepStatus.FAILED]
        passed = sum(step.state is rehearsal.StepStatus.PASSED for step in record.steps)
        of = "a CPU" if not record.machine["gpus"] else record.machine["gpus"][0]["name"]
        by = record.versions.get("nemo_toolkit", "its image's")
        says = f"{record.started[:10]} on {of}, NeMo {by}: {passed} steps passed"
        if failed:
            return CheckResult(
                "rehearsal", CheckStatus.NOTE, f"{says}, {', '.join(failed)} failed", _REHEARSE
            )
        return CheckResult("rehearsal", CheckStatus.OK, says)
    return CheckResult("rehearsal", CheckStatus.NOTE, "no record matches this machine", _REHEARSE)


_REHEARSE = "asr-flywheel rehearse"
