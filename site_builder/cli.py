"""`modelpress site` and `modelpress serve`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from runtime.progress import OnProgress

    from .build import Built

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)


@dataclass(frozen=True, slots=True)
class ApiWanted:
    """What `serve --api` was asked for."""

    hub: Path
    host: str
    port: int
    model: str | None
    device: str
    context: int | None
    origins: tuple[str, ...]


API_SERVERS: dict[str, Callable[[ApiWanted], None]] = {}
"""Ways to answer requests with a model, registered by whoever mounts these commands: "native"."""


@app.command()
def site(
    hub: Annotated[Path, typer.Option(help="The folder that `build` filled.")] = Path("build/hub"),
    out: Annotated[Path, typer.Option(help="Where the site goes.")] = Path("build/site"),
    base_url: Annotated[
        str | None,
        typer.Option(help="Where it will be served: adds a sitemap, canonical links, previews."),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Hash every weight file and refuse dead links.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print plain data for programs.")] = False,
) -> None:
    """Generate the static site that offers a hub's models."""
    from .build import build_site

    with _progress(shown=not as_json) as on_progress:
        built = build_site(
            hub,
            out,
            build_engine=_build_engine,
            base_url=base_url,
            strict=strict,
            on_progress=on_progress,
        )
    if as_json:
        typer.echo(json.dumps(_as_data(built), sort_keys=True))
    else:
        _print_summary(built)


@app.command()
def serve(
    site: Annotated[Path, typer.Option(help="The built site.")] = Path("build/site"),
    host: Annotated[str, typer.Option(help="Address to serve on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to serve on; 0 takes a free one.")] = 8000,
    under: Annotated[str, typer.Option(help="Path to serve it under, like /a/b/.")] = "/",
    isolate: Annotated[
        bool, typer.Option("--isolate", help="Also send COOP and COEP (cross-origin isolation).")
    ] = False,
    api: Annotated[
        bool,
        typer.Option("--api", help="Instead of the site, OpenAI's API of this machine's models."),
    ] = False,
    hub: Annotated[Path, typer.Option(help="With --api: the folder that `build` filled.")] = Path(
        "build/hub"
    ),
    model: Annotated[
        str | None, typer.Option(help="With --api: load this model at once, not when asked.")
    ] = None,
    device: Annotated[
        str, typer.Option(help="With --api: native (WebGPU), wasm (the processor), or auto.")
    ] = "auto",
    context: Annotated[
        int | None, typer.Option(help="With --api: tokens of context; the most that fits.")
    ] = None,
    allow_origin: Annotated[
        list[str] | None, typer.Option(help="With --api: pages of this origin may ask, too.")
    ] = None,
) -> None:
    """Serve a built site on this machine, with the headers a deployment would send.

    With --api no site is served but the models of a hub, to any program that speaks OpenAI's API.
    """
    if api:
        wanted = ApiWanted(hub, host, port, model, device, context, tuple(allow_origin or ()))
        return API_SERVERS["native"](wanted)
    from .serve import ISOLATION, Mount, address, make_server

    path = f"/{under.strip('/')}/" if under.strip("/") else "/"
    mount = Mount(site, path, ISOLATION if isolate else None)
    server = make_server(mount, host=host, port=port)
    typer.echo(f"Serving {site} at {address(server, mount)} (stop with Ctrl+C)")
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        typer.echo("Stopped.")
    finally:
        server.server_close()


def _build_engine(out: Path) -> None:
    from runtime.web.bundle import build_engine
    from runtime.web.node import NodeError

    from .errors import ToolError

    try:
        build_engine(out)
    except NodeError as error:
        raise ToolError(str(error)) from error


@contextmanager
def _progress(*, shown: bool) -> Iterator[OnProgress]:
    """A line on the terminal's error stream that says what is being done."""
    from rich.console import Console

    from runtime.progress import Progress, ignore_progress

    if not shown:
        yield ignore_progress
        return
    with Console(stderr=True).status("Reading the hub") as status:

        def show(progress: Progress) -> None:
            share = f" {100 * progress.done // max(1, progress.total)} %"
            status.update(progress.stage.capitalize() + (share if progress.unit == "bytes" else ""))

        yield show


def _as_data(built: Built) -> dict[str, object]:
    return {
        "out": str(built.out),
        "models": built.models,
        "pages": built.pages,
        "files": built.files,
        "nbytes": built.nbytes,
        "engine_nbytes": built.engine_nbytes,
    }


def _print_summary(built: Built) -> None:
    from rich.console import Console
    from rich.table import Table

    from .cards import nbytes

    table = Table(title=f"Site in {built.out}", title_justify="left", show_header=False)
    table.add_row("Models", str(built.models))
    table.add_row("Pages", str(built.pages))
    table.add_row("Files", str(built.files))
    table.add_row("Size", nbytes(built.nbytes))
    table.add_row("of which the engine", nbytes(built.engine_nbytes))
    Console().print(table)
    typer.echo(f"Look at it with `modelpress serve --site {built.out}`.")
