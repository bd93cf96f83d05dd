"""Every link of every page, checked against the files the site has.

Reads the HTML that was rendered, so it sees what a visitor's browser sees; it fetches nothing.
"""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

from .errors import LinkError
from .plan import Asset

_ADDRESSES = {"href", "src"}


@dataclass(frozen=True, slots=True)
class DeadLink:
    """A link of `page` to `address`, and why it leads nowhere."""

    page: str
    address: str
    reason: str


def check_links(pages: Iterable[Asset], paths: Collection[str]) -> None:
    """Raise LinkError listing every dead link; `paths` are all files of the site."""
    dead = find_dead_links(pages, paths)
    if dead:
        lines = "\n".join(f"  {d.page}: {d.address} ({d.reason})" for d in dead)
        raise LinkError(
            f"{len(dead)} links lead nowhere; correct the templates or the hub:\n{lines}"
        )


def find_dead_links(pages: Iterable[Asset], paths: Collection[str]) -> tuple[DeadLink, ...]:
    """Links to files the site lacks, and to fragments their page lacks."""
    seen = {page.path: _read(page.data) for page in pages}
    dead = []
    for path, links in seen.items():
        for address in links.addresses:
            reason = _why_dead(path, address, links.ids, paths, seen)
            if reason:
                dead.append(DeadLink(path, address, reason))
    return tuple(dead)


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.ids: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in _ADDRESSES and value is not None:
                self.addresses.append(value)
            if name == "id" and value is not None:
                self.ids.add(value)


def _read(data: bytes) -> _Links:
    links = _Links()
    links.feed(data.decode())
    return links


def _why_dead(
    page: str, address: str, ids: set[str], paths: Collection[str], pages: dict[str, _Links]
) -> str | None:
    parts = urlsplit(address)
    if parts.scheme or parts.netloc or page == "404.html":
        return None
    if not parts.path:
        return None if not parts.fragment or parts.fragment in ids else "no such fragment"
    target = posixpath.normpath(posixpath.join(posixpath.dirname(page), unquote(parts.path)))
    if target.startswith("..") or target not in paths:
        return "no such file"
    if parts.fragment and target in pages and parts.fragment not in pages[target].ids:
        return "no such fragment"
    return None
