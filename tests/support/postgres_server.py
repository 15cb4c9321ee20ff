"""A real Postgres for a site: Debian's, on a free port, in a folder of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support import prefect_site
from tests.support.needs import postgres_programs, require

if TYPE_CHECKING:
    from collections.abc import Iterator

PASSWORD = "planted-postgres-4711"  # noqa: S105 - of a database that lives for one test
USER = DATABASE = "prefect"


@dataclass(frozen=True)
class Postgres:
    """A running server with one database for Prefect.

    Attributes:
        programs: the folder of pg_dump and its like.
        port: on loopback.
    """

    programs: Path
    port: int

    @property
    def url(self) -> str:
        """As PREFECT_SERVER_DATABASE_CONNECTION_URL wants it."""
        return f"postgresql+asyncpg://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{DATABASE}"

    @property
    def environment(self) -> dict[str, str]:
        """What libpq's programs take from the environment."""
        return {
            **os.environ,
            "PATH": f"{self.programs}:{os.environ['PATH']}",
            "PGHOST": "127.0.0.1",
            "PGPORT": str(self.port),
            "PGUSER": USER,
            "PGPASSWORD": PASSWORD,
            "PGDATABASE": DATABASE,
        }

    @property
    def inside(self) -> dict[str, str]:
        """What they have in the image's container: a local connection is trusted, no name is set.

        So whoever leaves a name out is taken for the container's root, whom no database knows.
        """
        named = {"PGUSER", "PGDATABASE"}
        return {key: value for key, value in self.environment.items() if key not in named}


@contextmanager
def running() -> Iterator[Postgres]:
    """A Postgres, ended and removed afterwards; skips the test where there is none."""
    require("postgresql")
    programs = postgres_programs()
    assert programs is not None
    # Postgres refuses to run as root, and pytest's own folders are for their owner only.
    unprivileged = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
    with tempfile.TemporaryDirectory(prefix="asr-flywheel-postgres-") as name:
        folder = Path(name)
        (folder / "password").write_text(PASSWORD)
        if unprivileged:
            for path in (folder, folder / "password"):
                shutil.chown(path, "postgres")
        yield from _serving(folder, programs, unprivileged)


def _serving(folder: Path, programs: Path, unprivileged: list[str]) -> Iterator[Postgres]:
    data, port = folder / "data", prefect_site.free_port()

    def run(program: str, *arguments: str) -> None:
        line = [*unprivileged, str(programs / program), *arguments]
        done = subprocess.run(line, capture_output=True, text=True, check=False, cwd="/")
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"

    run(
        "initdb", f"--pgdata={data}", f"--username={USER}", f"--pwfile={folder / 'password'}",
        "--auth=scram-sha-256", "--encoding=UTF8", "--no-sync",
    )  # fmt: skip
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder}"
    run("pg_ctl", "start", f"--pgdata={data}", "-w", f"--log={folder / 'log'}", f"-o{options}")
    found = Postgres(programs, port)
    try:
        subprocess.run(
            [programs / "createdb", "--maintenance-db=postgres", DATABASE],
            env=found.environment,
            check=True,
        )
        yield found
    finally:
        run("pg_ctl", "stop", f"--pgdata={data}", "-m", "immediate")
