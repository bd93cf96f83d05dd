"""The plan of a site: which pages and assets it has, as values, without touching a disk.

Pages link to each other with relative addresses that name the file (`chat/index.html`), so the
folder works under any sub-path and on hosts that know no index documents.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import icons
from .cards import ModelCard, model_card, nbytes
from .headers import content_security_policy, headers_file
from .hub import Hub
from .packages import Package

NAV = (("models/index.html", "Models"), ("chat/index.html", "Chat"), ("about/index.html", "About"))
ICON, TOUCH_ICON, CARD = "assets/icon.svg", "assets/icon-180.png", "assets/card.png"
ICON_SIZES = (192, 512)
NAME = "modelpress"


@dataclass(frozen=True, slots=True)
class Page:
    """An HTML page: where it goes, its template, and what the template is told.

    `canonical` is its address below the base URL; None keeps it out of the sitemap.
    """

    path: str
    template: str
    title: str
    description: str
    canonical: str | None
    context: Mapping[str, Any]

    @property
    def root(self) -> str:
        """The relative address of the site's root from this page, with a final slash."""
        return "./" + "../" * self.path.count("/")


@dataclass(frozen=True, slots=True)
class Asset:
    """A file of the site that is not a page, with its bytes."""

    path: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Bundle:
    """What the pages load: file names by role, and the files themselves."""

    scripts: Mapping[str, str]
    styles: Mapping[str, str]
    assets: tuple[Asset, ...]
    packages: tuple[Package, ...]


@dataclass(frozen=True, slots=True)
class SitePlan:
    """A whole site, planned: `site` is what every template is told."""

    pages: tuple[Page, ...]
    assets: tuple[Asset, ...]
    site: Mapping[str, Any]


def plan_site(hub: Hub, bundle: Bundle, base_url: str | None) -> SitePlan:
    """The pages and assets of a site that offers `hub`; `base_url` ends in a slash."""
    cards = tuple(model_card(model) for model in hub.models)
    pages = (*_main_pages(cards, bundle.packages), *(_model_page(card) for card in cards))
    assets = (*bundle.assets, *_icon_assets(), *_host_files(pages, base_url))
    return SitePlan(pages, assets, _site(bundle, base_url))


def hashed(name: str, data: bytes) -> str:
    """`assets/<stem>.<digest>.<suffix>`: a name that changes with the content."""
    stem, suffix = name.rsplit(".", 1)
    return f"assets/{stem}.{hashlib.sha256(data).hexdigest()[:12]}.{suffix}"


def _site(bundle: Bundle, base_url: str | None) -> dict[str, Any]:
    return {
        "base_url": base_url,
        "card": CARD,
        "csp": content_security_policy(framing=False),
        "icon": ICON,
        "nav": NAV,
        "scripts": bundle.scripts,
        "styles": bundle.styles,
        "touch_icon": TOUCH_ICON,
    }


def _main_pages(cards: tuple[ModelCard, ...], packages: tuple[Package, ...]) -> tuple[Page, ...]:
    smallest = min(cards, key=lambda card: card.facts["download_nbytes"])
    chats = tuple(card for card in cards if card.task == "chat")
    common = {"models": cards, "facts": [card.facts for card in cards]}
    talking = {"models": chats, "facts": [card.facts for card in chats]}
    size = nbytes(smallest.facts["download_nbytes"])
    return (
        Page(
            "index.html",
            "home.html.jinja",
            f"{NAME}: a language model in your browser",
            f"Chat with an open model that runs in this tab. Downloads start at {size}; nothing "
            "you type leaves your device.",
            "",
            {**common, "smallest": smallest, "first": chats[0] if chats else None},
        ),
        Page(
            "models/index.html",
            "catalogue.html.jinja",
            f"Models · {NAME}",
            f"{len(cards)} open models to run in your browser: sizes, memory, licences, and "
            "whether they fit your device.",
            "models/",
            common,
        ),
        Page(
            "chat/index.html",
            "chat.html.jinja",
            f"Chat · {NAME}",
            "Talk to an open model that runs in this tab, on your own graphics card.",
            "chat/",
            talking,
        ),
        Page(
            "bench/index.html",
            "bench.html.jinja",
            f"Benchmark · {NAME}",
            "Measure how fast a model runs on this device before downloading it.",
            "bench/",
            talking,
        ),
        *_similarity_page(tuple(card for card in cards if card.task == "embedding")),
        Page(
            "about/index.html",
            "about.html.jinja",
            f"About and privacy · {NAME}",
            "What this site is, what stays with you, and how to remove it.",
            "about/",
            {},
        ),
        Page(
            "licences/index.html",
            "licences.html.jinja",
            f"Licences · {NAME}",
            "The licences of the models and of the software on this site.",
            "licences/",
            {"models": cards, "packages": packages},
        ),
        Page(
            "webgpu/index.html",
            "webgpu.html.jinja",
            f"Getting WebGPU to work · {NAME}",
            "What to do, browser by browser, when WebGPU is missing.",
            "webgpu/",
            common,
        ),
        Page(
            "404.html",
            "missing.html.jinja",
            f"No page here · {NAME}",
            "There is no page at this address.",
            None,
            {},
        ),
    )


def _similarity_page(cards: tuple[ModelCard, ...]) -> tuple[Page, ...]:
    """Where models of embeddings are tried out, on a site that has any."""
    if not cards:
        return ()
    return (
        Page(
            "similarity/index.html",
            "similarity.html.jinja",
            f"Similar sentences · {NAME}",
            "Find the sentence that means the same, with a model that runs in this tab.",
            "similarity/",
            {"models": cards, "facts": [card.facts for card in cards]},
        ),
    )


def _model_page(card: ModelCard) -> Page:
    return Page(
        card.page,
        "model.html.jinja",
        f"{card.name} · {NAME}",
        f"{card.description} {card.parameters} parameters, {card.default.download} to download, "
        f"licence {card.licence_spdx}.",
        f"m/{card.id}/",
        {"model": card},
    )


@functools.cache
def _icon_assets() -> tuple[Asset, ...]:
    sizes = [Asset(f"assets/icon-{size}.png", icons.png(size)) for size in ICON_SIZES]
    return (
        Asset(ICON, icons.svg().encode()),
        Asset(TOUCH_ICON, icons.png(180, corner=0.0)),
        Asset("assets/icon-maskable-512.png", icons.png(512, corner=0.0)),
        Asset(CARD, icons.card()),
        *sizes,
    )


def _host_files(pages: tuple[Page, ...], base_url: str | None) -> tuple[Asset, ...]:
    """Files that hosts, browsers and search engines look for by name."""
    files = [
        Asset("site.webmanifest", _web_manifest()),
        Asset("_headers", headers_file().encode()),
        Asset(".nojekyll", b""),
    ]
    if base_url is not None:
        addresses = [f"{base_url}{p.canonical}" for p in pages if p.canonical is not None]
        files.append(Asset("sitemap.xml", _sitemap(addresses)))
        files.append(Asset("robots.txt", _robots(base_url)))
    return tuple(files)


def _web_manifest() -> bytes:
    sizes = [
        {"src": f"assets/icon-{s}.png", "sizes": f"{s}x{s}", "type": "image/png"}
        for s in ICON_SIZES
    ]
    maskable = {**sizes[-1], "src": "assets/icon-maskable-512.png", "purpose": "maskable"}
    document = {
        "name": NAME,
        "short_name": NAME,
        "description": "Open language models that run in your browser.",
        "id": "./",
        "start_url": "./chat/index.html",
        "scope": "./",
        "display": "standalone",
        "background_color": "#faf8f4",
        "theme_color": "#0f524a",
        "icons": [{"src": ICON, "sizes": "any", "type": "image/svg+xml"}, *sizes, maskable],
    }
    return (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()


def _sitemap(addresses: list[str]) -> bytes:
    urls = "".join(f"<url><loc>{_xml(address)}</loc></url>\n" for address in addresses)
    head = '<?xml version="1.0" encoding="UTF-8"?>\n'
    space = "http://www.sitemaps.org/schemas/sitemap/0.9"
    return f'{head}<urlset xmlns="{space}">\n{urls}</urlset>\n'.encode()


def _robots(base_url: str) -> bytes:
    return f"User-agent: *\nAllow: /\nSitemap: {base_url}sitemap.xml\n".encode()


def _xml(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
