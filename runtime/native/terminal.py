"""A chat in the terminal: progress while a model loads, answers as they stream, Ctrl-C to stop."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

from ..abort import AbortSignal
from ..chat_completions import stream
from ..chat_request import parse_chat_request
from ..engine import Engine
from ..errors import ModelpressError
from ..facts import device_name
from ..host import Host
from ..options import EngineOptions
from ..progress import OnProgress
from ..progress import Progress as Step

HELP = "[dim]/new starts over, /quit leaves, Ctrl-C stops an answer[/]"


class Chat:
    """One conversation on the terminal, streaming or not."""

    def __init__(
        self,
        host: Host,
        model: str,
        options: EngineOptions,
        settings: Mapping[str, Any],
        system: str | None,
    ) -> None:
        self._engine = Engine(host, options)
        self._model = model
        self._settings = dict(settings)
        self._opening = [{"role": "system", "content": system}] if system else []
        self._messages: list[dict[str, str]] = list(self._opening)
        self._console = Console(stderr=True)

    async def run(self, prompt: str | None) -> int:
        """Answer `prompt` and return, or hold a conversation; the exit code."""
        try:
            await self._load()
            if prompt is not None:
                await self._answer(prompt)
                return 0
            return await self._converse()
        finally:
            await self._engine.close()

    async def _load(self) -> None:
        with progress_bars() as report:
            loaded = await self._engine.load(self._model, on_progress=report)
        session = loaded.session
        self._console.print(
            f"[dim]{self._model} {loaded.documents.scheme.scheme} "
            f"({session.plan.variant}) on {device_name(loaded.device)}, "
            f"{session.context} tokens of context[/]",
            highlight=False,
            soft_wrap=True,
        )

    async def _converse(self) -> int:
        self._console.print(HELP)
        while True:
            text = self._ask()
            if text is None or text == "/quit":
                return 0
            if text == "/new":
                self._messages = list(self._opening)
            elif text:
                await self._turn(text)

    def _ask(self) -> str | None:
        """What the person types; None at the end of input and on Ctrl-C."""
        # asyncio's own handler would leave a blocked `input` waiting for a line.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            return self._console.input("[bold]> [/]").strip()
        except (EOFError, KeyboardInterrupt):
            return None

    async def _turn(self, text: str) -> None:
        """One question; an error is told and the conversation goes on without it."""
        before = list(self._messages)
        try:
            await self._answer(text)
        except ModelpressError as error:
            self._messages = before
            self._console.print(f"[red]{error.code}[/]: {error.message}", highlight=False)

    async def _answer(self, text: str) -> None:
        self._messages.append({"role": "user", "content": text})
        fields = {"stream": True, "stream_options": {"include_usage": True}}
        request = parse_chat_request({**self._settings, **fields, "messages": self._messages})
        answer, usage, thinks = "", None, False
        with stopped_by_interrupt() as stop:
            async for chunk in stream(self._engine, request, stop):
                usage = chunk["usage"]
                for choice in chunk["choices"]:
                    piece = choice["delta"].get("content", "")
                    thought = choice["delta"].get("reasoning_content", "")
                    thinks = self._show_thought(thought, thinks, ended=bool(piece))
                    answer += piece
                    sys.stdout.write(piece)
                    sys.stdout.flush()
        sys.stdout.write("\n")
        self._messages.append({"role": "assistant", "content": answer})
        if usage is not None:
            self._console.print(_usage_line(usage), highlight=False, soft_wrap=True)

    def _show_thought(self, thought: str, thinks: bool, *, ended: bool) -> bool:
        """Reasoning, dimmed, apart from the answer; whether the model is still at it."""
        if thought:
            self._console.print(Text(thought, style="dim"), end="", soft_wrap=True)
        if thinks and ended:
            self._console.print("\n")
        return (thinks or bool(thought)) and not ended


def _usage_line(usage: Mapping[str, Any]) -> str:
    extra, cached = usage["extra"], usage["prompt_tokens_details"]["cached_tokens"]
    return (
        f"[dim]{usage['prompt_tokens']} tokens in ({cached} cached), "
        f"{usage['completion_tokens']} out, first after {extra['ttft_s']:.2f} s, "
        f"{extra['decode_tok_s']:.1f} tok/s[/]"
    )


@contextmanager
def stopped_by_interrupt() -> Iterator[AbortSignal]:
    """Ctrl-C aborts the signal instead of ending the program."""
    stop = AbortSignal()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, stop.abort)
    try:
        yield stop
    finally:
        loop.remove_signal_handler(signal.SIGINT)


@contextmanager
def progress_bars() -> Iterator[OnProgress]:
    """A bar for each stage, on stderr; gone when done."""
    columns = (TextColumn("{task.description:>9}"), BarColumn(), TextColumn("{task.fields[text]}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def report(step: Step) -> None:
            if step.stage not in tasks:
                tasks[step.stage] = bars.add_task(step.stage, total=step.total, text="")
            bars.update(
                tasks[step.stage], completed=step.done, total=step.total, text=_amount(step)
            )

        yield report


def _amount(step: Step) -> str:
    if step.unit == "bytes":
        return f"{step.done / 2**20:.0f} of {step.total / 2**20:.0f} MiB"
    return f"{step.done} of {step.total} {step.unit}"


def print_bench(result: Mapping[str, Any]) -> None:
    """The numbers of `bench` as a table."""
    console = Console()
    console.print(
        f"[bold]{result['id']}[/] {result['variant']} on {result['device']}: "
        f"{result['dispatches_per_token']} dispatches a token, "
        f"{result['weight_bytes'] / 2**20:.0f} MiB of weights, "
        f"loaded in {result['load_ms'] / 1000:.1f} s",
        highlight=False,
        soft_wrap=True,
    )
    table = Table("prompt", "new", "first token", "prefill", "decode", "device", "host", box=None)
    for run in result["runs"]:
        table.add_row(
            str(run["prompt_tokens"]),
            str(run["new_tokens"]),
            f"{run['ttft_ms']:.0f} ms",
            f"{run['prefill_tok_s']:.1f} tok/s",
            f"{run['decode_tok_s']:.1f} tok/s",
            f"{run['gpu_ms_per_token']:.2f} ms/token",
            f"{run['cpu_ms_per_token']:.2f} ms/token",
        )
    console.print(table)
    if "parallel" in result:
        together = result["parallel"]
        console.print(
            f"{together['sequences']} sequences together: {together['decode_tok_s']:.1f} tok/s"
        )
    for name, choice in result["choices"].items():
        if choice["milliseconds"] or choice["forced"]:
            console.print(_choice_line(name, choice), highlight=False, soft_wrap=True)

    for phase, times in result.get("profile", {}).items():
        console.print()
        console.print(_profile_table(phase, times))


def _profile_table(phase: str, times: Mapping[str, Any]) -> Table:
    """Device time by kernel, the slowest first."""
    tokens = "one token" if times["tokens"] == 1 else f"{times['tokens']} tokens at once"
    title = f"{phase}: {times['microseconds'] / 1000:.2f} ms on the device for {tokens}"
    table = Table("kernel", title=title, title_justify="left", box=None)
    for name in ("dispatches", "each, µs", "together, µs", "share"):
        table.add_column(name, justify="right")
    for row in times["kernels"]:
        table.add_row(
            row["kernel"],
            f"{row['dispatches']:g}",
            f"{row['microseconds_each']:.1f}",
            f"{row['microseconds']:.0f}",
            f"{row['share']:.1%}",
        )
    return table


def _choice_line(name: str, choice: Mapping[str, Any]) -> str:
    times = ", ".join(f"{entry} {ms:.3f} ms" for entry, ms in choice["milliseconds"].items())
    how = "forced" if choice["forced"] else "remembered" if choice["remembered"] else "measured"
    return f"{name} by [bold]{choice['entry']}[/] ({how}{': ' if times else ''}{times})"
