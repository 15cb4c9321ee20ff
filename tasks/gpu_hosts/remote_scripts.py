"""POSIX shell scripts that run on a rented host.

Everything of a lease lies in one folder there, and every process that it starts carries the
lease's id in its environment: so whatever a worker has started, in whatever session, is found and
ended. A time limit is set before anything else; it holds when nobody can reach the host any more.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.gpu_hosts.ssh import HostError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_MARK, _CLOCK_MARK = "FLYWHEEL_LEASE", "FLYWHEEL_CLOCK"
_DRIVER = re.compile(r"(\d+)\.")

_FUNCTIONS = """
members() {{ grep -lszx "$1={lease}" /proc/[0-9]*/environ | cut -d/ -f3; }}
finish() {{
  for signal in TERM KILL KILL; do
    [ -n "$(members "$1")" ] || return 0
    kill -$signal $(members "$1") 2>/dev/null || true
    for _ in 1 2 3 4 5 6 7 8 9 10; do
      [ -n "$(members "$1")" ] || return 0
      sleep 0.3
    done
  done
  [ -z "$(members "$1")" ]
}}
"""


def _lease_root(folder: str, lease: str) -> str:
    """Return the lease's folder, as a word of a script."""
    place = folder if folder.startswith("/") else f"$HOME/{folder}"
    return f'"{place}/{lease}"'


def begin(folder: str, lease: str, limit_s: int, at_limit: str) -> str:
    """Make the lease's folder and start the clock; prints the folder and what keeps the time.

    At the limit the worker and what it started are ended, the secrets are removed, and
    ``at_limit`` runs.
    """
    functions = _FUNCTIONS.format(lease=lease)
    return f"""set -eu
umask 077
root={_lease_root(folder, lease)}
mkdir -p "$root"
cd "$root"
printf '%s\\n' "$root"
if [ -e clock ]; then cat clock; exit 0; fi
cat > at_limit.sh <<'END_OF_SCRIPT'
{functions}
cd "$(dirname "$0")"
echo "the time limit of {limit_s} s was reached" > limit
finish {_MARK}
rm -f env
{at_limit}
END_OF_SCRIPT
if [ -d /run/systemd/system ] && command -v systemd-run >/dev/null; then
  for as in "" "sudo -n"; do
    if $as systemd-run --quiet --collect --unit=asr-flywheel-{lease} --on-active={limit_s} \\
        sh "$root/at_limit.sh" 2>/dev/null; then
      echo systemd | tee clock
      exit 0
    fi
  done
fi
wait_first='sleep {limit_s}; unset {_CLOCK_MARK}; exec sh at_limit.sh'
{_CLOCK_MARK}={lease} setsid nohup sh -c "$wait_first" \\
  >/dev/null 2>&1 </dev/null &
echo detached | tee clock
"""


def clock_at_boot(lease: str, limit_s: int, command: str) -> str:
    """Return a script for a host's first boot, which starts a clock and returns at once.

    It holds where nobody ever reaches the host, so that ``begin`` is never run on it.

    Args:
        lease: the lease's id.
        limit_s: seconds from now.
        command: what runs then.
    """
    unit = f"asr-flywheel-boot-{lease}"
    return f"""#!/bin/sh
command={shlex.quote(command)}
if [ -d /run/systemd/system ] && command -v systemd-run >/dev/null; then
  for as in "" "sudo -n"; do
    $as systemd-run --quiet --collect --unit={unit} --on-active={limit_s} \\
      sh -c "$command" 2>/dev/null && exit 0
  done
fi
setsid nohup sh -c "sleep {limit_s}; $command" >/dev/null 2>&1 </dev/null &
"""


def end(folder: str, lease: str, command: str = "") -> str:
    """End everything of a lease and remove its folder; fails if something is left running."""
    return f"""{_FUNCTIONS.format(lease=lease)}
root={_lease_root(folder, lease)}
rm -f "$root/env"
finish {_MARK} || {{ echo "processes are left: $(members {_MARK})" >&2; exit 1; }}
if [ "$(cat "$root/clock" 2>/dev/null)" = systemd ]; then
  systemctl stop asr-flywheel-{lease}.timer 2>/dev/null ||
    sudo -n systemctl stop asr-flywheel-{lease}.timer 2>/dev/null
fi
finish {_CLOCK_MARK}
cd /
rm -rf "$root"
[ ! -e "$root" ] || {{ echo "$root: cannot be removed" >&2; exit 1; }}
{command}
"""


def remaining(folder: str, lease: str) -> str:
    """Print what is left of a lease: its processes and its folder; nothing if it is gone."""
    return f"""{_FUNCTIONS.format(lease=lease)}
root={_lease_root(folder, lease)}
members {_MARK}; members {_CLOCK_MARK}
[ ! -e "$root" ] || printf '%s\\n' "$root"
"""


@dataclass(frozen=True, slots=True)
class HostInventory:
    """The GPUs, Docker Engine and free disk of a host.

    Attributes:
        hostname: its own name for itself.
        gpus: name, memory and driver of each, as nvidia-smi tells them.
        docker: version of its engine; empty if it cannot be used.
        free_gib: on the disk of the lease's folder.
    """

    hostname: str
    gpus: tuple[str, ...]
    docker: str
    free_gib: float

    def lines(self) -> list[str]:
        """Describe the host for a person."""
        return [
            f"{self.hostname}: {', '.join(self.gpus) or 'no GPU'}",
            f"Docker Engine {self.docker or 'absent'}, {self.free_gib:.0f} GiB free",
        ]


def look(root: str) -> str:
    """Print what the host has; see ``parse_look``."""
    query = "--query-gpu=name,memory.total,driver_version --format=csv,noheader"
    return f"""
echo "hostname=$(hostname)"
nvidia-smi {query} 2>/dev/null | sed 's/^/gpu=/'
echo "docker=$(docker version --format '{{{{.Server.Version}}}}' 2>/dev/null)"
echo "free=$(df -Pk {shlex.quote(root)} | awk 'NR==2 {{print $4}}')"
"""


def parse_look(output: str) -> HostInventory:
    """Parse the output of ``look``."""
    pairs = [line.partition("=")[::2] for line in output.splitlines() if "=" in line]
    values = dict(pairs)
    return HostInventory(
        hostname=values.get("hostname", ""),
        gpus=tuple(value for key, value in pairs if key == "gpu"),
        docker=values.get("docker", ""),
        free_gib=int(values.get("free") or 0) / 2**20,
    )


def require(inventory: HostInventory, *, gpu: bool, container: bool, need_gib: float) -> None:
    """Refuse a host that lacks what the run needs.

    Raises:
        HostError: names what is missing.
    """
    if gpu and not inventory.gpus:
        raise HostError(
            f"{inventory.hostname}: nvidia-smi finds no GPU. Fix: take another image or SKU; or "
            "switch 'a GPU is required' off, to train on the processor."
        )
    if container and not inventory.docker:
        raise HostError(
            f"{inventory.hostname}: no Docker Engine answers, and this run wants a container. "
            "Fix: take an image with Docker and the NVIDIA Container Toolkit."
        )
    if inventory.free_gib < need_gib:
        raise HostError(
            f"{inventory.hostname}: {inventory.free_gib:.1f} GiB are free and about {need_gib:.0f} "
            "are needed. Fix: ask for a larger disk."
        )


def install(root: str, extra: str) -> str:
    """Install the project that was copied to ``<root>/project``; prints the Python to use."""
    at = shlex.quote(root)
    return f"""set -eu
cd {at}
for python in python3.11 python3.12 python3; do
  command -v $python >/dev/null || continue
  $python -c 'import sys; sys.exit(sys.version_info < (3, 11))' && break
done
[ -x venv/bin/python ] || $python -m venv venv
set -- --quiet --constraint project/constraints.txt "./project{extra}"
# uv takes a fifth of pip's time, which is billed here; pip may know a registry that uv does not.
if ! venv/bin/python -m pip install --quiet --constraint project/constraints.txt uv >&2 \\
  || ! venv/bin/python -m uv pip install "$@" >&2; then
  venv/bin/python -m pip install "$@" >&2
fi
echo {at}/venv/bin/python
"""


@dataclass(frozen=True, slots=True)
class HostPlatform:
    """What decides whether wheels run on a host.

    Attributes:
        machine: its processor, as ``uname -m`` says.
        glibc: version of its C library; "" if it is another one, or nobody can tell.
        pythons: path and version of each interpreter that was asked.
    """

    machine: str
    glibc: str
    pythons: tuple[tuple[str, str], ...]


def look_at_platform(pythons: Sequence[str]) -> str:
    """Print the host's processor, C library and interpreters; see ``parse_platform``.

    Args:
        pythons: names or paths of interpreters.
    """
    asked = " ".join(shlex.quote(python) for python in pythons)
    line = "import sys, venv; print(sys.executable, '%d.%d' % sys.version_info[:2], sep='=')"
    return f"""
echo "machine=$(uname -m)"
echo "glibc=$(getconf GNU_LIBC_VERSION 2>/dev/null | cut -d' ' -f2)"
for python in {asked}; do
  found=$("$python" -c {shlex.quote(line)} 2>/dev/null) && echo "python=$found"
done
true
"""


def parse_platform(output: str) -> HostPlatform:
    """Parse the output of ``look_at_platform``."""
    pairs = [line.partition("=")[::2] for line in output.splitlines() if "=" in line]
    values = dict(pairs)
    pythons = [value.rpartition("=")[::2] for key, value in pairs if key == "python"]
    return HostPlatform(values.get("machine", ""), values.get("glibc", ""), tuple(pythons))


def install_bundle(root: str, lease: str, bundle: str, python: str, parts: int) -> str:
    """Install the offline bundle in ``<root>/bundle``; prints the Python to use.

    What installs it belongs to the lease, so that it ends with it. Where the connection broke, it
    goes on by itself, and the same script waits for its end.

    Args:
        root: the lease's folder.
        lease: its id.
        bundle: its id, which the parts must have.
        python: the interpreter to install for, on the host.
        parts: how many parts there are.
    """
    at = shlex.quote(root)
    folders = " ".join(f"bundle/part-{number}" for number in range(1, parts + 1))
    return f"""set -eu
cd {at}
export {_MARK}={lease} PYTHON={shlex.quote(python)}
while [ -d bundle ]; do
  code=0
  sh bundle/part-1/install.sh --id {shlex.quote(bundle)} environment {folders} \
    >/dev/null 2>installing || code=$?
  if [ $code -eq 0 ]; then
    # Room for what the run writes. By a rename first: the script may run twice.
    mv bundle installed 2>/dev/null && rm -rf installed
  elif [ ! -d bundle ] || grep -q 'another installation is at work' installing; then
    sleep 2
  else
    cat installing >&2
    exit $code
  fi
done
environment/current/venv/bin/python -c 'import asr_flywheel.site.worker' >&2
echo {at}/environment/current/venv/bin/python
"""


def start_worker(
    root: str, lease: str, python: str, line: str, environment: Mapping[str, str]
) -> str:
    """Start the worker, apart from this connection; its secrets go into a file of its owner's.

    Args:
        root: the lease's folder.
        lease: its id.
        python: there.
        line: the arguments of ``asr_flywheel.cli``.
        environment: what the worker needs; may hold secrets.
    """
    rows = "".join(f"{name}={shlex.quote(value)}\n" for name, value in environment.items())
    return f"""set -eu
umask 077
cd {shlex.quote(root)}
cat > env <<'END_OF_ENVIRONMENT'
{rows}END_OF_ENVIRONMENT
set -a; . ./env; set +a
{_MARK}={lease} setsid nohup {shlex.quote(python)} -m asr_flywheel.cli {line} \\
  >> worker.log 2>&1 </dev/null &
"""


def alive(root: str, lease: str) -> str:
    """Print how many processes of the lease live, then the end of the worker's log."""
    return f"""{_FUNCTIONS.format(lease=lease)}
members {_MARK} | wc -l
cat {shlex.quote(root)}/limit 2>/dev/null
tail -n 15 {shlex.quote(root)}/worker.log 2>/dev/null || true
"""
