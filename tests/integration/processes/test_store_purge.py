"""A recording leaves a store: a folder, and a bucket with versions behind a real S3 API."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tasks.common import hashing
from tasks.privacy import purge
from tasks.privacy.purge import PurgeRequest
from tasks.privacy.store_purge import purge_store
from tasks.records import archive
from tasks.records.s3_store import LEAST_PART_BYTES, S3Store
from tasks.records.store import LocalStore, StoreError
from tests.support import s3_server
from tests.support.archive_cases import finished_cycle, keep

if TYPE_CHECKING:
    from pathlib import Path

    from tasks.data.cycle_folder import Cycle
    from tasks.records.store import Store

TEXT = "the doctor wrote aspirin into the chart"
CLINIC = "my-clinic/"


@pytest.fixture
def remote(endpoint: str, request: pytest.FixtureRequest) -> S3Store:
    """A bucket with versions, and a prefix of the test's own."""
    client = s3_server.client(endpoint)
    bucket = request.node.name.partition("[")[0].replace("_", "-")[:60].strip("-")
    client.create_bucket(Bucket=bucket)
    versioned = {"Status": "Enabled"}
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=versioned)
    return S3Store(client, bucket, "asr/", part_bytes=LEAST_PART_BYTES)


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Both kinds."""
    if request.param == "local":
        return LocalStore(tmp_path / "store")
    found: Store = request.getfixturevalue("remote")
    return found


def everything(store: Store) -> dict[tuple[str, str | None], bytes]:
    """Every version of every object, delete markers aside."""
    return {
        (version.key, version.version): store.read_version(version)
        for version in store.versions("")
        if not version.marker
    }


def kept_cycle(folder: Path, store: Store) -> Cycle:
    """A finished cycle whose run is kept twice, and whose list of rows changed in between."""
    cycle = finished_cycle(folder)
    keep(store, cycle)  # type: ignore[arg-type]  # its helper names one kind of store
    with cycle.manifest.open("a") as out:
        out.write("\n")
    keep(store, cycle)  # type: ignore[arg-type]
    return cycle


def test_every_version_goes_and_the_run_is_fetched_whole(store: Store, tmp_path: Path) -> None:
    """Sound, rows and hashes leave all versions; what stays fits its list of hashes."""
    cycle = kept_cycle(tmp_path, store)
    audio = cycle.path / "audio/0.wav"
    sha256 = hashing.sha256_file(audio)
    # The inbox holds the recording too, under another name and deleted since.
    store.put("inbox/cycle1/audio/other.wav", audio, sha256)
    if isinstance(store, S3Store):
        store.client.delete_object(Bucket=store.bucket, Key="asr/inbox/cycle1/audio/other.wav")
    sound = audio.read_bytes()
    request = PurgeRequest(cycle, "audio/0.wav", prefixes=("inbox/",))
    stores = {"kept": store}
    with purge.locked(request):
        plan = purge.plan_purge(request, stores)
        urls = [change.url for change in plan.stores["kept"]]
        assert any(url.endswith("inbox/cycle1/audio/other.wav") for url in urls)
        assert any(url.endswith(archive.MANIFEST) for url in urls)
        assert any(TEXT.encode() in content for content in everything(store).values())
        assert purge.apply_purge(plan, stores, lambda _: None) == []
    for (key, _), content in everything(store).items():
        assert sound != content, key
        for needle in (TEXT, sha256, "audio/0.wav"):
            assert needle.encode() not in content, (key, needle)
    assert not [key for key, _ in everything(store) if key.endswith("audio/0.wav")]
    (run,) = archive.runs(store)
    archive.fetch(store, run, tmp_path / "back")
    rows = (tmp_path / "back/cycle1/manifest.jsonl").read_text().splitlines()
    assert len([row for row in rows if row]) == 9
    assert (tmp_path / "back/cycle1/audio/1.wav").is_file()


def test_a_purge_that_was_killed_in_the_store_goes_on(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The texts that it searches for are in the journal until the end."""
    cycle = kept_cycle(tmp_path, store)
    request = PurgeRequest(cycle, "audio/0.wav")
    stores = {"kept": store}
    write = type(store).write

    def cut(self: Any, key: str, content: bytes) -> None:
        if key.endswith(archive.MANIFEST):
            raise StoreError("the network is gone", transient=True)
        write(self, key, content)

    monkeypatch.setattr(type(store), "write", cut)
    with purge.locked(request):
        plan = purge.plan_purge(request, stores)
        with pytest.raises(StoreError, match="the network is gone"):
            purge.apply_purge(plan, stores, lambda _: None)
    monkeypatch.undo()
    with purge.locked(request):
        assert purge.resume(request, stores, lambda _: None) == []
    assert not any(TEXT.encode() in content for content in everything(store).values())
    (run,) = archive.runs(store)
    archive.fetch(store, run, tmp_path / "back")


def test_unfinished_uploads_are_aborted_and_refusals_are_told(
    remote: S3Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part of an upload holds sound as well; a version that the store keeps is named."""
    cycle = kept_cycle(tmp_path, remote)
    request = PurgeRequest(cycle, "audio/0.wav")
    traces = purge.plan_purge(request, {}, dry=True).selection.traces
    key = next(one for one in remote.keys("") if one.endswith("cycle1/audio/0.wav"))
    address = {"Bucket": remote.bucket, "Key": remote.prefix + key}
    upload = remote.client.create_multipart_upload(**address)["UploadId"]
    remote.client.upload_part(**address, UploadId=upload, PartNumber=1, Body=b"sound")
    erase = S3Store.erase

    def locked(self: S3Store, version: Any) -> None:
        if version.key == key:
            raise StoreError("access denied: the object is locked")
        erase(self, version)

    monkeypatch.setattr(S3Store, "erase", locked)
    done = purge_store(remote, [CLINIC], traces, "mark")
    (refused,) = done.refused
    assert refused.url.endswith("audio/0.wav")
    assert refused.versions == 1
    listing = remote.client.list_multipart_uploads(Bucket=remote.bucket)
    assert not listing.get("Uploads")
    assert TEXT not in json.dumps(
        [content.decode(errors="replace") for content in everything(remote).values()]
    )
