"""Stands in for `docker` in front of a site whose services run without containers.

It knows the lines of docs/operations.md. Its settings lie in the file that COMPOSE_STANDIN names:
the site (folder, port, settings), and the environment that programs have in a service.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from asr_flywheel.site.local_site import Site


def main() -> None:
    """Do for the site what docker would do for its containers."""
    told = json.loads(Path(os.environ["COMPOSE_STANDIN"]).read_text(encoding="utf-8"))
    site = Site(Path(told["folder"]), told["port"], told["settings"])
    if sys.argv[1:4] != ["compose", "-f", "deployments/compose.yaml"]:
        sys.exit(f"docker: not known: {sys.argv[1:]}")
    verb, *rest = sys.argv[4:]
    if verb == "exec":
        terminal, service, program, *arguments = rest
        if terminal != "-T":
            sys.exit("the input device is not a TTY")
        inside = told["inside"][service]
        program = shutil.which(program, path=inside["PATH"]) or program
        sys.exit(subprocess.run([program, *arguments], env=inside, check=False).returncode)
    for service in rest:
        if verb == "stop":
            site.stop(service)
        elif (verb, service) == ("start", "server"):
            site.start_server()
        elif (verb, service) == ("start", "worker"):
            site.start_worker()
        else:
            sys.exit(f"docker: not known: {verb} {service}")


if __name__ == "__main__":
    main()
