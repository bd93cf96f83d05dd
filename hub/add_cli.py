"""`modelpress add`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from model_configs.config import FOLDER, check_id, read
from model_configs.decode import ConfigError

app = typer.Typer(pretty_exceptions_enable=False)


@app.command()
def add(
    repo: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="A repository of the Hub.")],
    revision: Annotated[str, typer.Option(help="A branch, tag or commit.")] = "main",
    id: Annotated[
        str | None, typer.Option("--id", help="The model's name here; else from the repository's.")
    ] = None,
    file: Annotated[
        str | None, typer.Option(metavar="NAME.gguf", help="Of a repository of GGUF files.")
    ] = None,
    licence: Annotated[
        str | None, typer.Option(metavar="SPDX", help="Where the card does not say, or not well.")
    ] = None,
    licence_url: Annotated[str | None, typer.Option(metavar="URL", help="Its text.")] = None,
    out: Annotated[Path, typer.Option(help="The folder of model configs.")] = FOLDER,
    as_json: Annotated[bool, typer.Option("--json", help="Print plain data for programs.")] = False,
) -> None:
    """Write the config of a model from what its repository says; its weights stay there."""
    from .adding import Wish
    from .adding import add as write
    from .adding import as_json as to_json
    from .order import tvm_toolchain

    if id is not None:
        try:
            check_id(id)
        except ConfigError as error:
            raise typer.BadParameter(str(error), param_hint="--id") from error
    if licence_url is not None and licence is None:
        raise typer.BadParameter("--licence-url goes with --licence")
    wish = Wish(repo, revision, id, file, licence, licence_url)
    path = write(wish, out, tvm_toolchain())
    config = read(path)
    if as_json:
        typer.echo(to_json(config, path))
        return
    size = f"{config.parameters / 1e9:.2f} billion parameters"
    typer.echo(f"Wrote {path}: {config.family}, {size}, {config.licence.name}.")
    if config.licence.requires_acceptance:
        typer.echo(f"Accept its licence at https://huggingface.co/{repo} before building.")
    typer.echo(f"Read it through, then build with `modelpress build {config.id}`.")
