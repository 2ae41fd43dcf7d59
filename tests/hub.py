"""A model hub on loopback: the routes, headers, redirects and errors of huggingface.co, a second port as its content network, and faults.

Large files (`lfs`) are redirected to the content network by signed addresses that expire, small ones are answered directly; both know ranges.
`tests/integration/test_hub_is_faithful.py` has the real client of the hub download from it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import quote, unquote

from aiohttp import web

__all__ = ["Fault", "Hub", "Seen"]

Kind = Literal["status", "slow", "cut", "whole", "shifted", "flipped", "expired", "etag", "hang"]
Where = Literal["api", "resolve", "cdn"]

SMALL = 1024
"""Files below this many bytes are kept in git and not in LFS, unless told otherwise."""
CHUNK = 2**18


@dataclass
class Fault:
    """What goes wrong with the next `times` answers of one place whose path contains `path`.

    status   answers with `status`; `retry_after` seconds go into the header of that name
    slow     `rate` bytes a second
    cut      the connection is closed after `after` bytes of the body
    whole    ranges are ignored: 200 with everything
    shifted  a range that starts one byte late, and says so
    flipped  one bit of each answer is wrong
    expired  403, as for a signed address after its time
    etag     another ETag than before: the file changed upstream
    hang     nothing is ever answered
    """

    kind: Kind
    where: Where = "cdn"
    path: str = ""
    times: int = 1
    status: int = 503
    retry_after: str = ""
    after: int = 0
    rate: int = 65536


@dataclass(frozen=True)
class Seen:
    """One request."""

    where: Where
    method: str
    path: str
    query: str
    headers: dict[str, str]


@dataclass
class File:
    content: bytes | Path
    sha256: str
    size: int
    lfs: bool

    @property
    def oid(self) -> str:
        """As git names it: the blob itself, or the pointer to it."""
        data = self.pointer if self.lfs else self.read(0, self.size)
        return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()

    @property
    def pointer(self) -> bytes:
        return f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {self.size}\n".encode()

    @property
    def etag(self) -> str:
        return self.sha256 if self.lfs else self.oid

    def read(self, offset: int, length: int) -> bytes:
        if isinstance(self.content, bytes):
            return self.content[offset : offset + length]
        with self.content.open("rb") as file:
            file.seek(offset)
            return file.read(length)


@dataclass
class Repository:
    files: dict[str, File]
    commit: str
    gated: bool = False
    private: bool = False
    card: dict[str, Any] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    branches: set[str] = field(default_factory=lambda: {"main"})


class Hub:
    """`with Hub() as hub:` runs it in a thread of its own. Whoever sends `Bearer hf_reader` may read what is gated or private."""

    READER = "hf_reader"

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.renamed: dict[str, str] = {}
        self.faults: list[Fault] = []
        self.seen: list[Seen] = []
        self.lifetime = 3600.0
        """Seconds for which an address of the content network is valid."""
        self._by_digest: dict[str, File] = {}
        self._changes = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._leave: asyncio.Event | None = None
        self._up = threading.Event()
        self._hub = socket.create_server(("127.0.0.1", 0))
        self._cdn = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._hub.getsockname()[1]}"
        # Another host name, so that whoever keeps secrets to one host is seen to.
        self.cdn = f"http://localhost:{self._cdn.getsockname()[1]}"

    def add(self, name: str, files: dict[str, bytes | Path], *, lfs: bool | None = None, sha256: dict[str, str] | None = None, **more: Any) -> str:
        """A repository, or a new commit of it that holds these files and no others. Returns the commit.

        `sha256`: digests that are known, for files too large to be read for that. `more`: fields of `Repository`.
        """
        there = {}
        for path, content in files.items():
            size = len(content) if isinstance(content, bytes) else content.stat().st_size
            digest = (sha256 or {}).get(path) or _digest(content)
            there[path] = File(content, digest, size, size >= SMALL if lfs is None else lfs)
            self._by_digest[digest] = there[path]
        stamp = json.dumps([name, sorted((path, file.sha256) for path, file in there.items())])
        commit = hashlib.sha1(stamp.encode(), usedforsecurity=False).hexdigest()
        self.repositories[name] = Repository(there, commit, **more)
        return commit

    def rename(self, before: str, after: str) -> None:
        self.repositories[after] = self.repositories.pop(before)
        self.renamed[before] = after

    def fault(self, kind: Kind, **fields: Any) -> Fault:
        self.faults.append(Fault(kind, **fields))
        return self.faults[-1]

    def requests(self, where: Where) -> list[Seen]:
        return [one for one in self.seen if one.where == where]

    def start(self) -> Self:
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="hub", daemon=True)
        self._thread.start()
        assert self._up.wait(10), "the hub did not start"
        return self

    def stop(self) -> None:
        assert self._loop is not None
        assert self._leave is not None
        assert self._thread is not None
        self._loop.call_soon_threadsafe(self._leave.set)
        self._thread.join(10)
        assert not self._thread.is_alive(), "the hub did not stop"

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.stop()

    async def _serve(self) -> None:
        self._loop, self._leave = asyncio.get_running_loop(), asyncio.Event()
        runners = []
        for listener, handler in ((self._hub, self._answer), (self._cdn, self._content)):
            app = web.Application()
            app.router.add_route("*", "/{any:.*}", handler)
            runner = web.AppRunner(app, shutdown_timeout=0.1, handle_signals=False)
            await runner.setup()
            await web.SockSite(runner, listener).start()
            runners.append(runner)
        self._up.set()
        await self._leave.wait()
        for runner in runners:
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        """The hub itself."""
        where: Where = "api" if request.path.startswith("/api/") else "resolve"
        self._note(where, request)
        fault = self._fault(where, request.path)
        if fault is not None and (broken := await self._broken(fault)) is not None:
            return broken
        try:
            parts = [unquote(part) for part in request.rel_url.raw_path.strip("/").split("/")]
            match parts:
                case ["api", "models", owner, name, "auth-check"]:
                    self._admitted(request, self._repository(request, f"{owner}/{name}"), f"{owner}/{name}")
                    return web.json_response({})
                case ["api", "models", owner, name, *rest]:
                    return self._described(self._repository(request, f"{owner}/{name}"), f"{owner}/{name}", rest, request)
                case [owner, name, "resolve", revision, *path] if path:
                    return await self._resolved(request, f"{owner}/{name}", revision, "/".join(path), fault)
        except web.HTTPException as refusal:
            return web.Response(status=refusal.status, headers=refusal.headers, body=refusal.body)
        return web.Response(status=404, text="Not Found")

    def _described(self, repository: Repository, name: str, rest: list[str], request: web.Request) -> web.Response:
        match rest:
            case [] | ["revision"]:
                revision = "main"
            case ["revision" | "tree", revision, *_]:
                pass
            case _:
                raise web.HTTPNotFound
        self._revision(repository, revision)
        if rest and rest[0] == "tree":
            return web.json_response([_entry(path, file) for path, file in sorted(repository.files.items())])
        blobs = request.query.get("blobs", "").lower() in {"true", "1"}
        return web.json_response(
            {
                "_id": "0" * 24,
                "id": name,
                "modelId": name,
                "author": name.partition("/")[0],
                "sha": repository.commit,
                "lastModified": "2026-10-01T00:00:00.000Z",
                "createdAt": "2026-10-01T00:00:00.000Z",
                "private": repository.private,
                "gated": "manual" if repository.gated else False,
                "disabled": False,
                "downloads": 1,
                "likes": 1,
                "tags": repository.tags,
                "cardData": repository.card,
                "siblings": [_sibling(path, file, blobs=blobs) for path, file in sorted(repository.files.items())],
            }
        )

    async def _resolved(self, request: web.Request, name: str, revision: str, path: str, fault: Fault | None) -> web.StreamResponse:
        repository = self._repository(request, name)
        self._revision(repository, revision)
        commit = {"X-Repo-Commit": repository.commit}
        self._admitted(request, repository, name)
        if (file := repository.files.get(path)) is None:
            raise web.HTTPNotFound(headers={"X-Error-Code": "EntryNotFound", "X-Error-Message": "Entry not found", **commit})
        etag = file.etag if fault is None or fault.kind != "etag" else self._other(file.etag)
        if not file.lfs:
            return await self._body(request, file, {"ETag": f'"{etag}"', **commit}, fault)
        until = int((time.time() + self.lifetime) * 1000)
        filename = quote(path.rpartition("/")[2])
        location = f"{self.cdn}/{file.sha256}?response-content-disposition=inline%3B+filename%3D{filename}&Expires={until}&Signature=s~{until}"
        return web.Response(
            status=302,
            headers={"Location": location, "X-Linked-Etag": f'"{etag}"', "X-Linked-Size": str(file.size), "Accept-Ranges": "bytes", **commit},
        )

    async def _content(self, request: web.Request) -> web.StreamResponse:
        """The content network: knows no users, only signatures, and refuses what comes with more than one credential."""
        self._note("cdn", request)
        fault = self._fault("cdn", request.path)
        if fault is not None and (broken := await self._broken(fault)) is not None:
            return broken
        if "Authorization" in request.headers:
            return web.Response(status=400, text="Only one auth mechanism allowed")
        try:
            valid = int(request.query["Expires"]) > time.time() * 1000 and request.query["Signature"] == f"s~{request.query['Expires']}"
        except (KeyError, ValueError):
            valid = False
        if not valid:
            return web.Response(status=403, text="<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>")
        if (file := self._by_digest.get(request.path.strip("/"))) is None:
            return web.Response(status=404)
        etag = file.sha256[:32] if fault is None or fault.kind != "etag" else self._other(file.sha256)[:32]
        return await self._body(request, file, {"ETag": f'"{etag}"'}, fault)

    async def _body(self, request: web.Request, file: File, headers: dict[str, str], fault: Fault | None) -> web.StreamResponse:
        kind = fault.kind if fault is not None else None
        try:
            asked = request.http_range if "Range" in request.headers else slice(None)
        except ValueError:
            return web.Response(status=416, headers={"Content-Range": f"bytes */{file.size}"})
        ranged = "Range" in request.headers and kind != "whole" and request.headers.get("If-Range", headers["ETag"]) == headers["ETag"]
        start, end, _ = asked.indices(file.size) if ranged else (0, file.size, 1)
        if ranged and start >= end:
            return web.Response(status=416, headers={"Content-Range": f"bytes */{file.size}"})
        if kind == "shifted" and ranged and start + 1 < end:
            start += 1
        response = web.StreamResponse(status=206 if ranged else 200, headers={"Accept-Ranges": "bytes", **headers})
        if ranged:
            response.headers["Content-Range"] = f"bytes {start}-{end - 1}/{file.size}"
        response.content_type = "application/octet-stream"
        response.content_length = end - start
        await response.prepare(request)
        if request.method == "HEAD":
            return response
        sent = 0
        for offset, data in _pieces(file, start, end, fault.rate // 10 or 1 if fault is not None and kind == "slow" else CHUNK):
            if kind == "flipped" and offset == start:
                data = bytes([data[0] ^ 1]) + data[1:]
            if fault is not None and kind == "cut" and sent + len(data) > fault.after:
                await response.write(data[: fault.after - sent])
                assert request.transport is not None
                await asyncio.sleep(0.05)
                request.transport.close()
                return response
            await response.write(data)
            sent += len(data)
            if kind == "slow":
                await asyncio.sleep(0.1)
        return response

    def _repository(self, request: web.Request, name: str) -> Repository:
        if (after := self.renamed.get(name)) is not None:
            raise web.HTTPTemporaryRedirect(str(request.rel_url).replace(name, after, 1))
        repository = self.repositories.get(name)
        if repository is None or (repository.private and not self._reader(request)):
            code, text = (404, "Repository not found") if self._reader(request) else (401, "Invalid username or password.")
            refusal = web.HTTPNotFound if code == 404 else web.HTTPUnauthorized
            raise refusal(headers={"X-Error-Code": "RepoNotFound", "X-Error-Message": text})
        return repository

    def _admitted(self, request: web.Request, repository: Repository, name: str) -> None:
        """Whoever sends no token is told to, and whoever sends one that did not accept the terms, to accept them."""
        if repository.gated and not self._reader(request):
            refusal = web.HTTPForbidden if "Authorization" in request.headers else web.HTTPUnauthorized
            raise refusal(headers={"X-Error-Code": "GatedRepo", "X-Error-Message": f"Access to model {name} is restricted."})

    def _revision(self, repository: Repository, revision: str) -> None:
        if revision not in repository.branches and revision != repository.commit:
            raise web.HTTPNotFound(headers={"X-Error-Code": "RevisionNotFound", "X-Error-Message": f"Invalid rev id: {revision}"})

    def _reader(self, request: web.Request) -> bool:
        return request.headers.get("Authorization") == f"Bearer {self.READER}"

    def _note(self, where: Where, request: web.Request) -> None:
        self.seen.append(Seen(where, request.method, unquote(request.rel_url.raw_path), request.query_string, dict(request.headers)))

    def _fault(self, where: Where, path: str) -> Fault | None:
        for fault in self.faults:
            if fault.where == where and fault.path in path and fault.times > 0:
                fault.times -= 1
                return fault
        return None

    async def _broken(self, fault: Fault) -> web.Response | None:
        """The answer of a fault that does not depend on the file."""
        match fault.kind:
            case "status":
                return web.Response(status=fault.status, headers={"Retry-After": fault.retry_after} if fault.retry_after else {})
            case "expired":
                return web.Response(status=403, text="<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>")
            case "hang":
                await asyncio.sleep(3600)
        return None

    def _other(self, etag: str) -> str:
        self._changes += 1
        return hashlib.sha256(f"{etag}{self._changes}".encode()).hexdigest()[: len(etag)]


def _sibling(path: str, file: File, *, blobs: bool) -> dict[str, Any]:
    if not blobs:
        return {"rfilename": path}
    lfs = {"lfs": {"sha256": file.sha256, "size": file.size, "pointerSize": len(file.pointer)}} if file.lfs else {}
    return {"rfilename": path, "size": file.size, "blobId": file.oid, **lfs}


def _entry(path: str, file: File) -> dict[str, Any]:
    lfs = {"lfs": {"oid": file.sha256, "size": file.size, "pointerSize": len(file.pointer)}} if file.lfs else {}
    return {"type": "file", "path": path, "oid": file.oid, "size": file.size, **lfs}


def _pieces(file: File, start: int, end: int, size: int) -> Iterator[tuple[int, bytes]]:
    for offset in range(start, end, size):
        yield offset, file.read(offset, min(size, end - offset))


def _digest(content: bytes | Path) -> str:
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    with content.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
