"""`modelpress publish`, `releases`, `rollback`, `gc`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from .plan import Plan
    from .publisher import Prepared
    from .store import Store

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)

TARGET_HELP = "s3://BUCKET/PREFIX, hf://spaces/OWNER/NAME (or models, datasets), or a directory."
Target = Annotated[str, typer.Argument(help=TARGET_HELP, show_default=False)]
Endpoint = Annotated[
    str | None,
    typer.Option(help="Another S3-compatible store or Hub than the environment names."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print plain data for programs.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]


@app.command()
def publish(
    target: Target,
    site: Annotated[Path, typer.Option(help="The built site.")] = Path("build/site"),
    dry_run: DryRun = False,
    force: Annotated[
        bool, typer.Option("--force", help="Publish into a directory that holds other files.")
    ] = False,
    configure_cors: Annotated[
        bool,
        typer.Option("--configure-cors", help="Let pages of any origin read the bucket (S3)."),
    ] = False,
    endpoint_url: Endpoint = None,
    as_json: AsJson = False,
) -> None:
    """Send a built site to a target: contents first, pages after, the channel last."""
    from rich.console import Console

    from .publisher import prepare_publish
    from .report import progress_bars

    store = _open(target, endpoint_url, adopt=force)
    if configure_cors and not dry_run:
        _configure_cors(store)
    with progress_bars(Console(stderr=True)) as on_progress:
        prepared = prepare_publish(site, store, on_progress)
    _act(prepared, store, dry_run=dry_run, as_json=as_json)


@app.command()
def releases(target: Target, endpoint_url: Endpoint = None, as_json: AsJson = False) -> None:
    """List the releases at a target, the one being served first."""
    from .publisher import list_releases
    from .report import releases_json, releases_table

    store = _open(target, endpoint_url)
    listed = list_releases(store)
    if as_json:
        _print_json(releases_json(listed, store.target))
    elif not listed:
        typer.echo(f"Nothing has been published to {store.target} yet.")
    else:
        _print(releases_table(listed, store.target))


@app.command()
def rollback(
    target: Target,
    release: Annotated[str, typer.Argument(help="Its id, or the first letters of it.")],
    dry_run: DryRun = False,
    endpoint_url: Endpoint = None,
    as_json: AsJson = False,
) -> None:
    """Serve an older release again; needs nothing but what is at the target."""
    from .publisher import prepare_rollback

    store = _open(target, endpoint_url)
    _act(prepare_rollback(release, store), store, dry_run=dry_run, as_json=as_json)


@app.command()
def gc(
    target: Target,
    keep: Annotated[int, typer.Option(min=1, help="How many releases to keep.")] = 5,
    dry_run: DryRun = False,
    endpoint_url: Endpoint = None,
    as_json: AsJson = False,
) -> None:
    """Delete releases but the newest, and every content that only they used."""
    from .publisher import collect, prepare_gc
    from .report import gc_json, gc_table

    store = _open(target, endpoint_url)
    plan = prepare_gc(store, keep)[0] if dry_run else collect(store, keep)
    if as_json:
        _print_json(gc_json(plan, store.target))
        return
    _print(gc_table(plan, store.target))
    typer.echo("Nothing was deleted: this was a dry run." if dry_run else "Deleted.")


def _open(target: str, endpoint_url: str | None, *, adopt: bool = False) -> Store:
    from .errors import TargetSyntaxError
    from .targets import open_store

    try:
        return open_store(target, endpoint_url=endpoint_url, adopt=adopt)
    except TargetSyntaxError as error:
        raise typer.BadParameter(str(error), param_hint="TARGET") from error


def _act(prepared: Prepared, store: Store, *, dry_run: bool, as_json: bool) -> None:
    from rich.console import Console

    from .publisher import execute
    from .report import plan_json, progress_bars, summary

    if not dry_run:
        with progress_bars(Console(stderr=True)) as on_progress:
            execute(prepared, store, on_progress)
    if as_json:
        _print_json(plan_json(prepared.plan, store.target, store.url))
    elif dry_run:
        _print_dry_run(prepared.plan, store.target)
    else:
        typer.echo(summary(prepared.plan, store.url))


def _configure_cors(store: Store) -> None:
    from .s3 import S3Store

    if not isinstance(store, S3Store):
        raise typer.BadParameter(f"--configure-cors is for s3:// targets, not {store.target}")
    store.configure_cors()
    typer.echo(
        "CORS is set: pages of any origin may read this bucket. To serve the site itself, let "
        "anyone read the prefix (bucket policy) and name index.html as the index document.",
        err=True,
    )


def _print_dry_run(plan: Plan, target: str) -> None:
    from .report import placed_paths, plan_table

    _print(plan_table(plan, target))
    if plan.placements:
        typer.echo(f"Documents that change, in this order:\n{placed_paths(plan)}")
    typer.echo("Nothing was written: this was a dry run.")


def _print(table: Any) -> None:
    from rich.console import Console

    Console().print(table)


def _print_json(data: dict[str, Any]) -> None:
    typer.echo(json.dumps(data, indent=2))
