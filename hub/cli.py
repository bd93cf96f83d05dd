"""`modelpress list`, `build` and `verify`."""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from model_configs.config import GGUF, ModelConfig, all_configs, check_id
from model_configs.decode import ConfigError

from .errors import HubError

if TYPE_CHECKING:
    from runtime.manifest import Manifest

    from .audit import Finding
    from .order import Toolchain
    from .request import Request

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)

HUB = Path("build/hub")
AsJson = Annotated[bool, typer.Option("--json", help="Print plain data for programs.")]
Hub = Annotated[Path, typer.Option(help="The folder of built models.")]


@app.command(name="list")
def list_models(hub: Hub = HUB, as_json: AsJson = False) -> None:
    """List the models that have a config, and which are built."""
    from .listing import built_schemes, print_listing, rows

    listed = rows(_configs(), built_schemes(hub))
    if as_json:
        typer.echo(json.dumps(listed, indent=2))
    else:
        print_listing(listed)


@app.command()
def build(
    ids: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ID]...", help="Models to build; without any, those that need no download."
        ),
    ] = None,
    scheme: Annotated[
        list[str] | None,
        typer.Option(
            help="Quantization: f32, f16, q8, q4, q3, or mixed: q4m, q3m; repeat for several."
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Build this folder, or GGUF file, under the ID.")
    ] = None,
    repo: Annotated[
        str | None,
        typer.Option(metavar="NAME@REVISION", help="Build this repository under the ID."),
    ] = None,
    file: Annotated[
        str | None,
        typer.Option(metavar="NAME.gguf", help="The file to build, of a repository of GGUF files."),
    ] = None,
    context: Annotated[
        int | None, typer.Option(min=1, help="Tokens a conversation may hold.")
    ] = None,
    synthetic: Annotated[
        bool, typer.Option("--synthetic", help="Shapes only: the device makes up the weights.")
    ] = False,
    calibration: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A text by which rounding is chosen, and measured."),
    ] = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Measure what the scheme loses, of large models too.")
    ] = False,
    processor: Annotated[
        bool | None,
        typer.Option(
            "--processor/--no-processor",
            help="Plans for the processor, in WebAssembly; where they can be made if left out.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="The folder of built models.")] = HUB,
    as_json: AsJson = False,
) -> None:
    """Compile, quantize and chunk models into the hub folder."""
    requests = [
        dataclasses.replace(request, calibration=calibration, measure=measure, processor=processor)
        for request in _requests(ids or [], checkpoint, repo, file, synthetic, context)
    ]
    schemes = [_scheme(name) for name in scheme or []]
    if not requests:
        raise typer.BadParameter("no model has a local checkpoint; name one to build")
    results = _build_all(requests, schemes, out)
    if as_json:
        typer.echo(json.dumps(results, indent=2))
    elif not ids:
        others = [config.id for config in _configs() if config.source.folder is None]
        typer.echo(f"Not built, because they are downloaded first: {len(others)} other models.")
        typer.echo("See them with `modelpress list`, build one with `modelpress build ID`.")


@app.command()
def verify(
    id: Annotated[str, typer.Argument(help="A built model.")],
    scheme: Annotated[str | None, typer.Option(help="Only this scheme.")] = None,
    hub: Hub = HUB,
    as_json: AsJson = False,
) -> None:
    """Check a built model: digests, shapes, golden tokens, and transformers when installed."""
    from .audit import audit, passed

    found: dict[str, list[Finding]] = {}
    for name, finding in audit(hub, id, scheme):
        found.setdefault(name, []).append(finding)
        if not as_json:
            _print_finding(id, name, finding)
    if as_json:
        from .audit import as_rows

        typer.echo(json.dumps(as_rows(found), indent=2))
    if not all(passed(findings) for findings in found.values()):
        raise typer.Exit(1)


def _configs() -> tuple[ModelConfig, ...]:
    try:
        return all_configs()
    except ConfigError as error:
        raise HubError(str(error)) from error


def _requests(
    ids: Sequence[str],
    checkpoint: Path | None,
    repo: str | None,
    file: str | None,
    synthetic: bool,
    context: int | None,
) -> list[Request]:
    """What the arguments ask for; wrong combinations are wrong usage."""
    from .request import Request

    configs = {config.id: config for config in _configs()}
    given = [checkpoint is not None, repo is not None, synthetic]
    if sum(given) > 1:
        raise typer.BadParameter("--checkpoint, --repo and --synthetic exclude each other")
    if file is not None and (repo is None or not re.fullmatch(GGUF, file)):
        raise typer.BadParameter("--file names a GGUF file of the --repo")
    origin = checkpoint is not None or repo is not None
    if origin and len(ids) != 1:
        raise typer.BadParameter("give exactly one ID, the name to build under")
    if not ids:
        ids = [id for id, config in configs.items() if config.source.folder is not None]
    for id in ids:
        _check_id(id, None if origin else tuple(configs))
    return [Request(id, configs.get(id), checkpoint, repo, file, synthetic, context) for id in ids]


def _check_id(id: str, known: Sequence[str] | None) -> None:
    try:
        check_id(id)
    except ConfigError as error:
        raise typer.BadParameter(str(error)) from error
    if known is not None and id not in known:
        near = difflib.get_close_matches(id, known, 3, 0.5)
        hint = f"perhaps {' or '.join(near)}; " if near else ""
        raise typer.BadParameter(
            f"there is no model {id!r}: {hint}`modelpress list` names them; for another one give "
            "--checkpoint or --repo"
        )


def _scheme(name: str) -> str:
    from .request import find_scheme

    try:
        return find_scheme(name).name
    except HubError as error:
        raise typer.BadParameter(str(error), param_hint="--scheme") from error


def _build_all(
    requests: Sequence[Request], schemes: Sequence[str], out: Path
) -> list[dict[str, Any]]:
    """Build one after the other; when one fails, the registry still tells what is there."""
    from .order import tvm_toolchain
    from .registry import check_others
    from .request import default_scheme

    wanted = [(r.id, scheme) for r in requests for scheme in schemes or [default_scheme(r)]]
    check_others(out, wanted)
    results: list[dict[str, Any]] = []
    try:
        for request in requests:
            for result in _build(request, schemes, out, tvm_toolchain()):
                results.append(result)  # noqa: PERF402  one by one: the next may fail
    finally:
        if results:
            _write_registry(out)
    return results


def _build(
    request: Request, schemes: Sequence[str], out: Path, toolchain: Toolchain
) -> Iterator[dict[str, Any]]:
    from .build import build_model
    from .progress_bars import progress_bars
    from .request import default_scheme, find_scheme, gather, order

    material = None
    for name in schemes or [default_scheme(request)]:
        started = time.monotonic()
        with progress_bars(f"Building {request.id} in {name}") as on_progress:
            material = material or gather(request, on_progress)
            wanted = order(request, material, find_scheme(name), toolchain)
            manifest = build_model(wanted, out, toolchain=toolchain, on_progress=on_progress)
        seconds = time.monotonic() - started
        typer.echo(_sentence(manifest, out, seconds), err=True)
        yield {**_summary(manifest, out), "seconds": round(seconds, 1)}


def _summary(manifest: Manifest, out: Path) -> dict[str, Any]:
    from .registry import MANIFEST, model_folder

    scheme = manifest.quantization.scheme
    return {
        "id": manifest.id,
        "scheme": scheme,
        "manifest": str(model_folder(out, manifest.id, scheme) / MANIFEST),
        "weights_nbytes": manifest.weights_nbytes,
        "quantization": dataclasses.asdict(manifest.quantization),
        "variants": [variant.name for variant in manifest.variants],
        "source": {"repo": manifest.source.repo, "revision": manifest.source.revision},
    }


def _sentence(manifest: Manifest, out: Path, seconds: float) -> str:
    from .registry import model_folder

    quantization = manifest.quantization
    weights = f"{manifest.weights_nbytes / 1e6:.1f} MB of weights"
    if quantization.relative_error is None:
        weights = "no weights (synthetic)"
    elif quantization.relative_error:
        weights += f", {100 * quantization.relative_error:.2g} % quantization error"
    folder = model_folder(out, manifest.id, quantization.scheme)
    plans = f"{len(manifest.variants)} plans"
    return f"Built {folder} in {seconds:.1f} s: {weights}, {plans}."


def _write_registry(out: Path) -> None:
    from .registry import write_registry

    configs = _configs()
    schemes = {config.id: config.schemes for config in configs}
    write_registry(out, [config.id for config in configs], schemes)


STYLES = {"ok": "green", "failed": "red", "skipped": "yellow"}


def _print_finding(id: str, scheme: str, finding: Finding) -> None:
    state = typer.style(f"{finding.state:8}", fg=STYLES[finding.state])
    typer.echo(f"{id} {scheme:4} {state} {finding.check:10} {finding.detail}")
