"""The artifact store as Prefect blocks: a folder, or a bucket of any S3 API."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError
from prefect.blocks.core import Block
from prefect_aws import AwsCredentials
from pydantic import Field, HttpUrl, ValidationError

from blocks import parameter_types
from tasks.common.errors import InputError
from tasks.common.parameter_names import name_of
from tasks.records.s3_store import LEAST_PART_BYTES, S3Store
from tasks.records.store import LocalStore

if TYPE_CHECKING:
    from tasks.records.store import Store

_ADDRESS = re.compile(r"s3://(?P<bucket>[^/]+)(?:/(?P<prefix>.*))?")
# Seconds to connect and to wait for an answer, and how often botocore tries by itself.
_CONFIG = Config(connect_timeout=10, read_timeout=60, retries={"total_max_attempts": 3})


class LocalArtifactStore(Block):
    """A folder that keeps every cycle's files.

    Example:
        Use it:
        ```python
        from blocks.stores import LocalArtifactStore

        store = LocalArtifactStore.load("BLOCK_NAME").open()
        ```
    """

    _block_type_name = "Local Artifact Store"
    _block_type_slug = parameter_types.LOCAL_BLOCK
    _description = "Keeps the files of every cycle in a folder of the worker's host."
    _documentation_url = HttpUrl("https://docs.prefect.io/v3/concepts/blocks")

    root: parameter_types.AbsolutePath = Field(
        title="Folder", description="Absolute. Made if it is not there."
    )

    def open(self) -> Store:
        """Open the store."""
        return LocalStore(self.root)


class S3ArtifactStore(Block):
    """A bucket that keeps every cycle's files.

    Example:
        Use it:
        ```python
        from blocks.stores import S3ArtifactStore

        store = S3ArtifactStore.load("BLOCK_NAME").open()
        ```
    """

    _block_type_name = "S3 Artifact Store"
    _block_type_slug = parameter_types.S3_BLOCK
    _description = "Keeps the files of every cycle in a bucket of AWS or of any other S3 API."
    _documentation_url = HttpUrl("https://docs.prefect.io/integrations/prefect-aws")

    bucket: str = Field(title="Bucket", description="It must be there already.", min_length=3)
    prefix: str = Field(
        "", title="Prefix", description="Before every key, such as asr/.", pattern=r"^$|^[^/].*/$"
    )
    credentials: AwsCredentials = Field(
        default_factory=AwsCredentials,
        title="Credentials",
        description="Key, region and endpoint; empty: the worker's own (profile, role).",
    )
    encryption: Literal["", "AES256", "aws:kms"] = Field(
        "",
        title="Server-side encryption",
        description="AES256, aws:kms, or empty for the bucket's default.",
    )
    kms_key_id: str = Field("", title="KMS key", description="For aws:kms; empty: the default key.")
    part_mib: int = Field(
        64,
        ge=LEAST_PART_BYTES >> 20,
        title="Part size (MiB)",
        description="Larger files go in parts, and a cut upload goes on from the last part.",
    )

    def open(self) -> Store:
        """Open the store."""
        options = {
            "config": _CONFIG,
            **self.credentials.aws_client_parameters.get_params_override(),
        }
        client = self.credentials.get_boto3_session().client("s3", **options)
        return S3Store(
            client,
            self.bucket,
            self.prefix,
            self.encryption,
            self.kms_key_id,
            self.part_mib << 20,
        )


class _Kinds:
    by_slug: ClassVar[dict[str, Any]] = {
        store_class._block_type_slug: store_class  # noqa: SLF001 - Prefect's own name for it
        for store_class in (LocalArtifactStore, S3ArtifactStore)
    }


def open_store(name: str) -> Store:
    """Open a store by its name.

    Args:
        name: ``local-artifact-store/NAME`` or ``s3-artifact-store/NAME`` for a saved block;
            ``s3://bucket/prefix`` with the credentials and endpoint of AWS's own variables and
            profiles; else an absolute folder.

    Raises:
        InputError: no store has such a name, there is no such block, or it cannot be used.
    """
    try:
        parameter_types.store(name)
    except ValueError as wrong:
        raise InputError(f"{name_of('store')}: {wrong}.") from wrong
    kind, _, block = name.partition("/")
    try:
        if kind in _Kinds.by_slug:
            return _open_saved(kind, block)
        if (address := _ADDRESS.fullmatch(name)) is not None:
            prefix = (address["prefix"] or "").rstrip("/")
            client = boto3.client("s3", config=_CONFIG)
            return S3Store(client, address["bucket"], f"{prefix}/" if prefix else "")
    except BotoCoreError as wrong:  # such as a profile that is not there
        raise InputError(
            f"{name_of('store')} {name!r}: {wrong}. Fix: mend AWS's variables."
        ) from wrong
    return LocalStore(parameter_types.absolute(Path(name)))


def _open_saved(kind: str, block: str) -> Store:
    """Open the store of a saved block.

    Raises:
        InputError: there is no such block, or what it holds cannot be right.
    """
    try:
        opened: Store = _Kinds.by_slug[kind].load(block).open()
    except RuntimeError as refused:  # Prefect's, around pydantic's; or no server answers
        if not isinstance(wrong := refused.__cause__, ValidationError):
            raise
        fields = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in wrong.errors())
        raise InputError(f"block {kind}/{block}: {fields}. Fix: mend it in the UI.") from wrong
    except ValueError as unknown:
        raise InputError(
            f"{name_of('store')}: there is no block {f'{kind}/{block}'!r}. Fix: save one in the "
            "UI, or name a folder."
        ) from unknown
    return opened
