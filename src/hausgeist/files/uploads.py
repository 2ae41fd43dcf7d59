"""Uploads in parts: a large file comes in pieces of at most 64 MB, in any order and again where one was lost, and is made of those that the
client names in the end. A part is on the disk when it is acknowledged; an upload that is not finished within an hour is forgotten."""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator, Sequence
from typing import Final

from sqlalchemy import Connection, and_, delete, func, insert, select, update

from hausgeist.errors import Conflict, InvalidRequest, NotFound, TooLarge, shown
from hausgeist.files.records import File, Upload, UploadPart, as_upload, new_id, plain_name, plain_type, upload_parts, uploads
from hausgeist.files.service import Files, gigabytes
from hausgeist.identity import Principal
from hausgeist.store.database import Database
from hausgeist.store.drafts import Draft
from hausgeist.store.threads import to_its_end

__all__ = ["LARGEST", "PART", "Uploads"]

PART: Final = 64 << 20
"""Bytes of one part at most."""
LARGEST: Final = 8 << 30
"""Bytes of one upload at most."""
_LIFE: Final = 3600.0
_MOST_PENDING: Final = 1000
"""Of one project."""
_MOST_PARTS: Final = 10_000
_COPIES: Final = 3
"""How often each byte may come: the SDK sends a part again, twice at most, whose answer was lost."""
_BUFFER: Final = 4 << 20


class Uploads:
    """Each belongs to the person who began it: everything raises `NotFound` for those of others."""

    def __init__(self, database: Database, files: Files) -> None:
        self._database = database
        self._files = files
        self._folder = files.folder

    async def create(
        self, who: Principal, *, bytes: int, filename: str, media_type: str, purpose: str, seconds: int | None = None  # noqa: A002
    ) -> Upload:  # fmt: skip
        """`bytes`: of the whole file; `seconds`: how long to keep it. Raises `TooLarge`, `DiskFull`."""
        if bytes > LARGEST:
            raise TooLarge(f"An upload has at most {LARGEST} bytes; this one would have {bytes}.")
        self._folder.space.require(bytes)
        now = time.time()
        made = Upload(
            id=new_id("upload_"), project=who.project, user=who.user, created=now, expires=now + _LIFE, purpose=purpose,
            filename=plain_name(filename), media_type=plain_type(media_type), bytes=bytes, status="pending", file=None, keep_seconds=seconds,
        )  # fmt: skip

        def write(connection: Connection) -> Upload:
            self._files.demand_room_within(connection, who.project, bytes)
            pending = select(func.count()).select_from(uploads).where(uploads.c.project == who.project, uploads.c.status == "pending")
            if connection.execute(pending).scalar_one() >= _MOST_PENDING:
                raise TooLarge(f"{_MOST_PENDING:,} uploads of this project are not finished. Complete or cancel some, or wait until they expire.")
            connection.execute(insert(uploads).values({column.name: getattr(made, column.name) for column in uploads.columns}))
            return made

        begun = await self._database.write(write)
        self._files.noticed(who.project, bytes)
        return begun

    def get(self, who: Principal, upload: str) -> Upload:
        return self._database.read(lambda connection: _read(connection, who, upload))

    async def add(self, who: Principal, upload: str, chunks: AsyncIterator[bytes], *, size: int = 0) -> UploadPart:
        """A part. It is kept when this returns. Raises `Conflict` for an upload that takes no more, `TooLarge`, `DiskFull`."""
        begun = self.get(who, upload)
        _demand_pending(begun)
        largest = min(PART, begun.bytes)
        async with self._folder.receive(chunks, size=min(size, largest), limit=largest) as draft:
            if not draft.size:
                raise InvalidRequest("The part is empty.", param="data")
            part = UploadPart(id=new_id("part_"), upload=upload, created=time.time(), bytes=draft.size)

            def write(connection: Connection) -> UploadPart:
                found = _read(connection, who, upload)
                _demand_pending(found)
                here = select(func.count(), func.coalesce(func.sum(upload_parts.c.bytes), 0)).where(upload_parts.c.upload == upload)
                number, kept = connection.execute(here).one()
                if kept + part.bytes > _COPIES * found.bytes or number >= _MOST_PARTS:
                    raise TooLarge(f"The {number} parts of this upload have {gigabytes(kept)}, more than its {gigabytes(found.bytes)} can need.")
                connection.execute(insert(upload_parts).values(id=part.id, upload=upload, created=part.created, bytes=part.bytes))
                self._folder.name(connection, draft.path, part.id)
                return part

            return await self._database.write(write)

    async def complete(self, who: Principal, upload: str, parts: Sequence[str], *, md5: str | None = None) -> tuple[Upload, File]:
        """The file, made of these parts in this order. Said again of one that is complete, it changes nothing. Raises `Conflict`,
        `InvalidRequest` where parts are unknown, are not as long together as was announced, or are not what `md5` (hexadecimal digits) says."""
        try:
            return await self._complete(who, self.get(who, upload), parts, md5)
        except Conflict:
            # Said a second time before the first was answered: then the file is there by now.
            found = self.get(who, upload)
            if found.status == "completed" and found.file is not None:
                return found, self._files.get(who, found.file)
            raise

    async def _complete(self, who: Principal, found: Upload, parts: Sequence[str], md5: str | None) -> tuple[Upload, File]:
        _demand_pending(found)
        self._demand_parts(found, parts)
        with self._folder.space.claim(found.bytes):
            draft = self._folder.draft()
            try:
                await to_its_end(self._join, draft, parts, md5)
                return await self._finish(who, found, draft)
            finally:
                draft.discard()

    async def cancel(self, who: Principal, upload: str) -> Upload:
        """Forget it with its parts. Said again, it changes nothing. Raises `Conflict` for one that is complete or has expired."""

        def write(connection: Connection) -> tuple[Upload, list[str]]:
            found = _read(connection, who, upload)
            if found.status != "cancelled":
                _demand_pending(found)
                connection.execute(update(uploads).where(uploads.c.id == upload).values(status="cancelled"))
            return _read(connection, who, upload), _forget_parts(connection, upload)

        cancelled, gone = await self._database.write(write)
        await self._folder.remove(gone)
        return cancelled

    def _demand_parts(self, upload: Upload, parts: Sequence[str]) -> None:
        query = select(upload_parts.c.id, upload_parts.c.bytes).where(upload_parts.c.upload == upload.id)
        sizes = {row.id: row.bytes for row in self._database.read(lambda connection: connection.execute(query).all())}
        for number, part in enumerate(parts):
            if part not in sizes:
                raise InvalidRequest(f"The upload has no part '{shown(part)}'.", param=f"part_ids.{number}")
        if len(set(parts)) != len(parts):
            raise InvalidRequest("A part is named twice.", param="part_ids")
        total = sum(sizes[part] for part in parts)
        if total != upload.bytes:
            raise InvalidRequest(f"These parts have {total} bytes together, but {upload.bytes} were announced.", param="part_ids")

    def _join(self, draft: Draft, parts: Sequence[str], md5: str | None) -> None:
        check = hashlib.md5(usedforsecurity=False)
        for part in parts:
            try:
                source = self._folder.path(part).open("rb")
            except FileNotFoundError:
                raise Conflict("This upload was finished or cancelled meanwhile.") from None
            with source:
                while chunk := source.read(_BUFFER):
                    draft.write(chunk)
                    check.update(chunk)
        if md5 is not None and check.hexdigest() != md5.lower():
            raise InvalidRequest(f"The md5 of these parts is {check.hexdigest()}, not the one given. Send the damaged part again.", param="md5")
        draft.flush()

    async def _finish(self, who: Principal, upload: Upload, draft: Draft) -> tuple[Upload, File]:
        def write(connection: Connection) -> tuple[Upload, File, list[str]]:
            _demand_pending(_read(connection, who, upload.id))
            file = self._files.adopt(
                connection, draft.path, project=upload.project, user=upload.user, filename=upload.filename, purpose=upload.purpose,
                media_type=upload.media_type, size=draft.size, digest=draft.digest, seconds=upload.keep_seconds,
            )  # fmt: skip
            connection.execute(update(uploads).where(uploads.c.id == upload.id).values(status="completed", file=file.id))
            return _read(connection, who, upload.id), file, _forget_parts(connection, upload.id)

        completed, file, gone = await self._database.write(write)
        await self._folder.remove(gone)
        return completed, file


def _read(connection: Connection, who: Principal, upload: str) -> Upload:
    ours = and_(uploads.c.project == who.project, uploads.c.user == who.user)
    row = connection.execute(select(uploads).where(uploads.c.id == upload, ours)).one_or_none()
    if row is None:
        raise NotFound(f"There is no upload '{shown(upload)}'.")
    return as_upload(row)


def _demand_pending(upload: Upload) -> None:
    if upload.status == "pending" and upload.expires > time.time():
        return
    said = upload.status if upload.status != "pending" else "expired"
    raise Conflict(f"The upload is {said}; begin a new one." if said != "expired" else "The upload has expired: begin a new one.")


def _forget_parts(connection: Connection, upload: str) -> list[str]:
    """Returns their names, for when the transaction has ended."""
    gone = list(connection.execute(select(upload_parts.c.id).where(upload_parts.c.upload == upload)).scalars())
    connection.execute(delete(upload_parts).where(upload_parts.c.upload == upload))
    return gone
