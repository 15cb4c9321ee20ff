"""Send a cycle's runs after their end, also those that nobody tracked."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tasks.common import privacy_settings
from tasks.common.errors import InputError
from tasks.records import run_record
from tasks.records.tracking import finished_run
from tasks.records.tracking.outbox import FOLDER, Outbox, outboxes
from tasks.records.tracking.sending import SendingProcess, describe

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tasks.data.cycle_folder import Cycle
    from tasks.records.tracking.server_target import TrackingTarget


def collect(
    cycle: Cycle, standing: Callable[[], Mapping[str, Any]], *, no_texts: bool = False
) -> list[Outbox]:
    """Return a cycle's outboxes; that of its finished run is made or completed first.

    Args:
        cycle: cycle N, locked.
        standing: says which kept models are champion and candidate.
        no_texts: whether files with texts are left out.

    Raises:
        InputError: no run has finished here, and none was tracked.
    """
    if run_record.is_complete(cycle.next):
        record = run_record.read(cycle.next)
        config = record["config"]
        hidden = no_texts or bool(config.get("no_texts"))
        with privacy_settings.applied(
            no_texts=hidden,
            no_audio=bool(config.get("no_audio")),
            audio=bool(config.get("audio")),
        ):
            _add_run(cycle, record, standing())
    found = outboxes(cycle.path)
    if not found:
        raise InputError(
            f"{cycle.path}: no run of this cycle has finished, and none was tracked. Fix: name the "
            "folder cycle<N> that was tuned, or run it: asr-flywheel run."
        )
    for outbox in found:
        outbox.close_killed()
    return found


def _add_run(cycle: Cycle, record: Mapping[str, Any], standing: Mapping[str, Any]) -> None:
    config = record["config"]
    base_sha256 = finished_run.training_info(cycle, record).get("base", {}).get("sha256", "")
    manifest_sha256 = record["preflight"]["manifest_sha256"]
    key = finished_run.run_key(cycle, config, manifest_sha256, base_sha256)
    outbox = Outbox(cycle.path / FOLDER / key)
    if not outbox.lines():
        finished_run.add_beginning(
            outbox, cycle, config, {"base_sha256": base_sha256}, started=record["started"]
        )
    finished_run.add_finished(outbox, cycle, record, standing)


def send(
    found: Sequence[Outbox],
    target: TrackingTarget,
    report: Callable[[str], None],
    *,
    no_texts: bool = False,
) -> bool:
    """Send outboxes, for as long as it takes, and say what the server has.

    Returns:
        Whether it has all of them.
    """
    if no_texts:
        hiding = {privacy_settings.NO_TEXTS_VARIABLE: "1"}
        target = replace(target, credentials={**target.credentials, **hiding})
    states = SendingProcess(found, target).finish(None)
    for outbox, state in zip(found, states, strict=True):
        report(describe(outbox, state))
    return all(state.sent >= outbox.last for outbox, state in zip(found, states, strict=True))
