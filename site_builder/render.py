"""Pages to HTML: Jinja2 with autoescape, where a name nobody defined is an error."""

from __future__ import annotations

import functools
from pathlib import Path
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from .cards import feature_name
from .plan import Asset, Page, SitePlan

TEMPLATES = Path(__file__).parent / "templates"


@functools.cache
def environment() -> Environment:
    """The one environment all pages share. Autoescape is on for every template."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters["feature_name"] = feature_name
    return made


def render(page: Page, plan: SitePlan) -> Asset:
    """The page as a file."""
    template = environment().get_template(page.template)
    text: str = template.render(page=page, site=plan.site, root=_root(page, plan), **page.context)
    return Asset(page.path, text.encode())


def _root(page: Page, plan: SitePlan) -> str:
    """404.html is shown at any depth, so it alone needs the absolute path, when it is known."""
    base_url = plan.site["base_url"]
    if page.canonical is None and base_url is not None:
        return str(urlsplit(base_url).path)
    return page.root
