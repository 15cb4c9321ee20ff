"""An image's contents and its required driver: known images, the probe and the check.

NVIDIA's rules (docs.nvidia.com/deploy/cuda-compatibility): a CUDA release runs on every driver from
the first one of its major release on, with a limited feature set before its own minor release's
driver; on data-centre GPUs the compatibility package in an image bridges some older branches too.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.common import atomic_files, hashing
from tasks.runtimes.failures import Fault, FaultError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tasks.runtimes.hardware import Gpu

PROBE = "image_probe.py"
PREFIX = "asr-flywheel-image: "
TRIED = ((2, 5), (3, 0))
"""NeMo's oldest and newest release that whole cycles were run with."""

_COMPATIBILITY = "docs.nvidia.com/deploy/cuda-compatibility"
_VERSIONS = "NVIDIA-NeMo/Megatron-Bridge, docs/releases/software-versions.md"
_MAJOR = {11: (450,), 12: (525,), 13: (580,)}
"""First driver of a CUDA major release: from there on minor-version compatibility holds."""
_MINOR = {
    (12, 0): 525, (12, 1): 530, (12, 2): 535, (12, 3): 545, (12, 4): 550, (12, 5): 555,
    (12, 6): 560, (12, 7): 565, (12, 8): 570, (12, 9): 575,
    (13, 0): 580, (13, 1): 590, (13, 2): 595,
}  # fmt: skip
"""Driver branch that comes with a CUDA release (CUDA Toolkit release notes)."""
_FORWARD = {12: (470,), 13: (535, 550, 565, 570, 575)}
"""Branches that a CUDA's compatibility package takes on data-centre GPUs: for 13 those that
nvidia/cuda:13.0's NVIDIA_REQUIRE_CUDA lists, for 12 what NVIDIA's release notes of 12.8 add."""
_DATA_CENTRE = re.compile(
    r"\b(A(2|10|10G|10M|16|30X?|40|100X?|800)|B(100|200|300)|GB?(200|300)|GH200|H(20|100|200|800)"
    r"|L(2|4|20|40|40S|40G)|T4|V100\w*|P(4|40|100))(?![\w])"
)


@dataclass(frozen=True, slots=True)
class Known:
    """An image whose requirements are known before it is pulled.

    Attributes:
        image: repository and tag; a patch tag of it counts as well.
        nemo: its NeMo.
        cuda: its CUDA.
        driver: the driver that NVIDIA asks for this very image, if it does.
        source: who says so.
    """

    image: str
    nemo: str
    cuda: tuple[int, int]
    driver: tuple[int, ...] = ()
    source: str = _VERSIONS

    def is_meant(self, image: str) -> bool:
        """Return whether a name with a tag names this image, or a patch of it."""
        return re.fullmatch(re.escape(self.image) + r"(\.[\w.-]+)?", image) is not None


KNOWN = (
    Known("nvcr.io/nvidia/nemo:25.09", "2.5.0", (12, 9)),
    Known("nvcr.io/nvidia/nemo:25.11", "2.6.0", (13, 0)),
    Known("nvcr.io/nvidia/nemo:26.02", "2.7.0", (13, 0)),
    Known(
        "nvcr.io/nvidia/nemo-speech:26.07", "3.0", (13, 2), (595, 58), "the image's page on NGC"
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Need:
    """The driver that an image requires.

    Attributes:
        cuda: its CUDA.
        driver: the driver that it asks for by itself, or ().
        require: NVIDIA_REQUIRE_CUDA, which the engine's hook enforces.
        source: who says so.
    """

    cuda: tuple[int, int]
    driver: tuple[int, ...]
    require: str
    source: str

    @property
    def least(self) -> tuple[int, ...]:
        """The oldest driver that is stated to run the image, compatibility packages aside."""
        return self.driver or _MAJOR.get(self.cuda[0], ())


@dataclass(frozen=True, slots=True)
class DriverCheck:
    """A judgement on driver and image.

    Attributes:
        fits: whether the run can go.
        says: what was found, needed, and by whom it is said; "" where all is well.
        fix: both remedies.
    """

    fits: bool
    says: str = ""
    fix: str = ""


NVIDIA_REGISTRY = "nvcr.io"


def registry_of(image: str) -> str:
    """Return the registry in an image's name; "" of a name without one."""
    first, slash, _ = image.partition("/")
    return first if slash and ("." in first or ":" in first or first == "localhost") else ""


def account_at(registry: str) -> str:
    """Return with what one logs in to a registry."""
    if registry == NVIDIA_REGISTRY:
        return "user $oauthtoken, an NGC key as the password"
    return "your account there"


def find_known(image: str) -> Known | None:
    """Return the known image of a name, or None."""
    return next((candidate for candidate in KNOWN if candidate.is_meant(image)), None)


def need(image: str, environment: Mapping[str, str], torch_cuda: str = "") -> Need | None:
    """Return an image's required driver: by its name, its variables, or the torch in it.

    Args:
        image: its name.
        environment: of its configuration; empty before it is here.
        torch_cuda: as the probe told it.
    """
    require = environment.get("NVIDIA_REQUIRE_CUDA", "")
    known_image = find_known(image)
    if known_image is not None:
        return Need(known_image.cuda, known_image.driver, require, known_image.source)
    hook = re.search(r"cuda>=(\d+\.\d+)", require)
    for source, version_text in (
        ("the image's CUDA_VERSION", environment.get("CUDA_VERSION", "")),
        ("torch in the image", torch_cuda),
        ("the image's NVIDIA_REQUIRE_CUDA", hook.group(1) if hook else ""),
    ):
        version_match = re.match(r"(\d+)\.(\d+)", version_text)
        if version_match:
            return Need((int(version_match[1]), int(version_match[2])), (), require, source)
    return None


def check_driver(requirement: Need | None, gpus: Sequence[Gpu]) -> DriverCheck:
    """Check the host's driver against an image's need; pass without a GPU or its driver."""
    drivers = [(gpu, _version_numbers(gpu.driver)) for gpu in gpus if _version_numbers(gpu.driver)]
    if requirement is None or not drivers or not requirement.least:
        return DriverCheck(True)
    gpu, driver = min(drivers, key=lambda gpu_driver: gpu_driver[1])
    cuda = ".".join(map(str, requirement.cuda))
    minor_driver = _MINOR.get(requirement.cuda)
    central = all(
        _DATA_CENTRE.search(host_gpu.name) and "RTX" not in host_gpu.name for host_gpu, _ in drivers
    )
    major = requirement.cuda[0]
    is_bridged = central and (
        driver >= _MAJOR.get(major, requirement.least) or driver[0] in _FORWARD.get(major, ())
    )
    required_driver = ".".join(map(str, requirement.least))
    source = requirement.source if requirement.driver else f"{requirement.source}; {_COMPATIBILITY}"
    figures = (
        f"driver {gpu.driver} found, {required_driver} or newer needed for CUDA {cuda} ({source})"
    )  # fmt: skip
    if not _hook_admits(requirement.require, driver, central=central):
        hook = re.search(r"cuda>=[\d.]+", requirement.require)
        hook_condition = hook.group() if hook else requirement.require
        figures = (
            f"driver {gpu.driver} found, {hook_condition} needed (the image's NVIDIA_REQUIRE_CUDA)"
        )
        return DriverCheck(False, figures, _remedy(requirement, driver))
    if driver >= requirement.least:
        if minor_driver is None or driver[0] >= minor_driver:
            return DriverCheck(True)
        return DriverCheck(
            True,
            f"driver {gpu.driver} is older than CUDA {cuda}'s own ({minor_driver}): it runs by "
            "minor-version compatibility, and code that is compiled during the run (CUDA graphs of "
            f"the decoder) may not load ({_COMPATIBILITY})",
        )
    if is_bridged:
        return DriverCheck(
            True,
            f"{figures}; {gpu.name} is a data-centre GPU, on which the image's CUDA compatibility "
            f"package may bridge R{driver[0]}",
        )
    return DriverCheck(False, figures, _remedy(requirement, driver))


def require_driver(image: str, requirement: Need | None, gpus: Sequence[Gpu]) -> str:
    """Refuse an image for which the driver is too old.

    Returns:
        A word about a driver that may do, or "".

    Raises:
        FaultError: it cannot do.
    """
    verdict = check_driver(requirement, gpus)
    if not verdict.fits:
        raise FaultError(Fault.DRIVER_TOO_OLD, f"{image}: {verdict.says}. Fix: {verdict.fix}.")
    return verdict.says


def _remedy(requirement: Need, driver: tuple[int, ...]) -> str:
    branch = (_MINOR.get(requirement.cuda, requirement.least[0]),)
    newer = f"install driver {'.'.join(map(str, max(requirement.least, branch)))} or newer"
    fitting_images = [
        candidate
        for candidate in KNOWN
        if driver >= (candidate.driver or _MAJOR[candidate.cuda[0]])
    ]
    if not fitting_images:
        return f"{newer}; no older image that this project knows runs on this driver"
    best = max(fitting_images, key=lambda candidate: candidate.cuda)
    return f"{newer}, or take {best.image} (CUDA {'.'.join(map(str, best.cuda))})"


def _version_numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def _hook_admits(require: str, driver: tuple[int, ...], *, central: bool) -> bool:
    """Return whether NVIDIA's hook would start the container under this requirement.

    Its alternatives for a brand are for the compatibility package, which data-centre GPUs take.
    """
    conditions = [
        option for option in require.split() if "cuda>=" in option or "driver>=" in option
    ]
    return not conditions or any(
        all(_condition_holds(condition, driver, central=central) for condition in option.split(","))
        for option in conditions
    )


def _condition_holds(condition: str, driver: tuple[int, ...], *, central: bool) -> bool:
    condition_match = re.fullmatch(r"(cuda|driver|brand)(>=|<|=)([\w.]+)", condition)
    if condition_match is None:
        return True  # of a kind that only the hook knows
    kind, sign, value = condition_match.groups()
    if kind == "brand":
        return central
    required_driver = _version_numbers(value)
    if kind == "cuda":
        pair = (required_driver[0], required_driver[1] if len(required_driver) > 1 else 0)
        required_driver = (_MINOR.get(pair, _MAJOR.get(pair[0], (0,))[0]),)
    return driver < required_driver if sign == "<" else driver >= required_driver


@dataclass(frozen=True, slots=True)
class Held:
    """The contents of an image, as the probe reports them.

    Attributes:
        nemo: its version, or "".
        torch: likewise.
        cuda: that torch was built for, or "".
        python: the interpreter's version.
        package: NeMo's folder, or "".
        asr: whether it can train speech recognition.
        examples: the folder of the stock script and its YAML, or "".
    """

    nemo: str
    torch: str
    cuda: str
    python: str
    package: str
    asr: bool
    examples: str

    @property
    def words(self) -> str:
        """The versions, for people."""
        torch = f", torch {self.torch}" if self.torch else ""
        cuda = f", CUDA {self.cuda}" if self.cuda else ""
        return f"NeMo {self.nemo or 'of unknown version'}{torch}{cuda}, Python {self.python}"

    def untried_warning(self) -> str:
        """Return a warning about a NeMo that this project was not run with, or ""."""
        release = _version_numbers(self.nemo)[:2]
        if not release or TRIED[0] <= release <= TRIED[1]:
            return ""
        known_range = " to ".join(".".join(map(str, version)) for version in TRIED)
        return f"NeMo {self.nemo} is not one that was tried ({known_range}); the run goes on"


def parse(output: Sequence[str]) -> Held | None:
    """Parse the probe's answer from a container's output."""
    for line in reversed(output):
        if line.startswith(PREFIX):
            contents: dict[str, Any] = json.loads(line.removeprefix(PREFIX))
            return Held(**contents)
    return None


def _file() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "asr-flywheel" / "images.json"


def _read_probes() -> dict[str, Any]:
    try:
        probes = json.loads(_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return probes if isinstance(probes, dict) else {}


def recall_probe(key: str) -> Held | None:
    """Return the stored answer of an earlier probe with this key, or None."""
    probe_json = _read_probes().get(key)
    try:
        return None if probe_json is None else Held(**probe_json)
    except TypeError:  # of another release
        return None


def store_probe(key: str, contents: Held) -> None:
    """Store a probe's answer for this user."""
    _file().parent.mkdir(parents=True, exist_ok=True)
    atomic_files.write_text(
        _file(), json.dumps({**_read_probes(), key: asdict(contents)}, indent=1)
    )


def key_of(image_id: str, python: str, examples: str, probe: Path) -> str:
    """Return the fingerprint of all that a probe's answer depends on."""
    return hashing.fingerprint([image_id, python, examples, hashing.sha256_file(probe)])
