"""Split one head off a hybrid model, by NeMo in a process of its own.

riva-build's conversion exports one head and fails on two (NVIDIA/skills, asr-custom.md). The texts
of the head are the hybrid's; what else the archive holds stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.common.errors import FlywheelError
from tasks.common.work_folders import work_folder
from tasks.runtimes import hardware
from tasks.runtimes.base import Job
from tasks.runtimes.local import LocalRuntime

if TYPE_CHECKING:
    from pathlib import Path

    from tasks.models.nemo_archive import Decoder
    from tasks.runtimes.base import Runtime

PROGRAM = "single_head.py"
_LOG_TAIL_LINES = 8


def convert(model: Path, head: Decoder, out: Path, runtime: Runtime | None = None) -> None:
    """Write one head of a hybrid as a .nemo that NeMo restores by the head's own class.

    Args:
        model: the hybrid.
        head: its CTC head, or its transducer.
        out: the .nemo to write.
        runtime: where NeMo runs; by default on this machine.

    Raises:
        FlywheelError: NeMo could not do it; holds the end of its log.
    """
    runtime = runtime or LocalRuntime(hardware.detect())
    with work_folder(out.parent, ".head-") as work:
        mapped = runtime.path_mapper(work, (model,))
        head_file = work / "head.nemo"
        request = {
            "model": mapped(model),
            "head": "transducer" if head.has_transducer else "ctc",
            "out": mapped(head_file),
        }
        job = Job("single-head", PROGRAM, request, work, (model,), {"run": "single-head"})
        outcome = runtime.execute(job, lambda _: None, lambda: None)
        if outcome.exit_code != 0:
            lines = job.log.read_text(encoding="utf-8", errors="replace").splitlines()
            raise FlywheelError(
                f"{model}: its {head.value} head could not be made a model of its own. The end of "
                "the log:\n" + "\n".join(f"  {line}" for line in lines[-_LOG_TAIL_LINES:])
            )
        head_file.replace(out)
