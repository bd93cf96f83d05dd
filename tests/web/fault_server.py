"""A loopback web server that serves folders, counts requests, and misbehaves when told to."""

from __future__ import annotations

import mimetypes
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

CSP = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; "
    "connect-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "base-uri 'none'; object-src 'none'; form-action 'none'; frame-ancestors 'none'"
)
TYPES = {".mjs": "text/javascript", ".js": "text/javascript", ".wasm": "application/wasm"}


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with one request: an HTTP status, or a body that is cut, changed or slow."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    keep_nbytes: int | None = None
    """Send this many bytes and close, though Content-Length promised all."""
    is_short: bool = False
    """Send half of the body and say that this is all."""
    is_corrupt: bool = False
    delay_s: float = 0.0
    bytes_per_s: float | None = None


class FaultServer:
    """Serves `mounts` (URL prefix -> folder). `faults[path]` are used up, one a request.

    `headers` go with every answer.
    """

    def __init__(self, mounts: Mapping[str, Path]) -> None:
        self.mounts = dict(mounts)
        self.faults: dict[str, list[Fault]] = {}
        self.headers: dict[str, str] = {}
        self.requests: list[str] = []
        self.lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"owner": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://localhost:{self._server.server_address[1]}"

    def __enter__(self) -> FaultServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def find(self, path: str) -> Path | None:
        """The file at a URL path; the longest prefix wins."""
        for prefix in sorted(self.mounts, key=len, reverse=True):
            if path.startswith(prefix):
                file = self.mounts[prefix] / path[len(prefix) :].lstrip("/")
                file = file / "index.html" if file.is_dir() else file
                if file.is_file():
                    return file
        return None

    def take_fault(self, path: str) -> Fault:
        """Note the request and use up its next fault."""
        with self.lock:
            self.requests.append(path)
            waiting = self.faults.get(path)
            return waiting.pop(0) if waiting else Fault()

    def count(self, part: str) -> int:
        """Requests so far whose path contains `part`."""
        with self.lock:
            return sum(part in path for path in self.requests)


class _Handler(BaseHTTPRequestHandler):
    owner: FaultServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Tests look at `requests` instead."""

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        fault = self.owner.take_fault(path)
        file = self.owner.find(path)
        time.sleep(fault.delay_s)
        try:
            if file is None or fault.status != 200:
                self._head(fault.status if file else 404, 0, "text/plain", fault)
            else:
                self._send(file, fault)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _send(self, file: Path, fault: Fault) -> None:
        body = file.read_bytes()
        if fault.is_corrupt:
            body = bytes([body[0] ^ 1]) + body[1:]
        if fault.is_short:
            body = body[: len(body) // 2]
        kind = TYPES.get(file.suffix) or mimetypes.guess_type(file.name)[0] or "text/plain"
        self._head(200, len(body), kind, fault)
        if fault.keep_nbytes is not None:
            self.wfile.write(body[: fault.keep_nbytes])
            self.close_connection = True
        elif fault.bytes_per_s is not None:
            step = max(1, int(fault.bytes_per_s / 20))
            for start in range(0, len(body), step):
                self.wfile.write(body[start : start + step])
                self.wfile.flush()
                time.sleep(0.05)
        else:
            self.wfile.write(body)

    def _head(self, status: int, nbytes: int, kind: str, fault: Fault) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(nbytes))
        self.send_header("Content-Type", kind)
        self.send_header("Content-Security-Policy", CSP)
        self.send_header("Cache-Control", "no-cache")
        for name, value in (self.owner.headers | dict(fault.headers)).items():
            self.send_header(name, value)
        self.end_headers()
