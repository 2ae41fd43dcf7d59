"""Rows of files, uploads and their parts: the tables as they are read here (the migrations made them), and the values that callers get."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from typing import Any, Final, Literal

from sqlalchemy import Column, Float, Integer, MetaData, Row, Table, Text

__all__ = [
    "File",
    "Upload",
    "UploadPart",
    "UploadStatus",
    "as_file",
    "as_upload",
    "files",
    "metadata",
    "new_id",
    "plain_name",
    "plain_type",
    "upload_parts",
    "uploads",
]

UploadStatus = Literal["pending", "completed", "cancelled", "expired"]
_LONGEST_NAME: Final = 255
_MEDIA_TYPE: Final = re.compile(r"[\w.+-]{1,100}/[\w.+-]{1,100}(?:; ?[\w.+=\" -]{1,100})?", re.ASCII)

metadata = MetaData()

files = Table(
    "files",
    metadata,
    Column("id", Text, primary_key=True),
    Column("project", Text, nullable=False),
    Column("user", Text, nullable=False),
    Column("created", Float, nullable=False),
    Column("expires", Float),
    Column("purpose", Text, nullable=False),
    Column("filename", Text, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("bytes", Integer, nullable=False),
    Column("digest", Text, nullable=False),
)
uploads = Table(
    "uploads",
    metadata,
    Column("id", Text, primary_key=True),
    Column("project", Text, nullable=False),
    Column("user", Text, nullable=False),
    Column("created", Float, nullable=False),
    Column("expires", Float, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("filename", Text, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("bytes", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("file", Text),
    Column("keep_seconds", Integer),
)
upload_parts = Table(
    "upload_parts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("upload", Text, nullable=False),
    Column("created", Float, nullable=False),
    Column("bytes", Integer, nullable=False),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file that is there whole. Times are Unix times."""

    id: str
    project: str
    user: str
    """Who brought it."""
    created: float
    expires: float | None
    purpose: str
    filename: str
    """For people to read; never a path."""
    media_type: str
    """As the client said; empty: it did not."""
    bytes: int
    digest: str
    """SHA-256, in hexadecimal digits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file that comes in parts, each in a request of its own."""

    id: str
    project: str
    user: str
    created: float
    expires: float
    purpose: str
    filename: str
    media_type: str
    bytes: int
    """That were announced."""
    status: UploadStatus
    file: str | None
    """Its id, once it is there."""
    keep_seconds: int | None
    """How long the file will be kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadPart:
    """Some bytes of an upload."""

    id: str
    upload: str
    created: float
    bytes: int


def new_id(prefix: str) -> str:
    """`file-…`, `upload_…`: of letters and digits that are safe in a path, and hard to guess."""
    return f"{prefix}{secrets.token_hex(16)}"


def plain_name(text: str) -> str:
    """What a client calls its file, as it can be shown and offered: without folders and without what cannot be printed."""
    last = text.replace("\\", "/").rpartition("/")[2]
    shown = "".join(character for character in last if character.isprintable()).strip()
    if len(shown) > _LONGEST_NAME:
        stem, dot, ending = shown.rpartition(".")
        shown = f"{stem[: _LONGEST_NAME - 1 - len(ending)]}.{ending}" if dot and len(ending) < 20 else shown[:_LONGEST_NAME]
    return shown if shown not in {"", ".", ".."} else "upload"


def plain_type(text: str) -> str:
    """A media type as a client said it, or nothing where it is none."""
    return text.lower() if _MEDIA_TYPE.fullmatch(text) else ""


def as_file(row: Row[Any]) -> File:
    return File(**row._asdict())


def as_upload(row: Row[Any]) -> Upload:
    return Upload(**row._asdict())
