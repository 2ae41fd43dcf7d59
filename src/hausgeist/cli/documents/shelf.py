"""The store of a project as the commands see it: which files are in it and where they came from; bringing one, putting it in, taking it out.

Everything goes over the public API. A file that a command has brought says in its attributes where it came from: `path`, `machine`, `sha256`, `size`
and `modified`; files without them were brought by others, and are left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Final, cast
from urllib.parse import quote, urlencode

from hausgeist.cli.client import Client
from hausgeist.cli.documents.gathering import Found, Unreached, machine, opened
from hausgeist.errors import HausgeistError, NotFound

__all__ = ["NOTED", "STORE", "Kept", "Shelf", "attributes_of", "find_store", "store_ids", "stores_of"]

STORE: Final = "documents"
"""The store of a project that is meant where none is named."""
NOTED: Final = ("path", "machine", "sha256", "size", "modified")
"""Attributes that are noted of each file that is brought; see `attributes_of`."""
_PAGE: Final = 100
_PART: Final = 32 << 20
"""Bytes of a piece of a large file, and where a large file begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A file that is in the store, as the command that brought it has noted."""

    file: str
    status: str
    error: str
    code: str
    path: str
    machine: str
    sha256: str
    size: int
    modified: float
    created: float
    attributes: Mapping[str, object]

    @property
    def ours(self) -> bool:
        """Whether a command on this machine has brought it."""
        return self.machine == machine() and bool(self.path)

    @property
    def replaces(self) -> str:
        """The older version whose place it takes or has taken; empty when that has been cleared away."""
        return str(self.attributes.get("replaces", ""))

    @classmethod
    def of(cls, told: Mapping[str, object]) -> Kept:
        attributes = told.get("attributes")
        known: Mapping[str, object] = attributes if isinstance(attributes, dict) else {}
        trouble = told.get("last_error")
        error: Mapping[str, object] = trouble if isinstance(trouble, dict) else {}
        return cls(
            file=str(told["id"]), status=str(told["status"]), error=str(error.get("message", "")), code=str(error.get("code", "")),
            path=str(known.get("path", "")), machine=str(known.get("machine", "")), sha256=str(known.get("sha256", "")),
            size=int(_number(known.get("size"))), modified=_number(known.get("modified")), created=_number(told.get("created_at")), attributes=known,
        )  # fmt: skip


class Shelf:
    """One store. Every method raises `HausgeistError` with the server's own words."""

    def __init__(self, client: Client, store: str, name: str) -> None:
        self._client = client
        self.id = store
        self.name = name

    @classmethod
    def open(cls, client: Client, name: str = "") -> Shelf:
        """The store of this name or id, made where it is missing. Two that make it at the same time end with one."""
        name = name or STORE
        try:
            found = find_store(client, name)
        except NotFound:
            if name.startswith("vs_"):
                raise
            made = str(client.ask("POST", "/v1/vector_stores", {"name": name})["id"])
            found = find_store(client, name)
            if str(found["id"]) != made:
                client.ask("DELETE", f"/v1/vector_stores/{made}")
        return cls(client, str(found["id"]), str(found.get("name") or name))

    def kept(self) -> Iterator[Kept]:
        """Every file in it, oldest first."""
        yield from map(Kept.of, _pages(self._client, f"/v1/vector_stores/{self.id}/files", order="asc"))

    def file(self, file: str) -> Kept:
        """One of them. Raises `NotFound`."""
        return Kept.of(self._client.ask("GET", f"/v1/vector_stores/{self.id}/files/{_quoted(file)}"))

    def bring(self, found: Found, pause: Callable[[], None] = lambda: None) -> str:
        """Send a file to the server; its id there. `pause`: called between the parts of a large one, and may raise. Raises `Unreached` where it
        cannot be read."""
        name = found.path.name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        try:
            with opened(found) as file:
                if found.size > _PART:
                    return self._bring_in_parts(file, found.size, name, pause)
                fields = {"purpose": "assistants"}
                return str(self._client.send_form("/v1/files", fields, field="file", filename=name, content=file)["id"])
        except OSError as error:
            raise Unreached((error.strerror or str(error)).lower()) from error

    def _bring_in_parts(self, file: BinaryIO, size: int, name: str, pause: Callable[[], None]) -> str:
        body = {"bytes": size, "filename": name[-1024:], "mime_type": "application/octet-stream", "purpose": "assistants"}
        upload = str(self._client.ask("POST", "/v1/uploads", body)["id"])
        parts: list[str] = []
        try:
            while (piece := _Piece(file, _PART)).left:
                pause()
                content = cast(BinaryIO, piece)
                parts.append(str(self._client.send_form(f"/v1/uploads/{upload}/parts", {}, field="data", filename="part", content=content)["id"]))
            done = self._client.ask("POST", f"/v1/uploads/{upload}/complete", {"part_ids": parts})
        except (HausgeistError, OSError, KeyboardInterrupt):
            self._forget(upload)
            raise
        return str(done["file"]["id"])

    def _forget(self, upload: str) -> None:
        try:
            self._client.ask("POST", f"/v1/uploads/{upload}/cancel")
        except HausgeistError:
            return  # it expires within the hour

    def put(self, files: Sequence[tuple[str, Mapping[str, object]]]) -> str:
        """Have files with these attributes read and searched from then on, together; the id of the batch."""
        listed = [{"file_id": file, "attributes": dict(attributes)} for file, attributes in files]
        return str(self._client.ask("POST", f"/v1/vector_stores/{self.id}/file_batches", {"files": listed})["id"])

    def replace(self, file: str, attributes: Mapping[str, object], old: str) -> None:
        """Put one in that takes the place of another when it is ready, so that a search finds one of both at any time. It is noted with it, for
        whoever comes after a command that is ended before `clear`."""
        body = {"file_id": file, "attributes": {**attributes, "replaces": old}}
        self._client.ask("POST", f"/v1/vector_stores/{self.id}/files", body, headers={"x-hausgeist-replaces": old})

    def describe(self, kept: Kept, attributes: Mapping[str, object]) -> None:
        """Other attributes for a file; nothing is read anew."""
        self._client.ask("POST", f"/v1/vector_stores/{self.id}/files/{kept.file}", {"attributes": {**kept.attributes, **attributes}})

    def clear(self, kept: Kept) -> None:
        """Away with the older version of a file, and with the note of it."""
        self.remove(kept.replaces)
        attributes = {name: value for name, value in kept.attributes.items() if name != "replaces"}
        self._client.ask("POST", f"/v1/vector_stores/{self.id}/files/{kept.file}", {"attributes": attributes})

    def again(self, kept: Kept) -> None:
        """Read a file once more that could not be read."""
        self._client.ask("DELETE", f"/v1/vector_stores/{self.id}/files/{kept.file}")
        self.put([(kept.file, kept.attributes)])

    def remove(self, file: str) -> None:
        """Take a file out, and away from the server. What is gone already is no error."""
        for path in (f"/v1/vector_stores/{self.id}/files/{_quoted(file)}", f"/v1/files/{_quoted(file)}"):
            try:
                self._client.ask("DELETE", path)
            except NotFound:
                continue

    def progress(self) -> dict[str, object]:
        """How far the reading of its files is."""
        return self._client.ask("GET", f"/house/v1/stores/{self.id}/progress")

    def listed(self, status: str = "") -> Iterator[dict[str, object]]:
        """Every file with its name, pages and all that is known, newest first."""
        yield from _pages(self._client, f"/house/v1/stores/{self.id}/files", **({"status": status} if status else {}))


class _Piece:
    """The next bytes of a file as a file of its own: httpx reads it as it sends, so no piece is held in memory."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._begin = file.tell()
        end = file.seek(0, 2)
        self._end = min(end, self._begin + size)
        file.seek(self._begin)

    @property
    def left(self) -> int:
        return self._end - self._file.tell()

    def read(self, size: int = -1, /) -> bytes:
        return self._file.read(self.left if size < 0 else min(size, self.left))

    def seek(self, offset: int, whence: int = 0, /) -> int:
        base = {0: self._begin, 1: self._file.tell(), 2: self._end}[whence]
        return self._file.seek(max(self._begin, min(base + offset, self._end))) - self._begin

    def tell(self) -> int:
        return self._file.tell() - self._begin


def find_store(client: Client, name: str) -> dict[str, object]:
    """The store of this id or name; of several with one name the oldest. Raises `NotFound`."""
    if name.startswith("vs_"):
        return client.ask("GET", f"/v1/vector_stores/{_quoted(name)}")
    for store in _pages(client, "/v1/vector_stores", order="asc"):
        if store.get("name") == name:
            return store
    if name == STORE:
        raise NotFound("there are no documents yet; 'hausgeist add FOLDER' adds some, 'hausgeist demo' tries it on papers that come along.")
    raise NotFound(
        f"the project has no store '{name}'; 'hausgeist docs stores' lists those that there are, 'hausgeist add FOLDER --store {name}' makes it."
    )


def store_ids(client: Client, name: str) -> list[str]:
    """What a search names: the id of the store of this id or name, by default the usual one. Raises `NotFound`."""
    return [str(find_store(client, name or STORE)["id"])]


def stores_of(client: Client) -> Iterator[dict[str, object]]:
    """All stores of the project, oldest first."""
    yield from _pages(client, "/v1/vector_stores", order="asc")


def attributes_of(found: Found, sha256: str) -> dict[str, object]:
    """What is noted of a file that is brought."""
    return dict(zip(NOTED, (found.key, machine(), sha256, found.size, found.modified), strict=True))


def _pages(client: Client, path: str, **query: str) -> Iterator[dict[str, object]]:
    after = ""
    while True:
        told = client.ask("GET", f"{path}?{urlencode({'limit': _PAGE, **query, **({'after': after} if after else {})})}")
        yield from told["data"]
        if not told.get("has_more") or not told["data"]:
            return
        after = str(told.get("last_id") or told["data"][-1]["id"])


def _quoted(text: str) -> str:
    return quote(text, safe="")


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0
