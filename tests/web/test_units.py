"""Runs units.test.ts under Node's own test runner."""

from __future__ import annotations

from pathlib import Path

from runtime.web.node import run_esbuild, run_node

UNITS = Path(__file__).with_name("units.test.ts")


def test_units_pass_under_node(tmp_path: Path) -> None:
    bundled = tmp_path / "units.test.mjs"
    run_esbuild(
        {
            "entryPoints": [str(UNITS)],
            "outfile": str(bundled),
            "bundle": True,
            "format": "esm",
            "platform": "node",
            "target": "node20",
        }
    )
    run_node(["--test", str(bundled)])
