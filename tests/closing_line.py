"""One closing line over several runs of pytest, in pytest's own words.

python -m tests.closing_line FOLDER     # of JUnit files that pytest wrote
"""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

WIDTH = 80


def closing_line(folder: Path) -> str:
    """`=== 12 passed, 1 skipped in 3.45s ===` for all runs in `folder` together."""
    counts: Counter[str] = Counter()
    seconds = 0.0
    for path in sorted(folder.glob("*.xml")):
        for suite in ElementTree.parse(path).getroot().iter("testsuite"):
            seconds += float(suite.attrib["time"])
            found = {name: int(suite.attrib[name]) for name in ("failures", "errors", "skipped")}
            counts.update(found)
            counts["passed"] += int(suite.attrib["tests"]) - sum(found.values())
    words = {"failures": "failed", "passed": "passed", "skipped": "skipped", "errors": "errors"}
    parts = [f"{counts[name]} {word}" for name, word in words.items() if counts[name]]
    return f" {', '.join(parts) or 'no tests ran'} in {seconds:.2f}s ".center(WIDTH, "=")


if __name__ == "__main__":
    print(closing_line(Path(sys.argv[1])))
