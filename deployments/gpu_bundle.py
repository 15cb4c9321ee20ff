"""Collect what a GPU host without a network lacks to run this project, in parts that can be moved.

    python deployments/gpu_bundle.py --out FOLDER --have freeze.txt [--part-mib 60] [--nemo 3.0.0]

`freeze.txt` is `pip list --format=freeze` of the host. What it holds in a version that our packages
admit stays out; what clashes is taken along. PyTorch and what belongs to its CUDA are the host's
and are never taken. Each part is a folder with wheels, a manifest with their hashes and install.sh:

    sh FOLDER/part-1/install.sh TARGET FOLDER/part-1 FOLDER/part-2 …

It installs each part into a folder of its own below TARGET and prints the PYTHONPATH. Parts may
come one after the other. A second bundle for another NeMo is small if `--have` also names the first
one's freeze.txt; put its folders first on PYTHONPATH.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
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
from packaging.version import InvalidVersion, Version

ROOT = Path(__file__).resolve().parent.parent
# The host's, whatever its version: another one would not fit its driver, or weighs gigabytes.
HOSTS = re.compile(
    r"torch|torchaudio|torchvision|triton|nvidia-(?!riva-client).*|cuda-.*|cupy.*|numba-cuda"
)
# Published without a wheel, and built anywhere alike.
PURE_SOURCES = ("antlr4-python3-runtime==4.9.3",)
# Likewise; NeMo 2.x alone needs them.
PURE_SOURCES_2 = ("wget==3.2", "kaldi-python-io==1.2.2")
PINNED_NEMO = "3.0.0"
GLIBC = ("2_34", "2_31", "2_28", "2_27", "2_24", "2_17", "2_12", "2_5")
MIB = 1 << 20
INSTALL = """#!/bin/sh
# install.sh TARGET PART…: install parts of a bundle without a network; prints the PYTHONPATH.
# Each part gets a folder of its own: pip would replace what packages of several parts share.
set -eu
target=$1; shift
python=${PYTHON:-python3}
mkdir -p "$target"
target=$(cd "$target" && pwd)
for part in "$@"; do
  (cd "$part" && sha256sum --quiet --check SHA256SUMS)
  into=$target/$(basename "$part")
  "$python" -m pip install --quiet --no-index --no-deps --no-compile --disable-pip-version-check \\
    --upgrade --target "$into" "$part"/*.whl
  # By all cores; a file of a package's own tests may not compile, and nothing imports it.
  "$python" -m compileall -q -j 0 "$into" > /dev/null || true
  # Where a program of a part is started by its name.
  printf '%s\\n' "$into" >> "$target/paths.new"
done
touch "$target/paths"
{ cat "$target/paths.new" "$target/paths"; } | awk '!seen[$0]++' > "$target/paths.all"
mv "$target/paths.all" "$target/paths"; rm -f "$target/paths.new"
printf 'PYTHONPATH=%s\\n' "$(paste -sd: "$target/paths")"
"""


@dataclass(frozen=True)
class Package:
    """A package as the resolver chose it.

    Attributes:
        name: normalised.
        version: the chosen one.
        requires: its requirements, as its metadata has them.
    """

    name: str
    version: str
    requires: tuple[str, ...]


def read_freeze(paths: list[Path]) -> dict[str, str]:
    """Read versions by name of one or more freeze files; later files count more.

    Raises:
        SystemExit: a line that is not NAME==VERSION.
    """
    versions: dict[str, str] = {}
    for path in paths:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            text = line.partition("#")[0].strip()
            if not text or text.startswith("-e ") or " @ " in text:
                continue
            name, same, version = text.partition("==")
            try:
                Version(version)
            except InvalidVersion:
                same = ""
            if not same:
                sys.exit(
                    f"{path}, line {number}: {line!r} is not NAME==VERSION. Fix: make the file "
                    "with `python3 -m pip list --format=freeze` on the host."
                )
            versions[canonicalize_name(name)] = version
    return versions


def is_hosts(name: str) -> bool:
    """Return whether a package belongs to PyTorch and its CUDA, which is the host's."""
    return bool(HOSTS.fullmatch(name))


def environment(python: str) -> dict[str, str]:
    """Return the values for markers: Linux on x86-64 with this Python."""
    return {
        **{key: str(value) for key, value in default_environment().items()},
        "python_version": python,
        "python_full_version": f"{python}.0",
        "platform_machine": "x86_64",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }


def select_packages(
    packages: list[Package],
    have: dict[str, str],
    roots: list[str],
    python: str,
    host_releases: list[Package] | None = None,
) -> list[Package]:
    """Select the needed packages of which the host has no admitted version.

    What stays the host's fits its own packages, but not always those that are taken in the place
    of others: where it does not, it is taken too.

    Args:
        packages: everything that the roots need, as the resolver chose it.
        have: the host's versions.
        roots: what is asked for.
        python: the host's, such as 3.12.
        host_releases: the host's own releases of these packages, with their requirements.
    """
    by_name = {package.name: package for package in packages}
    host_by_name = {package.name: package for package in host_releases or []}
    markers = environment(python)
    replaced_names: set[str] = set()
    while True:
        pending = [Requirement(text) for text in roots]
        reached: set[str] = set()
        admits: dict[str, list[Requirement]] = {}
        visited: set[tuple[str, str]] = set()
        while pending:
            requirement = pending.pop()
            name = canonicalize_name(requirement.name)
            admits.setdefault(name, []).append(requirement)
            reached.add(name)
            if name not in by_name or is_hosts(name):
                continue
            # The host's own may lack an extra that is asked for.
            keeps_host = name in have and name not in replaced_names
            for extra in set(requirement.extras) if keeps_host else {"", *requirement.extras}:
                if (name, extra) in visited:
                    continue
                visited.add((name, extra))
                for text in by_name[name].requires:
                    needed = Requirement(text)
                    if needed.marker is None:
                        applies = not keeps_host
                    else:
                        applies = needed.marker.evaluate({**markers, "extra": extra})
                        # Of a kept package, only what the extra adds.
                        applies = applies and not (
                            keeps_host and needed.marker.evaluate({**markers, "extra": ""})
                        )
                    if applies:
                        pending.append(needed)
        clash = {
            name
            for name in reached & by_name.keys() & have.keys() - replaced_names
            if not is_hosts(name)
            and not all(
                bound.specifier.contains(have[name], prereleases=True) for bound in admits[name]
            )
        }
        replaced = {name: by_name[name].version for name in replaced_names | clash}
        clash |= {
            name
            for name in (reached & host_by_name.keys()) - replaced.keys()
            if not is_hosts(name) and _has_conflict(host_by_name[name], replaced, markers)
        }
        if not clash:
            break
        replaced_names |= clash
    return [
        by_name[name]
        for name in sorted(reached & by_name.keys())
        if not is_hosts(name) and (name not in have or name in replaced_names)
    ]


def _has_conflict(package: Package, versions: dict[str, str], markers: dict[str, str]) -> bool:
    """Return whether a package does not admit one of these versions of others."""
    for text in package.requires:
        needed = Requirement(text)
        version = versions.get(canonicalize_name(needed.name))
        if version is None or (
            needed.marker is not None and not needed.marker.evaluate({**markers, "extra": ""})
        ):
            continue
        if not needed.specifier.contains(version, prereleases=True):
            return True
    return False


def cut(sizes: dict[str, int], limit: int) -> list[list[str]]:
    """Put files into as few parts as first-fit finds, none larger than ``limit`` bytes.

    Raises:
        SystemExit: a file that is larger than a part.
    """
    parts: list[tuple[int, list[str]]] = []
    for name in sorted(sizes, key=lambda file: (-sizes[file], file)):
        if sizes[name] > limit:
            sys.exit(
                f"{name}: {sizes[name] / MIB:.0f} MiB are more than a part of {limit / MIB:.0f} "
                "MiB. Fix: a larger PART_MIB, or install it on the host and name it in HAVE."
            )
        for place, (size, names) in enumerate(parts):
            if size + sizes[name] <= limit:
                parts[place] = (size + sizes[name], [*names, name])
                break
        else:
            parts.append((sizes[name], [name]))
    return [sorted(names) for _, names in parts]


def stub(folder: Path, name: str, version: str) -> None:
    """Write an empty wheel in place of a package of the host's while pip resolves."""
    base = f"{name.replace('-', '_')}-{version}"
    with zipfile.ZipFile(folder / f"{base}-py3-none-any.whl", "w") as wheel:
        info = f"{base}.dist-info"
        wheel.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        wheel.writestr(
            f"{info}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: gpu_bundle\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        wheel.writestr(f"{info}/RECORD", "")


class Pip:
    """Pip for the host's Python.

    Attributes:
        links: a folder with wheels that no index has.
    """

    def __init__(self, python: str, links: Path) -> None:
        self.links = links
        self._target = ["--python-version", python, "--implementation", "cp", "--only-binary=:all:"]
        for version in GLIBC:
            self._target += ["--platform", f"manylinux_{version}_x86_64"]
        for name in ("manylinux2014", "manylinux2010", "manylinux1"):
            self._target += ["--platform", f"{name}_x86_64"]
        self._target += ["--find-links", str(links)]

    def resolve(self, roots: list[str], constraints: Path) -> list[Package]:
        """Resolve everything that the roots need."""
        return self._resolve_report("--constraint", str(constraints), *roots)

    def describe(self, versions: dict[str, str]) -> list[Package]:
        """Describe these releases, without their needs; print and skip one that no index has."""
        packages = []
        for name, version in versions.items():
            try:
                packages += self._resolve_report("--no-deps", f"{name}=={version}")
            except SystemExit:
                print(f"{name} {version}: not in the index, so that its needs are not known")
        return packages

    def _resolve_report(self, *arguments: str) -> list[Package]:
        report = self.links / "report.json"
        self._run(
            "install", "--dry-run", "--ignore-installed", "--target", str(self.links / "none"),
            "--report", str(report), *self._target, *arguments,
        )  # fmt: skip
        report_document: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
        return [
            Package(
                canonicalize_name(item["metadata"]["name"]),
                item["metadata"]["version"],
                tuple(item["metadata"].get("requires_dist", ())),
            )
            for item in report_document["install"]
        ]

    def download(self, packages: list[Package], into: Path) -> None:
        """Download the wheels of these packages and no others."""
        names = [f"{package.name}=={package.version}" for package in packages]
        self._run("download", "--no-deps", "--dest", str(into), *self._target, *names)

    def build(self, source: str, into: Path) -> Path:
        """Build the wheel of a package that has none, or of a folder; it must fit any Python 3."""
        with tempfile.TemporaryDirectory() as temporary:
            self._run("wheel", "--no-deps", "--wheel-dir", temporary, source)
            (wheel,) = Path(temporary).glob("*.whl")
            if not wheel.name.endswith("-none-any.whl"):
                sys.exit(f"{wheel.name}: is made for this machine alone, not for the host.")
            return Path(shutil.copy(wheel, into / wheel.name))

    @staticmethod
    def _run(*arguments: str) -> None:
        line = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
        process = subprocess.run([*line, "--quiet"], check=False)
        if process.returncode:
            sys.exit(f"pip {arguments[0]} ended with exit code {process.returncode}")


def project_requirements(nemo: str) -> list[str]:
    """List the project's needs to train, decode and speak, without NeMo."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [
        *project["dependencies"],
        # lightning's callbacks still call row_stack, which 2.5 dropped.
        "numpy<2.5",
        # An older one fails with recent releases of torch.
        "lhotse>=1.33",
        "hibari-tts",
        *([f"nemo_toolkit[asr]=={nemo}"] if nemo == PINNED_NEMO else []),
    ]


def loosened(wheel: Path, python: str) -> list[str]:
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
        markers = {**environment(python), "extra": "asr"}
        if requirement.marker is None or requirement.marker.evaluate(markers):
            least = [str(bound) for bound in requirement.specifier if bound.operator in {">=", ">"}]
            requirements.append(requirement.name + ",".join(least))
    return requirements


def constraints(stubs: dict[str, str]) -> list[str]:
    """List the project's pins, and stand-ins for what is the host's."""
    pins = []
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        name = canonicalize_name(line.partition("==")[0].strip())
        if not line.strip() or line.startswith("#") or is_hosts(name) or name == "nemo-toolkit":
            continue
        pins.append(line.strip())
    return [*pins, *(f"{name}=={version}" for name, version in stubs.items())]


def write_parts(wheels: Path, out: Path, limit: int, about: dict[str, Any]) -> None:
    """Cut the wheels into parts, each with its manifest, its hashes and install.sh."""
    sizes = {path.name: path.stat().st_size for path in wheels.glob("*.whl")}
    parts = cut(sizes, limit)
    for number, names in enumerate(parts, start=1):
        part = out / f"part-{number}"
        part.mkdir(parents=True)
        for name in names:
            shutil.move(wheels / name, part / name)
        hashes = {name: hashlib.sha256((part / name).read_bytes()).hexdigest() for name in names}
        (part / "SHA256SUMS").write_text(
            "".join(f"{sha}  {name}\n" for name, sha in hashes.items()), encoding="utf-8"
        )
        manifest = {
            **about,
            "part": number,
            "parts": len(parts),
            "wheels": [
                {"name": name, "bytes": sizes[name], "sha256": hashes[name]} for name in names
            ],
        }
        (part / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        script = part / "install.sh"
        script.write_text(INSTALL, encoding="utf-8")
        script.chmod(0o755)
        print(f"{part}: {len(names)} wheels, {sum(sizes[n] for n in names) / MIB:.0f} MiB")


def main() -> None:
    """Resolve, leave out, download, cut."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--have", type=Path, nargs="+", required=True)
    parser.add_argument("--part-mib", type=float, default=60)
    parser.add_argument("--nemo", default="3.0.0")
    parser.add_argument("--python", default="3.12")
    args = parser.parse_args()
    have = read_freeze(args.have)
    if "torch" not in have:
        sys.exit("HAVE names no torch. Fix: install PyTorch with CUDA on the host first.")
    if args.out.exists() and any(args.out.iterdir()):
        sys.exit(f"{args.out}: is not empty. Fix: name another folder, or remove it.")
    with tempfile.TemporaryDirectory() as temporary:
        links, wheels = Path(temporary) / "links", Path(temporary) / "wheels"
        links.mkdir()
        wheels.mkdir()
        pip = Pip(args.python, links)
        pinned = args.nemo == PINNED_NEMO
        for source in (*PURE_SOURCES, *(() if pinned else PURE_SOURCES_2)):
            pip.build(source, links)
        # A local version is newer than the index's own, so that pip takes the stand-in.
        stubs = {
            name: version if "+" in version else f"{version}+host"
            for name, version in have.items()
            if is_hosts(name)
        }
        for name, version in stubs.items():
            stub(links, name, version)
        pins = links / "constraints.txt"
        pins.write_text("\n".join(constraints(stubs)) + "\n", encoding="utf-8")
        roots = project_requirements(args.nemo)
        if not pinned:
            pip.download([Package("nemo-toolkit", args.nemo, ())], wheels)
            (nemo,) = wheels.glob("nemo_toolkit-*.whl")
            roots += loosened(nemo, args.python)
        resolved = pip.resolve(roots, pins)
        host_versions = {
            package.name: have[package.name]
            for package in resolved
            if package.name in have
            and have[package.name] != package.version
            and not is_hosts(package.name)
        }
        needed = select_packages(resolved, have, roots, args.python, pip.describe(host_versions))
        pip.download(needed, wheels)
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
        if "clinical-asr-flywheel" not in have:
            # A copy: setuptools takes in what an earlier build left in its folder.
            source = Path(temporary) / "source"
            unwanted = shutil.ignore_patterns(".*", "build", "*.egg-info", "__pycache__")
            shutil.copytree(ROOT, source, ignore=unwanted)
            pip.build(str(source), wheels)
        args.out.mkdir(parents=True, exist_ok=True)
        about = {
            "project": project["project"]["version"],
            "nemo": args.nemo,
            "python": args.python,
            "left_to_the_host": {
                package.name: have.get(package.name, "")
                for package in sorted(resolved, key=lambda package: package.name)
                if package not in needed
            },
        }
        write_parts(wheels, args.out, int(args.part_mib * MIB), about)
        versions = {package.name: package.version for package in needed} | {
            "nemo-toolkit": args.nemo,
            "clinical-asr-flywheel": project["project"]["version"],
        }
        lines = [f"{name}=={number}" for name, number in sorted({**have, **versions}.items())]
        (args.out / "freeze.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
