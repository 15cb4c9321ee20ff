"""Checks of the interpreter and of the packages that a run needs; none of them is imported."""

from __future__ import annotations

import os
import sys
from importlib import metadata, util
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.common.errors import InputError
from tasks.common.installation import install_fix
from tasks.common.shell_words import in_shell
from tasks.runtimes import nemo_versions
from tasks.runtimes.base import nemo_python, packages_of
from tasks.stages.check_result import CheckResult, CheckStatus, split_fix

if TYPE_CHECKING:
    from tasks.stages.check_result import CheckContext

PYTHON = ((3, 11), (3, 13))
TORCH = "2.13."
"""The release that pyproject.toml pins."""
_INSTALL = f"{install_fix('nemo', pinned=True)}, or --runtime container"


def python(_: CheckContext) -> CheckResult:
    """Check the interpreter."""
    version = ".".join(map(str, sys.version_info[:3]))
    if PYTHON[0] <= sys.version_info[:2] < PYTHON[1]:
        return CheckResult("python", CheckStatus.OK, version)
    return CheckResult(
        "python", CheckStatus.MISSING, version, "use Python 3.11 or 3.12: `make setup PYTHON=…`"
    )


def _check_package(context: CheckContext, name: str, check: str) -> CheckResult:
    interpreter = nemo_python()
    if interpreter != sys.executable:
        try:
            return CheckResult(check, CheckStatus.OK, packages_of(interpreter)[name])
        except InputError as wrong:
            says, fix = split_fix(wrong)
            return CheckResult(check, context.needs(local=True), says, fix)
    try:
        return CheckResult(check, CheckStatus.OK, metadata.version(name))
    except metadata.PackageNotFoundError:
        return CheckResult(check, context.needs(local=True), "not installed", _INSTALL)


def torch(context: CheckContext) -> CheckResult:
    """Check PyTorch without importing it."""
    package = _check_package(context, "torch", "torch")
    if package.state is CheckStatus.OK and not package.says.startswith(TORCH):
        says = f"{package.says}; the project's own tests run with {TORCH}x"
        return CheckResult(package.check, CheckStatus.NOTE, says, _INSTALL)
    return package


def nemo(context: CheckContext) -> CheckResult:
    """Check NeMo, without importing it, against the versions that the matrix ran."""
    package = _check_package(context, "nemo_toolkit", "NeMo")
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


def bytecode(_: CheckContext) -> CheckResult:
    """Check that PyTorch is not compiled again by each process that imports it.

    uv installs no bytecode, and many images forbid to write it.
    """
    spec = util.find_spec("torch")
    if nemo_python() != sys.executable or spec is None or spec.origin is None:
        return CheckResult("bytecode", CheckStatus.OK, "PyTorch is not of this environment")
    source = Path(spec.origin)
    if Path(util.cache_from_source(source)).is_file():
        return CheckResult("bytecode", CheckStatus.OK, "PyTorch's is there")
    owned = os.access(source.parent, os.W_OK)
    if owned and not sys.dont_write_bytecode:
        return CheckResult("bytecode", CheckStatus.OK, "the first import writes PyTorch's")
    fix = f"{in_shell(sys.executable)} -m compileall -q -j 0 {in_shell(source.parents[1])}"
    return CheckResult(
        "bytecode",
        CheckStatus.NOTE,
        "PyTorch has none, and no import may write it: each one compiles it, for seconds",
        fix if owned else f"{fix}, as a user who may write there",
    )


def audio_decoder(_: CheckContext) -> CheckResult:
    """Check libsndfile, which reads WAV and FLAC by itself; ffmpeg is not needed."""
    import soundfile  # noqa: PLC0415 - reads a shared library

    return CheckResult(
        "audio", CheckStatus.OK, f"{soundfile.__libsndfile_version__}; ffmpeg is not needed"
    )


def riva(_: CheckContext) -> CheckResult:
    """Check the client for validating a served model."""
    try:
        version = metadata.version("nvidia-riva-client")
    except metadata.PackageNotFoundError:
        fix = install_fix("riva")
        return CheckResult("Riva client", CheckStatus.NOTE, "not installed: no serving parity", fix)
    return CheckResult("Riva client", CheckStatus.OK, version)
