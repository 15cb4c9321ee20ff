"""Track one run: write its outbox while it goes on, and have another process send it.

Nothing here ends a run or holds one up: where the outbox cannot be written, that is said once.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from tasks.common.errors import FlywheelError
from tasks.common.shell_words import in_shell
from tasks.data.cycle_folder import Cycle, cycle_folders
from tasks.records.tracking import finished_run
from tasks.records.tracking.outbox import FOLDER, Outbox, outboxes
from tasks.records.tracking.sending import SendingProcess, describe
from tasks.records.tracking.system_metrics import SystemMetrics
from tasks.training.progress import Epoch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from tasks.records.tracking.server_target import TrackingTarget
    from tasks.training.progress import Events, TrainingProgress

_SAMPLE_EVERY_S = 10.0


class RunTracker:
    """The tracking of one run; without a server it does nothing."""

    def __init__(
        self, cycle: Cycle, target: TrackingTarget | None, report: Callable[[str], None]
    ) -> None:
        self._cycle, self._target, self._report = cycle, target, report
        self._outbox: Outbox | None = None
        self._begun: Outbox | None = None
        self._sending: SendingProcess | None = None
        self._ended = Event()
        self._sampler: Thread | None = None
        self.training = finished_run.FIRST_TRAINING
        """The name before the figures of epochs; a fold's and a remedy's have their own."""

    def begin(
        self,
        config: Mapping[str, Any],
        manifest_sha256: str,
        base_sha256: str,
        tags: Mapping[str, object],
    ) -> None:
        """Begin the run's outbox, and the process that sends it.

        Args:
            config: the run's parameters, as run.json has them.
            manifest_sha256: of the cycle's manifest.
            base_sha256: of the base.
            tags: what else is known.
        """
        if self._target is None:
            return
        with self._forgiving():
            key = finished_run.run_key(self._cycle, config, manifest_sha256, base_sha256)
            outbox = Outbox(self._cycle.path / FOLDER / key)
            for other in outboxes(self._cycle.path):
                if other.key != key:
                    other.close_killed()  # the cycle's lock is ours
            tags = {"manifest_sha256": manifest_sha256, "base_sha256": base_sha256, **tags}
            finished_run.add_beginning(outbox, self._cycle, config, tags)
            self._outbox = self._begun = outbox
            before = pending(self._cycle.path.parent, self._target.uri, besides=outbox)
            self._sending = SendingProcess([*before, outbox], self._target)
            self._sampler = Thread(target=self._sample, daemon=True, name="system-metrics")
            self._sampler.start()
            self._report(f"to {self._target.uri}, by {outbox.path}")

    def dataset(self, path: Path, context: str, sha256: str, rows: int) -> None:
        """Append a data set that this run reads or made."""
        if self._outbox is not None:
            with self._forgiving():
                finished_run.add_dataset(self._outbox, path, context, sha256, rows)

    def tag(self, name: str, value: object) -> None:
        """Append a tag."""
        if self._outbox is not None:
            with self._forgiving():
                self._outbox.add_tag(name, value)

    def epochs(self, epochs: Iterable[Epoch]) -> None:
        """Append the figures of epochs of the present training."""
        if self._outbox is not None:
            with self._forgiving():
                finished_run.add_epochs(self._outbox, self.training, epochs)

    def following(
        self, events: Events, report: Callable[[TrainingProgress], None]
    ) -> Callable[[TrainingProgress], None]:
        """Return ``report``, which then also appends each epoch once it is validated."""
        if self._outbox is None:
            return report
        validated = 0

        def observe(now: TrainingProgress) -> None:
            nonlocal validated
            report(now)
            if now.validated != validated:
                validated = now.validated
                self.epochs(_epochs(events))

        return observe

    def finished(self, record: Mapping[str, Any], standing: Mapping[str, Any]) -> None:
        """Append what the finished run has left.

        Args:
            record: run.json.
            standing: which kept models are champion and candidate.
        """
        if self._outbox is not None:
            with self._forgiving():
                finished_run.add_finished(self._outbox, self._cycle, record, standing)

    def end(self, status: str | None = None) -> None:
        """End the sending, and say what the server has.

        Args:
            status: FAILED or KILLED; None where the run has finished.
        """
        self._ended.set()
        outbox = self._begun
        if outbox is None or self._sending is None or self._target is None:
            return
        if self._sampler is not None:
            self._sampler.join(_SAMPLE_EVERY_S)
        if status is not None:
            with self._forgiving():
                outbox.add("status", "run", status=status)
        with self._forgiving():
            state = self._sending.finish()[-1]
            told = describe(outbox, state)
            if state.sent < outbox.last:
                told += (
                    f". They are kept: `asr-flywheel track {in_shell(self._cycle.path)} --to "
                    f"{in_shell(self._target.uri)}` sends them"
                )
            self._report(told)

    def _sample(self) -> None:
        metrics = SystemMetrics(self._cycle.path)
        while not self._ended.wait(_SAMPLE_EVERY_S):
            outbox = self._outbox
            if outbox is None:
                return
            # A reader of its own: the other thread appends by the same file.
            with self._forgiving():
                own = Outbox(outbox.folder)
                # A resumed run continues its steps: an earlier start has those from nought.
                own.add_metrics(metrics.read(), round(time.time() - own.started))

    @contextmanager
    def _forgiving(self) -> Iterator[None]:
        """Let a run go on where its outbox cannot be written."""
        try:
            yield
        except (OSError, FlywheelError) as failed:
            self._outbox = None
            self._report(f"nothing more is tracked: {failed}")


UNTRACKED = RunTracker(Cycle(Path(), 1), None, print)
"""For what no server is told of."""


def _epochs(events: Events) -> list[Epoch]:
    """Return the epochs so far; of one that was validated again the later word counts."""
    names = Epoch.__dataclass_fields__
    found = {
        event["epoch"]: Epoch(**{name: event[name] for name in names if name in event})
        for event in events.read()
        if event["event"] == "epoch"
    }
    return [found[number] for number in sorted(found)]


def pending(clinic: Path, uri: str, *, besides: Outbox | None = None) -> list[Outbox]:
    """List the outboxes of a clinic that were meant for a server and that it lacks a part of.

    Args:
        clinic: the folder of cycles.
        uri: the server's address.
        besides: an outbox that is left out.
    """
    return [
        outbox
        for folder in cycle_folders(clinic)
        for outbox in outboxes(folder)
        if (besides is None or outbox.folder != besides.folder)
        and outbox.sent_path(uri).is_file()
        and outbox.read_sent(uri).sent < outbox.last
    ]
