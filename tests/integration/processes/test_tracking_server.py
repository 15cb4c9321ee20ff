"""An outbox and a real MLflow server, which is killed while the outbox grows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tasks.records.tracking.outbox import Outbox, SentState
from tasks.records.tracking.sending import SendingProcess, describe
from tasks.records.tracking.server_target import TrackingTarget
from tests.support.mlflow_server import MlflowServer, running_server
from tests.support.prefect_site import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.needs("mlflow-server")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MlflowServer]:
    """A server that runs."""
    with running_server(tmp_path / "mlflow") as found:
        yield found


def begin(outbox: Outbox, cycle: int) -> Outbox:
    """Append a run's beginning."""
    outbox.add("begin", "run", experiment="ward", name=f"cycle {cycle}", started=cycle)
    outbox.add("status", "run", status="RUNNING")
    outbox.add_parameter("seed", 42)
    outbox.add_tag("cycle", cycle)
    return outbox


def keep(outbox: Outbox, folder: Path, cycle: int, standing: dict[str, Any]) -> None:
    """Append a kept model, and who is champion and candidate then."""
    model = folder / f"model{cycle}.nemo"
    model.write_text(f"weights of cycle {cycle}")
    outbox.add_file(
        model, f"model-{cycle}", texts=False, kind="model",
        model="ward", model_sha256=f"sha-{cycle}", cycle=cycle,
    )  # fmt: skip
    outbox.add_standing("ward", standing)


def aliases(server: MlflowServer) -> dict[str, str]:
    """The versions that have an alias."""
    found = server.client.get_registered_model("ward").aliases
    return {name: str(version) for name, version in found.items()}


def sent_twice(server: MlflowServer, outbox: Outbox, target: TrackingTarget) -> list[Any]:
    """Send an outbox from its beginning once more; what the server has of the run then."""
    outbox.write_sent(SentState(target.uri))
    SendingProcess([outbox], target).finish(None)
    return what_is_there(server)


def what_is_there(server: MlflowServer) -> list[Any]:
    """Each run with every value of its figures; and the model's versions."""
    found: list[Any] = [
        (
            run.data.params,
            run.data.tags["cycle"],
            {
                name: sorted(
                    (one.step, one.value)
                    for one in server.client.get_metric_history(run.info.run_id, name)
                )
                for name in run.data.metrics
            },
            server.files(run),
            run.info.status,
        )
        for run in server.runs("ward")
    ]
    return [*found, len(server.client.search_model_versions("name='ward'"))]


def test_a_killed_server_gets_everything_once(server: MlflowServer, tmp_path: Path) -> None:
    """Lines go while the run goes on; those of an outage follow; an older run undoes nothing."""
    target = TrackingTarget(server.uri)
    first = begin(Outbox(tmp_path / "ward/cycle1/.tracking/first"), 1)
    keep(first, tmp_path, 1, {"champion": "sha-1", "candidate": "sha-1", "decided": 1})
    second = begin(Outbox(tmp_path / "ward/cycle2/.tracking/second"), 2)
    sending = SendingProcess([second], target)
    second.add_metric("train/val_wer", 0.5, 1)
    wait_for(lambda: second.read_sent(server.uri).sent == 5)
    server.off()
    second.add_metric("train/val_wer", 0.4, 2)
    second.add_metric("KER (all) %", 0.3)
    wait_for(lambda: second.read_sent(server.uri).problem is not None)
    second.lines()
    state = second.read_sent(server.uri)
    assert "2 of 7 entries are not sent yet" in describe(second, state)
    assert "does not answer" in describe(second, state)
    server.on()
    keep(second, tmp_path, 2, {"champion": "sha-2", "candidate": "sha-2", "decided": 2})
    report = tmp_path / "report.html"
    report.write_text("<p>a text")
    second.add_file(report, "", texts=True)
    second.add("status", "run", status="FINISHED")
    (state,) = sending.finish(None)
    assert (state.sent, state.refused, state.texts) == (11, [], ["report.html"])
    assert aliases(server) == {"champion": "1", "candidate": "1"}
    # The cycle before was kept while the server was away: it is sent last, and changes no alias.
    SendingProcess([first], target).finish(None)
    assert aliases(server) == {"champion": "1", "candidate": "1"}
    version = server.client.get_model_version_by_alias("ward", "champion")
    assert version.tags["model_sha256"] == "sha-2"
    there = what_is_there(server)
    assert [run[1] for run in there[:-1]] == ["1", "2"]
    assert there[1][2]["train/val_wer"] == [(1, 0.5), (2, 0.4)]
    assert there[1][3:] == ({"report.html", "model-2/model2.nemo"}, "FINISHED")
    assert there[-1] == 2
    assert sent_twice(server, second, target) == there
