"""A stand-in for the Hugging Face Hub on a loopback port, for the unmodified huggingface_hub.

It speaks the few endpoints that publishing uses and keeps repositories in memory. It proves how we
use the client (what is sent, in which order, over which parent commit); it proves nothing about
the behaviour of the service itself.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from publish.hub import git_digest

API = re.compile(r"^/api/(spaces|models|datasets)/([^/]+/[^/]+)(?:/(.*))?$")
RESOLVE = re.compile(r"^/(?:(spaces|datasets)/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)$")
LARGE = re.compile(r"^/(?:(?:spaces|datasets)/)?[^/]+/[^/]+\.git/info/lfs/objects/batch$")


@dataclass(frozen=True, slots=True)
class Stored:
    """A file of a commit; `sha256` is set when it is stored as a large file."""

    data: bytes
    sha256: str | None


@dataclass(slots=True)
class Repo:
    """Commits from the first to the newest, each a whole tree."""

    sdk: str | None
    commits: list[tuple[str, dict[str, Stored]]]

    @property
    def head(self) -> tuple[str, dict[str, Stored]]:
        return self.commits[-1]

    def tree(self, revision: str) -> dict[str, Stored] | None:
        if revision == "main":
            return self.head[1]
        return next((tree for sha, tree in self.commits if sha == revision), None)


@dataclass(slots=True)
class HubStandIn:
    """Repositories by "spaces/owner/name"; `refusals` answer matching requests with an error."""

    url: str = ""
    repos: dict[str, Repo] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)
    xet_cas: str | None = None
    refusals: dict[str, tuple[int, dict[str, str]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def create(self, name: str, *, sdk: str | None = "static") -> Repo:
        """An empty repository with one commit."""
        self.repos[name] = Repo(sdk, [(commit_id(0, {}), {})])
        return self.repos[name]


def commit_id(number: int, tree: dict[str, Stored]) -> str:
    names = "".join(f"{path}{git_digest(file.data)}" for path, file in sorted(tree.items()))
    return hashlib.sha1(f"{number}{names}".encode()).hexdigest()


@contextmanager
def running_hub() -> Iterator[HubStandIn]:
    """Start a stand-in; stopped at the end."""
    hub = HubStandIn()
    handler = type("Handler", (HubHandler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class HubHandler(BaseHTTPRequestHandler):
    """Routes requests; each `_…` method answers one endpoint."""

    hub: HubStandIn
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._route(b"")

    do_HEAD = do_GET

    def do_POST(self) -> None:
        self._route(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def do_PUT(self) -> None:
        self.do_POST()

    def log_message(self, *_: Any) -> None:
        """Tests read `asked`, not the log."""

    def _route(self, body: bytes) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append(f"{self.command} {path}")
        for pattern, (status, headers) in self.hub.refusals.items():
            if re.search(pattern, f"{self.command} {path}"):
                self._send(status, b"{}", headers)
                return
        if path == "/api/validate-yaml":
            self._json({"errors": [], "warnings": []})
        elif path.startswith("/lfs/"):
            self._large(path.removeprefix("/lfs/"), body)
        elif LARGE.match(path):
            self._batch(json.loads(body))
        elif match := API.match(path):
            self._api(f"{match[1]}/{match[2]}", match[3] or "", body)
        elif match := RESOLVE.match(path):
            self._resolve(f"{match[1] or 'models'}/{match[2]}", match[3], match[4])
        else:
            self._send(404, b"{}", {})

    def _api(self, name: str, rest: str, body: bytes) -> None:
        repo = self.hub.repos.get(name)
        if repo is None:
            self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})
        elif rest == "" or rest.startswith("revision/"):
            self._json({"id": name.split("/", 1)[1], "sha": repo.head[0], "sdk": repo.sdk})
        elif rest.startswith("tree/"):
            self._tree(repo, rest.split("/")[1])
        elif rest.startswith("preupload/"):
            self._preupload(repo, json.loads(body))
        elif rest.startswith("xet-write-token/"):
            self._xet_token()
        elif rest.startswith("commit/"):
            self._commit(name, repo, [json.loads(line) for line in body.splitlines()])
        else:
            self._send(404, b"{}", {})

    def _tree(self, repo: Repo, revision: str) -> None:
        tree = repo.tree(revision)
        if tree is None:
            self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
            return
        self._json([_entry(path, file) for path, file in sorted(tree.items())])

    def _preupload(self, repo: Repo, request: dict[str, Any]) -> None:
        tree = repo.head[1]
        attributes = tree[".gitattributes"].data if ".gitattributes" in tree else b""
        files = []
        for file in request["files"]:
            is_blob = b"blobs/** filter=lfs" in attributes and file["path"].startswith("blobs/")
            is_binary = b"\0" in base64.b64decode(file["sample"])
            old = tree.get(file["path"])
            files.append(
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if is_blob or is_binary else "regular",
                    "shouldIgnore": False,
                    "oid": (old.sha256 or git_digest(old.data)) if old else None,
                }
            )
        self._json({"files": files})

    def _batch(self, request: dict[str, Any]) -> None:
        objects = []
        for item in request["objects"]:
            answer = {"oid": item["oid"], "size": item["size"]}
            if item["oid"] not in self.hub.large:
                upload = {"href": f"{self.hub.url}/lfs/{item['oid']}", "header": {}}
                answer["actions"] = {"upload": upload}
            objects.append(answer)
        self._json({"transfer": "basic", "objects": objects})

    def _large(self, oid: str, body: bytes) -> None:
        if hashlib.sha256(body).hexdigest() != oid:
            self._send(400, b"{}", {"X-Error-Message": "content does not match its oid"})
            return
        self.hub.large[oid] = body
        self._send(200, b"", {"ETag": f'"{oid}"'})

    def _xet_token(self) -> None:
        assert self.hub.xet_cas is not None
        token = {"casUrl": self.hub.xet_cas, "exp": 4102444800, "accessToken": "loopback"}
        headers = {
            "X-Xet-Cas-Url": self.hub.xet_cas,
            "X-Xet-Access-Token": "loopback",
            "X-Xet-Token-Expiration": "4102444800",
        }
        self._send(200, json.dumps(token).encode(), headers)

    def _commit(self, name: str, repo: Repo, lines: list[dict[str, Any]]) -> None:
        head, tree = repo.head
        if lines[0]["value"].get("parentCommit") not in (None, head):
            self._send(412, b"{}", {"X-Error-Message": "A commit has happened since."})
            return
        changed = dict(tree)
        for line in lines[1:]:
            self._apply(changed, line["key"], line["value"])
        repo.commits.append((commit_id(len(repo.commits), changed), changed))
        sha = repo.head[0]
        folder = name.removeprefix("models/")
        self._json({"commitUrl": f"{self.hub.url}/{folder}/commit/{sha}", "commitOid": sha})

    def _apply(self, tree: dict[str, Stored], key: str, value: dict[str, Any]) -> None:
        if key == "file":
            tree[value["path"]] = Stored(base64.b64decode(value["content"]), None)
        elif key == "lfsFile":
            data = self.hub.large.get(value["oid"])
            if data is None and self.hub.xet_cas is not None:
                data = bytes(value["size"])  # the bytes are in the other protocol's store
            assert data is not None, f"{value['path']} was never uploaded"
            tree[value["path"]] = Stored(data, value["oid"])
        else:
            assert key == "deletedFile", key
            del tree[value["path"]]

    def _resolve(self, name: str, revision: str, path: str) -> None:
        repo = self.hub.repos[name]
        tree = repo.tree(revision)
        if tree is None or path not in tree:
            self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
            return
        file = tree[path]
        etag = f'"{file.sha256 or git_digest(file.data)}"'
        headers = {"X-Repo-Commit": revision, "ETag": etag, "Accept-Ranges": "bytes"}
        if file.sha256:
            headers |= {"X-Linked-Etag": etag, "X-Linked-Size": str(len(file.data))}
        self._send(200, file.data, headers)

    def _json(self, data: Any) -> None:
        self._send(200, json.dumps(data).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _entry(path: str, file: Stored) -> dict[str, Any]:
    entry = {
        "type": "file",
        "path": path,
        "size": len(file.data),
        "oid": git_digest(file.data),
    }
    if file.sha256:
        entry["lfs"] = {"oid": file.sha256, "size": len(file.data), "pointerSize": 130}
    return entry
