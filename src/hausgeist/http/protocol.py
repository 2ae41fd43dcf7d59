"""HTTP/1.1 on a connection, by uvicorn and httptools, with the limits that those leave out: a request's head must come soon and be of sane
size, so must what comes after its body, and a client must take what it asked for."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

__all__ = ["Protocol"]

_HEAD_SECONDS = 20.0
_HEAD_BYTES = 64 * 1024
_HEADERS = 128
_STALLED_SECONDS = 150.0
"""Longer than the stall that streams notice themselves (which can say so in the log)."""

_TEXT = {
    400: "Invalid HTTP request received.",
    408: "The request did not arrive in time.",
    431: "The head of the request is too large.",
}


class Protocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._deadline: asyncio.TimerHandle | None = None
        self._stall: asyncio.TimerHandle | None = None
        self._head = 0
        self._fruitless = 0
        """Bytes of a body that were no content: names and extensions of chunks, trailers."""
        self._in_body = False
        self._refusal = 400

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_came()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        self._fruitless += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._in_body and self._fruitless > _HEAD_BYTES:
            self._refuse(431)
            return
        idle = self.cycle is None or self.cycle.response_complete
        if self._deadline is None and idle and self.timeout_keep_alive_task is None:
            self._await_head()  # bytes that begin no request, such as empty lines, must not keep the connection for ever
        if self._deadline is not None:
            self._head += len(data)
            if self._head > _HEAD_BYTES:
                self._refuse(431)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_body = False
        self._await_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        # A trailer says nothing here, and the list of headers, which is the request's own, must not grow while it is answered.
        if not self._in_body:
            super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        self._fruitless = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_body = False
        super().on_message_complete()

    def on_headers_complete(self) -> None:
        self._head_came()
        self._in_body, self._fruitless = True, 0
        if len(self.headers) > _HEADERS:
            self._refusal = 431
            raise ValueError("too many headers")  # the parser stops, and `send_400_response` says why
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        self._refuse(self._refusal)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._stall is None:
            self._stall = self.loop.call_later(_STALLED_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None
        super().resume_writing()

    def _await_head(self) -> None:
        if self._deadline is None:
            self._head = 0
            self._deadline = self.loop.call_later(_HEAD_SECONDS, self._refuse, 408)

    def _head_came(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _refuse(self, status: int) -> None:
        """Answer and close. Not while another response is on its way on this connection: that would be taken for a part of it."""
        self._head_came()
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:
            text = _TEXT[status].encode()
            head = b"content-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(text)
            self.transport.write(STATUS_LINE[status] + head + text)
        self.transport.close()
