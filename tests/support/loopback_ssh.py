"""A real sshd on loopback that plays the rented host, with keys and configuration of its own."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support import needs
from tests.support.prefect_site import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator


def program() -> str:
    """The path of sshd; skips the test where ssh, sshd or rsync is missing."""
    needs.require("sshd", "ssh", "rsync")
    return str(needs.find("sshd"))


@dataclass
class Loopback:
    """One sshd; ``folder`` holds its keys, its log and what the "host" is given."""

    folder: Path
    port: int = 0
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def prepare(self) -> None:
        """Keys of the host and of its user, and what each knows of the other."""
        for name in ("host_key", "user_key"):
            line = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / name)]
            subprocess.run(line, check=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        shutil.copy(self.folder / "user_key.pub", self.folder / "authorized_keys")
        key = (self.folder / "host_key.pub").read_text()
        (self.folder / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {key}")
        (self.folder / "sshd_config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {self.folder}/host_key\n"
            f"AuthorizedKeysFile {self.folder}/authorized_keys\nPidFile {self.folder}/sshd.pid\n"
            "StrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\n"
        )
        (self.folder / "disk").mkdir()

    def start(self) -> None:
        """Listen."""
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(
                exist_ok=True
            )  # sshd run by root separates its privileges there
        line = [
            program(),
            "-D",
            "-E",
            f"{self.folder}/sshd.log",
            "-f",
            f"{self.folder}/sshd_config",
        ]
        self.process = subprocess.Popen(line, start_new_session=True)
        wait_for(self.listens, 20)

    def listens(self) -> bool:
        """Whether it takes connections."""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self) -> None:
        """End it with every connection that it serves, as if the network were gone."""
        if self.process is None:
            return
        children = [self.process.pid]
        for parent in children:  # grows while it is walked
            for stat in Path("/proc").glob("[0-9]*/stat"):
                try:
                    head, _, tail = stat.read_text().rpartition(")")
                except OSError:
                    continue
                if "(sshd" in head and int(tail.split()[1]) == parent:
                    children.append(int(head.split()[0]))
        for pid in children:
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                continue
        self.process.wait()
        self.process = None

    def drop(self) -> None:
        """Cut every connection, and go on listening."""
        self.kill()
        self.start()

    @property
    def ssh(self) -> dict[str, Any]:
        """How it is reached."""
        return {
            "destination": f"{getpass.getuser()}@127.0.0.1",
            "port": self.port,
            "identity": str(self.folder / "user_key"),
            "known_hosts": str(self.folder / "known_hosts"),
            "connect_s": 3,
        }

    @property
    def as_brev_writes(self) -> str:
        """Its lines in an ssh configuration, those that `brev refresh` writes (July 2026).

        But for the folder of the control socket, whose real one is the user's own ~/.ssh.
        """
        return f"""\
  Hostname 127.0.0.1
  IdentityFile {self.folder}/user_key
  User {getpass.getuser()}
  ServerAliveInterval 30
  UserKnownHostsFile /dev/null
  IdentitiesOnly yes
  StrictHostKeyChecking no
  PasswordAuthentication no
  AddKeysToAgent yes
  ForwardAgent yes
  RequestTTY yes
  ControlMaster auto
  ControlPath {tempfile.gettempdir()}/brev-control-%C
  ControlPersist 10m
  Port {self.port}
"""

    @property
    def settings(self) -> dict[str, Any]:
        """The host as a provider's settings."""
        return {
            "provider": "ssh",
            "ssh": self.ssh,
            "folder": str(self.folder / "disk"),
            "python": sys.executable,
        }


@contextmanager
def running(folder: Path) -> Iterator[Loopback]:
    """One that listens until the block ends; skips the test where there is no sshd."""
    program()
    found = Loopback(folder)
    found.prepare()
    found.start()
    try:
        yield found
    finally:
        found.kill()
