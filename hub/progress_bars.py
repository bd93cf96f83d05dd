"""Progress on a terminal: one rich bar a stage. Silent when nobody watches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from runtime.progress import OnProgress, Progress, ignore_progress


@contextmanager
def progress_bars(title: str) -> Iterator[OnProgress]:
    """A callback that draws bars under `title` on standard error while the block runs."""
    from rich.console import Console
    from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    console = Console(stderr=True)
    if not console.is_terminal:
        console.print(title)
        yield ignore_progress
        return
    columns = (
        TextColumn("  {task.description:<10}"),
        BarColumn(bar_width=32),
        TextColumn("{task.fields[text]:>22}"),
        TimeElapsedColumn(),
    )
    console.print(title, style="bold")
    with Bars(*columns, console=console) as bars:
        stages: dict[str, TaskID] = {}

        def show(progress: Progress) -> None:
            stage = progress.stage
            if stage not in stages:
                stages[stage] = bars.add_task(stage, text="")
            bars.update(
                stages[stage],
                total=progress.total,
                completed=progress.done,
                text=amount(progress),
            )

        yield show


def amount(progress: Progress) -> str:
    """`done/total unit`, bytes in MB."""
    if progress.unit == "bytes":
        return f"{progress.done / 1e6:.1f}/{progress.total / 1e6:.1f} MB"
    return f"{progress.done}/{progress.total} {progress.unit}"
