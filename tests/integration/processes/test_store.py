"""The artifact store: a folder, and an S3 API over HTTP; cut, damaged, refused and full."""

from __future__ import annotations

import http.server
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore import exceptions

from tasks.common import hashing
from tasks.records.s3_store import LEAST_PART_BYTES, S3Store
from tasks.records.store import LocalStore, Store, StoreError
from tests.support import s3_server
from tests.support.needs import require

if TYPE_CHECKING:
    from collections.abc import Iterator

BUCKET = "clinic"


@pytest.fixture
def remote(endpoint: str, request: pytest.FixtureRequest) -> S3Store:
    """A bucket, with a prefix of the test's own."""
    client = s3_server.client(endpoint)
    client.create_bucket(Bucket=BUCKET)
    return S3Store(client, BUCKET, f"{request.node.name}/", part_bytes=LEAST_PART_BYTES)


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Both kinds."""
    if request.param == "local":
        return LocalStore(tmp_path / "store")
    found: Store = request.getfixturevalue("remote")
    return found


def make(path: Path, size: int = 3) -> tuple[Path, str]:
    """A file that no compression and no luck makes equal to another, and its hash."""
    path.write_bytes(os.urandom(size))
    return path, hashing.sha256_file(path)


@pytest.mark.parametrize("size", [0, 3, 2 * LEAST_PART_BYTES + 17])
def test_a_file_comes_back_as_it_was(store: Store, tmp_path: Path, size: int) -> None:
    """In one piece or in parts; the second time nothing is sent."""
    path, sha256 = make(tmp_path / "file", size)
    assert store.put("a/b c/ü.bin", path, sha256) is True
    assert store.put("a/b c/ü.bin", path, sha256) is False
    store.get("a/b c/ü.bin", tmp_path / "back", sha256)
    assert (tmp_path / "back").read_bytes() == path.read_bytes()
    assert list(store.keys("a/")) == ["a/b c/ü.bin"]


def test_another_content_replaces_the_first(store: Store, tmp_path: Path) -> None:
    """The key is the place, the hash is the content."""
    for _ in range(2):
        path, sha256 = make(tmp_path / "file")
        assert store.put("key", path, sha256)
    store.get("key", tmp_path / "back", sha256)


def test_checking_leaves_nothing(store: Store) -> None:
    """The probe is gone, also from the list."""
    store.check()
    assert list(store.keys("")) == []


def test_what_is_not_there_is_told(store: Store, tmp_path: Path) -> None:
    """By name, and without a file at the target."""
    with pytest.raises(StoreError, match=r"nothing.*there is no such object"):
        store.get("nothing", tmp_path / "back", "0" * 64)
    assert not (tmp_path / "back").exists()


def test_a_damaged_object_is_not_handed_out(store: Store, tmp_path: Path) -> None:
    """Its checksum is wrong: the target keeps what it had."""
    path, sha256 = make(tmp_path / "file")
    store.put("key", path, sha256)
    if isinstance(store, S3Store):
        store.client.put_object(Bucket=BUCKET, Key=f"{store.prefix}key", Body=b"other")
    else:
        Path(store.url("key")).write_bytes(b"other")
    (tmp_path / "back").write_text("old")
    with pytest.raises(StoreError, match=f"not {sha256}") as refused:
        store.get("key", tmp_path / "back", sha256)
    assert not refused.value.transient
    assert (tmp_path / "back").read_text() == "old"
    assert sorted(one.name for one in tmp_path.iterdir() if one.is_file()) == ["back", "file"]


UPLOAD = """
import os, sys
from pathlib import Path
from tasks.common import hashing
from tasks.records.s3_store import S3Store, LEAST_PART_BYTES
from tests.support import s3_server as s3
client = s3.client(sys.argv[1])
sent = 0
def die(**_):
    global sent
    sent += 1
    if sent == 3:
        os._exit(9)
client.meta.events.register("before-send.s3.UploadPart", die)
path = Path(sys.argv[3])
S3Store(client, sys.argv[2], "cut/", part_bytes=LEAST_PART_BYTES).put(
    "model.nemo", path, hashing.sha256_file(path))
"""


def test_an_upload_that_was_cut_is_invisible_and_goes_on(endpoint: str, tmp_path: Path) -> None:
    """The process died in the third of four parts; the next sends two parts, not four."""
    client = s3_server.client(endpoint)
    client.create_bucket(Bucket=BUCKET)
    path, sha256 = make(tmp_path / "model.nemo", 3 * LEAST_PART_BYTES + 5)
    died = subprocess.run(
        [sys.executable, "-c", UPLOAD, endpoint, BUCKET, str(path)],
        check=False,
        cwd=Path(__file__).parents[3],
    )
    assert died.returncode == 9
    store = S3Store(client, BUCKET, "cut/", part_bytes=LEAST_PART_BYTES)
    assert list(store.keys("")) == []
    sent: list[int] = []
    client.meta.events.register(
        "before-parameter-build.s3.UploadPart",
        lambda params, **_: sent.append(params["PartNumber"]),
    )
    assert store.put("model.nemo", path, sha256)
    assert sent == [3, 4]
    store.get("model.nemo", tmp_path / "back", sha256)


def test_a_cut_upload_of_another_content_is_not_mixed_in(remote: S3Store, tmp_path: Path) -> None:
    """Parts that differ are sent again, and the hash that is kept is the new content's."""
    path, sha256 = make(tmp_path / "file", 2 * LEAST_PART_BYTES)
    whole = {"Bucket": BUCKET, "Key": f"{remote.prefix}key"}
    begun = remote.client.create_multipart_upload(
        **whole, ChecksumAlgorithm="SHA256", Metadata={"sha256": "0" * 64}
    )
    remote.client.upload_part(
        **whole, UploadId=begun["UploadId"], PartNumber=1, Body=os.urandom(LEAST_PART_BYTES)
    )
    with pytest.raises(StoreError) as refused:
        remote.put("key", path, sha256)
    assert refused.value.transient
    assert remote.put("key", path, sha256)
    remote.get("key", tmp_path / "back", sha256)
    assert (tmp_path / "back").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("size", [1000, 2 * LEAST_PART_BYTES + 17])
def test_a_file_that_changes_after_it_was_hashed_is_not_kept(
    store: Store, tmp_path: Path, size: int
) -> None:
    """In one piece or in parts: the key would carry another content's hash for ever."""
    path, sha256 = make(tmp_path / "file", size)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(StoreError, match=f"has changed since it was hashed.*{sha256}") as refused:
        store.put("key", path, sha256)
    assert refused.value.transient
    assert list(store.keys("")) == []
    if isinstance(store, S3Store):
        begun = store.client.list_multipart_uploads(Bucket=BUCKET, Prefix=store.prefix)
        assert "Uploads" not in begun
    assert store.put("key", path, hashing.sha256_file(path))


class Refusing(http.server.BaseHTTPRequestHandler):
    """An endpoint that answers every request with the error that its path begins with."""

    def answer(self) -> None:
        """S3's own XML; after a HEAD, the status alone."""
        length = int(self.headers.get("Content-Length") or 0)
        self.rfile.read(length)
        status, code = {
            "expired": (400, "ExpiredToken"),
            "denied": (403, "AccessDenied"),
            "slow": (503, "SlowDown"),
        }[self.path.split("/")[1]]
        body = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = answer  # noqa: N815 - the names are http.server's
    do_PUT = answer  # noqa: N815
    do_GET = answer  # noqa: N815

    def log_message(self, *_: Any) -> None:
        """Be silent."""


@pytest.fixture
def refusing() -> Iterator[str]:
    """Its address."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.parametrize(
    ("bucket", "words", "transient"),
    [
        ("expired", "the credentials have expired. Fix: renew them", False),
        ("denied", "access denied. Fix: allow", False),
        ("slow", "SlowDown", True),
    ],
)
def test_refusals_are_told_with_their_fix(
    refusing: str, bucket: str, words: str, *, transient: bool
) -> None:
    """And whether a second try can help; the secret key is in none of them."""
    with pytest.raises(StoreError, match=words) as refused:
        S3Store(s3_server.client(refusing), bucket).check()
    assert refused.value.transient is transient
    assert s3_server.ENVIRONMENT["AWS_SECRET_ACCESS_KEY"] not in str(refused.value)


@pytest.mark.parametrize(
    ("bucket", "words", "transient"),
    [
        ("expired", "the credentials have expired. Fix: renew them", False),
        ("denied", "access denied. Fix: allow", False),
        ("slow", "503", True),
    ],
)
def test_keeping_a_file_tells_why_it_was_refused(
    refusing: str, tmp_path: Path, bucket: str, words: str, *, transient: bool
) -> None:
    """It begins with a HEAD, whose refusal has no body: the error's name is asked for."""
    path, sha256 = make(tmp_path / "file")
    with pytest.raises(StoreError, match=words) as refused:
        S3Store(s3_server.client(refusing), bucket).put("key", path, sha256)
    assert refused.value.transient is transient


@pytest.mark.parametrize(
    ("wrong", "transient"),
    [
        (exceptions.NoCredentialsError(), False),
        (exceptions.PartialCredentialsError(provider="env", cred_var="key"), False),
        (exceptions.NoAuthTokenError(), False),
        (exceptions.TokenRetrievalError(provider="sso", error_msg="expired"), False),
        (exceptions.UnauthorizedSSOTokenError(), False),
        (exceptions.SSOTokenLoadError(error_msg="no file"), False),
        (exceptions.LoginRefreshRequired(), False),
        (exceptions.ProfileNotFound(profile="clinic"), False),
        (exceptions.ParamValidationError(report="no bucket"), False),
        (exceptions.EndpointConnectionError(endpoint_url="http://s3"), True),
        (exceptions.ReadTimeoutError(endpoint_url="http://s3"), True),
        (exceptions.ConnectionClosedError(endpoint_url="http://s3"), True),
        (exceptions.ResponseStreamingError(error="cut"), True),
        (exceptions.IncompleteReadError(actual_bytes=1, expected_bytes=2), True),
        (exceptions.CredentialRetrievalError(provider="iam-role", error_msg="silent"), True),
    ],
)
def test_only_what_may_pass_is_tried_again(
    wrong: Exception, tmp_path: Path, *, transient: bool
) -> None:
    """A login that has ended stays so; a network, and a service that hands out keys, come back."""
    client = s3_server.client("http://127.0.0.1:9")

    def fail(**_: Any) -> None:
        raise wrong

    client.meta.events.register("before-send.s3", fail)
    path, sha256 = make(tmp_path / "file")
    with pytest.raises(StoreError, match="Fix: look at the endpoint") as refused:
        S3Store(client, BUCKET).put("key", path, sha256)
    assert refused.value.transient is transient


def test_no_such_bucket(endpoint: str) -> None:
    """It is not made up."""
    with pytest.raises(StoreError, match="there is no such bucket"):
        S3Store(s3_server.client(endpoint), "never-made").check()


def test_an_endpoint_that_is_away_may_come_back() -> None:
    """A second try can help."""
    with pytest.raises(StoreError, match="Fix: look at the endpoint") as refused:
        S3Store(s3_server.client("http://127.0.0.1:9"), BUCKET).check()
    assert refused.value.transient


def test_encryption_is_asked_for(endpoint: str, tmp_path: Path) -> None:
    """Server-side, for small objects and for parts."""
    client = s3_server.client(endpoint)
    client.create_bucket(Bucket=BUCKET)
    store = S3Store(client, BUCKET, "sse/", "AES256", part_bytes=LEAST_PART_BYTES)
    for size in (3, LEAST_PART_BYTES + 1):
        path, sha256 = make(tmp_path / "file", size)
        store.put("key", path, sha256)
        head = client.head_object(Bucket=BUCKET, Key="sse/key")
        assert head["ServerSideEncryption"] == "AES256"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    require("mount")
    line = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)]
    subprocess.run(line, check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_leaves_what_a_folder_kept(small_disk: Path, tmp_path: Path) -> None:
    """Nothing is half-visible, and nothing temporary stays."""
    store = LocalStore(small_disk)
    path, sha256 = make(tmp_path / "file", 1000)
    store.put("key", path, sha256)
    large, wanted = make(tmp_path / "large", 2 << 20)
    with pytest.raises(StoreError, match="the disk is full"):
        store.put("key", large, wanted)
    store.get("key", tmp_path / "back", sha256)
    assert [one.name for one in small_disk.iterdir()] == ["key"]


def test_a_full_disk_leaves_what_was_fetched_before(
    store: Store, small_disk: Path, tmp_path: Path
) -> None:
    """From either kind: the target keeps its content, and nothing temporary stays."""
    large, wanted = make(tmp_path / "large", 2 << 20)
    store.put("key", large, wanted)
    target = small_disk / "model.nemo"
    target.write_text("old")
    with pytest.raises(StoreError, match="the disk is full"):
        store.get("key", target, wanted)
    assert [(one.name, one.read_text()) for one in small_disk.iterdir()] == [("model.nemo", "old")]
