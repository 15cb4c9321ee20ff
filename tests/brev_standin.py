"""Stands in for Brev's CLI: answers as its documentation and source say, and records every call.

Its state lies in the folder that BREV_STANDIN names: ``calls`` (one JSON list a line),
``instances.json``, and ``script.json``, with what a test wants to go wrong. It imports nothing of
the project, since it plays another program.
"""

import json
import os
import stat
import sys
from pathlib import Path

HOME = Path(os.environ["BREV_STANDIN"])
OFFERS = [
    ("gcp_L40", "L40", 1, 1.10),
    ("aws_2xL40S", "L40S", 2, 1.40),
    ("nebius_L40S", "L40S", 1, 1.49),
    ("aws_L40S", "L40S", 1, 1.86),
]


def main(arguments: list[str]) -> int:
    """Answer one call."""
    script = json.loads((HOME / "script.json").read_text())
    # As the program itself does: what is no character device is read.
    piped = "" if stat.S_ISCHR(os.fstat(0).st_mode) else sys.stdin.read()
    with (HOME / "calls").open("a") as out:
        out.write(json.dumps([*arguments, *([piped] if piped else [])]) + "\n")
    command, *rest = arguments
    if command in script.get("fail", {}):
        print(script["fail"][command], file=sys.stderr)
        return 1
    known = json.loads((HOME / "instances.json").read_text())
    if command == "search":
        rows = [
            {
                "type": kind,
                "cloud": kind.partition("_")[0],
                "provider": kind.partition("_")[0],
                "gpu_name": gpu,
                "gpu_count": count,
                "disk_min_gb": 10.0,
                "disk_max_gb": 2000.0,
                "price_per_hour": price * script.get("prices", 1.0),
            }
            for kind, gpu, count, price in OFFERS
        ]
        print(json.dumps(rows, indent=2))
    elif command == "create":
        (wanted,) = json.loads(piped)
        known[rest[0]] = {"type": wanted["type"], "status": script.get("status", "RUNNING")}
        print(rest[0])
    elif command == "ls":
        rows = [
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
            for name, one in known.items()
        ]
        print(json.dumps({"workspaces": rows or None}, indent=2))
    elif command == "refresh":
        entries = [f"Host {name}\n{script.get('ssh', '')}" for name in known]
        (HOME / "ssh_config").write_text("\n".join(entries))
        print("refreshing brev...")
    elif command in {"delete", "stop"}:
        if rest[0] not in known:
            print(f"instance with id/name {rest[0]} not found", file=sys.stderr)
            return 1
        if command == "delete":
            del known[rest[0]]
        else:
            known[rest[0]]["status"] = "STOPPING"
    else:
        print(f"unknown command {command!r}", file=sys.stderr)
        return 1
    (HOME / "instances.json").write_text(json.dumps(known))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
