"""The ledger of costs, which several processes write at once."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from tasks.records import cost_ledger

if TYPE_CHECKING:
    from pathlib import Path


def test_processes_append_at_once(tmp_path: Path) -> None:
    """Four processes with fifty entries each leave two hundred whole lines."""
    program = (
        "import sys; from pathlib import Path; from tasks.records import cost_ledger as ledger\n"
        "for cycle in range(1, 51):\n"
        "    ledger.append(Path(sys.argv[1]), ledger.entry(started=0, ended=3600, cycle=cycle,"
        " run=sys.argv[2], provider='ssh', sku='own', host='h', usd_per_hour=1,"
        " outcome=ledger.RentalOutcome.FAILED))\n"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path), str(number)])
        for number in range(4)
    ]
    assert [process.wait() for process in running] == [0] * 4
    found = cost_ledger.read(tmp_path)
    assert found.torn == ()
    assert found.usd_by_cycle == dict.fromkeys(range(1, 51), 4.0)
