"""Real boto3 against a server that only refuses: every refusal has its error and remedy."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from publish.errors import (
    AccessError,
    ConflictError,
    FullError,
    IntegrityError,
    PublishError,
    TargetError,
    UnavailableError,
)
from publish.s3 import S3Store
from publish.targets import open_store
from tests.publish.store import CREDENTIALS

BODY = "<Error><Code>{code}</Code><Message>because</Message></Error>"


class Refusing(BaseHTTPRequestHandler):
    """Answers every request with the server's `status` and error `code`."""

    def do_GET(self) -> None:
        self.server.asked += 1  # type: ignore[attr-defined]
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = BODY.format(code=self.server.code).encode()  # type: ignore[attr-defined]
        self.send_response(self.server.status)  # type: ignore[attr-defined]
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_PUT = do_HEAD = do_POST = do_GET

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    server.asked = 0  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.setattr("publish.retry.FIRST_WAIT_S", 0.001)
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("status", "code", "kind", "says"),
    [
        (403, "AccessDenied", AccessError, "s3:PutObject"),
        (403, "RequestTimeTooSkewed", AccessError, "clock"),
        (403, "SignatureDoesNotMatch", AccessError, "secret key"),
        (403, "InvalidAccessKeyId", AccessError, "AWS_ACCESS_KEY_ID"),
        (400, "ExpiredToken", AccessError, "expired"),
        (404, "NoSuchBucket", TargetError, "does not exist"),
        (400, "AuthorizationHeaderMalformed", TargetError, "AWS_DEFAULT_REGION"),
        (400, "BadDigest", IntegrityError, "publish again"),
        (412, "PreconditionFailed", ConflictError, "publish again"),
        (403, "QuotaExceeded", FullError, "gc"),
        (507, "XMinioStorageFull", FullError, "gc"),
        (400, "SomethingNew", UnavailableError, "SomethingNew"),
        (403, "SomethingNew", AccessError, "s3:PutObject"),
    ],
)
def test_a_refusal_is_translated(
    refusing: ThreadingHTTPServer, status: int, code: str, kind: type[PublishError], says: str
) -> None:
    refusing.status, refusing.code = status, code  # type: ignore[attr-defined]
    with pytest.raises(kind, match=says) as caught:
        open_store("s3://press/site").inventory(())
    assert type(caught.value) is kind
    assert "s3://press/site" in str(caught.value)


@pytest.mark.parametrize(("status", "code"), [(503, "SlowDown"), (500, "InternalError")])
def test_a_store_in_trouble_is_asked_five_times(
    refusing: ThreadingHTTPServer, status: int, code: str
) -> None:
    refusing.status, refusing.code = status, code  # type: ignore[attr-defined]
    with pytest.raises(UnavailableError, match=code):
        open_store("s3://press/site").read_pointer()
    assert refusing.asked == 5  # type: ignore[attr-defined]


def test_a_refusal_is_not_asked_twice(refusing: ThreadingHTTPServer) -> None:
    refusing.status, refusing.code = 403, "AccessDenied"  # type: ignore[attr-defined]
    with pytest.raises(AccessError):
        open_store("s3://press/site").read_pointer()
    assert refusing.asked == 1  # type: ignore[attr-defined]


def test_missing_credentials_say_what_to_set(
    refusing: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    for name in CREDENTIALS:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", f"{tmp_path}/none")
    monkeypatch.setenv("AWS_CONFIG_FILE", f"{tmp_path}/none")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(AccessError, match="AWS_ACCESS_KEY_ID"):
        open_store("s3://press/site").read_pointer()


def test_an_unknown_profile_is_an_access_error(
    refusing: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(AccessError, match="AWS_PROFILE"):
        open_store("s3://press/site")


def test_an_endpoint_that_is_no_address_is_a_target_error(refusing: ThreadingHTTPServer) -> None:
    with pytest.raises(TargetError, match="endpoint"):
        S3Store("press", "site", endpoint_url="not an address")
