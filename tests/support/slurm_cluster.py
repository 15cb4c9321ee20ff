"""A real Slurm on this machine: Debian's slurmctld, two slurmd and munged, in a folder of its own.

The kernel of a test machine may have no control groups: Slurm finds a job's processes by their
parents (proctrack/linuxproc) and limits nothing.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.runtimes.slurm.commands import JOB_NAME
from tests.support import prefect_site
from tests.support.needs import find, require

if TYPE_CHECKING:
    from collections.abc import Iterator

_CONFIG = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=5
ReturnToService=2
KillWait=2
MinJobAge=60
SlurmdTimeout=30
PrologFlags=NoHold
{nodes}
PartitionName=main Nodes={seeing} Default=YES MaxTime=60 State=UP
PartitionName=closed Nodes={seeing} MaxTime=60 State=DOWN
PartitionName=blind Nodes=blind MaxTime=60 State=UP
"""
NODES = ("n1", "n2")
BLIND = "blind"
"""A node in a mount namespace of its own, which has an empty folder in the place of one here."""


@dataclass(slots=True)
class SlurmCluster:
    """A running cluster.

    Attributes:
        folder: of its files.
        unseen: the folder that the node of the partition ``blind`` does not see.
        daemons: its processes by name.
    """

    folder: Path
    unseen: Path
    daemons: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        """As SLURM_CONF names it."""
        return self.folder / "slurm.conf"

    def ask(self, *line: str) -> str:
        """Return what one of Slurm's commands prints."""
        done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def jobs(self, states: str = "pending,running,completing,suspended,configuring") -> list[str]:
        """Return the ids of the runs' jobs in these states.

        A busy machine may still be completing the job by which a run asked a node what it sees.
        """
        return self._queue(f"--states={states}", "--format=%i")

    def node(self) -> str:
        """Return the node of the one job that runs."""
        (node,) = self._queue("--states=running", "--format=%N")
        return node

    def _queue(self, *options: str) -> list[str]:
        return self.ask("squeue", "--noheader", f"--name={JOB_NAME}", *options).split()

    @contextmanager
    def node_down(self, node: str) -> Iterator[None]:
        """Have a node down while the block runs."""
        self.ask("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
        try:
            yield
        finally:
            # It may have registered again, and be up by itself.
            subprocess.run(
                ["scontrol", "update", f"nodename={node}", "state=resume"],
                check=False,
                capture_output=True,
            )
            prefect_site.wait_for(
                lambda: node in self.ask("sinfo", "-h", "-N", "-t", "idle,mix,alloc")
            )


def free_ports(count: int) -> list[int]:
    """Return ports on loopback that nobody uses."""
    return [prefect_site.free_port() for _ in range(count)]


@contextmanager
def running() -> Iterator[SlurmCluster]:
    """A cluster, ended and removed afterwards; skips the test where there cannot be one."""
    require("slurm")
    with tempfile.TemporaryDirectory(prefix="asr-flywheel-slurm-") as name:
        cluster = SlurmCluster(Path(name), Path(name) / "unseen")
        before = os.environ.get("SLURM_CONF")
        os.environ["SLURM_CONF"] = str(cluster.config)
        try:
            _start(cluster)
            yield cluster
        finally:
            _end(cluster)
            os.environ.pop("SLURM_CONF")
            if before is not None:
                os.environ["SLURM_CONF"] = before


def _start(cluster: SlurmCluster) -> None:
    folder = cluster.folder
    for path in (folder / "state", cluster.unseen):
        path.mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    host = socket.gethostname().partition(".")[0]
    controller, *ports = free_ports(2 + len(NODES))
    nodes = "\n".join(
        f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} "
        f"CPUs={os.cpu_count()} State=UNKNOWN"
        for node, port in zip((*NODES, BLIND), ports, strict=True)
    )
    cluster.config.write_text(
        _CONFIG.format(
            host=host, port=controller, folder=folder, nodes=nodes, seeing=",".join(NODES)
        )
    )
    _daemon(
        cluster, "munged", "--foreground", "--force", f"--key-file={key}",
        f"--socket={folder}/munge.sock", f"--pid-file={folder}/munged.pid",
        f"--log-file={folder}/munged.log", f"--seed-file={folder}/munge.seed",
    )  # fmt: skip
    prefect_site.wait_for((folder / "munge.sock").exists)
    _daemon(cluster, "slurmctld", "-D", "-i")
    for node in NODES:
        _daemon(cluster, "slurmd", "-D", "-N", node, called=node)
    hidden = f'{find("mount")} -t tmpfs none {cluster.unseen} && exec "$0" -D -N {BLIND}'
    _daemon(
        cluster, "unshare", "--mount", "/bin/sh", "-c", hidden, str(find("slurmd")), called=BLIND
    )
    prefect_site.wait_for(lambda: _idle(cluster) == len(NODES) + 1)


def _daemon(cluster: SlurmCluster, program: str, *arguments: str, called: str = "") -> None:
    with (cluster.folder / f"{called or program}.out").open("wb") as out:
        cluster.daemons[called or program] = subprocess.Popen(
            [str(find(program)), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )


def _idle(cluster: SlurmCluster) -> int:
    done = subprocess.run(
        ["sinfo", "--noheader", "--Node", "--format=%N %t"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert all(one.poll() is None for one in cluster.daemons.values()), cluster.daemons
    return len({line for line in done.stdout.splitlines() if line.endswith(" idle")})


def _end(cluster: SlurmCluster) -> None:
    if "slurmctld" in cluster.daemons:
        subprocess.run(
            ["scancel", f"--user={os.environ.get('USER', 'root')}"],
            check=False,
            capture_output=True,
        )
        until = time.monotonic() + 20
        while time.monotonic() < until and _steps(cluster):
            time.sleep(0.2)
    for daemon in reversed(cluster.daemons.values()):
        daemon.send_signal(signal.SIGTERM)
        try:
            daemon.wait(15)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()
    for node in (*NODES, BLIND):
        shutil.rmtree(cluster.folder / f"spool.{node}", ignore_errors=True)


def _steps(cluster: SlurmCluster) -> bool:
    """Return whether a job of the cluster still has its own process here."""
    del cluster
    done = subprocess.run(
        ["squeue", "--noheader", "--states=all", "--format=%T"],
        capture_output=True,
        text=True,
        check=False,
    )
    return any(word in done.stdout for word in ("RUNNING", "COMPLETING"))
