"""One question and its answer on the screen: who answers, what Ctrl-C does, what happens when the server went away meanwhile."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from hausgeist.cli.client import Client, client_for, configured_address, local_client
from hausgeist.cli.conversation import Conversation, Outcome
from hausgeist.cli.display import Display
from hausgeist.cli.exits import ServerUnreachable
from hausgeist.cli.running import find
from hausgeist.cli.transient import TransientServer
from hausgeist.settings import Settings

__all__ = ["Link", "Stopped", "answer"]


class Stopped(Exception):
    """Ctrl-C ended the answer."""


class Link:
    """The server that this command talks to: one that is named, the one of the home folder, or one of its own. Close it at the end."""

    def __init__(self, settings: Settings, address: str | None, *, files: tuple[Path, ...] = (), project: str | None = None) -> None:
        """`project`: in which everything is asked; None: the key's own."""
        self._settings = settings
        self._address = address
        self._project = project
        self._files = files
        self._client: Client | None = None
        self._server: TransientServer | None = None

    @property
    def own(self) -> bool:
        """Whether the server was started for this command."""
        return self._server is not None

    def client(self) -> Client:
        """A connection; starts a server when there is none."""
        if self._client is None:
            self._client = self._connect().within(self._project)
        return self._client

    def drop(self) -> None:
        """Forget the connection: it was cut, or the server is gone. The next `client` finds out."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def close(self) -> None:
        self.drop()
        if self._server is not None:
            self._server.close()
            self._server = None

    def _connect(self) -> Client:
        if self._address:
            return client_for(self._settings, self._address)
        running = find(self._settings.home)
        if running is None and configured_address(self._settings):
            client = client_for(self._settings)
            if _answers(client):
                return client
            client.close()
        if running is None:
            if self._server is not None:
                self._server.close()
            self._server = TransientServer(self._settings.home, files=self._files)
            running = self._server.wait()
        return local_client(running)


def _answers(client: Client) -> bool:
    try:
        client.ask("GET", "/api/version")
    except ServerUnreachable:
        return False
    return True


def answer(link: Link, conversation: Conversation, outcome: Outcome, shown: Display) -> None:
    """Ask, and show the answer as it arrives. Raises `Stopped` after Ctrl-C, with what was said so far in `outcome`."""
    with _Interrupts() as interrupts:
        try:
            with shown:
                try:
                    _answer(link, conversation, outcome, shown, interrupts)
                except ServerUnreachable:
                    link.drop()
                    if outcome.content or outcome.thinking:
                        raise
                    _answer(link, conversation, outcome, shown, interrupts)  # it had ended since the last question
        except KeyboardInterrupt:
            link.drop()
            raise Stopped from None


def _answer(link: Link, conversation: Conversation, outcome: Outcome, shown: Display, interrupts: _Interrupts) -> None:
    with ExitStack() as stack:
        with interrupts.allowed():
            pieces = stack.enter_context(conversation.answer(link.client(), outcome))
        while True:
            with interrupts.allowed():
                piece = next(pieces, None)
            if piece is None:
                return
            shown.add(*piece)


class _Interrupts:
    """Ctrl-C breaks off waiting for the server, never the drawing of a line; a second one in a row always gets through."""

    def __init__(self) -> None:
        self._open = False
        self._pending = False
        self._before: Any = None

    def __enter__(self) -> _Interrupts:
        self._before = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *exc: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    @contextmanager
    def allowed(self) -> Iterator[None]:
        if self._pending:
            raise KeyboardInterrupt
        self._open = True
        try:
            yield
        finally:
            self._open = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._open or self._pending:
            self._open = False
            raise KeyboardInterrupt
        self._pending = True
