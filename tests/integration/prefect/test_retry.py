"""A run that meets a restarted server and a store that is away, and is retried from the UI."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from prefect_aws import AwsClientParameters, AwsCredentials
from pydantic import SecretStr

from blocks.stores import S3ArtifactStore
from tasks.common import atomic_files
from tasks.records import archive
from tests.support import prefect_site, s3_server, stub_programs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asr_flywheel.site.local_site import Site

BLOCK = "retry-clinic"
BUCKET = "clinic"


@dataclass
class Story:
    """What was seen of the run at each point."""

    run: str
    model: bytes = b""
    failed_log: list[str] = field(default_factory=list)
    after_failure: dict[str, str] = field(default_factory=dict)
    stored_then: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def store() -> Iterator[s3_server.Server]:
    """An S3 API that is there, for now."""
    server = s3_server.Server()
    try:
        server.on(BUCKET)
        yield server
    finally:
        server.off()


@pytest.fixture(scope="module")
def cycle(made_cycle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cycle of the story."""
    return Path(shutil.copytree(made_cycle, tmp_path_factory.mktemp("retry") / "clinic" / "cycle1"))


@pytest.fixture(scope="module")
def block(site: Site, store: s3_server.Server) -> S3ArtifactStore:
    """The store as the site knows it."""
    made = S3ArtifactStore(
        bucket=BUCKET,
        prefix="asr/",
        credentials=AwsCredentials(
            aws_access_key_id=s3_server.ENVIRONMENT["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=SecretStr(s3_server.ENVIRONMENT["AWS_SECRET_ACCESS_KEY"]),
            region_name=s3_server.ENVIRONMENT["AWS_DEFAULT_REGION"],
            aws_client_parameters=AwsClientParameters(endpoint_url=store.endpoint),
        ),
    )
    with prefect_site.speaking_to(site):
        made.save(BLOCK)
    return made


@pytest.fixture(scope="module")
def story(site: Site, cycle: Path, store: s3_server.Server, block: S3ArtifactStore) -> Story:
    """Server restarted and store gone while it trains; failed; store back; retried."""
    store_name = f"{block.get_block_type_slug()}/{BLOCK}"
    with stub_programs.held(cycle):
        told = Story(prefect_site.launch(site, prefect_site.quick(cycle, store=store_name)))
        prefect_site.trains(site, told.run, cycle)
        store.off()
        site.stop("server")
        site.start_server()
    prefect_site.ends(site, told.run, "Failed")
    told.model = model(cycle).read_bytes()
    prefect_site.says(site, told.run, "Finished in state Failed")
    told.failed_log = prefect_site.log(site, told.run)
    told.after_failure = prefect_site.task_runs(site, told.run)
    store.on(BUCKET)
    told.stored_then = list(block.open().keys(""))
    prefect_site.retry(site, told.run)
    prefect_site.ends(site, told.run, "Completed")
    return told


def model(cycle: Path) -> Path:
    """The one tuned model."""
    (found,) = cycle.glob("models/*/adapted_model.nemo")
    return found


def test_a_restarted_server_loses_nothing_of_the_run(site: Site, story: Story) -> None:
    """Every stage is recorded with its end, though the server was away while one of them ran."""
    assert story.after_failure.pop("keep-artifacts") == "Failed"
    assert set(story.after_failure) >= {"gate-check", "sft", "offline-transcribe", "decide"}
    assert set(story.after_failure.values()) == {"Completed"}
    told = "\n".join(story.failed_log)
    for line in ("gate: passed", "best epoch 1", "decision: "):
        assert line in told
    made = prefect_site.call(
        site, "POST", "artifacts/filter", artifacts={"flow_run_id": {"any_": [story.run]}}
    )
    keys = {one["key"].rpartition("-")[2] for one in made if one["key"]}
    assert {"gate", "training", "leaderboard", "diff", "decision", "store"} <= keys


def test_a_retry_when_the_store_is_back_does_not_train_again(
    site: Site, cycle: Path, story: Story
) -> None:
    """Nothing was visible in the store before; the run ends well, and training began once."""
    assert story.stored_then == []
    assert any("Connect" in line or "endpoint" in line for line in story.failed_log)
    assert model(cycle).read_bytes() == story.model
    info = json.loads(model(cycle).with_name("training_run_info.json").read_text())
    assert info["starts"] == [{"epoch": 0, "step": 0}]
    prefect_site.says(site, story.run, "already trained with the same content")
    log = prefect_site.log(site, story.run)
    assert sum("sft: 1 epoch" in line or "sft: one epoch" in line for line in log) == 1
    record = json.loads((cycle.parent / "cycle2" / "run.json").read_text())
    assert record["sft"]["reused"] is True
    assert [one["rows_decoded"] for one in record["transcription"]] == [0, 0, 0]
    assert set(prefect_site.task_runs(site, story.run).values()) == {"Completed"}


def test_the_store_holds_the_run_whole(
    cycle: Path, story: Story, block: S3ArtifactStore, tmp_path: Path
) -> None:
    """Under the id that the UI shows; every file comes back with its hash."""
    place = block.open()
    (run,) = archive.runs(place)
    assert run.run == story.run
    archive.fetch(place, run, tmp_path)
    back: dict[str, Any] = atomic_files.read_json(tmp_path / "cycle2" / "run.json")
    assert back == atomic_files.read_json(cycle.parent / "cycle2" / "run.json")
