"""A store to publish to: ministack on a loopback port, real boto3 in front of it.

`running_store` starts it, `Store.bucket` makes a bucket; `Bucket.url` is the plain GET address
under which a browser loads what lies there, path-style.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

STARTUP_S = 30.0
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "press",
    "AWS_SECRET_ACCESS_KEY": "press",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@dataclass(frozen=True, slots=True)
class Bucket:
    """An empty bucket of its own: `target` for the command line, `url` for a browser."""

    endpoint: str
    name: str
    client: Any

    @property
    def target(self) -> str:
        return f"s3://{self.name}/site"

    @property
    def url(self) -> str:
        """Base URL of the published site, with the final slash."""
        return f"{self.endpoint}/{self.name}/site/"

    def keys(self) -> dict[str, int]:
        """Path below the prefix -> size, of everything there."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name)
        items = [item for page in pages for item in page.get("Contents", ())]
        return {item["Key"].removeprefix("site/"): item["Size"] for item in items}

    def get(self, path: str) -> bytes:
        """The bytes at a path below the prefix."""
        answer = self.client.get_object(Bucket=self.name, Key=f"site/{path}")
        return bytes(answer["Body"].read())


@dataclass(frozen=True, slots=True)
class RunningStore:
    """A started store at `endpoint`."""

    endpoint: str

    def bucket(self) -> Bucket:
        """Create an empty bucket."""
        name = f"press-{uuid.uuid4().hex[:12]}"
        client = boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
            region_name=CREDENTIALS["AWS_DEFAULT_REGION"],
            config=Config(s3={"addressing_style": "path"}),
        )
        client.create_bucket(Bucket=name)
        return Bucket(self.endpoint, name, client)


@contextmanager
def running_store(folder: Path) -> Iterator[RunningStore]:
    """Start ministack with its data and log in `folder`; stopped at the end."""
    port = free_port()
    environment = os.environ | {
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "MINISTACK_HOST": "127.0.0.1",
        "S3_DATA_DIR": str(folder / "data"),
    }
    command = [str(Path(sys.executable).with_name("ministack"))]
    with (folder / "ministack.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=folder)
    try:
        endpoint = f"http://127.0.0.1:{port}"
        _wait_until_ready(endpoint, process, folder / "ministack.log")
        yield RunningStore(endpoint)
    finally:
        process.terminate()
        process.wait(timeout=15)


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(endpoint: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + STARTUP_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{endpoint}/_ministack/health", timeout=1):
                return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"ministack did not start:\n{log.read_text()[-2000:]}")
