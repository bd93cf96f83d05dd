"""The boto3 client of publishing, and what its answers say about the bytes at the store."""

from __future__ import annotations

import functools
import hashlib
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

import boto3
import botocore.loaders
import botocore.session
from botocore.config import Config

from .parallel import WORKERS


def open_client(endpoint_url: str | None) -> Any:
    """boto3 with its own retries off (`retry` has the policy) and no checksums but ours."""
    config = Config(
        connect_timeout=10,
        read_timeout=60,
        max_pool_connections=WORKERS * 2,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        retries={"total_max_attempts": 1},
        user_agent_appid="modelpress",
    )
    session = botocore.session.get_session()
    session.register_component("data_loader", _loader())
    return boto3.session.Session(botocore_session=session).client(
        "s3", endpoint_url=endpoint_url, config=config
    )


@functools.cache
def _loader() -> Any:
    """The service descriptions, read from disk once: they are most of a client's start."""
    return botocore.loaders.create_loader()


def confirms(answer: dict[str, Any], data: bytes, checksum: str) -> bool:
    """Whether the store's answer, as far as it says, is about these bytes."""
    if "ChecksumSHA256" in answer:
        return bool(answer["ChecksumSHA256"] == checksum)
    etag = str(answer.get("ETag", "")).strip('"')
    is_md5 = len(etag) == 32 and "ServerSideEncryption" not in answer
    if not is_md5 or "SSECustomerAlgorithm" in answer:
        return True
    return etag == hashlib.md5(data, usedforsecurity=False).hexdigest()


def age_s(answer: dict[str, Any]) -> float:
    """Seconds since an object was written, by the store's own clock."""
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    now: datetime = parsedate_to_datetime(headers["date"])
    written: datetime = answer["LastModified"]
    return (now - written).total_seconds()
