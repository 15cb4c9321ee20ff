"""Stands in for Brev's CLI: answers as its documentation and source say, and records every call.

Its state lies in the folder that BREV_STANDIN names: ``calls`` (one JSON list a line),
``instances.json``, and ``script.json``, with what a test wants to go wrong. It imports nothing of
the project, since it plays another program.
"""

import json
import os
import stat
import sys
import time
from pathlib import Path
from typing import Any

HOME = Path(os.environ["BREV_STANDIN"])
OFFERS = [
    ("gcp_L40", "L40", 1, 48, 1.10),
    ("aws_2xL40S", "L40S", 2, 48, 1.40),
    ("nebius_L40S", "L40S", 1, 48, 1.49),
    ("aws_L40S", "L40S", 1, 48, 1.86),
    ("gcp_A100", "A100", 1, 40, 1.29),
    ("crusoe_A100_80", "A100", 1, 80, 1.65),
]
ORGANISATIONS = ("clinic", "research")


def main(arguments: list[str]) -> int:
    """Answer one call."""
    script = json.loads((HOME / "script.json").read_text())
    # As the program itself does: what is no character device is read.
    piped = "" if stat.S_ISCHR(os.fstat(0).st_mode) else sys.stdin.read()
    with (HOME / "calls").open("a") as out:
        out.write(json.dumps([*arguments, *([piped] if piped else [])]) + "\n")
    failure = script.get("fail", {}).get(arguments[0], "")
    if not failure or (arguments[0] == "create" and "late_s" in script):
        # A failure after that is one whose order went through, and whose answer was lost.
        failure = answer(arguments, piped, script) or failure
    print(failure, end="\n" if failure else "", file=sys.stderr)
    return 1 if failure else 0


def answer(arguments: list[str], piped: str, script: dict[str, Any]) -> str:
    """Do what is asked, on standard output; what went wrong, if something did."""
    command, *rest = arguments
    known = json.loads((HOME / "instances.json").read_text())
    active = script.get("organisation", ORGANISATIONS[0])
    listed = {
        name: one
        for name, one in known.items()
        if one["organisation"] == active and one["listed"] <= time.time()
    }
    if command in script.get("tell", {}):
        print(json.dumps(script["tell"][command]))
    elif command == "search":
        print(json.dumps(offers(script.get("prices", 1.0)), indent=2))
    elif command == "create":
        (wanted,) = json.loads(piped)
        known[rest[0]] = {
            "type": wanted["type"],
            "status": script.get("status", "RUNNING"),
            "organisation": active,
            "listed": time.time() + script.get("late_s", 0),
        }
        print(rest[0])
    elif command == "ls" and rest[0] == "orgs":
        if script.get("api_key"):
            return "api key auth cannot list organizations"
        rows = [
            {"name": name, "id": f"id-{name}", "is_active": name == active}
            for name in script.get("organisations", ORGANISATIONS)
        ]
        print(json.dumps(rows, indent=2))
    elif command == "ls":
        hidden = script.get("another_user") and "--all" not in rest
        rows = [] if hidden else workspaces(listed)
        print(json.dumps({"workspaces": rows or None}, indent=2))
    elif command == "refresh":
        entries = [f"Host {name}\n{script.get('ssh', '')}" for name in listed]
        (HOME / "ssh_config").write_text("\n".join(entries))
        print("refreshing brev...")
    elif command == "delete":
        if rest[0] not in listed or script.get("another_user"):
            return f"instance with id/name {rest[0]} not found"
        del known[rest[0]]
    else:
        return f"unknown command {command!r}"
    (HOME / "instances.json").write_text(json.dumps(known))
    return ""


def offers(factor: float) -> list[dict[str, Any]]:
    """What ``brev search --json`` finds; it filters names by their parts."""
    return [
        {
            "type": kind,
            "cloud": kind.partition("_")[0],
            "provider": kind.partition("_")[0],
            "gpu_name": gpu,
            "gpu_count": count,
            "vram_per_gpu_gb": memory,
            "total_vram_gb": memory * count,
            "disk_min_gb": 10.0,
            "disk_max_gb": 2000.0,
            "price_per_hour": price * factor,
        }
        for kind, gpu, count, memory, price in OFFERS
    ]


def workspaces(listed: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of ``brev ls --json``."""
    return [
        {
            "name": name,
            "id": f"id-{name[-4:]}",
            "status": one["status"],
            "build_status": "COMPLETED" if one["status"] == "RUNNING" else "PENDING",
            "shell_status": "READY" if one["status"] == "RUNNING" else "NOT READY",
            "health_status": "HEALTHY",
            "instance_type": one["type"],
            "instance_kind": "gpu",
            "gpu": "L40S",
        }
        for name, one in listed.items()
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
