"""A real S3 server on this machine, over HTTP, that the environment of the test names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer
from s3fs import S3FileSystem

BUCKET = "dubs"


@dataclass(frozen=True)
class S3Server:
    """The server, seen by a client that is none of ours."""

    url: str
    asked: list[str]
    """What it was asked for: ``PUT /dubs/...``."""

    @property
    def client(self) -> Any:
        return boto3.client("s3")

    def names(self, prefix: str = "") -> list[str]:
        found = self.client.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
        return [each["Key"] for each in found]

    def read(self, name: str) -> bytes:
        return self.client.get_object(Bucket=BUCKET, Key=name)["Body"].read()

    def write(self, name: str, content: bytes) -> None:
        self.client.put_object(Bucket=BUCKET, Key=name, Body=content)

    def remove(self, name: str) -> None:
        self.client.delete_object(Bucket=BUCKET, Key=name)


def configure(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Set what botocore reads, and nothing of ours; fsspec keeps what it has opened, and with it the old settings."""
    S3FileSystem.clear_instance_cache()
    for name, value in {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)


@contextmanager
def serving() -> Iterator[S3Server]:
    """Start a server on a port of its own."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        asked: list[str] = []
        whole = server._server.app

        def noting(environ: dict[str, Any], start_response: Any) -> Any:
            asked.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}")
            return whole(environ, start_response)

        server._server.app = noting
        yield S3Server(f"http://{host}:{port}", asked)
    finally:
        server.stop()


@contextmanager
def configured(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """Make it the server of the environment, with one empty bucket."""
    configure(monkeypatch, server.url)
    server.client.create_bucket(Bucket=BUCKET)
    server.asked.clear()
    yield server
    configure(monkeypatch, server.url)
    for name in server.names():
        server.remove(name)
    server.client.delete_bucket(Bucket=BUCKET)
