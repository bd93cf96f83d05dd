"""The pages' TypeScript and CSS, bundled by esbuild into files named by their content.

TypeScript is checked by `tsc` in the tests; here it is only compiled. One bundle a page, nothing
shared: a page loads one script beside the two that every page has.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from runtime.web.node import MODULES, NodeError, install_packages, run_esbuild

from .errors import ToolError
from .packages import ENGINE_PACKAGES, PAGE_PACKAGES, installed, read_packages
from .plan import Asset, Bundle, hashed

ROOM = Path(__file__).resolve().parent
MODULE_SCRIPTS = ("site", "catalogue", "chat", "bench", "similarity")
CLASSIC_SCRIPTS = ("theme",)
"""Scripts that run before the first paint."""
STYLES = ("site", "chat")
ESBUILD_OPTIONS = {
    "bundle": True,
    "minify": True,
    "target": "es2022",
    "charset": "utf8",
    # The licences are on a page of the site.
    "legalComments": "none",
    "logLevel": "warning",
}


def bundle_pages() -> Bundle:
    """Compile every script and style; raises ToolError when Node or a package is missing."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        try:
            install_packages()
            _esbuild(out, [ROOM / "pages" / f"{name}.ts" for name in MODULE_SCRIPTS], "esm")
            _esbuild(out, [ROOM / "pages" / f"{name}.ts" for name in CLASSIC_SCRIPTS], "iife")
            _esbuild(out, [ROOM / "styles" / f"{name}.css" for name in STYLES], "esm")
        except NodeError as error:
            raise ToolError(str(error)) from error
        scripts = {n: _asset(out / f"{n}.js") for n in (*MODULE_SCRIPTS, *CLASSIC_SCRIPTS)}
        styles = {n: _asset(out / f"{n}.css") for n in STYLES}
    names = (*PAGE_PACKAGES, *installed(MODULES, ENGINE_PACKAGES))
    return Bundle(
        scripts={name: asset.path for name, asset in scripts.items()},
        styles={name: asset.path for name, asset in styles.items()},
        assets=(*scripts.values(), *styles.values()),
        packages=read_packages(MODULES, names),
    )


def _esbuild(out: Path, sources: list[Path], form: str) -> None:
    """Run esbuild once. `form` is its output format: "esm" or "iife"."""
    run_esbuild(
        {
            "entryPoints": [str(source) for source in sources],
            "outdir": str(out),
            "format": form,
            **ESBUILD_OPTIONS,
        }
    )


def _asset(path: Path) -> Asset:
    data = path.read_bytes()
    return Asset(hashed(path.name, data), data)
