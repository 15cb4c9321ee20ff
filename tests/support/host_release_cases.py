"""Records of hosts that are out, and the rows of the ledger."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tasks.gpu_hosts import lease
from tasks.gpu_hosts.lease import Lease
from tasks.records import cost_ledger

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.brev_stub import Brev


def out(brev: Brev, clinic: Path) -> Lease:
    """A host whose owner was killed."""
    own = {"provider": "brev", "program": str(brev.program), "settle_s": 0}
    left = Lease(own, "", str(clinic / "cycle1"), 1, "l40s", 1.5, account="id-clinic")
    left = Lease(**{**_fields(left), "host": left.open().name})
    lease.write(left)
    known = {"type": "nebius_L40S", "status": "RUNNING", "organisation": "clinic", "listed": 0}
    (brev.folder / "instances.json").write_text(json.dumps({**brev.instances, left.host: known}))
    return left


def _fields(one: Lease) -> dict[str, Any]:
    return {name: getattr(one, name) for name in Lease.__dataclass_fields__}


def rows(folder: Path) -> list[str]:
    """The outcomes in a ledger."""
    return [one.outcome.value for one in cost_ledger.read(folder).entries]
