"""Send an outbox to an MLflow server, each line once.

What was sent is noted after each request. A request whose answer was lost is repeated, and changes
nothing: a run is found by its key, a figure has its own time, and the rest is set to a value.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    Metric,
    Param,
    RunTag,
    ViewType,
)
from mlflow.exceptions import MlflowException

from tasks.common import hashing, privacy_settings
from tasks.common.errors import FlywheelError
from tasks.records.tracking.model_registry import ModelRegistry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from mlflow.tracking import MlflowClient

    from tasks.records.tracking.outbox import Outbox, SentState

RUN_KEY = "asr_flywheel.key"
"""The tag by which a run is found again."""
_BATCHED = {"metric", "param", "tag"}
_MOST = {"metric": 900, "param": 90, "tag": 90}  # of MLflow's 1000 and 100 a request
_UNAUTHORISED = frozenset((401, 403))
_PASSING = frozenset((408, 429, 499))
_CLIENT_ERRORS = range(400, 500)


class TrackingRefusedError(FlywheelError):
    """The server refuses this user or this run; sending again does not help."""


class TrackingOutageError(FlywheelError):
    """The server does not answer; what was not sent stays in the outbox."""


@dataclass
class Delivery:
    """The sending of one outbox to one server.

    Attributes:
        client: MLflow's.
        outbox: what is sent.
        state: what the server has, noted after each request.
    """

    client: MlflowClient
    outbox: Outbox
    state: SentState

    def send(self) -> int:
        """Send the lines that the server lacks.

        Returns:
            How many were sent.

        Raises:
            TrackingOutageError: the server does not answer.
            TrackingRefusedError: it refuses this user, or the run was deleted there.
        """
        lines = [line for line in self.outbox.lines() if line["n"] > self.state.sent]
        if not lines:
            return 0
        try:
            if self.state.run is None:
                self._find_run()
            for group in _grouped(lines):
                self._send_group(group)
                self._note(group[-1]["n"])
        except MlflowException as failed:
            raise _explained(failed, self.state) from failed
        self.state.problem = None
        self.outbox.write_sent(self.state)
        return len(lines)

    def _note(self, number: int) -> None:
        self.state.sent = number
        self.outbox.write_sent(self.state)

    def _find_run(self) -> None:
        """Find this outbox's run on the server, or make it."""
        begin = next(line for line in self.outbox.lines() if line["kind"] == "begin")
        name = begin["experiment"]
        experiment = self.client.get_experiment_by_name(name)
        if experiment is not None and experiment.lifecycle_stage != "active":
            raise TrackingRefusedError(
                f"{self.state.uri}: the experiment {name!r} was deleted there. Fix: restore it: "
                f"mlflow experiments restore --experiment-id {experiment.experiment_id}"
            )
        self.state.experiment = (
            self.client.create_experiment(name)
            if experiment is None
            else str(experiment.experiment_id)
        )
        found = self.client.search_runs(
            [self.state.experiment],
            f"tags.`{RUN_KEY}` = '{self.outbox.key}'",
            run_view_type=ViewType.ACTIVE_ONLY,
        )
        if found:
            self.state.run = found[0].info.run_id
        else:
            made = self.client.create_run(
                self.state.experiment,
                start_time=begin["started"],
                tags={RUN_KEY: self.outbox.key},
                run_name=begin["name"],
            )
            self.state.run = made.info.run_id
        self.outbox.write_sent(self.state)

    @property
    def _run(self) -> str:
        if self.state.run is None:
            raise ValueError("no run was found or made")
        return self.state.run

    def _send_group(self, group: list[dict[str, Any]]) -> None:
        """Send lines in one request; where the server refuses one of them, each alone."""
        try:
            self._send_lines(group)
        except MlflowException as failed:
            code = http_status(failed)
            passing = code not in _CLIENT_ERRORS or code in _PASSING or code in _UNAUTHORISED
            if passing or self._run_is_gone():
                raise
            if len(group) > 1:
                for line in group:
                    self._send_group([line])
                return
            self._refuse(group[0], str(failed))

    def _run_is_gone(self) -> bool:
        return self.client.get_run(self._run).info.lifecycle_stage != "active"

    def _refuse(self, line: Mapping[str, Any], why: str) -> None:
        refused = {"n": line["n"], "key": line["key"], "why": why[:500]}
        if refused not in self.state.refused:
            self.state.refused.append(refused)

    def _send_lines(self, group: list[dict[str, Any]]) -> None:
        kind = group[0]["kind"]
        if kind in _BATCHED:
            self._log_batch(group)
        elif kind == "artifact":
            self._upload(group[0])
        elif kind == "model":
            if self._upload(group[0]):
                ModelRegistry(self.client, group[0]["model"]).register(self._run, group[0])
        elif kind == "champion":
            ModelRegistry(self.client, group[0]["model"]).decide(group[0])
        elif kind == "dataset":
            self._log_dataset(group[0])
        elif kind == "status":
            self._set_status(group[0])

    def _log_batch(self, group: Iterable[Mapping[str, Any]]) -> None:
        metrics, params, tags = [], [], []
        for line in group:
            if line["kind"] == "metric":
                metrics.append(Metric(line["name"], line["value"], line["time"], line["step"]))
            elif line["kind"] == "param":
                params.append(Param(line["name"], line["value"]))
            else:
                tags.append(RunTag(line["name"], line["value"]))
        self.client.log_batch(self._run, metrics=metrics, params=params, tags=tags)

    def _upload(self, line: Mapping[str, Any]) -> bool:
        """Upload a file; return whether the server has it now."""
        if line["texts"] and privacy_settings.hides_texts():
            self._refuse(line, "it holds texts, and none may leave here")
            return False
        path = self.outbox.kept_file(line)
        if not path.is_file():
            path = Path(line["origin"])
            if not path.is_file() or hashing.sha256(path) != line["sha256"]:
                self._refuse(line, "the file is gone or was changed since")
                return False
        place = line["place"]
        self.client.log_artifact(self._run, str(path), place or None)
        if line["texts"]:
            name = f"{place}/{line['name']}" if place else line["name"]
            self.state.texts = sorted({*self.state.texts, name})
        self.outbox.write_sent(self.state)
        if path == self.outbox.kept_file(line):
            self.outbox.drop_file(line)
        return True

    def _log_dataset(self, line: Mapping[str, Any]) -> None:
        dataset = Dataset(
            name=line["name"],
            digest=line["sha256"][:32],  # MLflow takes 36 characters
            source_type="local",
            source=json.dumps({"uri": line["source"], "sha256": line["sha256"]}),
            profile=json.dumps({"rows": line["rows"], "sha256": line["sha256"]}),
        )
        context = InputTag("mlflow.data.context", line["context"])
        self.client.log_inputs(self._run, [DatasetInput(dataset, [context])])

    def _set_status(self, line: Mapping[str, Any]) -> None:
        if line["status"] == "RUNNING":
            self.client.update_run(self._run, status="RUNNING")
        else:
            self.client.set_terminated(self._run, line["status"], line.get("ended", line["time"]))


def _grouped(lines: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Yield lines that go in one request: figures, parameters and tags together."""
    group: list[dict[str, Any]] = []
    for line in lines:
        kind = line["kind"]
        full = sum(other["kind"] == kind for other in group) >= _MOST.get(kind, 1)
        if group and (kind not in _BATCHED or group[0]["kind"] not in _BATCHED or full):
            yield group
            group = []
        group.append(line)
    if group:
        yield group


def http_status(failed: MlflowException) -> int:
    """Return the status that a server's answer had; 500 where there was none."""
    return int(failed.get_http_status_code())  # type: ignore[no-untyped-call]


def _explained(failed: MlflowException, state: SentState) -> FlywheelError:
    code = http_status(failed)
    if code in _UNAUTHORISED:
        return TrackingRefusedError(
            f"{state.uri}: refuses this user ({code}). Fix: set MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, or mend the block."
        )
    if code in _CLIENT_ERRORS and code not in _PASSING:
        return TrackingRefusedError(f"{state.uri}: {str(failed)[:500]}")
    return TrackingOutageError(f"{state.uri}: does not answer ({_first_words(failed)})")


def _first_words(failed: MlflowException) -> str:
    cause: BaseException = failed
    while cause.__cause__ is not None:
        cause = cause.__cause__
    return f"{type(cause).__name__}: {str(cause)[:160]}"
