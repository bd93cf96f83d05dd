"""The OpenAI protocol on a socket: `http_api.respond` behind aiohttp.

Meant for programs of this machine. Pages of the web are kept out unless their origin is allowed: a
request with a foreign `Origin` is refused, and so is one for a foreign host while the server
listens on the loopback alone (DNS rebinding). A client that goes away stops its answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import traceback
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from urllib.parse import urlsplit

from aiohttp import web

from ..abort import AbortSignal
from ..engine import Engine
from ..errors import ModelpressError
from ..http_api import HttpRequest, HttpResponse, error_response, respond

MAX_BODY_NBYTES = 64 * 2**20
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
CLOSE_TIMEOUT_S = 2.0
CORS = {
    "access-control-allow-methods": "GET, POST",
    "access-control-allow-headers": "authorization, content-type",
}


@dataclass(frozen=True, slots=True)
class Listening:
    """Where to listen, and which pages' origins ("https://example.org") may ask."""

    host: str = "127.0.0.1"
    port: int = 8000
    origins: frozenset[str] = frozenset()


class ApiServer:
    """One engine behind one address."""

    def __init__(self, engine: Engine, listening: Listening) -> None:
        self._engine = engine
        self._listening = listening
        app = web.Application(client_max_size=MAX_BODY_NBYTES)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(
            app, handler_cancellation=True, access_log=None, shutdown_timeout=CLOSE_TIMEOUT_S
        )

    async def start(self) -> str:
        """Listen; the address for clients, which ends in "/v1". "network" when it is taken."""
        await self._runner.setup()
        where = self._listening
        try:
            await web.TCPSite(self._runner, where.host, where.port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise ModelpressError(
                "network",
                f"cannot listen on {where.host}:{where.port} ({error.strerror}); "
                "choose another with --port",
            ) from error
        port = self._runner.addresses[0][1]
        name = "localhost" if where.host in LOOPBACK | {"0.0.0.0", "::"} else where.host
        return f"http://{name}:{port}/v1"

    async def close(self) -> None:
        """Stop what runs, then listen no more."""
        await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        refusal = self._refusal(request)
        if refusal is not None:
            return await _send(request, refusal, {})
        extra = self._cors(request)
        if request.method == "OPTIONS" and extra:
            return web.Response(status=204, headers={**extra, **CORS})
        signal = AbortSignal()
        try:
            return await _send(request, await self._respond(request, signal), extra)
        finally:
            signal.abort("the client went away")

    async def _respond(self, request: web.Request, signal: AbortSignal) -> HttpResponse:
        """The answer; a client that goes away before it is there stops the work."""
        try:
            data = await request.read()
        except web.HTTPRequestEntityTooLarge:
            message = f"the request is larger than {MAX_BODY_NBYTES // 2**20} MiB"
            return error_response(ModelpressError("bad_request", message), 413)
        asked = HttpRequest(request.method, request.path, _decoded(data))
        work = asyncio.ensure_future(_guarded(self._engine, asked, signal))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            signal.abort("the client went away")
            await (await work).body.aclose()
            raise

    def _refusal(self, request: web.Request) -> HttpResponse | None:
        origin, host = request.headers.get("origin"), request.host
        if self._listening.host in LOOPBACK and urlsplit(f"//{host}").hostname not in LOOPBACK:
            return _forbidden(f"this server answers to localhost, not to {host[:100]!r}")
        is_own = origin is not None and urlsplit(origin).netloc == host
        if origin is None or is_own or origin in self._listening.origins:
            return None
        return _forbidden(f"pages of {origin[:100]!r} may not ask; allow them with --allow-origin")

    def _cors(self, request: web.Request) -> Mapping[str, str]:
        origin = request.headers.get("origin")
        if origin is None or origin not in self._listening.origins:
            return {}
        return {"access-control-allow-origin": origin, "vary": "origin"}


async def _guarded(engine: Engine, request: HttpRequest, signal: AbortSignal) -> HttpResponse:
    try:
        return await respond(engine, request, signal)
    except Exception as error:
        # The client must get an answer, and one that it can hand on.
        details = {"traceback": traceback.format_exc()}
        return error_response(ModelpressError("internal", repr(error), details=details))


async def _send(
    request: web.Request, response: HttpResponse, extra: Mapping[str, str]
) -> web.StreamResponse:
    """The body as it comes; closed when the client is gone."""
    headers = {**response.headers, **extra}
    async with aclosing(response.body) as body:
        if not headers["content-type"].startswith("text/event-stream"):
            text = "".join([part async for part in body])
            return web.Response(status=response.status, headers=headers, body=text.encode())
        sent = web.StreamResponse(status=response.status, headers=headers)
        # A client may go away at any time, which is its right.
        with contextlib.suppress(ConnectionResetError):
            await sent.prepare(request)
            async for text in body:
                await sent.write(text.encode())
            await sent.write_eof()
        return sent


def _forbidden(message: str) -> HttpResponse:
    return error_response(ModelpressError("bad_request", message), 403)


def _decoded(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


async def serve(
    engine: Engine, listening: Listening, *, model: str | None, say: Callable[[str], object]
) -> None:
    """Load `model` when one is named, tell the address, then answer until cancelled."""
    server = ApiServer(engine, listening)
    say(f"Answering at {await server.start()} (stop with Ctrl+C)")
    try:
        if model is not None:
            await engine.load(model)
            say(f"{model} is loaded")
        await asyncio.Event().wait()
    finally:
        await server.close()
        await engine.close()


def run_server(
    engine: Engine, listening: Listening, *, model: str | None, say: Callable[[str], object]
) -> None:
    """`serve` until Ctrl+C."""
    try:
        asyncio.run(serve(engine, listening, model=model, say=say))
    except KeyboardInterrupt:
        say("Stopped.")
