"""The NeMo container block in a real engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tasks.common.errors import TrainingError
from tasks.runtimes import docker_engine
from tests.support import docker_daemon
from tests.support.nemo_container_cases import LABELS, block

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def client() -> Any:
    """The engine; every test leaves no container."""
    found = docker_daemon.client()
    yield found
    assert docker_engine.orphans(found, LABELS) == []


def test_trigger_wait_fetch(client: Any, tmp_path: Path) -> None:
    """The output folder gets what the command writes; the result names the image by its digest."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "words").write_text("aspirin\n")
    (tmp_path / "out").mkdir()
    run = block(
        client,
        "sh",
        "-c",
        "cat /workspace/in/words >/workspace/out/copy",
        inputs={"/workspace/in": tmp_path / "in"},
        output=tmp_path / "out",
    ).trigger()
    with pytest.raises(TrainingError, match="has not ended"):
        run.fetch_result()
    assert client.containers.get(run.container_id)
    run.wait_for_completion()
    assert run.fetch_result().image.startswith("sha256:")
    assert (tmp_path / "out" / "copy").read_text() == "aspirin\n"


def test_a_failure_tells_the_end_of_the_output(client: Any) -> None:
    """Exit code and last words are in the message."""
    with pytest.raises(TrainingError, match=r"exit code 3(.|\n)*the reason"):
        block(client, "sh", "-c", "echo the reason; exit 3").run()


def test_an_interrupted_wait_leaves_no_container(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a run is cancelled: what interrupts the waiting ends the container."""
    run = block(client, "sh", "-c", "echo up; sleep 600").trigger()

    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "_line", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run.wait_for_completion()
