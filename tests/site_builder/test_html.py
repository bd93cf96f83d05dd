"""Every page is sound HTML that a screen reader can walk through, with nothing inline in it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

VOID = {"area", "base", "br", "col", "hr", "img", "input", "link", "meta", "source"}
IMPLIED_BY_ROLE = {"a": "href"}


@dataclass
class Element:
    tag: str
    attributes: dict[str, str | None]
    parent: Element | None
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def walk(self) -> list[Element]:
        return [self, *(e for child in self.children for e in child.walk())]

    def inside(self, tag: str) -> bool:
        above = self.parent
        while above is not None and above.tag != tag:
            above = above.parent
        return above is not None

    @property
    def words(self) -> str:
        return " ".join([self.text, *(child.words for child in self.children)]).strip()


class Tree(HTMLParser):
    """Builds elements; every mistake of nesting is kept in `mistakes`."""

    def __init__(self) -> None:
        super().__init__()
        self.root = self.here = Element("", {}, None)
        self.mistakes: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if len(dict(attrs)) != len(attrs):
            self.mistakes.append(f"<{tag}> repeats an attribute")
        made = Element(tag, dict(attrs), self.here)
        self.here.children.append(made)
        if tag not in VOID:
            self.here = made

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.here.children.append(Element(tag, dict(attrs), self.here))

    def handle_endtag(self, tag: str) -> None:
        if tag != self.here.tag:
            self.mistakes.append(f"</{tag}> closes <{self.here.tag}>")
        self.here = self.here.parent or self.root

    def handle_data(self, data: str) -> None:
        self.here.text += data


def read(html: str) -> Tree:
    tree = Tree()
    tree.feed(html)
    tree.close()
    return tree


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[str, list[Element]]:
    read_all = {}
    for path in sorted(site.rglob("*.html")):
        tree = read(path.read_text())
        assert not tree.mistakes, (path.name, tree.mistakes)
        assert tree.here is tree.root, f"{path.name}: <{tree.here.tag}> is not closed"
        read_all[path.relative_to(site).as_posix()] = tree.root.walk()
    assert len(read_all) == 11
    return read_all


Pages = dict[str, list[Element]]


def test_mistakes_of_nesting_are_seen() -> None:
    assert read("<p><b></p></b>").mistakes


def test_every_page_names_its_language_title_and_purpose(pages: Pages) -> None:
    titles = set()
    for path, elements in pages.items():
        html = next(e for e in elements if e.tag == "html")
        assert html.attributes["lang"] == "en", path
        titles.add(next(e for e in elements if e.tag == "title").words)
        names = {e.attributes.get("name"): e.attributes.get("content") for e in elements}
        assert len(names["description"] or "") > 20, path
        assert "width=device-width" in (names["viewport"] or ""), path
    assert len(titles) == len(pages)


def test_the_policy_is_in_every_page_before_anything_is_loaded(pages: Pages) -> None:
    for path, elements in pages.items():
        kinds = [(e.tag, e.attributes.get("http-equiv")) for e in elements]
        policy = kinds.index(("meta", "Content-Security-Policy"))
        loads = [i for i, (tag, _) in enumerate(kinds) if tag in {"script", "link"}]
        assert policy < min(loads), path


def test_nothing_is_inline(pages: Pages) -> None:
    for path, elements in pages.items():
        for element in elements:
            assert element.tag != "style", path
            assert not [a for a in element.attributes if a.startswith("on") or a == "style"], path
            if element.tag == "script" and element.attributes.get("type") != "application/json":
                assert element.attributes.get("src") and not element.text.strip(), path


def test_ids_are_unique_and_references_resolve(pages: Pages) -> None:
    for path, elements in pages.items():
        ids = [e.attributes["id"] for e in elements if "id" in e.attributes]
        assert len(ids) == len(set(ids)), path
        for element in elements:
            for name in ("aria-labelledby", "aria-controls", "for"):
                for target in (element.attributes.get(name) or "").split():
                    assert target in ids, (path, name, target)


def test_there_is_one_first_heading_and_no_level_is_skipped(pages: Pages) -> None:
    for path, elements in pages.items():
        shown = [e for e in elements if re.fullmatch("h[1-6]", e.tag) and not e.inside("dialog")]
        levels = [int(e.tag[1]) for e in shown]
        assert levels.count(1) == 1, path
        assert levels[0] == 1, path
        assert all(b <= a + 1 for a, b in pairwise(levels)), (path, levels)


def test_pages_have_their_landmarks(pages: Pages) -> None:
    for path, elements in pages.items():
        tags = [e.tag for e in elements]
        assert tags.count("main") == 1, path
        assert "nav" in tags and "header" in tags, path
        skip = next(e for e in elements if e.attributes.get("class") == "skip")
        assert skip.attributes["href"] == "#main", path


def test_everything_that_can_be_used_has_a_name(pages: Pages) -> None:
    for path, elements in pages.items():
        labels = {
            e.attributes["for"] for e in elements if e.tag == "label" and "for" in e.attributes
        }
        for e in elements:
            if e.tag in {"input", "select", "textarea"}:
                named = e.inside("label") or e.attributes.get("id") in labels
                assert named, (path, e.attributes)
            if e.tag in {"button", "a"}:
                empty_by_script = any(a.startswith("data-problem") for a in e.attributes)
                assert e.words or e.attributes.get("aria-label") or empty_by_script, (
                    path,
                    e.attributes,
                )
            if e.tag == "img":
                assert "alt" in e.attributes, path
            if e.tag in {"progress", "dialog"}:
                assert {"aria-label", "aria-labelledby"} & set(e.attributes), path


def test_tables_say_what_their_cells_belong_to(pages: Pages) -> None:
    for path, elements in pages.items():
        for header in (e for e in elements if e.tag == "th"):
            assert header.attributes.get("scope") in {"col", "row"}, path
