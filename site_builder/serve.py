"""A static server for a built site, sending what a careful deployment would send.

For looking at a site on one's own machine and for tests: threads, byte ranges, 404.html, the
headers of `headers.py`. It serves the folder and nothing else; links out of it are not followed.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote, unquote, urlsplit

from .errors import SiteError
from .headers import response_headers

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
BLOCK_NBYTES = 1 << 18
ISOLATION = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}


@dataclass(frozen=True, slots=True)
class Mount:
    """A site folder and the path it answers under, "/" or "/a/b/"."""

    site: Path
    path: str = "/"
    extra_headers: Mapping[str, str] | None = None


def make_server(mount: Mount, *, host: str = "127.0.0.1", port: int = 8000) -> ThreadingHTTPServer:
    """A server that is bound and not yet serving; port 0 takes a free one.

    Raises SiteError when there is no site in the folder or the port is taken.
    """
    if not (mount.site / "index.html").is_file():
        raise SiteError(f"{mount.site} holds no site; generate it with `modelpress site`")
    handler = functools.partial(_Handler, mount)
    try:
        return _Server((host, port), handler)
    except OSError as error:
        raise SiteError(
            f"cannot listen on {host}:{port} ({error.strerror}); choose another with --port"
        ) from error


def address(server: ThreadingHTTPServer, mount: Mount) -> str:
    """The URL of the site on a bound server."""
    host, port = server.server_address[:2]
    shown = host.decode() if isinstance(host, bytes) else str(host)
    shown = "localhost" if shown in ("127.0.0.1", "::1", "0.0.0.0") else shown
    return f"http://{shown}:{port}{mount.path}"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "modelpress"
    sys_version = ""

    def __init__(self, mount: Mount, *args: object) -> None:
        self.mount = mount
        super().__init__(*args)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: a model is hundreds of requests."""

    def _answer(self, *, with_body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        name = path.removeprefix(self.mount.path) if path.startswith(self.mount.path) else None
        file = self._find(name) if name is not None else None
        if file is not None and file.is_dir():
            return self._redirect(path)
        if file is None:
            return self._missing(with_body)
        relative = file.relative_to(self.mount.site.resolve()).as_posix()
        self._send_file(file, relative, HTTPStatus.OK, with_body)

    def _find(self, name: str) -> Path | None:
        """The file a path means, or the folder when its final slash is missing."""
        root = self.mount.site.resolve()
        if "\0" in name:
            return None
        found = (root / name).resolve()
        if found != root and root not in found.parents:
            return None
        if name == "" or name.endswith("/"):
            found = found / "index.html"
        elif found.is_dir() and (found / "index.html").is_file():
            return found
        return found if found.is_file() else None

    def _redirect(self, path: str) -> None:
        self.send_response(HTTPStatus.MOVED_PERMANENTLY)
        self.send_header("Location", quote(path) + "/")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _missing(self, with_body: bool) -> None:
        page = self.mount.site / "404.html"
        if page.is_file():
            return self._send_file(page, "404.html", HTTPStatus.NOT_FOUND, with_body)
        self.send_error(HTTPStatus.NOT_FOUND)

    def _send_file(self, file: Path, name: str, status: HTTPStatus, with_body: bool) -> None:
        stat = file.stat()
        tag = f'"{stat.st_size:x}-{stat.st_mtime_ns:x}"'
        if status == HTTPStatus.OK and self.headers.get("If-None-Match") == tag:
            return self._send_head(HTTPStatus.NOT_MODIFIED, name, {"ETag": tag})
        headers = {
            "ETag": tag,
            "Last-Modified": formatdate(stat.st_mtime, usegmt=True),
            "Accept-Ranges": "bytes",
        }
        part = self._part(stat.st_size) if status == HTTPStatus.OK else (0, stat.st_size)
        if part is None:
            headers["Content-Range"] = f"bytes */{stat.st_size}"
            headers["Content-Length"] = "0"
            return self._send_head(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, name, headers)
        begin, end = part
        if end - begin != stat.st_size:
            status = HTTPStatus.PARTIAL_CONTENT
            headers["Content-Range"] = f"bytes {begin}-{end - 1}/{stat.st_size}"
        headers["Content-Length"] = str(end - begin)
        self._send_head(status, name, headers)
        if with_body:
            self._send_body(file, begin, end)

    def _send_head(self, status: HTTPStatus, name: str, headers: dict[str, str]) -> None:
        self.send_response(status)
        extra = self.mount.extra_headers or {}
        for key, value in {**response_headers(name), **headers, **extra}.items():
            self.send_header(key, value)
        self.end_headers()

    def _part(self, size: int) -> tuple[int, int] | None:
        """[begin, end) of the bytes asked for; None when they do not exist."""
        match = _RANGE.fullmatch(self.headers.get("Range", ""))
        if match is None or match.groups() == ("", ""):
            return 0, size
        first, last = match.groups()
        if first == "":
            return (max(0, size - int(last)), size) if int(last) > 0 else None
        begin, end = int(first), min(size, int(last) + 1) if last else size
        return (begin, end) if begin < end else None

    def _send_body(self, file: Path, begin: int, end: int) -> None:
        try:
            with file.open("rb") as stream:
                stream.seek(begin)
                _copy(stream, self.wfile, end - begin)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the visitor went away, which is their right


def _copy(source: BinaryIO, target: BufferedIOBase, nbytes: int) -> None:
    while nbytes > 0:
        data = source.read(min(BLOCK_NBYTES, nbytes))
        if not data:
            return  # the file was cut while it was sent; the length already told says so
        target.write(data)
        nbytes -= len(data)
