"""What Prefect's server still shows of a purged recording: artifacts, and runs by their logs.

Artifacts can be deleted by the API. A run's log goes with its run, which the server's retention
or the UI deletes; it is named here by its id.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.exceptions import ObjectNotFound
from prefect.settings import get_current_settings

from flows import prefect_helpers
from tasks.common.shell_words import in_shell
from tasks.data.cycle_folder import clinic_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from prefect.client.orchestration import SyncPrefectClient

    from tasks.data.cycle_folder import Cycle
    from tasks.privacy.traces import RecordingTraces

Item = TypeVar("Item")
_PAGE = 200


@dataclass(frozen=True, slots=True)
class ServerTrace:
    """One thing of the server that shows a recording.

    Attributes:
        kind: artifact, or flow run.
        id: its id.
        name: the artifact's key, or "log".
        deletable: whether ``--delete-artifacts`` deletes it.
    """

    kind: str
    id: str
    name: str
    deletable: bool

    def __str__(self) -> str:
        return f"{self.kind} {self.id} ({self.name})"

    def as_dict(self) -> dict[str, Any]:
        """Return the trace for programs."""
        return asdict(self)


def how_to_delete_runs() -> str:
    """Return where the runs that were found are kept, and the command that deletes one.

    Without a named server there is no UI: runs are in a database below PREFECT_HOME, for which
    Prefect's command starts a server of its own, as ours did.
    """
    settings = get_current_settings()
    if prefect_helpers.is_named():
        return (
            f"A flow run's log goes with its run, on the server {settings.api.url}: "
            "prefect flow-run delete ID, or the UI."
        )
    return (
        f"A flow run's log goes with its run. No server is named, so that they are in "
        f"{settings.home}/prefect.db: PREFECT_HOME={in_shell(settings.home)} prefect flow-run "
        "delete ID"
    )


def find_traces(cycle: Cycle, traces: RecordingTraces) -> list[ServerTrace]:
    """List the artifacts of a clinic and the runs whose logs show a recording."""
    with get_client(sync_client=True) as client:
        names = clinic_names(cycle)
        found = [trace for name in names for trace in _artifacts(client, name, traces)]
        return [*found, *_runs(client, traces)]


def _artifacts(
    client: SyncPrefectClient, clinic: str, traces: RecordingTraces
) -> Iterator[ServerTrace]:
    # The same filter serves as the artifacts' pages are read: each key is one of the clinic's.
    wanted = ArtifactFilter(key=ArtifactFilterKey(like_=f"{clinic}-%"))
    pages = _pages(
        lambda offset: client.read_artifacts(artifact_filter=wanted, limit=_PAGE, offset=offset)
    )
    for artifact in pages:
        if traces.tells(f"{artifact.data} {artifact.description}"):
            yield ServerTrace("artifact", str(artifact.id), str(artifact.key), deletable=True)


def _runs(client: SyncPrefectClient, traces: RecordingTraces) -> Iterator[ServerTrace]:
    """Yield the runs whose parameters, last message or log show a recording, each once."""
    runs = _pages(lambda offset: client.read_flow_runs(limit=_PAGE, offset=offset))
    said: dict[str, str] = {}
    for run in runs:
        message = "" if run.state is None else run.state.message or ""
        if traces.tells(f"{json.dumps(run.parameters, default=str)} {message}"):
            said[str(run.id)] = "its parameters or its last message"
    for log in _pages(lambda offset: client.read_logs(limit=_PAGE, offset=offset)):
        if log.flow_run_id is not None and traces.tells(log.message):
            said.setdefault(str(log.flow_run_id), "its log")
    for run_id, where in sorted(said.items()):
        yield ServerTrace("flow run", run_id, where, deletable=False)


def _pages(read: Callable[[int], Sequence[Item]]) -> Iterator[Item]:
    offset = 0
    while page := read(offset):
        yield from page
        offset += len(page)


def delete_artifacts(found: Iterable[ServerTrace]) -> int:
    """Delete artifacts by their ids; return how many there were.

    One that somebody else has deleted meanwhile counts too.
    """
    count = 0
    with get_client(sync_client=True) as client:
        for trace in found:
            with suppress(ObjectNotFound):
                client.delete_artifact(UUID(trace.id))
            count += 1
    return count
