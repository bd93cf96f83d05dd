"""Commands that run a model on this machine: `chat`, `logits`, `bench`."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..bench import BenchRequest
    from ..host import Host
    from ..options import EngineOptions

    BenchHost = Callable[[Path, "BenchRequest", "EngineOptions"], dict[str, Any]]
    LogitsHost = Callable[[Path, str, str, list[int]], NDArray[np.float32]]

app = typer.Typer(no_args_is_help=True)

LOGITS_HOSTS: dict[str, LogitsHost] = {}
"""Ways to compute logits besides "native": (hub folder, id, scheme, tokens) -> f32[n, vocab].

Whoever mounts these commands registers what other rooms can do.
"""

BENCH_HOSTS: dict[str, BenchHost] = {}
"""Ways to measure besides this process: "browser" is (site folder, request, options) -> result,
registered by whoever can drive one."""

Hub = Annotated[Path, typer.Option("--hub", help="Folder of the hub (or of a built site).")]
Model = Annotated[str, typer.Argument(metavar="ID", help="A model of the hub.")]
Scheme = Annotated[str | None, typer.Option(help="Quantization; the model's default if left out.")]
Variant = Annotated[str, typer.Option(help="Plan variant, or auto.")]
Adapter = Annotated[str | None, typer.Option(help="Part of the GPU adapter's name.")]
Context = Annotated[int | None, typer.Option(help="Tokens of context; the most that fits.")]
Device = Annotated[
    str,
    typer.Option("--host", help="native (WebGPU), wasm (the processor), or auto (the better)."),
]
DEVICES = ("auto", "native", "wasm")
DEFAULT_HUB = Path("build/hub")
DEFAULT_SITE = Path("build/site")


def open_host(hub: Path, adapter: str | None, device: str = "native") -> Host:
    """This machine as a host, over the folder `hub`, with the devices that `device` names."""
    from ..host import Host
    from .executor import WgpuExecutor
    from .grammar import XgrammarGrammars
    from .notes import FolderNotes, default_folder
    from .storage import FolderStorage
    from .tokenizer import open_tokenizer
    from .wasm_executor import WasmExecutor

    if device not in DEVICES:
        known = ", ".join(DEVICES)
        raise typer.BadParameter(f"{device!r} is no host; there are: {known}", param_hint="--host")
    # Vulkan drivers look for a display and complain on the terminal without this.
    os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.gettempdir())
    storage, notes = FolderStorage(hub), FolderNotes(default_folder())
    graphics, processor = WgpuExecutor(adapter=adapter), WasmExecutor(storage)
    if device == "wasm":
        return Host(processor, storage, open_tokenizer, notes, grammars=XgrammarGrammars)
    other = processor if device == "auto" else None
    return Host(
        graphics,
        storage,
        open_tokenizer,
        notes,
        processor=other,
        grammars=XgrammarGrammars,
    )


@app.command()
def chat(
    id: Model,
    prompt: Annotated[str | None, typer.Option(help="Ask this and leave.")] = None,
    system: Annotated[str | None, typer.Option(help="A system message.")] = None,
    hub: Hub = DEFAULT_HUB,
    scheme: Scheme = None,
    variant: Variant = "auto",
    context: Context = None,
    adapter: Adapter = None,
    host: Device = "auto",
    temperature: Annotated[float | None, typer.Option(min=0.0, max=2.0)] = None,
    top_p: Annotated[float | None, typer.Option(min=0.0, max=1.0)] = None,
    top_k: Annotated[int | None, typer.Option(min=0)] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same answer.")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1)] = None,
    synthetic: Annotated[bool, typer.Option(help="Random weights made on the device.")] = False,
) -> None:
    """Chat with a model in the terminal, on this machine's WebGPU or its processor."""
    from .terminal import Chat

    fields = {
        "temperature": temperature,
        "top_p": top_p,
        "top_k": top_k,
        "seed": seed,
        "max_tokens": max_tokens,
    }
    settings = {name: value for name, value in fields.items() if value is not None}
    options = _options(scheme, variant, context, synthetic)
    _run(Chat(open_host(hub, adapter, host), id, options, settings, system).run(prompt))


@app.command()
def embed(
    id: Model,
    texts: Annotated[list[str] | None, typer.Argument(metavar="[TEXT]...")] = None,
    file: Annotated[Path | None, typer.Option(help="More texts, one a line.")] = None,
    hub: Hub = DEFAULT_HUB,
    scheme: Scheme = None,
    variant: Variant = "auto",
    adapter: Adapter = None,
    host: Device = "auto",
    prompt_name: Annotated[
        str | None, typer.Option(help="Write this prompt of the model before each text.")
    ] = None,
    dimensions: Annotated[int | None, typer.Option(help="Keep so many numbers.")] = None,
    truncate: Annotated[
        bool, typer.Option("--truncate", help="Cut texts that are too long.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Write a .npy file: float32 [texts, width].")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print OpenAI's response.")] = False,
) -> None:
    """Make vectors of texts; without --json or --out, show how similar the texts are."""
    from .embed import embed as make
    from .embed import print_similarities, write_vectors

    lines = file.read_text(encoding="utf-8").splitlines() if file else []
    given = [*(texts or []), *(line for line in lines if line.strip())]
    if not given:
        raise typer.BadParameter("give texts, or a --file with one a line", param_hint="TEXT")
    request: dict[str, Any] = {"model": id, "input": given, "prompt_name": prompt_name}
    request |= {"dimensions": dimensions, "truncate": truncate}
    options = _options(scheme, variant, None, False)
    answer = asyncio.run(make(open_host(hub, adapter, host), options, request))
    if as_json:
        typer.echo(json.dumps(answer))
    elif out is not None:
        shape = write_vectors(answer, out)
        typer.echo(f"{out}: float32 {list(shape)}", err=True)
    else:
        print_similarities(given, answer)


@app.command()
def logits(
    id: Model,
    tokens: Annotated[str, typer.Option(help="Token ids, separated by commas.")],
    out: Annotated[Path, typer.Option(help="The .npy file to write: float32 [tokens, vocab].")],
    hub: Hub = DEFAULT_HUB,
    host: Annotated[
        str, typer.Option(help="native, wasm (the processor), or llvm (the compiler's own code).")
    ] = "native",
    scheme: Scheme = None,
    variant: Variant = "auto",
    adapter: Adapter = None,
) -> None:
    """Write the logits of every position of a sequence of tokens."""
    import numpy as np

    ids = _token_ids(tokens)
    if host in ("native", "wasm"):
        options = _options(scheme, variant, None, False)
        array = asyncio.run(_native_logits(open_host(hub, adapter, host), id, options, ids))
    elif host in LOGITS_HOSTS:
        chosen = asyncio.run(_scheme(open_host(hub, adapter), id, scheme))
        array = LOGITS_HOSTS[host](hub, id, chosen, ids)
    else:
        known = ", ".join(["native", "wasm", *LOGITS_HOSTS])
        raise typer.BadParameter(f"{host!r} is no host; there are: {known}", param_hint="--host")
    np.save(out, array)
    typer.echo(f"{out}: float32 {list(array.shape)}", err=True)


@app.command()
def bench(
    id: Model,
    prompt: Annotated[int, typer.Option(min=1, help="Prompt tokens.")] = 512,
    new: Annotated[int, typer.Option(min=2, help="New tokens.")] = 128,
    runs: Annotated[int, typer.Option(min=1, max=100, help="How often.")] = 3,
    hub: Hub = DEFAULT_HUB,
    scheme: Scheme = None,
    variant: Variant = "auto",
    adapter: Adapter = None,
    host: Device = "native",
    synthetic: Annotated[bool, typer.Option(help="Random weights made on the device.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    choice: Annotated[
        list[str] | None,
        typer.Option(metavar="ENTRY=WAY", help="Force a way to compute: decode=decode_dot."),
    ] = None,
    retune: Annotated[
        bool, typer.Option("--retune", help="Test and measure this device again first.")
    ] = False,
    profile: Annotated[
        bool, typer.Option("--profile", help="Time every kernel on the device as well.")
    ] = False,
    temperature: Annotated[
        float, typer.Option(min=0.0, max=2.0, help="0 takes the likeliest token.")
    ] = 0.0,
    top_p: Annotated[float, typer.Option(min=0.0, max=1.0)] = 1.0,
    parallel: Annotated[
        int, typer.Option(min=1, max=8, help="Also decode this many sequences together.")
    ] = 1,
    browser: Annotated[
        bool, typer.Option("--browser/--native", help="In headless Chromium, or in this process.")
    ] = False,
    site: Annotated[Path, typer.Option(help="The built site that --browser opens.")] = DEFAULT_SITE,
) -> None:
    """Measure a model: time to first token, prefill and decode rates, device time a token."""
    from ..bench import BenchRequest
    from .terminal import print_bench

    request = BenchRequest(id, prompt, new, runs, profile, temperature, top_p, parallel)
    options = dataclasses.replace(
        _options(scheme, variant, None, synthetic), choices=_choices(choice or []), retune=retune
    )
    if browser:
        result = BENCH_HOSTS["browser"](site, request, options)
    else:
        result = asyncio.run(_bench(open_host(hub, adapter, host), options, request))
    if as_json:
        typer.echo(json.dumps(result, indent=2))
    else:
        print_bench(result)


def _options(
    scheme: str | None, variant: str, context: int | None, synthetic: bool
) -> EngineOptions:
    from ..options import EngineOptions

    return EngineOptions(
        scheme=scheme,
        variant=variant,
        weights="synthetic" if synthetic else "real",
        context=context,
    )


def _choices(pairs: list[str]) -> dict[str, str]:
    for pair in pairs:
        if pair.count("=") != 1:
            raise typer.BadParameter(f"{pair!r} is not ENTRY=WAY", param_hint="--choice")
    return dict(pair.split("=") for pair in pairs)


def _token_ids(text: str) -> list[int]:
    try:
        ids = [int(part) for part in text.split(",")]
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no list of ids", param_hint="--tokens") from error
    if min(ids) < 0:
        raise typer.BadParameter("ids are not negative", param_hint="--tokens")
    return ids


def _run(work: Awaitable[int]) -> None:
    code = asyncio.run(_awaited(work))
    if code:
        raise typer.Exit(code)


async def _awaited(work: Awaitable[int]) -> int:
    return await work


async def _scheme(host: Host, id: str, scheme: str | None) -> str:
    from ..loading import choose_scheme, read_registry

    return choose_scheme((await read_registry(host)).find(id), scheme).scheme


async def _native_logits(host: Host, id: str, options: Any, ids: list[int]) -> Any:
    import numpy as np

    from ..abort import AbortSignal
    from ..engine import Engine
    from ..progress import ignore_progress

    engine = Engine(host, options)
    async with engine.session(id, AbortSignal(), ignore_progress) as model:
        rows = [np.frombuffer(row, "<f4") async for row in model.session.logits(ids)]
    await engine.close()
    return np.stack(rows)


async def _bench(host: Host, options: Any, request: Any) -> dict[str, Any]:
    from ..abort import AbortSignal
    from ..bench import bench as measure
    from ..engine import Engine
    from .terminal import progress_bars

    engine = Engine(host, options)
    with progress_bars() as report:
        result = await measure(engine, request, signal=AbortSignal(), on_progress=report)
    await engine.close()
    return result
