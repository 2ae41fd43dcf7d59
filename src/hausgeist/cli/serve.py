"""`hausgeist serve`: start the server in this terminal, say where it is and how to use it, end it in good order.

What is served is `app`'s, the sockets are `http.server`'s; here they are put together for one start.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import re
import secrets
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hausgeist.cli.help import Command, examples
from hausgeist.cli.options import Home
from hausgeist.cli.running import HomeLock, Running
from hausgeist.errors import Conflict, InvalidRequest

if TYPE_CHECKING:
    from hausgeist.app import App
    from hausgeist.http.server import Server
    from hausgeist.settings import Settings

__all__ = ["collect_seldom", "register"]

_EXAMPLES = examples(
    "hausgeist serve gemma-3-4b.gguf",
    "hausgeist serve --host 0.0.0.0                 for the whole network, with keys and TLS",
    "hausgeist serve --ollama-port 11434            for clients that look for Ollama there",
)
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def register(app: typer.Typer) -> None:
    app.command("serve", cls=Command, short_help="start the server.", epilog=_EXAMPLES)(serve)


def serve(
    files: Annotated[list[Path] | None, typer.Argument(metavar="FILE", help="GGUF files to offer, each under its stem.", show_default=False)] = None,
    *,
    host: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="address to listen on. anything but loopback demands keys and TLS.", show_default="127.0.0.1"),
    ] = None,
    port: Annotated[int | None, typer.Option(metavar="PORT", help="port to listen on; 0: any that is free.", show_default="4287")] = None,
    ollama_port: Annotated[int | None, typer.Option(metavar="PORT", help="a second port for Ollama clients (11434).", show_default=False)] = None,
    home: Home = None,
    offline: Annotated[bool | None, typer.Option("--offline/--online", help="refuse every outbound connection.", show_default=False)] = None,
    tls: Annotated[bool | None, typer.Option("--tls/--no-tls", help="speak HTTPS; unset: on any bind but loopback.", show_default=False)] = None,
    behind_proxy: Annotated[bool | None, typer.Option("--behind-proxy", help="a reverse proxy ends TLS in front.", show_default=False)] = None,
    keys: Annotated[
        bool | None, typer.Option("--keys/--no-keys", help="demand API keys; unset: on any bind but loopback.", show_default=False)
    ] = None,
    name: Annotated[list[str] | None, typer.Option("--name", metavar="NAME", help="a further host name of this server; several times.")] = None,
    context: Annotated[int | None, typer.Option(metavar="TOKENS", help="tokens per request.", show_default="4096")] = None,
    slots: Annotated[int | None, typer.Option(metavar="N", help="requests that one model answers side by side.", show_default="4")] = None,
    keep_alive: Annotated[
        str | None, typer.Option(metavar="TIME", help="how long idle models stay loaded: 10m; -1: for ever.", show_default="5m")
    ] = None,
    memory: Annotated[str | None, typer.Option(metavar="SIZE", help="memory for all models together: 16G.", show_default="what is free")] = None,
    engine: Annotated[Literal["auto", "wheel", "built", "binary"] | None, typer.Option(help="which llama.cpp to run.", show_default="auto")] = None,
    fake: Annotated[bool | None, typer.Option("--fake", help="offer the fake models, for tests of clients.", show_default=False)] = None,
    log_level: Annotated[Literal["debug", "info", "warning", "error"] | None, typer.Option(help="what is logged.", show_default="info")] = None,
    log_format: Annotated[Literal["text", "json"] | None, typer.Option(help="how it is logged.", show_default="text")] = None,
    transient: Annotated[bool, typer.Option("--transient", hidden=True)] = False,
) -> None:
    """start the server. Ctrl-C ends it, after running answers are finished.

    every setting can be given in hausgeist.toml or as HAUSGEIST_* as well, and there are more of them: see docs/settings.md.
    """
    from hausgeist.http.server import run
    from hausgeist.settings import load_settings
    from hausgeist.telemetry import configure

    settings = load_settings(
        home=home,
        host=host,
        port=port,
        ollama_port=ollama_port,
        offline=offline,
        tls=tls,
        behind_proxy=behind_proxy,
        keys_required=keys,
        names=tuple(name) if name else None,
        context=context,
        slots=slots,
        keep_alive=_seconds(keep_alive),
        memory=_bytes(memory),
        engine=engine,
        fake=fake,
        log_level=log_level,
        log_format=log_format,
    )
    configure(settings)
    lock = HomeLock(settings.home)
    try:
        run(_serve(settings, [file.expanduser().absolute() for file in files or []], lock, transient=transient))
    finally:
        lock.release()


async def _serve(settings: Settings, files: list[Path], lock: HomeLock, *, transient: bool) -> None:
    from hausgeist.app import build

    app = build(settings)
    app.owner_token = secrets.token_urlsafe(32)
    try:
        server = _bound(app, settings, transient=transient)
        await server.start()
        try:
            await app.start(files)
            if transient:
                _end_with_parent(server)
            lock.publish(_running(app, server, transient=transient))
            if not transient:
                await _say_so(app, server, files)
            collect_seldom()
            with _hangup(server):
                await server.wait()
        finally:
            lock.withdraw()
            await server.stop()
    finally:
        await app.stop(drain=0)


def collect_seldom() -> None:
    """What is there by now stays: without it a full collection stops everything for 50 ms, again and again. And the young are looked at in thousands:
    by the usual hundreds, 3 % of the time in which files are taken in went into that, with all threads waiting. Not more seldom: a request that has
    ended may hold on to its body until then."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000, 10, 10)


def _bound(app: App, settings: Settings, *, transient: bool) -> Server:
    """A server with its ports open. One for a chat takes any port when its own is in use."""
    from hausgeist.http.server import Server

    server = Server(app.asgi, settings, on_drain=app.closing)
    try:
        server.bind()
    except Conflict:
        if not transient:
            raise
        server = Server(app.asgi, settings.model_copy(update={"port": 0, "ollama_port": None}), on_drain=app.closing)
        server.bind()
    return server


def _running(app: App, server: Server, *, transient: bool) -> Running:
    from hausgeist import __version__
    from hausgeist.cli.welcome import network_addresses

    settings = app.settings
    authority = settings.tls_certificate or settings.home / "tls" / "ca.crt"
    return Running(
        address=server.addresses[0],
        pid=os.getpid(),
        started=time.time(),
        version=__version__,
        transient=transient,
        network=next(iter(network_addresses(settings, server.addresses[0])), ""),
        token=app.owner_token,
        authority=str(authority.absolute()) if settings.tls_on else "",
    )


async def _say_so(app: App, server: Server, files: list[Path]) -> None:
    """The screen that people see, or a line for those who collect logs as JSON."""
    from hausgeist.cli.welcome import welcome

    if app.settings.log_format == "json":
        logging.getLogger("hausgeist").info("listening", extra={"fields": {"addresses": ",".join(server.addresses), "home": str(app.settings.home)}})
        return
    print("\n".join(welcome(app, server.addresses, files)), flush=True)


def _end_with_parent(server: Server) -> None:
    """Standard input is a pipe whose other end the parent holds: when it ends, however it does, so does this server."""
    loop = asyncio.get_running_loop()

    def wait() -> None:
        with contextlib.suppress(OSError, ValueError):
            while sys.stdin.buffer.read(4096):
                pass
        with contextlib.suppress(RuntimeError):  # the loop is closed: we are ending anyway
            loop.call_soon_threadsafe(server.stop_soon)

    threading.Thread(target=wait, daemon=True, name="parent").start()


@contextlib.contextmanager
def _hangup(server: Server) -> Iterator[None]:
    """A terminal that is closed ends the server in good order, too."""
    hangup = getattr(signal, "SIGHUP", None)
    loop = asyncio.get_running_loop()
    if hangup is None or signal.getsignal(hangup) == signal.SIG_IGN:  # nohup
        yield
        return
    loop.add_signal_handler(hangup, server.stop_soon)
    try:
        yield
    finally:
        loop.remove_signal_handler(hangup)


def _seconds(text: str | None) -> float | None:
    from hausgeist.gateway.ollama.durations import seconds

    return seconds(text, param="--keep-alive")


def _bytes(text: str | None) -> int | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if match is None:
        raise InvalidRequest(f"--memory is a size such as 16G or 800M, not '{text}'.")
    return int(float(match[1]) * _UNITS[match[2].upper()])
