"""A stand-in for the Hugging Face Hub on the loopback, for the real client.

It answers the few requests a download makes: resolve a revision, list a tree, HEAD and GET of a
file with Range. It proves how we use the client, not how the Hub behaves.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class StandIn:
    """One repository and how it misbehaves; `log` holds (method, path, Range header)."""

    repo: str
    files: Mapping[str, bytes]
    gated: bool = False
    private: bool = False
    cut: dict[str, int] = field(default_factory=dict)
    """Bytes after which the first GET of a file loses its connection."""
    status: int | None = None
    """Answer everything with this status."""
    card: Mapping[str, Any] = field(default_factory=dict)
    """What the model card says."""
    parts: bool = True
    """Whether it gives parts of files."""
    log: list[tuple[str, str, str | None]] = field(default_factory=list)
    url: str = ""

    def gets(self, name: str) -> list[str | None]:
        """The Range headers of every GET of a file."""
        path = f"/{self.repo}/resolve/{COMMIT}/{name}"
        return [range_ for method, p, range_ in self.log if method == "GET" and p == path]


@contextmanager
def serve(stand_in: StandIn) -> Iterator[StandIn]:
    """Run the stand-in on a free port of the loopback."""
    handler = type("Handler", (_Handler,), {"stand_in": stand_in})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    stand_in.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield stand_in
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def point_client_at(running: StandIn, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let the client talk to the stand-in, without a token, with its cache in `folder`."""
    template = running.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", running.url)
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(folder / "cache"))
    monkeypatch.setenv("HF_TOKEN", "")
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(folder / "no-token"))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    stand_in: StandIn

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = self.path.partition("?")[0]
        hub = self.stand_in
        hub.log.append((self.command, path, self.headers.get("Range")))
        if hub.status is not None:
            return self._send(hub.status, b"")
        if (found := re.fullmatch(rf"/api/models/{hub.repo}/revision/(.+)", path)) is not None:
            return self._revision(found[1])
        if path == f"/api/models/{hub.repo}/tree/{COMMIT}" and not hub.private:
            return self._json([self._entry(name) for name in hub.files])
        if (found := re.fullmatch(rf"/{hub.repo}/resolve/{COMMIT}/(.+)", path)) is not None:
            return self._file(found[1])
        self._send(404, b"", {"X-Error-Code": "RepoNotFound"})

    def _revision(self, revision: str) -> None:
        if self.stand_in.private:
            return self._send(401, b"", {"X-Error-Code": "RepoNotFound"})
        if revision not in ("main", COMMIT):
            return self._send(404, b"", {"X-Error-Code": "RevisionNotFound"})
        hub = self.stand_in
        siblings = [{"rfilename": name} for name in hub.files]
        facts = {"cardData": dict(hub.card), "gated": "manual" if hub.gated else False}
        self._json({"id": hub.repo, "sha": COMMIT, "siblings": siblings, **facts})

    def _entry(self, name: str) -> dict[str, Any]:
        data = self.stand_in.files[name]
        oid = hashlib.sha1(data, usedforsecurity=False).hexdigest()
        return {"type": "file", "path": name, "size": len(data), "oid": oid}

    def _file(self, name: str) -> None:
        hub = self.stand_in
        if hub.gated:
            return self._send(403 if self.headers.get("Authorization") else 401, b"", GATED)
        data = hub.files[name]
        etag = hashlib.sha256(data).hexdigest()
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        wanted = self.headers.get("Range") if hub.parts else None
        first, _, last = (wanted or "bytes=0-")[6:].partition("-")
        start, stop = int(first), min(int(last or len(data)) + 1, len(data))
        if wanted:
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(data)}"
        keep = hub.cut.pop(name, None) if self.command == "GET" else None
        self._send(206 if wanted else 200, data[start:stop], headers, keep)

    def _json(self, data: Any) -> None:
        self._send(200, json.dumps(data).encode(), {"Content-Type": "application/json"})

    def _send(
        self,
        status: int,
        body: bytes,
        headers: Mapping[str, str] | None = None,
        keep: int | None = None,
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body[:keep])
        if keep is not None:
            self.close_connection = True


GATED = {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access to this model is restricted."}
