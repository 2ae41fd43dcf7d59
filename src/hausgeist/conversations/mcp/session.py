"""One conversation with a server of tools over HTTP, by either form of the protocol: with a handshake (until 2025) or without (from July 2026).

Owns which form the server speaks, sessions, resumption and the end. Each request goes through the one way out and over a connection of its own: a
model thinks longer than servers keep idle connections, and a call must not be sent twice to find out. What the answers mean is not known here.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, MutableMapping
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from hausgeist import __version__
from hausgeist.conversations.mcp.fields import encoded
from hausgeist.conversations.mcp.servers import Server
from hausgeist.conversations.mcp.wire import EventReader, Fault, clean, document, invalid, parse, pieces
from hausgeist.errors import EgressRefused, HausgeistError
from hausgeist.governance.egress import Egress
from hausgeist.identity import Origin, Principal

if TYPE_CHECKING:
    from aiohttp import ClientResponse

__all__ = ["Session"]

_SHAKEN: Final = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
"""Versions that begin with a handshake, the newest first."""
_BARE: Final = "2026-07-28"
"""The version in which each request stands for itself."""
_UNSUPPORTED_VERSION: Final = -32022
_NO_METHOD: Final = -32601
_STREAM: Final = 16 * 2**20
"""Bytes of all that comes while one answer is waited for."""
_ERROR: Final = 64 * 2**10
_RESUMED: Final = 20
_RETRY: Final = (0.05, 1.0, 5.0)
"""Seconds before a stream that ended too early is asked for again: least, where the server does not say, most."""
_ASKED: Final = 50
"""Requests of the server that are answered while one answer is waited for."""
_PROBE: Final = 5.0
_FAREWELL: Final = 2.0
_CLIENT: Final = {"name": "hausgeist", "version": __version__}
_META: Final = "io.modelcontextprotocol"


@dataclass(slots=True)
class _Stream:
    """An answer that comes as a stream, possibly in several parts."""

    wanted: int
    left: int = _STREAM
    asked: int = 0
    last: str = ""
    retry: float = _RETRY[1]


class Session:
    """Opened with the first request. `eras` remembers which form each server speaks, by address, beyond this session."""

    def __init__(self, server: Server, egress: Egress, eras: MutableMapping[str, bool], *, who: Principal, origin: Origin) -> None:
        self._server = server
        self._egress = egress
        self._eras = eras
        self._who = who
        self._origin = origin
        self._recorded: set[str] = set()
        self._version = ""
        self._id = ""
        self._last = 0
        self._opening = asyncio.Lock()

    async def request(
        self, method: str, params: Mapping[str, Any], *, timeout: float, name: str = "", headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """The result. `name`: of the tool that is called; `headers`: those that its arguments are repeated in.

        Raises `Fault` for everything that the server does wrong, and `EgressRefused`."""
        number = 0
        try:
            async with asyncio.timeout(timeout):
                for again in (False, True):
                    version = await self._opened()
                    number = self._next()
                    try:
                        return await self._ask(number, method, params, version, name=name, headers=headers or {})
                    except Fault as fault:
                        if fault.status:
                            self._eras.pop(self._server.url, None)
                        if again or fault.status != 404 or not self._id:
                            raise
                        self._version = self._id = ""  # the server has forgotten the session, and has not done what it was asked
        except TimeoutError:
            await self._cancel(number)
            raise Fault(f"The server of tools did not answer within {timeout:.3g} s.", code=504) from None
        except asyncio.CancelledError:
            await self._cancel(number)
            raise
        raise AssertionError("unreachable")

    async def close(self) -> None:
        """Tell the server that its session has ended, if it keeps one. Never raises."""
        if self._id:
            await self._quietly("DELETE", None)
            self._version = self._id = ""

    # Which form of the protocol

    async def _opened(self) -> str:
        async with self._opening:
            if not self._version:
                known = self._eras.pop(self._server.url, None)
                if known or (known is None and await self._bare()):
                    self._version = _BARE
                else:
                    self._version = await self._agreed(known)
                self._eras[self._server.url] = self._version == _BARE
            return self._version

    async def _agreed(self, known: bool | None) -> str:
        """By a handshake, unless the server has given that up since it was `known`."""
        try:
            return await self._shake()
        except Fault as fault:
            if known is None or fault.code != _UNSUPPORTED_VERSION or not await self._bare():
                raise
            return _BARE

    async def _bare(self) -> bool:
        """Whether the server speaks the form without a handshake. Everything but a clear yes is a no: older ones answer in many ways."""
        try:
            async with asyncio.timeout(_PROBE):
                found = await self._ask(self._next(), "server/discover", {}, _BARE, name="", headers={})
        except TimeoutError:
            return False
        except Fault as fault:
            if not fault.protocol and fault.code in (401, 403, 502):
                raise
            supported = fault.data.get("supported") if isinstance(fault.data, dict) else None
            if fault.protocol and fault.code == _UNSUPPORTED_VERSION and isinstance(supported, list) and not set(_SHAKEN) & set(map(str, supported)):
                raise
            return False
        versions = found.get("supportedVersions")
        return isinstance(versions, list) and _BARE in versions

    async def _shake(self) -> str:
        number = self._next()
        told = {"protocolVersion": _SHAKEN[0], "capabilities": {}, "clientInfo": _CLIENT}
        async with self._post(_request(number, "initialize", told), {}) as response:
            result = await self._answer(response, _Stream(number))
            session = response.headers.get("Mcp-Session-Id", "")
        version = result.get("protocolVersion")
        if version not in _SHAKEN:
            raise invalid(f"The server of tools speaks a version of the protocol that is not known here ({str(version)[:40]}).")
        if len(session) > 1024 or not all("!" <= letter <= "~" for letter in session):
            raise invalid("The server of tools named its session in a way that the protocol does not allow.")
        self._id = session
        async with self._post({"jsonrpc": "2.0", "method": "notifications/initialized"}, {"MCP-Protocol-Version": str(version)}) as response:
            if response.status >= 300:
                raise await _refused(response)
        return str(version)

    # Requests

    def _next(self) -> int:
        self._last += 1
        return self._last

    async def _ask(
        self, number: int, method: str, params: Mapping[str, Any], version: str, *, name: str, headers: Mapping[str, str]
    ) -> dict[str, Any]:
        sent = {"MCP-Protocol-Version": version}
        if version == _BARE:
            meta = {f"{_META}/protocolVersion": version, f"{_META}/clientInfo": _CLIENT, f"{_META}/clientCapabilities": {}}
            params = {**params, "_meta": meta}
            sent |= {"Mcp-Method": method, **headers, **({"Mcp-Name": encoded(name)} if name else {})}
        async with self._post(_request(number, method, params), sent) as response:
            return await self._answer(response, _Stream(number))

    @asynccontextmanager
    async def _post(self, message: Mapping[str, Any], headers: Mapping[str, str]) -> AsyncIterator[ClientResponse]:
        body = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
        async with self._send("POST", body, {**headers, "Content-Type": "application/json"}) as response:
            yield response

    @asynccontextmanager
    async def _send(self, method: str, body: bytes | None, headers: Mapping[str, str]) -> AsyncIterator[ClientResponse]:
        own = {"Accept": "application/json, text/event-stream", "Accept-Encoding": "identity", "Connection": "close"}
        if self._id:
            own["Mcp-Session-Id"] = self._id
        try:
            async with self._egress.request(
                method, self._server.url, purpose="mcp", headers={**self._server.headers, **own, **headers}, data=body, who=self._who,
                origin=self._origin, recorded=self._recorded, redirects=False,
            ) as response:  # fmt: skip
                yield response
        except EgressRefused:
            raise
        except HausgeistError as error:
            raise Fault(error.message) from error

    async def _answer(self, response: ClientResponse, stream: _Stream) -> dict[str, Any]:
        if response.status >= 300:
            raise await _refused(response)
        if response.status in (202, 204):
            raise invalid(f"The server of tools took a request and gave no answer (status {response.status}).")
        if response.content_type == "application/json":
            result = await self._sorted(await document(response), stream)
        elif response.content_type == "text/event-stream":
            result = await self._followed(response, stream)
        else:
            raise invalid(f"The server of tools answered a request with '{response.content_type}', which is no message.")
        if result is None:
            raise invalid("The server of tools ended its answer before it was complete.")
        return result

    async def _followed(self, response: ClientResponse, stream: _Stream) -> dict[str, Any] | None:
        """The result in a stream of events; one that ends too early is asked for again from where it ended."""
        result = await self._watched(response, stream)
        for _ in range(_RESUMED):
            if result is not None or not stream.last or not self._id:
                return result
            await asyncio.sleep(min(max(stream.retry, _RETRY[0]), _RETRY[2]))
            async with self._send("GET", None, {"MCP-Protocol-Version": self._version, "Last-Event-ID": stream.last}) as again:
                if again.status >= 300 or again.content_type != "text/event-stream":
                    raise await _refused(again)
                result = await self._watched(again, stream)
        return result

    async def _watched(self, response: ClientResponse, stream: _Stream) -> dict[str, Any] | None:
        reader = EventReader()
        try:
            async with aclosing(pieces(response, stream.left)) as coming:
                async for piece in coming:
                    stream.left -= len(piece)
                    for event in reader.feed(piece):
                        stream.last = event.id or stream.last
                        stream.retry = stream.retry if event.retry is None else event.retry
                        if event.data and (result := await self._sorted(event.data, stream)) is not None:
                            return result
        except Fault as fault:
            if fault.protocol or not stream.last:
                raise
        return None

    async def _sorted(self, body: bytes, stream: _Stream) -> dict[str, Any] | None:
        """The result that is waited for, if it is in there. What the server asks meanwhile is answered: it waits for that. Notes are let go."""
        for message in parse(body):
            if isinstance(message.get("method"), str):
                if message.get("id") is not None:
                    await self._reply(message, stream)
            elif "error" in message and message.get("id") in (None, stream.wanted):
                raise _told(message["error"])
            elif message.get("id") == stream.wanted and not isinstance(message["id"], bool):
                result = clean(message.get("result"))
                if not isinstance(result, dict):
                    raise invalid("The server of tools gave a result that is no object.")
                return result
        return None

    async def _reply(self, message: Mapping[str, Any], stream: _Stream) -> None:
        stream.asked += 1
        if stream.asked > _ASKED:
            raise invalid("The server of tools asked back too many times instead of answering.")
        number = message["id"]
        if not isinstance(number, str | int) or (isinstance(number, str) and len(number) > 256):
            return
        answer: dict[str, Any] = {"jsonrpc": "2.0", "id": number}
        if message["method"] == "ping":
            answer["result"] = {}
        else:
            answer["error"] = {"code": _NO_METHOD, "message": "This client only calls tools; it can be asked for nothing."}
        await self._quietly("POST", answer)

    async def _cancel(self, number: int) -> None:
        """Tell a server with a session that nobody waits any longer; others notice by the connection."""
        if number and self._id:
            await self._quietly("POST", {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": number}})

    async def _quietly(self, method: str, message: Mapping[str, Any] | None) -> None:
        """Say something whose answer does not matter, for a moment at most."""
        headers = {"MCP-Protocol-Version": self._version} if self._version else {}
        with suppress(Fault, HausgeistError, TimeoutError):
            async with asyncio.timeout(_FAREWELL):
                if message is None:
                    async with self._send(method, None, headers):
                        return
                async with self._post(message, headers):
                    return


def _request(number: int, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": dict(params)}


def _told(error: Any) -> Fault:
    """An error of JSON-RPC."""
    error = clean(error)
    if not isinstance(error, dict):
        return invalid("The server of tools answered with an error that it did not explain.")
    code, message = error.get("code"), error.get("message")
    number = code if isinstance(code, int) and not isinstance(code, bool) and abs(code) < 2**31 else -32603
    return Fault(str(message or "The server of tools gave no reason."), code=number, protocol=True, data=error.get("data"))


async def _refused(response: ClientResponse) -> Fault:
    """Why the server did not answer as it should: its own words, where they are an error of the protocol."""
    fault = await _reason(response)
    fault.status = response.status
    return fault


async def _reason(response: ClientResponse) -> Fault:
    if 300 <= response.status < 400:
        return Fault("The server of tools redirects to another address; its owner has to name that one in the settings.", code=response.status)
    with suppress(Fault):
        if response.content_type == "application/json":
            found = parse(await document(response, _ERROR))
            if len(found) == 1 and "error" in found[0] and isinstance(found[0]["error"], dict) and "code" in found[0]["error"]:
                return _told(found[0]["error"])
    match response.status:
        case 401 | 403:
            how = 'Give a token in the tool\'s "authorization", or have the owner of this server set one (mcp.NAME.key).'
            return Fault(f"The server of tools does not let this server in (status {response.status}). {how}", code=response.status)
        case 405:
            return Fault("There is no MCP server with streamable HTTP at this address (status 405).", code=405)
    return Fault(f"The server of tools answered with status {response.status}.", code=response.status)
