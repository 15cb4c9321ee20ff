"""A bucket of any S3 API as a store.

S3 shows an object only when it is whole. An upload that was cut is taken up again: parts that have
arrived are not sent twice.
"""

from __future__ import annotations

import base64
import hashlib
import uuid
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

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

from tasks.records.store import (
    PROBE,
    StoredVersion,
    StoreError,
    disk,
    receive,
    require_kept,
    require_unchanged,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# S3 takes no smaller part but the last.
LEAST_PART_BYTES = 5 << 20
_HASH = "sha256"
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
        """Return the object's s3:// address."""
        return f"s3://{self.bucket}/{self.prefix}{key}"

    def check(self) -> None:
        """Write an object and remove it."""
        key = f"{PROBE}-{uuid.uuid4().hex}"
        self.write(key, b"")
        with self._convert_errors(key):
            self.client.delete_object(Bucket=self.bucket, Key=self.prefix + key)

    def put(self, key: str, path: Path, sha256: str) -> bool:
        """Send it, in parts if it is large; S3 shows an object only when it is whole."""
        if self.sha256_of(key) == sha256:
            return False
        with disk(path), self._convert_errors(key):
            if path.stat().st_size <= self.part_bytes:
                content = path.read_bytes()
                require_unchanged(path, sha256, hashlib.sha256(content))
                self._put_whole(key, content, sha256)
            else:
                self._put_parts(key, path, sha256)
        if self.sha256_of(key) != sha256:
            # An upload that somebody began with another content was taken up again.
            with self._convert_errors(key):
                self.client.delete_object(Bucket=self.bucket, Key=self.prefix + key)
            raise StoreError(f"{self.url(key)}: was sent wrongly. Fix: try again.", transient=True)
        return True

    def get(self, key: str, target: Path, sha256: str) -> None:
        """Fetch it."""
        with self._convert_errors(key), disk(target):
            body = self.client.get_object(Bucket=self.bucket, Key=self.prefix + key)["Body"]
            receive(body, target, partial(require_kept, self.url(key), sha256))

    def read(self, key: str) -> bytes:
        """Fetch a small object."""
        with self._convert_errors(key):
            response = self.client.get_object(Bucket=self.bucket, Key=self.prefix + key)
            return bytes(response["Body"].read())

    def write(self, key: str, content: bytes) -> None:
        """Send a small object."""
        with self._convert_errors(key):
            self._put_whole(key, content, hashlib.sha256(content).hexdigest())

    def keys(self, prefix: str) -> Iterator[str]:
        """List the bucket."""
        with self._convert_errors(prefix):
            pages = self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=self.prefix + prefix
            )
            for page in pages:
                for item in page.get("Contents", []):
                    yield item["Key"].removeprefix(self.prefix)

    def versions(self, prefix: str) -> Iterator[StoredVersion]:
        """List all versions and delete markers of the bucket."""
        with self._convert_errors(prefix):
            pages = self.client.get_paginator("list_object_versions").paginate(
                Bucket=self.bucket, Prefix=self.prefix + prefix
            )
            for page in pages:
                for kind in ("Versions", "DeleteMarkers"):
                    for item in page.get(kind, []):
                        yield StoredVersion(
                            item["Key"].removeprefix(self.prefix),
                            item["VersionId"],
                            int(item.get("Size", 0)),
                            newest=bool(item["IsLatest"]),
                            marker=kind == "DeleteMarkers",
                        )

    def read_version(self, version: StoredVersion) -> bytes:
        """Fetch a version."""
        with self._convert_errors(version.key):
            response = self.client.get_object(
                Bucket=self.bucket, Key=self.prefix + version.key, VersionId=version.version
            )
            return bytes(response["Body"].read())

    def erase(self, version: StoredVersion) -> None:
        """Delete a version by its id, which leaves no delete marker."""
        with self._convert_errors(version.key):
            self.client.delete_object(
                Bucket=self.bucket, Key=self.prefix + version.key, VersionId=version.version
            )

    def abort_uploads(self, key: str) -> None:
        """Abort the unfinished uploads of a key."""
        with self._convert_errors(key):
            listing = self.client.list_multipart_uploads(
                Bucket=self.bucket, Prefix=self.prefix + key
            )
            for upload in listing.get("Uploads", []):
                if upload["Key"] == self.prefix + key:
                    self.client.abort_multipart_upload(
                        Bucket=self.bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                    )

    def sha256_of(self, key: str) -> str | None:
        """Return the hash that an object was kept with; None if there is no object."""
        with self._convert_errors(key):
            try:
                response = self.client.head_object(Bucket=self.bucket, Key=self.prefix + key)
            except ClientError as wrong:
                code = wrong.response["Error"]["Code"]
                if code in _ABSENT:
                    return None
                if code in _MUTE:
                    self._raise_named_error(key)
                raise
        return str(response["Metadata"].get(_HASH, ""))

    def _raise_named_error(self, key: str) -> None:
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
        address = {"Bucket": self.bucket, "Key": self.prefix + key}
        upload, arrived = self._find_unfinished_upload(key)
        if upload is None:
            upload = self.client.create_multipart_upload(
                **address, ChecksumAlgorithm="SHA256", Metadata={_HASH: sha256}, **self._options
            )["UploadId"]
        parts = []
        digest = hashlib.sha256()
        with path.open("rb") as source:
            number = 0
            while content := source.read(self.part_bytes):
                number += 1
                digest.update(content)
                checksum = base64.b64encode(hashlib.sha256(content).digest()).decode()
                part = arrived.get(number)
                if part is None or not _has_content(part, content, checksum):
                    part = self.client.upload_part(
                        **address,
                        UploadId=upload,
                        PartNumber=number,
                        Body=content,
                        ChecksumSHA256=checksum,
                    )
                parts.append(
                    {"PartNumber": number, "ETag": part["ETag"], "ChecksumSHA256": checksum}
                )
        try:
            require_unchanged(path, sha256, digest)
        except StoreError:
            with suppress(ClientError, BotoCoreError):
                self.client.abort_multipart_upload(**address, UploadId=upload)
            raise
        self.client.complete_multipart_upload(
            **address, UploadId=upload, MultipartUpload={"Parts": parts}
        )

    def _find_unfinished_upload(self, key: str) -> tuple[str | None, dict[int, dict[str, Any]]]:
        """Find the newest unfinished upload of this key, and its parts by number."""
        listing = self.client.list_multipart_uploads(Bucket=self.bucket, Prefix=self.prefix + key)
        uploads = [
            upload for upload in listing.get("Uploads", []) if upload["Key"] == self.prefix + key
        ]
        if not uploads:
            return None, {}
        newest = max(uploads, key=lambda upload: str(upload["Initiated"]))["UploadId"]
        pages = self.client.get_paginator("list_parts").paginate(
            Bucket=self.bucket, Key=self.prefix + key, UploadId=newest
        )
        parts = {part["PartNumber"]: part for page in pages for part in page.get("Parts", [])}
        return newest, parts

    @contextmanager
    def _convert_errors(self, key: str) -> Iterator[None]:
        """Turn refusals and silence of the endpoint into errors of the store."""
        try:
            yield
        except ClientError as wrong:
            code = str(wrong.response["Error"]["Code"])
            status = wrong.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            message = _REMEDIES.get(code, f"{code}: {wrong.response['Error'].get('Message', '')}")
            raise StoreError(
                f"{self.url(key)}: {message}.",
                transient=code in _TRANSIENT or status >= _SERVER_ERROR,
            ) from wrong
        except BotoCoreError as wrong:
            raise StoreError(
                f"{self.url(key)}: {wrong}. Fix: look at the endpoint, the network and the "
                "credentials.",
                transient=isinstance(wrong, _PASSING),
            ) from wrong


def _has_content(part: dict[str, Any], content: bytes, checksum: str) -> bool:
    """Return whether an uploaded part has this content.

    Not every endpoint tells a part's SHA-256; then its ETag counts, which is the content's MD5 and,
    with a key of KMS, something else: such a part is sent again.
    """
    if "ChecksumSHA256" in part:
        return bool(part["ChecksumSHA256"] == checksum)
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return bool(part["ETag"].strip('"') == md5)
