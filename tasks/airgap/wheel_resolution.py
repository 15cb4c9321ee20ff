"""Resolve, download and build wheels for another machine's Python, by pip.

pip may know a registry by settings of its own, with credentials; so it is pip that asks.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from dataclasses import dataclass
from email import message_from_bytes
from pathlib import Path
from typing import Any

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tasks.airgap.wheel_selection import ResolvedPackage, find_unresolved, is_hosts
from tasks.common.errors import FlywheelError, InputError

PINNED_NEMO = "3.0.0"
PROJECT = "clinical-asr-flywheel"
# Published without a wheel, and built anywhere alike.
_PURE_SOURCES = ("antlr4-python3-runtime==4.9.3",)
# Likewise; NeMo 2.x alone needs them.
_PURE_SOURCES_2 = ("wget==3.2", "kaldi-python-io==1.2.2")
# What wheels are tagged with: glibc's releases that manylinux names.
_GLIBC_MINORS = (39, 38, 36, 35, 34, 31, 28, 27, 24, 17, 12, 5)
_OLD_NAMES = ("manylinux2014", "manylinux2010", "manylinux1")
# A requirement found late asks for one more round; its own needs seldom for another.
_ROUNDS = 5


@dataclass(frozen=True, slots=True)
class WheelTarget:
    """The machine that wheels are for.

    Attributes:
        python: such as 3.12.
        machine: x86_64 or aarch64.
        glibc: its minor release, 34 for 2.34.
    """

    python: str
    machine: str = "x86_64"
    glibc: int = 34

    def pip_options(self) -> list[str]:
        """Return the options that make pip choose wheels for it."""
        options = ["--python-version", self.python, "--implementation", "cp"]
        options.append("--only-binary=:all:")
        for minor in _GLIBC_MINORS:
            if minor <= self.glibc:
                options += ["--platform", f"manylinux_2_{minor}_{self.machine}"]
        for name in _OLD_NAMES:
            options += ["--platform", f"{name}_{self.machine}"]
        return options

    def markers(self) -> dict[str, str]:
        """Return the values of the environment markers there."""
        return {
            **{key: str(value) for key, value in default_environment().items()},
            "python_version": self.python,
            "python_full_version": f"{self.python}.0",
            "platform_machine": self.machine,
            "sys_platform": "linux",
            "platform_system": "Linux",
            "os_name": "posix",
            "implementation_name": "cpython",
            "platform_python_implementation": "CPython",
        }


class Pip:
    """pip for another machine.

    Attributes:
        links: a folder with wheels that no index has.
    """

    def __init__(self, target: WheelTarget, links: Path) -> None:
        self.links = links
        self._markers = target.markers()
        self._target = [*target.pip_options(), "--find-links", str(links)]

    def resolve(self, roots: list[str], constraints: Path) -> list[ResolvedPackage]:
        """Resolve everything that the roots need on the target.

        Raises:
            FlywheelError: pip found no solution.
        """
        asked = list(roots)
        for _ in range(_ROUNDS):
            packages = self._report("--constraint", str(constraints), *asked)
            if not (late := find_unresolved(packages, roots, self._markers)):
                return packages
            asked += late
        raise FlywheelError(f"pip does not resolve {', '.join(late)}. Fix: pin them.")

    def describe(
        self, versions: dict[str, str]
    ) -> tuple[list[ResolvedPackage], list[ResolvedPackage]]:
        """Describe these releases, without their needs.

        Returns:
            Those that an index has, and those of which nothing is known.
        """
        known, unknown = [], []
        for name, version in versions.items():
            try:
                known += self._report("--no-deps", f"{name}=={version}")
            except FlywheelError:
                unknown.append(ResolvedPackage(name, version, ()))
        return known, unknown

    def _report(self, *arguments: str) -> list[ResolvedPackage]:
        report = self.links / "report.json"
        self._run(
            "install", "--dry-run", "--ignore-installed", "--target", str(self.links / "none"),
            "--report", str(report), *self._target, *arguments,
        )  # fmt: skip
        document: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
        return [
            ResolvedPackage(
                canonicalize_name(item["metadata"]["name"]),
                item["metadata"]["version"],
                tuple(item["metadata"].get("requires_dist", ())),
            )
            for item in document["install"]
        ]

    def download(self, packages: list[ResolvedPackage], into: Path) -> None:
        """Download the wheels of these packages and no others."""
        names = [f"{package.name}=={package.version}" for package in packages]
        self._run("download", "--no-deps", "--dest", str(into), *self._target, *names)

    def build(self, source: str, into: Path) -> Path:
        """Build the wheel of a package that has none, or of a folder; it must fit any Python 3.

        Raises:
            InputError: it fits this machine only.
        """
        with tempfile.TemporaryDirectory() as temporary:
            self._run("wheel", "--no-deps", "--wheel-dir", temporary, source)
            (wheel,) = Path(temporary).glob("*.whl")
            if not wheel.name.endswith("-none-any.whl"):
                raise InputError(
                    f"{wheel.name}: is made for this machine alone, not for the host. Fix: make "
                    "the bundle on a machine like the host."
                )
            return Path(shutil.copy(wheel, into / wheel.name))

    @staticmethod
    def _run(*arguments: str) -> None:
        line = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments, "--quiet"]
        done = subprocess.run(line, check=False, capture_output=True, text=True)
        if done.returncode:
            raise FlywheelError(
                f"pip {arguments[0]} ended with exit code {done.returncode}: "
                f"{done.stderr.strip()[-2000:]}"
            )


def build_pure_sources(pip: Pip, nemo: str) -> None:
    """Build what is published without a wheel."""
    for source in (*_PURE_SOURCES, *(() if nemo == PINNED_NEMO else _PURE_SOURCES_2)):
        pip.build(source, pip.links)


def build_project(pip: Pip, source: Path, into: Path) -> Path:
    """Build this project's own wheel from a checkout."""
    with tempfile.TemporaryDirectory() as temporary:
        # A copy: setuptools takes in what an earlier build left in its folder.
        copy = Path(temporary) / "source"
        unwanted = shutil.ignore_patterns(".*", "build", "*.egg-info", "__pycache__", "tests")
        shutil.copytree(source, copy, ignore=unwanted)
        return pip.build(str(copy), into)


def check_source(source: Path) -> dict[str, Any]:
    """Return the project table of a checkout of this project.

    Raises:
        InputError: it is none.
    """
    try:
        project = tomllib.loads((source / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        is_ours = project["name"] == PROJECT and (source / "constraints.txt").is_file()
    except (OSError, KeyError, tomllib.TOMLDecodeError):
        is_ours = False
    if not is_ours:
        raise InputError(
            f"{source}: not a checkout of this project, from which its wheel could be built. Fix: "
            "--source FOLDER names one."
        )
    return dict(project)


def list_requirements(
    project: dict[str, Any], extras: list[str], nemo: str, *, hosts_torch: bool
) -> list[str]:
    """List what the project and these extras need.

    Args:
        project: its table.
        extras: of it; one may bring others.
        nemo: the version; another than the pinned one comes from ``loosen``.
        hosts_torch: whether PyTorch is the host's.

    Raises:
        InputError: there is no such extra.
    """
    optional: dict[str, list[str]] = project["optional-dependencies"]
    requirements = list[str](project["dependencies"])
    pending, seen = list(extras), set[str]()
    while pending:
        extra = pending.pop(0)
        if extra in seen:
            continue
        seen.add(extra)
        if extra not in optional:
            raise InputError(
                f"--extra {extra!r}: unknown. Fix: one of {', '.join(sorted(optional))}."
            )
        for text in optional[extra]:
            requirement = Requirement(text)
            if canonicalize_name(requirement.name) == PROJECT:
                pending += sorted(requirement.extras)
            elif requirement.name == "nemo_toolkit":
                requirements += [text] if nemo == PINNED_NEMO else []
            elif not (hosts_torch and is_hosts(requirement.name)):
                requirements.append(text)
    # An older one fails with recent releases of torch.
    return [*requirements, *(["lhotse>=1.33"] if "nemo" in seen else [])]


def loosen(wheel: Path, target: WheelTarget) -> list[str]:
    """List another NeMo's requirements for ASR, without their upper bounds.

    NeMo 2.x pins releases that the project, or a recent torch, does not admit (jiwer, lhotse,
    numba-cuda); `make matrix` runs it with the project's own.
    """
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [path for path in archive.namelist() if path.endswith(".dist-info/METADATA")]
        metadata = message_from_bytes(archive.read(name))
    requirements = []
    for text in metadata.get_all("Requires-Dist") or ():
        requirement = Requirement(text)
        markers = {**target.markers(), "extra": "asr"}
        if requirement.marker is None or requirement.marker.evaluate(markers):
            least = [str(bound) for bound in requirement.specifier if bound.operator in {">=", ">"}]
            requirements.append(requirement.name + ",".join(least))
    return requirements


def list_constraints(source: Path, stubs: dict[str, str], *, hosts_torch: bool) -> list[str]:
    """List the project's pins, and stand-ins for what is the host's."""
    pins = []
    for line in (source / "constraints.txt").read_text(encoding="utf-8").splitlines():
        name = canonicalize_name(line.partition("==")[0].strip())
        if not line.strip() or line.startswith("#") or name == "nemo-toolkit":
            continue
        if not (hosts_torch and is_hosts(name)):
            pins.append(line.strip())
    return [*pins, *(f"{name}=={version}" for name, version in stubs.items())]


def write_stub(folder: Path, name: str, version: str) -> None:
    """Write an empty wheel in place of a package of the host's while pip resolves."""
    base = f"{name.replace('-', '_')}-{version}"
    with zipfile.ZipFile(folder / f"{base}-py3-none-any.whl", "w") as wheel:
        info = f"{base}.dist-info"
        wheel.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        wheel.writestr(
            f"{info}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: asr-flywheel\nRoot-Is-Purelib: true\n"
            "Tag: py3-none-any\n",
        )
        wheel.writestr(f"{info}/RECORD", "")
