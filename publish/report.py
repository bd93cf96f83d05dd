"""What publishing shows: progress bars, tables for people, plain data for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from runtime.progress import OnProgress, ignore_progress
from runtime.progress import Progress as Step

from .plan import GcPlan, Phase, Plan, Upload
from .publisher import Listed

SHOWN_PATHS = 20


@contextmanager
def progress_bars(console: Console) -> Iterator[OnProgress]:
    """A callback that draws one bar a stage; draws nothing where there is no terminal."""
    if not console.is_terminal:
        yield ignore_progress
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[amount]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        tasks: dict[str, TaskID] = {}

        def show(step: Step) -> None:
            if step.stage not in tasks:
                tasks[step.stage] = progress.add_task(step.stage, amount="")
            progress.update(
                tasks[step.stage], completed=step.done, total=step.total, amount=_amount(step)
            )

        yield show


def plan_table(plan: Plan, target: str) -> Table:
    """What a publish or rollback would send and what it would leave alone."""
    table = Table(title=f"release {plan.release.id} to {target}", title_justify="left")
    _columns(table)
    for action, uploads in (("send", plan.blobs), ("skip, already there", plan.present)):
        _row(table, action, "blobs", uploads)
    for phase in (Phase.ASSETS, Phase.ENTRIES, Phase.REGISTRY):
        name = phase.name.lower()
        _row(table, "place", name, [d for d in plan.placements if d.phase is phase])
        _row(table, "keep, unchanged", name, [d for d in plan.unchanged if d.phase is phase])
    table.add_row("delete", "nothing (that is what gc is for)", "0", "0 bytes")
    return table


def placed_paths(plan: Plan) -> str:
    """The documents that change, in their order, the first of them by name."""
    paths = [f"  {d.path}" for d in plan.placements[:SHOWN_PATHS]]
    more = len(plan.placements) - len(paths)
    return "\n".join([*paths, *([f"  … and {more} more"] if more else [])])


def gc_table(plan: GcPlan, target: str) -> Table:
    """What garbage collection deletes."""
    table = Table(title=f"garbage at {target}", title_justify="left")
    for name in ("releases kept", "releases dropped"):
        table.add_column(name)
    for name in ("files to delete", "bytes"):
        table.add_column(name, justify="right")
    kept, dropped = "\n".join(plan.kept), "\n".join(plan.dropped) or "none"
    table.add_row(kept, dropped, str(len(plan.paths)), decimal(plan.nbytes))
    return table


def releases_table(listed: Sequence[Listed], target: str) -> Table:
    """Releases at a target, the one being served first."""
    table = Table(title=f"releases at {target}", title_justify="left")
    table.add_column("release")
    table.add_column("state")
    table.add_column("files", justify="right")
    table.add_column("size", justify="right")
    for item in listed:
        files, nbytes = str(len(item.release.files)), decimal(item.release.nbytes)
        table.add_row(item.release.id, _state(item), files, nbytes)
    return table


def plan_json(plan: Plan, target: str, url: str) -> dict[str, Any]:
    """The plan as plain data, every path named."""
    return {
        "target": target,
        "url": url,
        "release": plan.release.id,
        "sequence": plan.channel.sequence if plan.moves else plan.channel.sequence - 1,
        "previous": plan.channel.previous,
        "changed": plan.moves,
        "send": _paths(plan.blobs),
        "send_nbytes": _nbytes(plan.blobs),
        "skip": _paths(plan.present),
        "skip_nbytes": _nbytes(plan.present),
        "place": _paths(plan.placements),
        "keep": _paths(plan.unchanged),
        "delete": [],
    }


def gc_json(plan: GcPlan, target: str) -> dict[str, Any]:
    """Garbage as plain data."""
    return {
        "target": target,
        "kept": list(plan.kept),
        "dropped": list(plan.dropped),
        "delete": list(plan.paths),
        "delete_nbytes": plan.nbytes,
    }


def releases_json(listed: Sequence[Listed], target: str) -> dict[str, Any]:
    """Releases as plain data."""
    releases = [
        {
            "release": item.release.id,
            "state": _state(item),
            "files": len(item.release.files),
            "nbytes": item.release.nbytes,
        }
        for item in listed
    ]
    return {"target": target, "releases": releases}


def summary(plan: Plan, url: str) -> str:
    """What was done, in two lines."""
    if not plan.moves:
        return f"Release {plan.release.id} is already being served; nothing was sent.\n{url}"
    sent = f"sent {_count(plan.blobs, 'blob')} ({decimal(_nbytes(plan.blobs))})"
    there = f"{len(plan.present)} already there ({decimal(_nbytes(plan.present))})"
    placed = f"placed {_count(plan.placements, 'document')}"
    return f"Serving release {plan.release.id}: {sent}, {there}, {placed}.\n{url}"


def _count(uploads: Sequence[Upload], noun: str) -> str:
    return f"{len(uploads)} {noun}" if len(uploads) == 1 else f"{len(uploads)} {noun}s"


def _state(item: Listed) -> str:
    if item.place is None:
        return "never served"
    return "served" if item.place == 0 else f"{item.place} back"


def _columns(table: Table) -> None:
    table.add_column("action")
    table.add_column("what")
    table.add_column("files", justify="right")
    table.add_column("bytes", justify="right")


def _row(table: Table, action: str, what: str, uploads: Sequence[Upload]) -> None:
    if uploads:
        table.add_row(action, what, str(len(uploads)), decimal(_nbytes(uploads)))


def _nbytes(uploads: Sequence[Upload]) -> int:
    return sum(upload.content.nbytes for upload in uploads)


def _paths(uploads: Sequence[Upload]) -> list[str]:
    return [upload.path for upload in uploads]


def _amount(step: Step) -> str:
    if step.unit == "bytes":
        return f"{decimal(step.done)} of {decimal(step.total)}"
    return f"{step.done} of {step.total} {step.unit}"
