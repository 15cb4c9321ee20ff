"""Which wheels a host needs: what the roots ask for, without what the host has that fits.

What it has in a version that our packages admit stays out; what clashes is taken along. PyTorch and
what belongs to its CUDA are the host's and are never taken.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from tasks.common.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

# The host's, whatever its version: another one would not fit its driver, or weighs gigabytes.
_HOSTS = re.compile(
    r"torch|torchaudio|torchvision|triton|nvidia-(?!riva-client).*|cuda-.*|cupy.*|numba-cuda"
)


@dataclass(frozen=True, slots=True)
class ResolvedPackage:
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
        InputError: a line that is not NAME==VERSION.
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
                raise InputError(
                    f"{path}, line {number}: {line!r} is not NAME==VERSION. Fix: make the file "
                    "with `python3 -m pip list --format=freeze` on the host."
                )
            versions[canonicalize_name(name)] = version
    return versions


def is_hosts(name: str) -> bool:
    """Return whether a package belongs to PyTorch and its CUDA, which is the host's."""
    return bool(_HOSTS.fullmatch(name))


def select_packages(
    packages: list[ResolvedPackage],
    have: dict[str, str],
    roots: list[str],
    markers: dict[str, str],
    host_releases: list[ResolvedPackage] | None = None,
) -> list[ResolvedPackage]:
    """Select the needed packages of which the host has no admitted version.

    What stays the host's fits its own packages, but not always those that are taken in the place
    of others: where it does not, it is taken too.

    Args:
        packages: everything that the roots need, as the resolver chose it.
        have: the host's versions.
        roots: what is asked for.
        markers: values of the environment markers on the host.
        host_releases: the host's own releases of these packages, with their requirements.
    """
    by_name = {package.name: package for package in packages}
    host_by_name = {package.name: package for package in host_releases or []}
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


def _has_conflict(
    package: ResolvedPackage, versions: dict[str, str], markers: dict[str, str]
) -> bool:
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


def find_unresolved(
    packages: list[ResolvedPackage], roots: list[str], markers: dict[str, str]
) -> list[str]:
    """Find the requirements that hold on the host and that the resolver did not follow.

    pip evaluates environment markers for the Python that runs it, whatever --python-version says
    (findings/pip-markers-of-the-running-python.sh).

    Args:
        packages: as the resolver chose them.
        roots: what was asked for.
        markers: values of the environment markers on the host.
    """
    by_name = {package.name: package for package in packages}
    pending = [Requirement(text) for text in roots]
    visited: set[tuple[str, str]] = set()
    unresolved: dict[str, None] = {}
    while pending:
        requirement = pending.pop()
        name = canonicalize_name(requirement.name)
        if name not in by_name:
            requirement.marker = None
            unresolved[str(requirement)] = None
            continue
        for extra in {"", *requirement.extras} - {done for one, done in visited if one == name}:
            visited.add((name, extra))
            for text in by_name[name].requires:
                needed = Requirement(text)
                if needed.marker is None or needed.marker.evaluate({**markers, "extra": extra}):
                    pending.append(needed)
    return list(unresolved)
