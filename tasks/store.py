"""Where a cycle's files are kept: a folder, or a bucket of any S3 API.

An object appears whole or not at all. Its SHA-256 travels with it and is checked whenever it comes
back. An upload that was cut is taken up again: parts that have arrived are not sent twice.
"""

from __future__ import annotations

import base64
import errno
import hashlib
import os
import uuid
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from botocore.exceptions import (
    BotoCoreError,
    ChecksumError,
    ClientError,
    ConnectionError,  # noqa: A004 - botocore's name for it
    CredentialRetrievalError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    MetadataRetrievalError,
)

from tasks import files
from tasks.errors import FlywheelError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from hashlib import _Hash
    from pathlib import Path

# S3 takes no smaller part but the last.
LEAST_PART_BYTES = 5 << 20
_CHUNK_BYTES = 1 << 20
_HASH = "sha256"
_PROBE = ".asr-flywheel-probe"
_REMEDIES = {
    "ExpiredToken": "the credentials have expired. Fix: renew them",
    "ExpiredTokenException": "the credentials have expired. Fix: renew them",
    "InvalidToken": "the session token is wrong. Fix: renew the credentials",
    "RequestTimeTooSkewed": "this host's clock is wrong. Fix: set it, best by NTP",
    "InvalidAccessKeyId": "the store does not know the access key. Fix: mend the credentials",
    "SignatureDoesNotMatch": "the secret key is wrong. Fix: mend the credentials",
    "AccessDenied": "access denied. Fix: allow reading, writing and listing for this key",
    "NoSuchBucket": "there is no such bucket. Fix: create it, or mend its name",
    "NoSuchKey": "there is no such object",
    "404": "there is no such object or bucket",
    "403": "access denied. Fix: allow reading, writing and listing for this key",
    "BadDigest": "it arrived with another checksum than it was sent with. Fix: try again",
    "QuotaExceeded": "the store is full. Fix: free space in it",
    "XMinioStorageFull": "the store is full. Fix: free space in it",
}
_ABSENT = {"404", "NoSuchKey", "NotFound"}
# What a refused HEAD says: the answer has no body, so its status is all that boto3 can tell.
_MUTE = {"400", "403"}
_TRANSIENT = {"BadDigest", "SlowDown", "InternalError", "ServiceUnavailable", "RequestTimeout"}
_SERVER_ERROR = 500
# What may pass: the network, and a service that hands out short-lived keys. All else of boto3's is
# about this host's settings: no key, a profile that is not there, a login that has ended.
_PASSING = (
    ConnectionError,
    HTTPClientError,
    IncompleteReadError,
    ChecksumError,
    FlexibleChecksumError,
    MetadataRetrievalError,
    CredentialRetrievalError,
)


class StoreError(FlywheelError):
    """Something could not be kept or brought back; whether a second try can help."""

    def __init__(self, message: str, *, transient: bool = False) -> None:
        self.transient = transient
        super().__init__(message)


class Store(Protocol):
    """A place for objects, which are files under a key with slashes."""

    def url(self, key: str) -> str:
        """Where a person finds an object."""

    def check(self) -> None:
        """Make sure, before anything is spent, that objects can be written.

        Raises:
            StoreError: they cannot.
        """

    def put(self, key: str, path: Path, sha256: str) -> bool:
        """Keep a file; False if it was there already, byte for byte.

        Raises:
            StoreError: it could not be kept; no part of it is visible.
        """

    def get(self, key: str, target: Path, sha256: str) -> None:
        """Bring a file back.

        Raises:
            StoreError: it is not there or not what was kept; ``target`` is as it was.
        """

    def read(self, key: str) -> bytes:
        """The content of a small object.

        Raises:
            StoreError: it is not there.
        """

    def write(self, key: str, content: bytes) -> None:
        """Keep a small object.

        Raises:
            StoreError: it could not be kept.
        """

    def keys(self, prefix: str) -> Iterator[str]:
        """The keys that begin so, in order.

        Raises:
            StoreError: the store does not answer.
        """


@dataclass(frozen=True, slots=True)
class LocalStore:
    """A folder of this machine, or one that is mounted here."""

    root: Path

    def url(self, key: str) -> str:
        """The file."""
        return str(self.root / key)

    def check(self) -> None:
        """Write a file and remove it."""
        self.write(f"{_PROBE}-{uuid.uuid4().hex}", b"")
        for probe in self.root.glob(f"{_PROBE}-*"):
            probe.unlink(missing_ok=True)

    def put(self, key: str, path: Path, sha256: str) -> bool:
        """Copy it beside its place, check it, and rename it there."""
        target = self.root / key
        if target.is_file() and files.sha256_file(target) == sha256:
            return False
        with _disk(target), path.open("rb") as source:
            _receive(source, target, partial(_require_unchanged, path, sha256))
        return True

    def get(self, key: str, target: Path, sha256: str) -> None:
        """Copy it back."""
        with _disk(target), (self.root / key).open("rb") as source:
            _receive(source, target, partial(_require_kept, self.url(key), sha256))

    def read(self, key: str) -> bytes:
        """Read a file."""
        with _disk(self.root / key):
            return (self.root / key).read_bytes()

    def write(self, key: str, content: bytes) -> None:
        """Write a file."""
        with _disk(self.root / key), files.atomic_path(self.root / key) as temporary:
            temporary.write_bytes(content)
            _flush(temporary)

    def keys(self, prefix: str) -> Iterator[str]:
        """Every file under the folder, but those that are still being written."""
        folder, _, _ = prefix.rpartition("/")
        start = self.root / folder
        for path in sorted(start.rglob("*")):
            key = path.relative_to(self.root).as_posix()
            if path.is_file() and not path.name.startswith(".") and key.startswith(prefix):
                yield key


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    """What a file system refuses, as errors of the store."""
    try:
        yield
    except InputError as wrong:
        raise StoreError(str(wrong)) from wrong
    except FileNotFoundError as wrong:
        raise StoreError(f"{wrong.filename}: there is no such object.") from wrong
    except OSError as wrong:
        full = wrong.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
        what = "the disk is full. Fix: free space" if full else str(wrong)
        raise StoreError(f"{path}: {what}.") from wrong


def _receive(source: BinaryIO, target: Path, require: Callable[[_Hash], None]) -> None:
    """Write a stream beside its place, check what was written, and rename it there."""
    with files.atomic_path(target) as temporary:
        digest = hashlib.sha256()
        with temporary.open("wb") as out:
            while chunk := source.read(_CHUNK_BYTES):
                digest.update(chunk)
                out.write(chunk)
        _flush(temporary)
        require(digest)


def _flush(path: Path) -> None:
    """Make sure that it is on the disk before its name says so."""
    with path.open("rb") as written:
        os.fsync(written.fileno())


@dataclass(frozen=True, slots=True)
class S3Store:
    """A bucket, through boto3.

    Attributes:
        client: boto3's S3 client, with endpoint and credentials.
        bucket: its name.
        prefix: before every key; "" or with a slash at its end.
        encryption: server-side: "AES256", "aws:kms", or "" for the bucket's own default.
        kms_key_id: for "aws:kms"; "" for the account's default key.
        part_bytes: larger files go in parts of this size.
    """

    client: Any
    bucket: str
    prefix: str = ""
    encryption: str = ""
    kms_key_id: str = ""
    part_bytes: int = 64 << 20
    _options: dict[str, str] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        if self.part_bytes < LEAST_PART_BYTES:
            raise ValueError(f"parts have at least {LEAST_PART_BYTES} bytes")
        if self.encryption:
            self._options["ServerSideEncryption"] = self.encryption
        if self.kms_key_id:
            self._options["SSEKMSKeyId"] = self.kms_key_id

    def url(self, key: str) -> str:
        """The object's s3:// address."""
        return f"s3://{self.bucket}/{self.prefix}{key}"

    def check(self) -> None:
        """Write an object and remove it."""
        key = f"{_PROBE}-{uuid.uuid4().hex}"
        self.write(key, b"")
        with self._answers(key):
            self.client.delete_object(Bucket=self.bucket, Key=self.prefix + key)

    def put(self, key: str, path: Path, sha256: str) -> bool:
        """Send it, in parts if it is large; S3 shows an object only when it is whole."""
        if self._sha256_of(key) == sha256:
            return False
        with _disk(path), self._answers(key):
            if path.stat().st_size <= self.part_bytes:
                content = path.read_bytes()
                _require_unchanged(path, sha256, hashlib.sha256(content))
                self._put_whole(key, content, sha256)
            else:
                self._put_parts(key, path, sha256)
        if self._sha256_of(key) != sha256:
            # An upload that somebody began with another content was taken up again.
            with self._answers(key):
                self.client.delete_object(Bucket=self.bucket, Key=self.prefix + key)
            raise StoreError(f"{self.url(key)}: was sent wrongly. Try again.", transient=True)
        return True

    def get(self, key: str, target: Path, sha256: str) -> None:
        """Fetch it."""
        with self._answers(key), _disk(target):
            body = self.client.get_object(Bucket=self.bucket, Key=self.prefix + key)["Body"]
            _receive(body, target, partial(_require_kept, self.url(key), sha256))

    def read(self, key: str) -> bytes:
        """Fetch a small object."""
        with self._answers(key):
            found = self.client.get_object(Bucket=self.bucket, Key=self.prefix + key)
            return bytes(found["Body"].read())

    def write(self, key: str, content: bytes) -> None:
        """Send a small object."""
        with self._answers(key):
            self._put_whole(key, content, hashlib.sha256(content).hexdigest())

    def keys(self, prefix: str) -> Iterator[str]:
        """List the bucket."""
        with self._answers(prefix):
            pages = self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=self.prefix + prefix
            )
            for page in pages:
                for one in page.get("Contents", []):
                    yield one["Key"].removeprefix(self.prefix)

    def _sha256_of(self, key: str) -> str | None:
        """The hash that an object was kept with; None if there is none."""
        with self._answers(key):
            try:
                found = self.client.head_object(Bucket=self.bucket, Key=self.prefix + key)
            except ClientError as wrong:
                code = wrong.response["Error"]["Code"]
                if code in _ABSENT:
                    return None
                if code in _MUTE:
                    self._learn_why(key)
                raise
        return str(found["Metadata"].get(_HASH, ""))

    def _learn_why(self, key: str) -> None:
        """Ask for the object itself: what is refused then has a body, with the error's name.

        Raises:
            ClientError: of botocore, with that name.
        """
        self.client.get_object(Bucket=self.bucket, Key=self.prefix + key)["Body"].close()

    def _put_whole(self, key: str, content: bytes, sha256: str) -> None:
        self.client.put_object(
            Bucket=self.bucket,
            Key=self.prefix + key,
            Body=content,
            ChecksumSHA256=base64.b64encode(bytes.fromhex(sha256)).decode(),
            Metadata={_HASH: sha256},
            **self._options,
        )

    def _put_parts(self, key: str, path: Path, sha256: str) -> None:
        whole = {"Bucket": self.bucket, "Key": self.prefix + key}
        upload, arrived = self._unfinished(key)
        if upload is None:
            upload = self.client.create_multipart_upload(
                **whole, ChecksumAlgorithm="SHA256", Metadata={_HASH: sha256}, **self._options
            )["UploadId"]
        parts = []
        digest = hashlib.sha256()
        with path.open("rb") as source:
            number = 0
            while content := source.read(self.part_bytes):
                number += 1
                digest.update(content)
                checksum = base64.b64encode(hashlib.sha256(content).digest()).decode()
                known = arrived.get(number)
                if known is None or not _is(known, content, checksum):
                    known = self.client.upload_part(
                        **whole,
                        UploadId=upload,
                        PartNumber=number,
                        Body=content,
                        ChecksumSHA256=checksum,
                    )
                parts.append(
                    {"PartNumber": number, "ETag": known["ETag"], "ChecksumSHA256": checksum}
                )
        try:
            _require_unchanged(path, sha256, digest)
        except StoreError:
            with suppress(ClientError, BotoCoreError):
                self.client.abort_multipart_upload(**whole, UploadId=upload)
            raise
        self.client.complete_multipart_upload(
            **whole, UploadId=upload, MultipartUpload={"Parts": parts}
        )

    def _unfinished(self, key: str) -> tuple[str | None, dict[int, dict[str, Any]]]:
        """An upload of this key that was cut, and its parts by number."""
        found = self.client.list_multipart_uploads(Bucket=self.bucket, Prefix=self.prefix + key)
        uploads = [one for one in found.get("Uploads", []) if one["Key"] == self.prefix + key]
        if not uploads:
            return None, {}
        newest = max(uploads, key=lambda one: str(one["Initiated"]))["UploadId"]
        pages = self.client.get_paginator("list_parts").paginate(
            Bucket=self.bucket, Key=self.prefix + key, UploadId=newest
        )
        parts = {part["PartNumber"]: part for page in pages for part in page.get("Parts", [])}
        return newest, parts

    @contextmanager
    def _answers(self, key: str) -> Iterator[None]:
        """What the endpoint refuses, and its silence, as errors of the store."""
        try:
            yield
        except ClientError as wrong:
            code = str(wrong.response["Error"]["Code"])
            status = wrong.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            what = _REMEDIES.get(code, f"{code}: {wrong.response['Error'].get('Message', '')}")
            raise StoreError(
                f"{self.url(key)}: {what}.",
                transient=code in _TRANSIENT or status >= _SERVER_ERROR,
            ) from wrong
        except BotoCoreError as wrong:
            raise StoreError(
                f"{self.url(key)}: {wrong}. Fix: look at the endpoint, the network and the "
                "credentials.",
                transient=isinstance(wrong, _PASSING),
            ) from wrong


def _require_kept(name: str, sha256: str, found: _Hash) -> None:
    """Refuse to hand out another content than was kept.

    Raises:
        StoreError: what came back is not that.
    """
    if found.hexdigest() != sha256:
        raise StoreError(
            f"{name}: its SHA-256 is {found.hexdigest()}, not {sha256}, which was kept. "
            "It was changed or cut. Fix: bring it back from a backup, or run the cycle again."
        )


def _require_unchanged(path: Path, sha256: str, sent: _Hash) -> None:
    """Refuse to keep another content under a hash; a second try hashes the file again.

    Raises:
        StoreError: what was read is not what was hashed before.
    """
    if sent.hexdigest() != sha256:
        raise StoreError(
            f"{path}: has changed since it was hashed ({sha256}). Fix: leave the cycle's files "
            "alone while a run works on them, and try again.",
            transient=True,
        )


def _is(part: dict[str, Any], content: bytes, checksum: str) -> bool:
    """Whether a part that has arrived is this one.

    Not every endpoint tells a part's SHA-256; then its ETag counts, which is the content's MD5 and,
    with a key of KMS, something else: such a part is sent again.
    """
    if "ChecksumSHA256" in part:
        return bool(part["ChecksumSHA256"] == checksum)
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return bool(part["ETag"].strip('"') == md5)
