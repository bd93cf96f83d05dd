"""The pages' TypeScript is sound under the strictest settings."""

from __future__ import annotations

from runtime.web.node import ROOT, run_node


def test_the_pages_pass_the_type_checker() -> None:
    tool = ROOT / "node_modules" / "typescript" / "bin" / "tsc"
    run_node([str(tool), "--noEmit", "-p", str(ROOT / "site_builder" / "pages")])
