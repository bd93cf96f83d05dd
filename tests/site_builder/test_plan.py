"""Planning and rendering: pure functions from a hub to pages."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from site_builder.build import normal_base_url
from site_builder.cards import count, nbytes
from site_builder.errors import LinkError, SiteError
from site_builder.hub import read_hub
from site_builder.links import check_links, find_dead_links
from site_builder.plan import Asset, Bundle, SitePlan, plan_site
from site_builder.render import render
from site_builder.shell import describe, make_shell
from tests.site_builder.fake_hub import SHOWCASE, VECTORS, FakeModel, write_hub

EVIL = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7 * 7 }}</script>"


def plan_of(folder: Path, bundle: Bundle, *models: FakeModel, url: str | None = None) -> SitePlan:
    return plan_site(read_hub(write_hub(folder, models or SHOWCASE)), bundle, url)


def rendered(plan: SitePlan) -> dict[str, str]:
    return {page.path: render(page, plan).data.decode() for page in plan.pages}


def test_there_is_a_page_for_everything_and_one_for_each_model(
    tmp_path: Path, bundle: Bundle
) -> None:
    paths = {page.path for page in plan_of(tmp_path, bundle).pages}
    assert paths == {
        "index.html", "models/index.html", "chat/index.html", "bench/index.html",
        "about/index.html", "licences/index.html", "webgpu/index.html", "404.html",
        "m/press-guide/index.html", "m/smollm2-135m-instruct/index.html",
        "m/llama-3.2-1b-instruct/index.html",
    }  # fmt: skip


def test_a_model_of_embeddings_is_offered_for_what_it_does_and_nowhere_as_a_chat(
    tmp_path: Path, bundle: Bundle
) -> None:
    pages = rendered(plan_of(tmp_path, bundle, FakeModel(), VECTORS))
    for path in ("chat/index.html", "bench/index.html"):
        assert VECTORS.id not in pages[path], path
    for path in ("models/index.html", f"m/{VECTORS.id}/index.html"):
        assert f"similarity/index.html?model={VECTORS.id}" in pages[path], path
        assert f"chat/index.html?model={VECTORS.id}" not in pages[path], path
    assert VECTORS.name in pages["similarity/index.html"]
    assert FakeModel().id not in pages["similarity/index.html"]


def test_a_site_may_have_models_of_embeddings_alone(tmp_path: Path, bundle: Bundle) -> None:
    pages = rendered(plan_of(tmp_path, bundle, VECTORS))
    assert "engine.embeddings.create" in pages["index.html"]
    assert "engine.chat" not in pages["index.html"]


def test_planning_twice_gives_the_same_bytes(tmp_path: Path, bundle: Bundle) -> None:
    first = plan_of(tmp_path / "1", bundle, url="https://example.org/")
    second = plan_of(tmp_path / "2", bundle, url="https://example.org/")
    assert rendered(first) == rendered(second)
    assert first.assets == second.assets


def test_no_page_has_an_absolute_or_foreign_address_in_what_it_loads(
    tmp_path: Path, bundle: Bundle
) -> None:
    for path, html in rendered(plan_of(tmp_path, bundle)).items():
        loaded = re.findall(
            r"<(?:script|link|img|iframe|source)\b[^>]*?(?:src|href)=\"([^\"]*)", html
        )
        assert loaded, path
        assert all(address.startswith(("./", "../")) for address in loaded), (path, loaded)
        links = re.findall(r"<a\b[^>]*?href=\"([^\"]*)", html)
        assert not [address for address in links if address.startswith("/")], path


def test_hostile_words_in_a_manifest_stay_words(tmp_path: Path, bundle: Bundle) -> None:
    model = FakeModel(name=EVIL, description=EVIL, licence=EVIL, suggestions=(EVIL,))
    for path, html in rendered(plan_of(tmp_path, bundle, model)).items():
        assert "<script>alert" not in html, path
        assert "<img src=x" not in html, path
        assert "49" not in re.findall(r"on[a-z]+=\S+|\{\{.*?\}\}|>\s*49\s*<", html), path


def test_hostile_words_reach_the_scripts_as_they_were(tmp_path: Path, bundle: Bundle) -> None:
    plan = plan_of(tmp_path, bundle, FakeModel(name=EVIL))
    html = rendered(plan)["chat/index.html"]
    found = re.search(
        r'<script type="application/json" id="models">(.*?)</script>', html, re.DOTALL
    )
    assert found is not None
    assert json.loads(found[1])[0]["name"] == EVIL


def test_a_licence_address_that_is_no_web_address_is_not_a_link(
    tmp_path: Path, bundle: Bundle
) -> None:
    from dataclasses import replace

    hub = read_hub(write_hub(tmp_path))
    pressed = hub.models[0].default
    licence = replace(pressed.manifest.licence, url="javascript:alert(1)")
    source = replace(pressed.manifest.source, repo="javascript:alert(1)//x/y")
    manifest = replace(pressed.manifest, licence=licence, source=source)
    model = replace(hub.models[0], schemes=(replace(pressed, manifest=manifest),))
    for html in rendered(plan_site(replace(hub, models=(model,)), bundle, None)).values():
        assert not re.search(r"href=\"\s*javascript", html)


def test_a_base_url_adds_what_search_engines_and_previews_read(
    tmp_path: Path, bundle: Bundle
) -> None:
    plan = plan_of(tmp_path, bundle, url="https://example.org/models/")
    assets = {
        asset.path: asset.data.decode()
        for asset in plan.assets
        if asset.path.endswith(("xml", "txt"))
    }
    assert "<loc>https://example.org/models/m/press-guide/</loc>" in assets["sitemap.xml"]
    assert "404" not in assets["sitemap.xml"]
    assert "Sitemap: https://example.org/models/sitemap.xml" in assets["robots.txt"]
    html = rendered(plan)
    assert 'rel="canonical" href="https://example.org/models/chat/"' in html["chat/index.html"]
    assert 'href="/models/index.html"' in html["404.html"]


def test_without_a_base_url_there_is_no_sitemap(tmp_path: Path, bundle: Bundle) -> None:
    plan = plan_of(tmp_path, bundle)
    assert not {"sitemap.xml", "robots.txt"} & {asset.path for asset in plan.assets}
    assert "canonical" not in rendered(plan)["index.html"]


@pytest.mark.parametrize(
    "url", ["example.org", "ftp://example.org", "https://", "https://a/?q", 'https://a/"><b']
)
def test_a_base_url_that_is_no_web_address_is_refused(url: str) -> None:
    with pytest.raises(SiteError, match="not an address"):
        normal_base_url(url)


def test_the_web_manifest_points_at_files_that_exist(tmp_path: Path, bundle: Bundle) -> None:
    plan = plan_of(tmp_path, bundle)
    paths = {asset.path for asset in plan.assets} | {page.path for page in plan.pages}
    document = json.loads(next(a.data for a in plan.assets if a.path == "site.webmanifest"))
    assert document["start_url"].removeprefix("./") in paths
    assert {icon["src"] for icon in document["icons"]} <= paths


def test_dead_links_are_listed_and_living_ones_are_not() -> None:
    page = Asset(
        "a/index.html", b'<a href="../b.html">1</a><a href="../c.html">2</a><a href="#x">3</a>'
    )
    dead = find_dead_links([page, Asset("b.html", b"")], {"a/index.html", "b.html"})
    assert [(link.address, link.reason) for link in dead] == [
        ("../c.html", "no such file"),
        ("#x", "no such fragment"),
    ]
    with pytest.raises(LinkError, match=r"2 links lead nowhere"):
        check_links([page], {"a/index.html", "b.html"})


def test_the_shell_changes_its_version_with_any_file_and_leaves_host_files_out() -> None:
    one = make_shell([describe("index.html", b"1"), describe("_headers", b"x")])
    two = make_shell([describe("index.html", b"2"), describe("_headers", b"x")])
    assert [file.path for file in one.files] == ["index.html"]
    assert one.version != two.version


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (12_345_678, "12.3 MB"),
        (10**9 - 1, "1.00 GB"),
    ],
)
def test_sizes_are_decimal(number: int, words: str) -> None:
    assert nbytes(number) == words


def test_parameters_are_counted_in_the_words_people_use() -> None:
    assert [count(n) for n in (900, 14_200_000, 8_030_261_248)] == ["900", "14.2 M", "8.03 B"]
