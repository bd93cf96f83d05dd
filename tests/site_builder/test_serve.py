"""The local server says what a careful deployment would say."""

from __future__ import annotations

import http.client
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from site_builder.errors import SiteError
from site_builder.headers import cache_control, content_type, headers_file
from site_builder.serve import Mount, make_server


def ask(
    address: str, path: str, method: str = "GET", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, {k.lower(): v for k, v in answer.getheaders()}, body


def test_pages_carry_the_policy_and_are_asked_for_each_time(address_of_site: str) -> None:
    status, headers, body = ask(address_of_site, "/a/b/")
    assert status == 200
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["cache-control"] == "no-cache"
    assert b"<!doctype html>" in body
    assert "cross-origin-opener-policy" not in headers


def test_files_named_by_their_content_are_kept_for_ever(address_of_site: str, site: Path) -> None:
    blob = next(p for p in (site / "blobs").rglob("*") if p.is_file()).relative_to(site)
    script = next((site / "assets").glob("chat.*.js")).relative_to(site)
    for path in (blob, script):
        _, headers, body = ask(address_of_site, f"/a/b/{path.as_posix()}")
        assert "immutable" in headers["cache-control"], path
        assert body == (site / path).read_bytes()


@pytest.mark.parametrize(
    ("wanted", "part"),
    [("bytes=2-5", slice(2, 6)), ("bytes=10-", slice(10, None)), ("bytes=-4", slice(-4, None))],
)
def test_ranges_are_answered(address_of_site: str, site: Path, wanted: str, part: slice) -> None:
    status, headers, body = ask(address_of_site, "/a/b/registry.json", Range=wanted)
    assert status == 206
    assert body == (site / "registry.json").read_bytes()[part]
    assert headers["content-range"].endswith(f"/{(site / 'registry.json').stat().st_size}")


def test_a_range_beyond_the_end_is_refused(address_of_site: str) -> None:
    assert ask(address_of_site, "/a/b/registry.json", Range="bytes=99999999-")[0] == 416


def test_an_unchanged_file_is_not_sent_again(address_of_site: str) -> None:
    _, headers, _ = ask(address_of_site, "/a/b/registry.json")
    again = ask(address_of_site, "/a/b/registry.json", **{"If-None-Match": headers["etag"]})
    assert (again[0], again[2]) == (304, b"")


def test_a_folder_without_its_slash_is_redirected(address_of_site: str) -> None:
    status, headers, _ = ask(address_of_site, "/a/b/chat")
    assert (status, headers["location"]) == (301, "/a/b/chat/")


@pytest.mark.parametrize(
    "path",
    ["/a/b/nothing", "/a/b/..%2f..%2fetc/passwd", "/a/b/../../../etc/passwd", "/", "/a/b/%00"],
)
def test_what_is_not_in_the_site_is_not_found(address_of_site: str, path: str) -> None:
    status, _, body = ask(address_of_site, path)
    assert status == 404
    assert b"There is no page here" in body


def test_head_sends_no_body(address_of_site: str) -> None:
    status, headers, body = ask(address_of_site, "/a/b/registry.json", "HEAD")
    assert (status, body) == (200, b"")
    assert int(headers["content-length"]) > 0


def test_a_folder_without_a_site_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SiteError, match="modelpress site"):
        make_server(Mount(tmp_path), port=0)


def test_a_taken_port_is_refused_with_words(site: Path) -> None:
    with make_server(Mount(site), port=0) as server:
        port = server.server_address[1]
        with pytest.raises(SiteError, match="--port"):
            make_server(Mount(site), port=port)


def test_types_that_browsers_insist_on() -> None:
    assert content_type("engine/pyodide/pyodide.asm.wasm") == "application/wasm"
    assert content_type("engine/pyodide/pyodide.mjs").startswith("text/javascript")
    assert content_type("site.webmanifest") == "application/manifest+json"
    assert content_type("blobs/sha256/00/" + "0" * 64) == "application/octet-stream"


def test_only_names_made_of_content_are_immutable() -> None:
    assert cache_control("blobs/sha256/ab/" + "ab" * 32).endswith("immutable")
    assert cache_control("assets/chat.0123456789ab.js").endswith("immutable")
    for path in ("assets/icon.svg", "engine/client.js", "registry.json", "sw.js", "x/blobs/a"):
        assert cache_control(path) == "no-cache"


def test_the_headers_file_has_the_policy_for_every_path() -> None:
    lines = headers_file().splitlines()
    assert lines[0] == "/*"
    assert lines[1].startswith("  Content-Security-Policy: default-src 'none'")
