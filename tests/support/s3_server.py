"""A real S3 API over HTTP, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import boto3
import httpx
from botocore.config import Config

from tests.support.prefect_site import free_port, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "planted-secret-4711",
    "AWS_DEFAULT_REGION": "us-east-1",
}


class Server:
    """An S3 server on a fixed free port, which can be switched off and on.

    It keeps its buckets in memory: switched on again, it is empty.
    """

    def __init__(self) -> None:
        self.endpoint = f"http://127.0.0.1:{free_port()}"
        self._process: subprocess.Popen[bytes] | None = None

    def on(self, *buckets: str) -> None:
        """Start it, with these buckets."""
        port = self.endpoint.rpartition(":")[2]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", port],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for(lambda: answers(self.endpoint), 60)
        for bucket in buckets:
            client(self.endpoint).create_bucket(Bucket=bucket)

    def off(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def serving() -> Iterator[str]:
    """The endpoint of an S3 server, ended afterwards."""
    server = Server()
    try:
        server.on()
        yield server.endpoint
    finally:
        server.off()


def answers(endpoint: str) -> bool:
    """Whether a server is there."""
    try:
        return httpx.get(endpoint, timeout=2).status_code < 500
    except httpx.HTTPError:
        return False


def client(endpoint: str) -> Any:
    """boto3's client for it."""
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=ENVIRONMENT["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=ENVIRONMENT["AWS_SECRET_ACCESS_KEY"],
        region_name=ENVIRONMENT["AWS_DEFAULT_REGION"],
        config=Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=20),
    )
