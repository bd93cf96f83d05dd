"""The plots of the speed page, drawn from `docs/speed.json`.

    pip install -e '.[plots]'
    python docs/plots.py            # write docs/images/speed-*.svg

The same numbers give the same bytes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

FOLDER = Path(__file__).parent
COLOURS = {"modelpress": "#00897b", "others": "#90a4ae"}


def main() -> None:
    """Draw every plot."""
    data = json.loads((FOLDER / "speed.json").read_text())
    plt.rcParams.update({"svg.hashsalt": "modelpress", "svg.fonttype": "none", "font.size": 11})
    for phase, title in (
        ("decode", "One token after another, tokens a second"),
        ("prefill", "Reading a prompt, tokens a second"),
    ):
        draw(data, phase, title, FOLDER / "images" / f"speed-{phase}.svg")
    draw_steps(data["steps"], FOLDER / "images" / "speed-steps.svg")


def draw(data: dict[str, Any], phase: str, title: str, path: Path) -> None:
    """One group of bars a shape, one bar an engine."""
    shapes = data["shapes"]
    engines = [engine for engine in data["engines"] if engine[phase]]
    fig, axes = plt.subplots(1, len(shapes), figsize=(9, 2.9), sharey=True)
    for axis, shape in zip(axes, shapes, strict=True):
        values = [engine[phase].get(shape) for engine in engines]
        names = [engine["name"] for engine in engines]
        kinds = ["modelpress" if engine["ours"] else "others" for engine in engines]
        bars = axis.barh(names, [v or 0 for v in values], color=[COLOURS[k] for k in kinds])
        axis.bar_label(bars, [f"{v:,}" if v else "not measured" for v in values], padding=3)
        axis.set_title(shape, fontsize=11)
        axis.set_xlim(0, 1.45 * max(v or 0 for v in values))
        finish(axis)
    axes[0].invert_yaxis()  # shared by all
    fig.suptitle(title, fontsize=12)
    save(fig, path)


def draw_steps(steps: list[dict[str, Any]], path: Path) -> None:
    """What each step of the work gained for one shape."""
    fig, axis = plt.subplots(figsize=(9, 2.6))
    bars = axis.barh([s["name"] for s in steps], [s["us"] for s in steps], color="#00897b")
    axis.bar_label(bars, [f"{s['us']:,}" for s in steps], padding=3)
    axis.set_title("Microseconds of GPU time a token, mistral-7b shape", fontsize=12)
    axis.invert_yaxis()
    finish(axis)
    save(fig, path)


def finish(axis: Any) -> None:
    """Bars carry their numbers: no ticks, no box."""
    axis.set_xticks([])
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)


def save(fig: Any, path: Path) -> None:
    """Write it without a date."""
    fig.tight_layout()
    fig.savefig(path, metadata={"Date": None}, facecolor="white")
    plt.close(fig)


if __name__ == "__main__":
    main()
