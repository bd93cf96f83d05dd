"""The command line: every room's commands under one name, and the ones that span rooms.

It holds no logic of its own beyond putting rooms together. Rooms import their heavy libraries
inside their commands, so that `modelpress --help` answers at once.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import doctor
import hub.add_cli
import hub.cli
import publish.cli
import runtime.native.cli
import site_builder.cli
from hub.errors import HubError
from publish.errors import PublishError
from runtime.errors import ModelpressError
from site_builder.errors import SiteError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from runtime.bench import BenchRequest
    from runtime.options import EngineOptions
    from site_builder.cli import ApiWanted

DEMO_MODEL = "press-guide"
STATE_STYLES = {"ok": "green", "missing": "red", "short": "yellow"}

app = typer.Typer(
    name="modelpress",
    help="Press open language models into a static site that runs them in the browser.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
for room in (hub.cli, hub.add_cli, site_builder.cli, publish.cli, runtime.native.cli):
    app.add_typer(room.app)


def main() -> None:
    """Entry point: exit code 0 done, 1 failed, 2 wrong usage."""
    try:
        app(prog_name="modelpress")
    except (HubError, ModelpressError, PublishError, SiteError) as error:
        typer.secho(f"error: {error}", fg="red", err=True)
        sys.exit(1)


def _print_version(wanted: bool) -> None:
    if wanted:
        import importlib.metadata

        typer.echo(f"modelpress {importlib.metadata.version('modelpress')}")
        raise typer.Exit


@app.callback()
def configure(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Say which.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what happens.")] = False,
) -> None:
    """Press open language models into a static site that runs them in the browser."""
    level = logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s")


@app.command()
def demo(
    host: Annotated[str, typer.Option(help="Address to serve on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to serve on.")] = 8000,
) -> None:
    """Build the demo model and its site, then serve it."""
    _run("build", DEMO_MODEL)
    _run("site")
    _run("serve", "--host", host, "--port", str(port))


def _run(*arguments: str) -> None:
    """One of our own commands, as if typed."""
    typer.secho(f"$ modelpress {' '.join(arguments)}", bold=True, err=True)
    code = app(list(arguments), standalone_mode=False)
    if code:
        raise typer.Exit(code)


@app.command(name="doctor")
def examine(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what this machine has and lacks, and how to get what is missing."""
    findings = list(doctor.examine())
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(f) for f in findings], indent=2))
    else:
        _print_findings(findings)


def _print_findings(findings: list[doctor.Finding]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("", "state", "found", "needed for", box=None, pad_edge=False)
    for finding in findings:
        state = f"[{STATE_STYLES[finding.state]}]{finding.state}[/]"
        remedy = f"\n[bold]{finding.remedy}[/]" if finding.remedy else ""
        table.add_row(finding.name, state, finding.detail + remedy, finding.needed_for)
    Console().print(table)


def llvm_logits(hub_dir: Path, id: str, scheme: str, tokens: list[int]) -> NDArray[np.float32]:
    """f32[n, vocab] by the compiler's own code for this processor."""
    import hub.llvm

    return hub.llvm.logits(hub_dir, id, scheme, tokens)


runtime.native.cli.LOGITS_HOSTS["llvm"] = llvm_logits


def browser_bench(site: Path, request: BenchRequest, options: EngineOptions) -> dict[str, Any]:
    """The numbers of the site's bench page, in headless Chromium."""
    import bench_page

    asked = {
        "prompt": request.prompt,
        "new": request.new,
        "runs": request.runs,
        "profile": request.profile,
        "variant": options.variant,
        "weights": options.weights,
        "choices": dict(options.choices),
        "retune": options.retune,
    }
    return bench_page.measure(site, request.id, asked, software=not doctor.has_gpu())


runtime.native.cli.BENCH_HOSTS["browser"] = browser_bench


def serve_api(wanted: ApiWanted) -> None:
    """OpenAI's API of a hub's models, on this machine's devices, until Ctrl+C."""
    from runtime.engine import Engine
    from runtime.native.api_server import Listening, run_server
    from runtime.options import EngineOptions

    host = runtime.native.cli.open_host(wanted.hub, None, wanted.device)
    engine = Engine(host, EngineOptions(context=wanted.context))
    listening = Listening(wanted.host, wanted.port, frozenset(wanted.origins))
    run_server(engine, listening, model=wanted.model, say=typer.echo)


site_builder.cli.API_SERVERS["native"] = serve_api


if __name__ == "__main__":
    main()
