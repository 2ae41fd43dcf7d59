"""From an installed model to a tag of a registry: hash what lies in place, send what is not there yet, publish the manifest last.

A push is a durable job as a pull is: one that a dead process left behind is gone on with at the next start, and whoever follows one keeps it
running. It sends the very model that was asked for: one that was replaced meanwhile is not sent in its place. How it ended is written down, with
the bytes that left.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Protocol

from hausgeist.errors import Conflict, HausgeistError, InvalidRequest, NotFound, NotSupported, StoreError
from hausgeist.identity import Origin, Principal
from hausgeist.library.definition import Definition, FileRef
from hausgeist.library.download.outbound import Patience
from hausgeist.library.following import Followed, Transfers, asked_by, asker
from hausgeist.library.push.layout import Layer, config_of, files_of, manifest_of, notice_of, texts_of
from hausgeist.library.push.registry import Registries, Registry
from hausgeist.library.push.upload import PIECE, Notebook, Upload
from hausgeist.library.reference import Reference
from hausgeist.library.service import Library
from hausgeist.library.sources.base import Role
from hausgeist.library.transfer import Progress
from hausgeist.store.blobs import Blobs
from hausgeist.store.jobs import Job, Jobs

__all__ = ["ACTION", "PUSH", "Plan", "Pusher", "Recording"]

PUSH: Final = "push"
"""The kind of these jobs."""
ACTION: Final = "model.push"
"""What it is called in the audit table."""
_CHUNK: Final = 8 * 2**20
_STALL: Final = 120.0
"""Seconds without a sign of life. Systems take some megabytes of a connection in advance, which a slow line needs that long for."""


class Recording(Protocol):
    """The audit table, for how a push ended (`governance`)."""

    def __call__(
        self, who: Principal | None, action: str, *, target: str, origin: Origin | None, outcome: Literal["done", "failed"], detail: str
    ) -> Awaitable[None]:
        """Takes the row at once; what is returned is done when it is written. Raises `StoreError`."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a push would do."""

    model: str
    reference: Reference
    registry: str
    """The host that it goes to."""
    size: int
    """Bytes of all layers; what the registry has already is not sent."""
    digest: str
    notice: str = ""

    @property
    def target(self) -> str:
        """What the audit table says that it is about."""
        path = self.reference.path if self.reference.kind == "registry" else str(self.reference)
        return f"{self.model} to {self.registry}/{path}:{self.reference.tag} ({self.size} bytes)"


@dataclass(slots=True)
class _Toll:
    """Bytes that left."""

    ended: int = 0
    upload: Upload | None = None

    @property
    def total(self) -> int:
        return self.ended + (self.upload.sent if self.upload is not None else 0)

    def close(self) -> None:
        self.ended, self.upload = self.total, None


class Pusher:
    """`register` it with the queue before that is started; `closing` before it is stopped."""

    def __init__(
        self,
        *,
        library: Library,
        blobs: Blobs,
        registries: Registries,
        jobs: Jobs,
        record: Recording,
        patience: Patience | None = None,
        piece: int = PIECE,
    ) -> None:
        """`piece`: bytes of a request; what is cut off has to be sent again."""
        self._library = library
        self._blobs = blobs
        self._registries = registries
        self._record = record
        self._piece = piece
        self._patience = patience or Patience(stall=_STALL)
        self._notebook = Notebook(blobs.folder)
        self._transfers = Transfers(jobs, PUSH)

    def register(self) -> None:
        self._notebook.sweep()
        self._transfers.register(self._work)

    def lately(self, limit: int = 50) -> list[Job]:
        """Pushes, the newest first, finished or not."""
        return self._transfers.lately(limit)

    def closing(self) -> None:
        """The server stops: followers are told, and their leaving cancels nothing."""
        self._transfers.closing()

    def plan(self, name: str, to: str = "") -> Plan:
        """What pushing a model would do, under the name `to` (default: the one that it has here).

        Raises `ModelNotFound`, `NotSupported` for one that has no files here, `InvalidRequest` for a name that says no registry and no owner.
        """
        model, definition = self._library.get(name), self._library.definition(name)
        if not definition.files:
            raise NotSupported(f"'{model.id}' has no files here: another server runs it.", param="model")
        reference = self._destination(to or model.id)
        # Digests are of one length, so that of the config is known before the files are read.
        layers = [Layer.of_file(role, "", "0" * 64, ref.size, Path()) for role, ref in files_of(definition)] + texts_of(definition)
        size = sum(layer.size for layer in (*layers, config_of(definition, layers)))
        return Plan(model.id, reference, self._registries.host(reference), size, definition.digest, notice_of(definition))

    async def push(self, name: str, to: str = "", *, who: Principal | None = None, origin: Origin | None = None) -> AsyncGenerator[Progress, None]:
        """Send a model. What is told along the way ends with the stage `done`. Closing the generator leaves the push.

        Raises what `plan` raises; `EgressRefused`, `NotAllowed`, `Unavailable`, `InvalidRequest`, `Conflict`.
        """
        plan = self.plan(name, to)
        payload = {"reference": str(plan.reference), "name": plan.model, "digest": plan.digest, "target": plan.target, **asker(who, origin)}
        job = await self._transfers.enqueue(plan.reference.key, payload)
        if job.payload["digest"] != plan.digest:
            raise Conflict(f"'{plan.reference}' is being pushed from '{job.payload['name']}' at the moment; wait for that, or stop it.")
        async with aclosing(self._transfers.follow(job.id)) as told:
            async for progress in told:
                yield progress

    def _destination(self, text: str) -> Reference:
        """Where to. Nothing goes out by a slip: whoever means Ollama's registry, or the configured one, names an owner there."""
        reference = Reference.parse(text)
        if reference.kind != "registry":
            raise InvalidRequest(f"'{text}' is not a name in a registry: host/owner/name:tag.", param="model")
        if not reference.host and reference.path.lower().startswith("library/"):
            raise InvalidRequest(
                f"'{text}' does not say where to: it names no registry and no owner. 'hausgeist push NAME host/owner/name' does, and so does a copy "
                "that is called like that ('hausgeist cp NAME host/owner/name'). 'hausgeist export' writes a model to a file.",
                param="model",
            )
        return reference

    async def _work(self, payload: Mapping[str, Any], push: Followed) -> Mapping[str, Any]:
        who, origin = asked_by(payload)
        toll = _Toll()

        def record(outcome: Literal["done", "failed"], how: str) -> Awaitable[None]:
            said = f"{toll.total} bytes sent{how}"
            return self._record(who, ACTION, target=str(payload["target"]), origin=origin, outcome=outcome, detail=said)

        try:
            manifest = await self._push(payload, push, toll, who, origin)
        except BaseException as error:
            how = (
                error.message if isinstance(error, HausgeistError) else "it was stopped" if isinstance(error, asyncio.CancelledError) else "an error"
            )
            # The failure stands, whether or not the disk takes the row.
            with suppress(StoreError):
                record("failed", f", then: {how}")
            raise
        await record("done", "")
        push.tell(Progress(stage="done", name=str(payload["reference"]), digest=manifest, done=toll.total))
        return {"digest": manifest, "sent": toll.total}

    async def _push(self, payload: Mapping[str, Any], push: Followed, toll: _Toll, who: Principal | None, origin: Origin | None) -> str:
        reference, name = Reference.parse(str(payload["reference"])), str(payload["name"])
        push.tell(Progress(stage="resolving", name=str(reference)))
        definition = self._library.definition(name)
        if definition.digest != payload["digest"]:
            raise InvalidRequest(f"'{name}' is another model than when its push began; push it again if that one is meant.", param="model")
        registry = self._registries.of(reference, who=who, origin=origin)
        await registry.greet()
        with self._library.holding(definition.blobs):
            layers = [await self._file(role, ref, name, number, push) for number, (role, ref) in enumerate(files_of(definition), 1)]
            layers += texts_of(definition)
            config = config_of(definition, layers)
            there: set[str] = set()
            for layer in (*layers, config):
                if layer.sha256 not in there:
                    await self._send(registry, layer, self._mount(definition, registry), push, toll)
                    there.add(layer.sha256)
            push.tell(Progress(stage="publishing", name=str(reference)))
            manifest = manifest_of(config, layers)
            await registry.publish(reference.tag, manifest)
        return hashlib.sha256(manifest).hexdigest()

    def _mount(self, definition: Definition, registry: Registry) -> str:
        """The repository of the same registry that the model came from, if it did: blobs that are there need not be sent."""
        if not definition.reference:
            return ""
        found = self._registries.mountable(Reference.parse(definition.reference), registry.base)
        return found if found != registry.repository else ""

    async def _send(self, registry: Registry, layer: Layer, mount: str, push: Followed, toll: _Toll) -> None:
        """One blob, unless it is there."""

        def tell(done: int) -> None:
            push.tell(Progress(stage="uploading", name=layer.name, digest=layer.sha256, done=done, total=layer.size))

        if await registry.has(layer.sha256):
            tell(layer.size)
            return
        tell(0)
        if isinstance(layer.content, bytes):
            begun = await registry.begin()
            status = await registry.finish(begun.location, layer.sha256, size=layer.size, content=layer.content)
            if status not in {200, 201, 202, 204} and not await registry.has(layer.sha256):
                raise registry.refusal(status, f"take the {layer.name} of the model")
            toll.ended += layer.size
        else:
            toll.upload = Upload(registry, layer, self._notebook, patience=self._patience, tell=tell, piece=self._piece)
            try:
                await toll.upload.run(mount=mount)
            finally:
                toll.close()
        tell(layer.size)

    async def _file(self, role: Role, ref: FileRef, name: str, number: int, push: Followed) -> Layer:
        """Of a blob the digest is known; a file in place is read once before anything is sent."""
        path = ref.at(self._blobs.path)
        called = path.name if ref.path is not None else f"{Reference.parse(name).name.path.rpartition('/')[2]} {role}"
        if number > 1 and ref.path is None:
            called = f"{called} {number}"
        if ref.blob:
            return Layer.of_file(role, called, ref.blob, ref.size, path)
        digest, size = await _hashed(path, lambda done: push.tell(Progress(stage="verifying", name=called, done=done, total=ref.size)))
        return Layer.of_file(role, called, digest, size, path)


async def _hashed(path: Path, tell: Callable[[int], None]) -> tuple[str, int]:
    """Digest and size of a file. Raises `NotFound` where it cannot be read."""
    digest, done = hashlib.sha256(), 0
    try:
        with await asyncio.to_thread(path.open, "rb") as file:
            while chunk := await asyncio.to_thread(file.read, _CHUNK):
                await asyncio.to_thread(digest.update, chunk)
                done += len(chunk)
                tell(done)
    except OSError as error:
        raise NotFound(f"{path.name} cannot be read: {error.strerror or error}.") from error
    return digest.hexdigest(), done
