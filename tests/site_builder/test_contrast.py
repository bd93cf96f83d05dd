"""Colours meet WCAG 2.2 AA in both themes, computed from the style sheet's own tokens."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import site_builder

SHEET = (Path(site_builder.__file__).parent / "styles" / "site.css").read_text()
TEXT, PARTS = 4.5, 3.0
"""Smallest ratio for words, and for the edges of things that can be used."""

PAIRS = [
    *[("ink", g, TEXT) for g in ("ground", "raised", "sunken", "tint", "warn-tint", "bad-tint")],
    *[("quiet", g, TEXT) for g in ("ground", "raised", "sunken")],
    *[("accent", g, TEXT) for g in ("ground", "raised", "sunken", "tint", "warn-tint", "bad-tint")],
    *[("accent-strong", g, TEXT) for g in ("ground", "raised", "sunken")],
    ("on-accent", "accent", TEXT),
    ("on-accent", "accent-strong", TEXT),
    ("ground", "ink", TEXT),
    *[(c, g, TEXT) for c in ("good", "warn", "bad") for g in ("ground", "raised")],
    ("bad", "bad-tint", TEXT),
    *[("edge", g, PARTS) for g in ("ground", "raised")],
]


def tokens(selector: str) -> dict[str, str]:
    block = re.search(re.escape(selector) + r" \{(.*?)\}", SHEET, re.DOTALL)
    assert block is not None, selector
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", block[1]))


LIGHT = tokens(":root")
THEMES = {"light": LIGHT, "dark": {**LIGHT, **tokens(':root[data-theme="dark"]')}}


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_contrast_is_computed_as_the_standard_says() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize(("front", "back", "least"), PAIRS)
def test_words_and_edges_stand_out(theme: str, front: str, back: str, least: float) -> None:
    ratio = contrast(THEMES[theme][front], THEMES[theme][back])
    assert ratio >= least, f"{front} on {back} in {theme}: {ratio:.2f}, at least {least} is needed"


def test_a_browser_without_scripts_gets_the_same_dark_theme() -> None:
    assert tokens(":root:not([data-theme])") == tokens(':root[data-theme="dark"]')
