"""The record of a rehearsal: what ran on which machine, how it ended, and its figures.

A record can be sent in: it holds no transcript, no file name, no path and no host name. It is
written again after each step, so that a rehearsal that is killed leaves what it had.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import signal
import time
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from importlib import metadata, resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.common import atomic_files
from tasks.common.errors import InputError
from tasks.runtimes.failures import Fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tasks.runtimes.hardware import Hardware

SCHEMA = "asr-flywheel-rehearsal/1"
PACKAGES = (
    "clinical-asr-flywheel", "nemo_toolkit", "torch", "lightning", "numpy", "numba", "numba-cuda",
    "cuda-bindings", "nvidia-cuda-nvrtc", "lhotse", "prefect",
)  # fmt: skip
"""Packages whose versions a record names."""
_PUBLIC_IMAGE = re.compile(r"nvcr\.io/nvidia/[\w./:@-]+")
_CUDA = re.compile(r"^cuda\b[^=]*= *['\"]([\d.]+)['\"]", re.MULTILINE)
_RAISED = re.compile(
    r"^\W*(?:\w+\.)*([A-Z]\w*(?:Error|Exception|Fault|Busy|Gpu|Lost))\b", re.MULTILINE
)
_FAULT = re.compile(r"^failed: ([a-z0-9-]+):", re.MULTILINE)
_OURS = {"error: ": "InputError", "failed: ": "FlywheelError"}


class StepStatus(StrEnum):
    """The end of a step."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Failure:
    """The cause of a step's failure, in names that say nothing of the user's data.

    Attributes:
        error: class of the last exception in the log, or a signal's name; "" if none is known.
        exit_code: of the command that failed; negative for a signal, None if none ended.
        fault: the product's own name of the fault (tasks/runtimes/failures.py), or "".
    """

    error: str = ""
    exit_code: int | None = None
    fault: str = ""


@dataclass(frozen=True, slots=True)
class StepResult:
    """The result of one step.

    Attributes:
        name: of the step.
        state: how it ended.
        seconds: wall time; waiting for another step's GPU counts.
        reason: why it was skipped, or what it found wrong; "" otherwise.
        failure: where it failed.
        figures: what it measured.
    """

    name: str
    state: StepStatus
    seconds: float = 0.0
    reason: str = ""
    failure: Failure | None = None
    figures: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the step as JSON has it."""
        step = asdict(self)
        return {**step, "state": self.state.value}


@dataclass(frozen=True, slots=True)
class Record:
    """One rehearsal.

    Attributes:
        started: UTC.
        base: bundled, or own where the user named a base.
        runtime: local or container.
        image: a public image of NVIDIA's by its name, "own" for another one, "" without.
        machine: the host; see ``machine``.
        versions: of Python, CUDA and packages; see ``versions``.
        steps: those that have ended, in the order of the plan.
        finished: UTC; "" while steps are left.
        seconds: wall time of all steps, those of an earlier start included.
    """

    started: str
    base: str
    runtime: str
    image: str
    machine: Mapping[str, Any]
    versions: Mapping[str, str]
    steps: tuple[StepResult, ...] = ()
    finished: str = ""
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """True if no step failed."""
        return all(step.state is not StepStatus.FAILED for step in self.steps)

    def with_step(self, result: StepResult, order: Iterable[str]) -> Record:
        """Return the record with a step's result in its place; replace an earlier one."""
        places = {name: place for place, name in enumerate(order)}
        steps = [step for step in self.steps if step.name != result.name] + [result]
        return replace(
            self, steps=tuple(sorted(steps, key=lambda step: places.get(step.name, len(places))))
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the record as JSON has it."""
        return {
            "schema": SCHEMA,
            "date": self.started[:10],
            "started": self.started,
            "finished": self.finished or None,
            "seconds": round(self.seconds, 1),
            "ok": self.ok,
            "base": self.base,
            "runtime": self.runtime,
            "image": self.image,
            "machine": dict(self.machine),
            "versions": dict(self.versions),
            "steps": [step.as_dict() for step in self.steps],
        }


def read(path: Path) -> Record:
    """Read a record.

    Raises:
        InputError: no such file, or it is no record of this schema.
    """
    document = atomic_files.read_json(path)
    try:
        if document["schema"] != SCHEMA:
            raise InputError(
                f"{path}: schema {document['schema']!r}; this version reads {SCHEMA!r}."
            )
        return Record(
            started=document["started"],
            base=document["base"],
            runtime=document["runtime"],
            image=document["image"],
            machine=document["machine"],
            versions=document["versions"],
            steps=tuple(_parse_step(step) for step in document["steps"]),
            finished=document["finished"] or "",
            seconds=document["seconds"],
        )
    except (KeyError, TypeError, ValueError) as wrong:
        raise InputError(
            f"{path}: is not a rehearsal's record ({wrong!r}). Fix: move it away and run "
            "`asr-flywheel rehearse` again."
        ) from wrong


def _parse_step(step: Mapping[str, Any]) -> StepResult:
    failure = step["failure"]
    return StepResult(
        name=step["name"],
        state=StepStatus(step["state"]),
        seconds=step["seconds"],
        reason=step["reason"],
        failure=None if failure is None else Failure(**failure),
        figures=step["figures"],
    )


def machine(host: Hardware) -> dict[str, Any]:
    """Describe the host without its name."""
    return {
        "gpus": [{"name": gpu.name, "memory_mib": gpu.memory_mib} for gpu in host.gpus],
        "drivers": sorted({gpu.driver for gpu in host.gpus if gpu.driver}),
        "cores": host.cores,
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "os": _os_name(),
        "architecture": platform.machine(),
    }


def _os_name() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.system()


def versions() -> dict[str, str]:
    """Return the versions of Python, of torch's CUDA and of packages; import none of them."""
    by_name = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            by_name[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    cuda = _torch_cuda()
    return {**by_name, **({"cuda": cuda} if cuda else {})}


def _torch_cuda() -> str:
    """Return the CUDA version in torch's own version file; "" for a build without CUDA."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return ""
    version_file = Path(spec.origin).with_name("version.py")
    match = (
        _CUDA.search(version_file.read_text(encoding="utf-8")) if version_file.is_file() else None
    )
    return match.group(1) if match else ""


def public_image(image: str | None) -> str:
    """Return a public image of NVIDIA's by name; "own" for another, whose name may be a secret."""
    if image is None:
        return ""
    return image if _PUBLIC_IMAGE.fullmatch(image) else "own"


def failure(log: str, exit_code: int | None) -> Failure:
    """Return the causes that a failed command's output names, in names alone."""
    faults = [name for name in _FAULT.findall(log) if name in {fault.value for fault in Fault}]
    raised = _RAISED.findall(log)
    error = raised[-1] if raised else ""
    if not error and exit_code is not None and exit_code < 0:
        error = signal.Signals(-exit_code).name
    if not error:
        starts = [line for line in log.splitlines() if line.startswith(tuple(_OURS))]
        error = next(
            (name for mark, name in _OURS.items() if starts[-1:] and starts[-1].startswith(mark)),
            "",
        )
    return Failure(error, exit_code, faults[-1] if faults else "")


def graphs(described: str) -> str:
    """Classify a decoder's use of CUDA graphs by its own text: full, partial, none, or ""."""
    for words, kind in (
        ("partial CUDA graphs", "partial"),
        ("without CUDA graphs", "none"),
        ("CUDA graph", "full"),
    ):
        if words in described:
            return kind
    return ""


def cycle_figures(
    decision: Mapping[str, Any], run: Mapping[str, Any], info: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the figures of a finished cycle: numbers and our own names, no text and no path.

    Args:
        decision: decision.json.
        run: run.json.
        info: training_run_info.json.
    """
    drug = decision["by"].get("drug", {})
    general = decision.get("guardrail") or {}
    # The plain tuned model is decoded last, where the shipped one is a mixture.
    decoded = dict(zip(("base", "tuned", "unmixed"), run["transcription"], strict=False))
    return {
        "verdict": decision["decision"],
        "shipping": shipping_figures(info.get("shipping") or {}),
        "drug_rows": drug.get("n"),
        "drug_ker_base": drug.get("ker_a"),
        "drug_ker_tuned": drug.get("ker_b"),
        "general_status": general.get("status"),
        "general_wer_base": general.get("pooled_wer_a"),
        "general_wer_tuned": general.get("pooled_wer_b"),
        "decode_rtfx": {name: transcript["rtfx"] for name, transcript in decoded.items()},
        "decode_rows": {name: transcript["rows_decoded"] for name, transcript in decoded.items()},
        "cuda_graphs": {
            name: graphs(transcript.get("how", "")) for name, transcript in decoded.items()
        },
        **training_figures(info),
    }


def shipping_figures(shipping: Mapping[str, Any]) -> dict[str, Any]:
    """Return how a cycle's model was chosen; empty where none of it was asked for."""
    if not shipping:
        return {}
    names = ("mixed", "value", "chosen", "held", "seconds")
    figures = {name: shipping.get(name) for name in names}
    return {**figures, "candidates": len(shipping.get("candidates", ()))}


def training_figures(info: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures of a training's own record."""
    runtime = info["runtime"]
    return {
        "parameters": info["base"]["parameters"],
        "validation_wer": [epoch["val_wer"] for epoch in info["epochs"]],
        "train_loss": [epoch["train_loss"] for epoch in info["epochs"]],
        "best_epoch": info["best_epoch"],
        "steps": info["steps"],
        "starts": info["starts"],
        "rungs": [{"fault": rung.get("fault")} for rung in info["ladder"]],
        "training_seconds": info["wall_seconds"],
        "median_batch_seconds": info["median_batch_seconds"],
        "peak_gpu_memory_mib": info["peak_gpu_memory_mib"],
        "gpu_utilisation": info["gpu_utilisation"],
        "precision": runtime["precision"],
        "graphs_in_validation": runtime["cuda_graphs"],
        "compiled_layers": compile_figures(runtime.get("compiled_layers")),
        "nemo": runtime["nemo"],
        "torch": runtime["torch"],
    }


def compile_figures(outcome: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return what became of compiled layers, without the reason; None where nobody asked."""
    if outcome is None:
        return None
    return {name: outcome.get(name) for name in ("compiled", "seconds", "frames", "joint_rows")}


def home() -> Path:
    """Return the folder of the user's own records, kept beside the copy at the path asked for."""
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data) / "asr-flywheel" / "rehearsals"


def shipped() -> Path:
    """Return the folder of the project's own records in the package."""
    return Path(str(resources.files("asr_flywheel") / "rehearsals"))


def readable_records(folders: Iterable[Path] | None = None) -> list[Record]:
    """Read every readable record, the newest first; pass over the others."""
    records = []
    for folder in folders if folders is not None else (home(), shipped()):
        for path in sorted(folder.glob("*rehearsal*.json")):
            try:
                records.append(read(path))
            except InputError:
                continue
    return sorted(records, key=lambda record: record.started, reverse=True)


def matches(record: Record, host: Hardware, runtime: str, nemo: str) -> bool:
    """Return whether a record is of a machine like this one.

    Alike are the GPU's name (or its absence), the runtime, and NeMo's major and minor version; for
    a container the image's NeMo is not known here, and any record of a container will do.
    """
    names = {gpu["name"] for gpu in record.machine["gpus"]}
    same = names == {gpu.name for gpu in host.gpus} and record.runtime == runtime
    if runtime == "container":
        return same
    then = record.versions.get("nemo_toolkit", "")
    return same and nemo.split(".")[:2] == then.split(".")[:2]


def now() -> str:
    """Return the current time, UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
